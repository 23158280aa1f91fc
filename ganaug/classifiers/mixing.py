"""Rows mixed with others of their batch, and their labels too: classical augmentation of pictures and series.

Labels ``y`` int64 (B,) become shares of the classes, float (B, classes), which cross-entropy takes as well. How much is
drawn once for a batch, from torch's global generator.
"""

from __future__ import annotations

import torch
from torchvision.transforms import v2

from datamodules.schema import Batch, Schema


def mixup(batch: Batch, schema: Schema) -> Batch:
    """Weighted means of two rows: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.

    A series is as long as the longer of the two.
    """
    x = batch["x"]
    mixed, y = v2.MixUp(num_classes=schema.num_classes)(x if x.dim() == 4 else x[:, None], batch["y"])
    longer = {"length": torch.maximum(batch["length"], batch["length"].roll(1))} if "length" in batch else {}
    return {**batch, **longer, "x": mixed.view_as(x), "y": y}


def cutmix(batch: Batch, schema: Schema) -> Batch:
    """A rectangle of another picture (B, C, H, W): Yun et al. 2019, "CutMix", arXiv 1905.04899."""
    x, y = v2.CutMix(num_classes=schema.num_classes)(batch["x"], batch["y"])
    return {**batch, "x": x, "y": y}
