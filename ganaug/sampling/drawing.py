"""Samples of a model, part by part."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from datamodules.rows import joined
from datamodules.schema import Batch
from ganaug.gans.base import GAN


def draw_samples(model: GAN, index: Tensor, y: Tensor, seed: int, batch_size: int = 256, **options: Any) -> Batch:
    """Samples as rows are stored, on the CPU.

    Args:
        model: on whichever device.
        index: (N,) int64, N ≥ 1: with the seed they make the latents.
        y: (N,) class ids.
        seed: of the latents.
        batch_size: rows at a time.
        **options: of the model's ``sample``.
    """
    parts = zip(torch.split(index, batch_size), torch.split(y, batch_size), strict=True)
    return joined(model.schema.stored(model.sample(model.latent(i, seed), labels, **options)) for i, labels in parts)
