"""The dual step: three ways to agree on a price and one to look it up, behind one protocol."""

from grid_cosim.coordination.duals.agreement import Agreement
from grid_cosim.coordination.duals.curve import CurveStep
from grid_cosim.coordination.duals.exact import ExactStep
from grid_cosim.coordination.duals.gradient import GradientStep
from grid_cosim.coordination.duals.handover import handed_over
from grid_cosim.coordination.duals.independent import own_share_price
from grid_cosim.coordination.duals.newton import NewtonStep
from grid_cosim.coordination.duals.protocol import Demand, DualState, DualStep, Negotiated, Status
from grid_cosim.coordination.duals.reading import price_grid

__all__ = [
    "Agreement",
    "CurveStep",
    "Demand",
    "DualState",
    "DualStep",
    "ExactStep",
    "GradientStep",
    "Negotiated",
    "NewtonStep",
    "Status",
    "handed_over",
    "own_share_price",
    "price_grid",
]
