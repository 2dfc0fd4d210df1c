"""How households agree on prices by talking to neighbours: graphs, mixing, dual steps. Sees arrays only."""

from grid_cosim.coordination import bounds
from grid_cosim.coordination.consensus import FreshMixing, LinkOutage, Mixing, TrackedMixing
from grid_cosim.coordination.copies import METER, Copies
from grid_cosim.coordination.duals import (
    Agreement,
    CurveStep,
    Demand,
    DualState,
    DualStep,
    ExactStep,
    GradientStep,
    Negotiated,
    NewtonStep,
    Status,
    handed_over,
    own_share_price,
    price_grid,
)
from grid_cosim.coordination.graph import CommunicationGraph, communication, mixing_rate
from grid_cosim.coordination.topologies import read_edge_list
from grid_cosim.kinds import GraphKind

__all__ = [
    "METER",
    "Agreement",
    "CommunicationGraph",
    "Copies",
    "CurveStep",
    "Demand",
    "DualState",
    "DualStep",
    "ExactStep",
    "FreshMixing",
    "GradientStep",
    "GraphKind",
    "LinkOutage",
    "Mixing",
    "Negotiated",
    "NewtonStep",
    "Status",
    "TrackedMixing",
    "bounds",
    "communication",
    "handed_over",
    "mixing_rate",
    "own_share_price",
    "price_grid",
    "read_edge_list",
]
