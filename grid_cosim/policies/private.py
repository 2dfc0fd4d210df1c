"""Private policies: every home has a small network of its own, and all homes answer in one batch.

The layers are those of a `PriceMonotoneNetwork`, whose weights have one axis more, the homes. So a home's
network is a slice of the tensors, can be cut out, and is then a network like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from grid_cosim.policies.network import PriceMonotoneNetwork, Response, answer, parted
from grid_cosim.policies.two_way import TwoWayResponse


class PrivateNetworks(nn.Module):
    """One price-monotone network per home; all begin as the network given."""

    device: Float[Tensor, "homes parameters"]
    """Parameters of the devices for which the networks are trained, as `device_parameters` tells them."""

    def __init__(self, begin: PriceMonotoneNetwork, device: Float[Tensor, "homes parameters"]) -> None:
        super().__init__()
        self.config = begin.config
        self.layers = copy.deepcopy(begin.layers)
        for layer in self.layers:
            for name, weights in layer.named_parameters():
                of_all = weights.detach().expand(len(device), *weights.shape).clone()
                setattr(layer, name, nn.Parameter(of_all, requires_grad=weights.requires_grad))
        self.register_buffer("device", device)

    @property
    def n_homes(self) -> int:
        """How many networks these are."""
        return int(self.device.shape[0])

    def forward(self, features: Float[Tensor, "rows features"]) -> Response | TwoWayResponse:
        """Home by home in order, each with equally many rows; one each when the homes are at work."""
        reach, seen = parted(features, self.config)
        return answer(self.numbers(seen), seen, self.config, reach)

    def numbers(self, seen: Float[Tensor, "rows seen"]) -> Float[Tensor, "rows numbers"]:
        """What the perceptron of each home says of what it sees; rows as in `forward`."""
        of_homes = seen.reshape(self.n_homes, -1, seen.shape[-1])
        weights: dict[str, Tensor] = dict(self.layers.named_parameters())
        out = torch.vmap(functional_call, in_dims=(None, 0, 0))(self.layers, weights, of_homes)
        return out.flatten(0, 1)

    @classmethod
    def joined(cls, parts: Sequence[PrivateNetworks]) -> PrivateNetworks:
        """The networks of all parts, in order."""
        tensors = [part.state_dict() for part in parts]
        weights = {name: torch.cat([part[name] for part in tensors]) for name in tensors[0]}
        networks = cls(parts[0].of_home(0), weights["device"])
        networks.load_state_dict(weights)
        return networks

    def of_homes(self, rows: Int[Tensor, "some"]) -> PrivateNetworks:
        """Those of some homes, in that order."""
        some = PrivateNetworks(self.of_home(0), self.device[rows])
        some.load_state_dict({name: weights[rows] for name, weights in self.state_dict().items()})
        return some

    def of_home(self, row: int) -> PriceMonotoneNetwork:
        """That of one home, by itself."""
        own = {name: t[row].clone() for name, t in self.state_dict().items() if name != "device"}
        with torch.device("meta"):  # no need to draw weights
            network = PriceMonotoneNetwork(self.config)
        network.load_state_dict(own, assign=True)
        return network.requires_grad_(False)


def device_parameters(device: Any) -> Float[Tensor, "devices parameters"]:
    """What tells the devices of a batch apart: all numbers of which each has its own, in single precision."""
    columns = [getattr(device, field.name) for field in fields(device)]
    own = [c.float() for c in columns if isinstance(c, Tensor) and c.shape == (device.n_devices,)]
    return torch.stack(own, dim=-1) if own else torch.zeros(device.n_devices, 0)
