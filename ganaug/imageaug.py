"""Classical augmentation of pictures ``x`` float32 (B, C, S, S) in [-1, 1], each changed by itself; -1 moves in.

Randomness comes from torch's global generator.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2


def shifted(x: Tensor) -> Tensor:
    """By up to S / 8 pixels both ways."""
    margin = x.shape[-1] // 8
    size = torch.arange(x.shape[-1], device=x.device)
    dy, dx = torch.randint(2 * margin + 1, (2, len(x), 1)).to(x.device)
    padded = F.pad(x, (margin,) * 4, value=-1.0).permute(0, 2, 3, 1)  # (B, S + 2m, S + 2m, C)
    rows, columns = (dy + size)[:, :, None], (dx + size)[:, None, :]
    return padded[torch.arange(len(x), device=x.device)[:, None, None], rows, columns].permute(0, 3, 1, 2)


def rotated(x: Tensor, degrees: float = 15.0) -> Tensor:
    """By up to so many degrees about the middle, bilinearly."""
    angle = (2 * torch.rand(len(x)) - 1).to(x.device) * math.radians(degrees)
    zero = torch.zeros_like(angle)
    rows = torch.stack([angle.cos(), -angle.sin(), zero]), torch.stack([angle.sin(), angle.cos(), zero])
    grid = F.affine_grid(torch.stack(rows).permute(2, 0, 1), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def flipped(x: Tensor) -> Tensor:
    """Half of them mirrored, left to right: for classes that stay what they are."""
    return torch.where((torch.rand(len(x)) < 0.5).to(x.device)[:, None, None, None], x.flip(3), x)


def randaugmented(x: Tensor) -> Tensor:
    """Two operations of torchvision's RandAugment: Cubuk et al. 2020, arXiv 1909.13719. Picture by picture: slow."""
    change = v2.RandAugment(fill=0)
    pictures = ((x + 1) * 127.5).round().to(torch.uint8)
    return torch.stack([change(picture) for picture in pictures]).to(x.dtype) / 127.5 - 1
