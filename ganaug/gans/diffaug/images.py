"""Differentiable augmentation (Zhao et al. 2020, arXiv 2006.10738): what the discriminator sees, real and fake alike.

Every operation draws one value per sample from torch's global generator and is twice differentiable in the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def color(x: Tensor) -> Tensor:
    """Brightness ±0.5, saturation ×[0, 2], contrast ×[0.5, 1.5]; x (B, C, H, W) in [-1, 1]."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, device=x.device, dtype=x.dtype)
    x = x + (brightness - 0.5)
    if x.shape[1] > 1:
        grey = x.mean(dim=1, keepdim=True)
        x = grey + (x - grey) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    changed: Tensor = mean + (x - mean) * (contrast + 0.5)
    return changed


def translation(x: Tensor) -> Tensor:
    """Shift by up to an eighth of each side, zeros (mid-grey) coming in; x (B, C, H, W)."""
    # A shift is a product with a 0/1 matrix of one off-diagonal: plain matmuls, differentiable as often as one likes.
    for axis in (2, 3):
        side = x.shape[axis]
        reach = max(1, round(side / 8))
        shift = torch.randint(-reach, reach + 1, (len(x), 1, 1), device=x.device)
        i = torch.arange(side, device=x.device)
        matrix = (i[:, None] == i[None, :] + shift).to(x.dtype).unsqueeze(1)  # (B, 1, side, side)
        x = matrix @ x if axis == 2 else x @ matrix.mT
    return x


def cutout(x: Tensor) -> Tensor:
    """A part of half of each side, centred anywhere, becomes zero (mid-grey); x (B, C, H, W)."""
    inside = []
    for axis in (2, 3):
        side = x.shape[axis]
        centre = torch.randint(0, side + 1, (len(x), 1), device=x.device)
        distance = torch.arange(side, device=x.device) - centre  # (B, side)
        inside.append((-(side // 4) <= distance) & (distance < side // 4))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (B, 1, H, W)
    return x * ~hole


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


def augment(x: Tensor, policy: tuple[str, ...], probability: float | Tensor = 1.0) -> Tensor:
    """Apply the operations of a policy, each to each sample with the given probability.

    Args:
        x: (B, C, H, W) in [-1, 1].
        policy: as :func:`~ganaug.gans.diffaug.policy.operations_of` gives it.
        probability: a number, or a scalar tensor on x's device (adaptive augmentation), in [0, 1].
    """
    if isinstance(probability, float | int) and probability <= 0:
        return x
    for name in policy:
        changed = OPERATIONS[name](x)
        if not (isinstance(probability, float | int) and probability >= 1):
            chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < probability
            changed = torch.where(chosen, changed, x)
        x = changed
    return x
