"""grid_cosim: household agents that share a feeder by agreeing on a price."""
