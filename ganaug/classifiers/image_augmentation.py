"""Classical augmentation of pictures ``x`` float32 (B, C, H, W) in [-1, 1], each changed by itself; -1 moves in.

Randomness comes from torch's global generator.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from datamodules.images.schema import ImageSchema


def shifted(x: Tensor) -> Tensor:
    """By up to an eighth of each side, both ways."""
    height, width = x.shape[2:]
    down, across = height // 8, width // 8
    dy, dx = _up_to(2 * down, 2 * across, len(x)).to(x.device)
    padded = F.pad(x, (across, across, down, down), value=-1.0).permute(0, 2, 3, 1)  # (B, H + 2d, W + 2a, C)
    rows = (dy + torch.arange(height, device=x.device))[:, :, None]
    columns = (dx + torch.arange(width, device=x.device))[:, None, :]
    return padded[torch.arange(len(x), device=x.device)[:, None, None], rows, columns].permute(0, 3, 1, 2)


def _up_to(down: int, across: int, count: int) -> Tensor:
    """int64 (2, count, 1): numbers from 0 up to both, and from one draw where they are the same."""
    if down == across:
        return torch.randint(down + 1, (2, count, 1))
    return torch.stack([torch.randint(most + 1, (count, 1)) for most in (down, across)])


def rotated(x: Tensor, degrees: float = 15.0) -> Tensor:
    """By up to so many degrees about the middle, bilinearly."""
    angle = (2 * torch.rand(len(x)) - 1).to(x.device) * math.radians(degrees)
    zero = torch.zeros_like(angle)
    shape = x.shape[2] / x.shape[3]  # the grid runs from -1 to 1 along both sides, whatever their lengths
    rows = torch.stack([angle.cos(), -angle.sin() * shape, zero]), torch.stack([angle.sin() / shape, angle.cos(), zero])
    grid = F.affine_grid(torch.stack(rows).permute(2, 0, 1), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def flipped(x: Tensor) -> Tensor:
    """Half of them mirrored, left to right: for classes that stay what they are."""
    return torch.where((torch.rand(len(x)) < 0.5).to(x.device)[:, None, None, None], x.flip(3), x)


class _TrivialAugment(v2.TrivialAugmentWide):  # type: ignore[misc]
    """Shifts by up to 32 pixels, as published for pictures of 32, leave nothing of smaller ones: at most by a side."""

    _AUGMENTATION_SPACE: ClassVar = {
        **v2.TrivialAugmentWide._AUGMENTATION_SPACE,
        "TranslateX": (lambda bins, height, width: torch.linspace(0.0, min(32.0, width), bins), True),
        "TranslateY": (lambda bins, height, width: torch.linspace(0.0, min(32.0, height), bins), True),
    }


def trivialaugmented(x: Tensor, alike: int = 8) -> Tensor:
    """One operation of torchvision's TrivialAugment: Müller and Hutter 2021, arXiv 2103.10158.

    Drawn for every ``alike`` pictures of a batch together: picture by picture takes many times as long. One operation
    in 14 turns, by up to 135 degrees, as published: of digits a few sixes become nines.
    """
    change = _TrivialAugment(fill=0)
    return torch.cat([change(part) for part in torch.split(ImageSchema.pixels(x), alike)]).to(x.dtype) / 127.5 - 1


def randaugmented(x: Tensor) -> Tensor:
    """Two operations of torchvision's RandAugment: Cubuk et al. 2020, arXiv 1909.13719. Picture by picture: slow."""
    change = v2.RandAugment(fill=0)
    return torch.stack([change(picture) for picture in ImageSchema.pixels(x)]).to(x.dtype) / 127.5 - 1
