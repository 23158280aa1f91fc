"""SyntheticDataset: samples of a trained model as a data set, drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.options import BatchSize, Count, Seed, checked
from datamodules.rows import Table
from datamodules.schema import Batch
from ganaug.gans.base import GAN
from ganaug.gans.loading import load
from ganaug.gans.recipe import Recipe
from ganaug.sampling.drawing import draw_samples
from ganaug.sampling.wanted import choose_labels, how_many


class SyntheticDataset(Dataset[Any]):
    """Labelled samples of a checkpoint for any ``DataLoader``; an item is a dict of ``x``, ``y`` and what else a row
    of its kind has, such as ``length``.

    Row i is a function of (seed, i) and its label alone, and the labels go round in turn: the same samples as
    ``ganaug generate`` writes with the same seed and labels. They are drawn on the model's device and handed over on
    the CPU; for a model on a GPU leave the loader's ``num_workers`` at 0.

    Args:
        ckpt: a checkpoint that ``ganaug fit`` wrote, or a model, which is used as it is.
        per_class: number of samples of each label; 10 where neither this nor n is given.
        n: number of samples in all, spread evenly over the labels.
        labels: the classes to draw, by name or number, comma-separated or as a list; all by default.
        seed: of the latents.
        batch_size: samples drawn at a time.
        prepared: rows as a batch has them, pictures float32 in [-1, 1]; otherwise as they are stored, pictures uint8.
        cache: draw all of them now and keep them, instead of anew whenever they are asked for.
        as_tuple: items are (x, y), as those of torchvision's data sets are, which they can then be joined with.

    Attributes:
        targets: class ids int64 (N,).
        schema: of the samples, without classes where the model knows none.

    Raises:
        InputError: the checkpoint or an option cannot be used.
    """

    @checked
    def __init__(
        self,
        ckpt: str | Path | GAN,
        per_class: Count | None = None,
        n: Count | None = None,
        labels: str | Sequence[str | int] | None = None,
        seed: Seed = 0,
        batch_size: BatchSize = 256,
        prepared: bool = True,
        cache: bool = False,
        as_tuple: bool = False,
    ) -> None:
        self.model = ckpt if isinstance(ckpt, GAN) else load(ckpt)
        chosen = choose_labels(self.model, labels)
        count = how_many(n, per_class, len(chosen))
        self.targets = torch.tensor(chosen).repeat(-(-count // len(chosen)))[:count]
        self.schema = self.model.schema if self.model.conditional else replace(self.model.schema, classes=())
        self.seed, self.batch_size, self.prepared, self.as_tuple = seed, batch_size, prepared, as_tuple
        self._kept: Table | None = None
        if cache:
            self._kept = Table(self._drawn(torch.arange(count)))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, rows: Sequence[int]) -> list[Any]:
        """The rows of these numbers, drawn together."""
        index = torch.as_tensor(rows, dtype=torch.long)
        if not len(index):
            return []
        wrong = index[(index < -len(self)) | (index >= len(self))]
        if len(wrong):
            raise IndexError(f"row {int(wrong[0])} of {len(self)}")
        index = index % len(self)  # -1 is the last, as everywhere
        batch = self._drawn(index) if self._kept is None else self._kept.__getitems__(index.tolist())
        batch = self.schema.prepare(batch) if self.prepared else batch
        if self.as_tuple:
            return list(zip(batch["x"], batch["y"].tolist(), strict=True))
        return [{name: field[i] for name, field in batch.items()} for i in range(len(index))]

    def __getitem__(self, row: int) -> Any:
        return self.__getitems__([row])[0]

    def _drawn(self, index: Tensor) -> Batch:
        samples = draw_samples(self.model, index, self.targets[index], self.seed, self.batch_size)
        return self.schema.as_written(samples)

    # For worker processes.

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "model": packed(self.model)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({**state, "model": unpacked(state["model"])})


def packed(model: GAN) -> tuple[Recipe, dict[str, Tensor]]:
    """What a checkpoint holds of a model, to pickle: spectral norm cannot be pickled itself."""
    weights = {name: weight.cpu() for name, weight in model.state_dict().items()}
    return Recipe.of(model), weights


def unpacked(parts: tuple[Recipe, dict[str, Tensor]]) -> GAN:
    """The inverse of :func:`packed`."""
    recipe, weights = parts
    model: GAN = recipe.filled(weights).eval()
    return model
