"""Stopping a training, and telling whether two came to the same."""

from __future__ import annotations

from collections.abc import Callable

import torch

from grid_cosim.policies.checkpoint import Policy


class StopError(Exception):
    """Raised in the middle of a training."""


def stop_after(update: int) -> Callable[[int, int, float], None]:
    """A progress report that stops the training."""

    def progress(done: int, of: int, loss: float) -> None:
        if done == update:
            raise StopError

    return progress


def weights(policy: Policy) -> list[torch.Tensor]:
    """All weights of a policy."""
    return list(policy.network.state_dict().values())


def same(a: Policy, b: Policy) -> bool:
    """Whether two policies have the same weights, bit for bit."""
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))
