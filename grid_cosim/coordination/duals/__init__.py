"""The dual step and the negotiation: three ways to agree on a price, behind one protocol."""

from grid_cosim.coordination.duals.curve import CurveStep, price_grid
from grid_cosim.coordination.duals.gradient import GradientStep
from grid_cosim.coordination.duals.independent import own_share_price
from grid_cosim.coordination.duals.newton import NewtonStep
from grid_cosim.coordination.duals.protocol import Demand, DualState, DualStep, Negotiated, Status

__all__ = [
    "CurveStep",
    "Demand",
    "DualState",
    "DualStep",
    "GradientStep",
    "Negotiated",
    "NewtonStep",
    "Status",
    "own_share_price",
    "price_grid",
]
