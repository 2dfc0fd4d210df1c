"""Policies: the price-monotone network, its training, its checkpoints."""
