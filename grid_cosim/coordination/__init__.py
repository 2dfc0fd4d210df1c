"""How households agree on prices by talking to neighbours: graphs, mixing, dual steps. Sees arrays only."""

from grid_cosim.coordination.consensus import FreshMixing, LinkOutage, Mixing, TrackedMixing
from grid_cosim.coordination.copies import METER, Copies
from grid_cosim.coordination.duals import (
    CurveStep,
    Demand,
    DualState,
    DualStep,
    GradientStep,
    Negotiated,
    NewtonStep,
    Status,
    own_share_price,
    price_grid,
)
from grid_cosim.coordination.graph import CommunicationGraph, communication, mixing_rate
from grid_cosim.coordination.topologies import GraphKind, read_edge_list

__all__ = [
    "METER",
    "CommunicationGraph",
    "Copies",
    "CurveStep",
    "Demand",
    "DualState",
    "DualStep",
    "FreshMixing",
    "GradientStep",
    "GraphKind",
    "LinkOutage",
    "Mixing",
    "Negotiated",
    "NewtonStep",
    "Status",
    "TrackedMixing",
    "communication",
    "mixing_rate",
    "own_share_price",
    "price_grid",
    "read_edge_list",
]
