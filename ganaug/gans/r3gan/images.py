"""Pictures as R3GAN sees them and makes them."""

from __future__ import annotations

import torch
from torch import Tensor

from datamodules.images.schema import ImageSchema
from datamodules.schema import Batch
from ganaug.gans.diffaug.images import OPERATIONS, augment
from ganaug.gans.diffaug.policy import operations_of
from ganaug.gans.r3gan.view import View, one_hot


class ImageView(View):
    """See :class:`~ganaug.gans.r3gan.view.View`.

    Args:
        schema: of the pictures.
        classes: that the networks are told; 1 for none.
        policy: of DiffAugment, see :mod:`ganaug.gans.diffaug.images`.
        tanh: whether what G makes is bent into [-1, 1].
    """

    inputs = 0

    def __init__(self, schema: ImageSchema, classes: int, policy: str, tanh: bool) -> None:
        super().__init__()
        self.places = schema.size
        self.channels = self.seen_channels = schema.channels
        self.classes, self.width = classes, classes if classes > 1 else 0
        self.policy = operations_of(policy, OPERATIONS)
        self.tanh = tanh

    def condition(self, batch: Batch) -> Tensor | None:
        """The class, one of many."""
        return next(iter(one_hot(batch["y"], self.classes)), None)

    def rows(self, batch: Batch) -> Tensor:
        """``x``."""
        return batch["x"]

    def made(self, raw: Tensor, batch: Batch) -> Tensor:
        """As it is, or by a tanh."""
        return torch.tanh(raw) if self.tanh else raw

    def seen(self, rows: Tensor, batch: Batch, probability: float | Tensor) -> Tensor:
        """Augmented."""
        return augment(rows, self.policy, probability)

    def augmented(self, batch: Batch) -> Batch | None:
        """See :class:`~ganaug.gans.r3gan.view.View`."""
        return {**batch, "x": augment(batch["x"], self.policy)} if self.policy else None

    def batch(self, rows: Tensor, frame: Batch) -> Batch:
        """Cut to [-1, 1]."""
        return {"x": rows.clamp(-1, 1), "y": frame["y"]}
