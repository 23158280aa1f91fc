"""What R3GAN's networks see of a kind of data: the one place where pictures and series differ."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.schema import Batch
from ganaug.gans.r3gan.networks import Places


class View(nn.Module):
    """Rows of a kind of data as tensors (B, C, …) that convolutions run over, and back.

    Attributes:
        places: of a row: (H, W) or (1, T).
        channels: that the generator makes.
        seen_channels: that the discriminator sees.
        inputs: channels that the generator is given at every place, beside noise.
        width: of the condition that both are told; 0 for none.
    """

    places: Places
    channels: int
    seen_channels: int
    inputs: int
    width: int

    def learn(self, batches: Iterable[Batch]) -> None:
        """Take note of the training rows' units, once, before the first step."""

    def forget(self) -> None:
        """Of other data, which a model was trained on before, nothing is kept."""

    def see(self, batch: Batch) -> None:
        """Take note of a batch of training rows, of classes as the model takes them."""

    @abstractmethod
    def condition(self, batch: Batch) -> Tensor | None:
        """What the networks are told of rows, (B, width)."""

    @abstractmethod
    def rows(self, batch: Batch) -> Tensor:
        """Real rows as the generator is to make them, (B, channels, …)."""

    def given(self, batch: Batch, places: Places) -> Tensor | None:
        """What the generator is given at each of so many places, (B, inputs, …)."""
        return None

    @abstractmethod
    def made(self, raw: Tensor, batch: Batch) -> Tensor:
        """The generator's output (B, channels, …) as rows like those of ``batch``."""

    @abstractmethod
    def seen(self, rows: Tensor, batch: Batch, probability: float | Tensor) -> Tensor:
        """What the discriminator sees of rows like those of ``batch``, augmented: (B, seen_channels, …)."""

    @abstractmethod
    def augmented(self, batch: Batch) -> Batch | None:
        """Rows after all of the augmentation; None where there is none."""

    def frame(self, uniform: Tensor, labels: Tensor) -> Batch:
        """What samples have beside their values, by uniform numbers (B,): ``y``, lengths, attributes."""
        return {"y": labels}

    @abstractmethod
    def batch(self, rows: Tensor, frame: Batch) -> Batch:
        """Generated rows as a batch of samples."""


def one_hot(y: Tensor, classes: int) -> list[Tensor]:
    """Classes (B,) as a condition, none where there is one alone."""
    return [F.one_hot(y, classes).float()] if classes > 1 else []
