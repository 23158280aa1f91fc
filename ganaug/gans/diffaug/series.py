"""Differentiable augmentation of series: what the discriminator sees, real and generated alike.

Every operation draws one value per series from torch's global generator and is linear in its numbers. What an operation
takes out of sight, or what it knows nothing of, is no longer ``known``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Seen(NamedTuple):
    """Series x (B, C, T), of which what is not known (B, C, T), 1 or 0, is not to be looked at."""

    x: Tensor
    known: Tensor


def scale(seen: Seen, numeric: Tensor) -> Seen:
    """All numbers of a series times exp(N(0, 0.2²))."""
    factor = (0.2 * torch.randn(len(seen.x), 1, 1, device=seen.x.device)).exp()
    return seen._replace(x=seen.x * torch.where(numeric, factor, 1.0))


def offset(seen: Seen, numeric: Tensor) -> Seen:
    """Each column of numbers plus N(0, 0.2²)."""
    by = 0.2 * torch.randn(*seen.x.shape[:2], 1, device=seen.x.device)
    return seen._replace(x=seen.x + torch.where(numeric, by, 0.0))


def shift(seen: Seen, numeric: Tensor) -> Seen:
    """Earlier or later by up to an eighth of the steps; what comes in is not known."""
    steps = seen.x.shape[2]
    reach = max(1, round(steps / 8))
    by = torch.randint(-reach, reach + 1, (len(seen.x), 1), device=seen.x.device)
    source = torch.arange(steps, device=seen.x.device) - by  # (B, T)
    inside = ((source >= 0) & (source < steps))[:, None]
    index = source.clamp(0, steps - 1)[:, None].expand_as(seen.x)
    return Seen(seen.x.gather(2, index) * inside, seen.known.gather(2, index) * inside)


def cutout(seen: Seen, numeric: Tensor) -> Seen:
    """A quarter of the steps, around any one of them, is not known."""
    steps = seen.x.shape[2]
    centre = torch.randint(0, steps + 1, (len(seen.x), 1), device=seen.x.device)
    distance = torch.arange(steps, device=seen.x.device) - centre
    reach = max(1, steps // 8)
    return seen._replace(known=seen.known * ~((-reach <= distance) & (distance < reach))[:, None])


OPERATIONS: dict[str, Callable[[Seen, Tensor], Seen]] = {
    "scale": scale,
    "offset": offset,
    "shift": shift,
    "cutout": cutout,
}


def augment(seen: Seen, numeric: Tensor, policy: tuple[str, ...], probability: float | Tensor = 1.0) -> Seen:
    """Apply the operations of a policy, each to each series with the given probability.

    Args:
        seen: series (B, C, T) in units of their deviations, and what is known of them.
        numeric: bool (C, 1), whether a channel is of numbers that may be scaled and moved.
        policy: as :func:`~ganaug.gans.diffaug.policy.operations_of` gives it.
        probability: a number, or a scalar tensor on x's device, in [0, 1].
    """
    if isinstance(probability, float | int) and probability <= 0:
        return seen
    for name in policy:
        changed = OPERATIONS[name](seen, numeric)
        chosen = torch.rand(len(seen.x), 1, 1, device=seen.x.device) < probability
        seen = Seen(*(torch.where(chosen, new, old) for new, old in zip(changed, seen, strict=True)))
    return seen
