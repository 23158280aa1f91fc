"""A kind of data that ganaug knows nothing of, as somebody else's module brings it: sets of points in the plane.

All that is asked of it stands here: what rows mean, where they come from, how samples are written and read, what is
shown and who learns from them, and a GAN. ``--import`` is all that the command line needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules import GANDataModule, InputError, Schema, Table
from datamodules.files.archive import Archive
from datamodules.files.manifest import make_folder, replacing
from datamodules.rows import joined
from datamodules.schema import Batch
from datamodules.store import Store, own_ids
from ganaug import GAN
from ganaug.classifiers import Classifier
from ganaug.evaluation.markup import Html, tag
from ganaug.gans.losses import LOSSES
from ganaug.gans.randomness import draw_rows
from ganaug.kind import Kind

FEWEST, MOST = 4, 8  # points of a set


@dataclass(frozen=True, kw_only=True)
class PointSchema(Schema):
    """A batch holds ``x`` float32 (B, P, 2), 0 from ``length`` (B,) on."""

    kind: ClassVar[str] = "points"
    points: int


class PointSets(GANDataModule):
    """Rings and discs of four to eight points.

    Args:
        sets: their number.
    """

    def __init__(self, sets: int = 200, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sets = sets
        self.schema = PointSchema(classes=("ring", "disc"), points=MOST)

    def load(self) -> tuple[Table, Table | None]:
        """As many of each."""
        chance = torch.Generator().manual_seed(0)
        y = torch.arange(self.sets) % 2
        length = torch.randint(FEWEST, MOST + 1, (self.sets,), generator=chance)
        angle = torch.rand(self.sets, MOST, generator=chance) * 2 * torch.pi
        radius = torch.where(y[:, None] == 0, 1.0, 0.5 * torch.rand(self.sets, MOST, generator=chance))
        x = torch.stack([angle.cos(), angle.sin()], 2) * radius[..., None]
        return Table({"x": x * inside(x, length), "length": length, "y": y}), None


def inside(x: Tensor, length: Tensor) -> Tensor:
    """Which points of x (B, P, 2) there are, (B, P, 1)."""
    return (torch.arange(x.shape[1], device=x.device) < length[:, None]).float()[..., None]


class PointStore(Store):
    """``samples.npz``: ``x`` (N, P, 2), ``length``, ``y``, ``classes``."""

    kind = "points"
    formats = ("npz",)

    @staticmethod
    def write(schema: PointSchema, shards: Iterable[Batch], out: Path, format: str) -> None:
        """See :class:`Store`."""
        make_folder(out)
        rows = joined(shards)
        order = rows.pop("index").argsort()
        with replacing(out / "samples.npz") as file:
            arrays = {name: field[order].numpy() for name, field in rows.items()}
            np.savez(file, **arrays, classes=np.array(schema.classes))

    @staticmethod
    def read(path: Path, schema: PointSchema) -> tuple[Batch, bool]:
        """See :class:`Store`."""
        archive = Archive(path / "samples.npz" if path.is_dir() else path)
        x = torch.from_numpy(archive["x"])
        if x.shape[1:] != (schema.points, 2):
            raise InputError(f"{path}: points {tuple(x.shape)}, the data have (N, {schema.points}, 2)")
        y = own_ids(path, schema, archive["y"], tuple(archive["classes"].tolist()), len(x))
        return {"x": x, "length": torch.from_numpy(archive["length"]), "y": y}, True


class PointClassifier(Classifier):
    """The mean over what a small network sees of each point.

    Args:
        schema: of the sets.
        num_classes: of the answer; by default those of the schema.
        steps: see :class:`Classifier`.
        learning_rate: see :class:`Classifier`.
        weight_decay: see :class:`Classifier`.
        label_smoothing: see :class:`Classifier`.
        augment: see :class:`Classifier`.
        width: of the network.
    """

    title, pretext_title = "deep-sets", "deep-sets-turns"
    changes = {"mirror": lambda batch, schema: {**batch, "x": batch["x"] * torch.tensor([-1.0, 1.0])}}

    def __init__(
        self,
        schema: PointSchema,
        num_classes: int | None = None,
        steps: int = 300,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.01,
        label_smoothing: float = 0.0,
        augment: bool | Sequence[str] = True,
        width: int = 32,
    ) -> None:
        super().__init__(schema, steps, learning_rate, weight_decay, label_smoothing, augment)
        self.each = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, num_classes or schema.num_classes)

    @staticmethod
    def usual(schema: PointSchema) -> tuple[str, ...]:
        """See :class:`Classifier`."""
        return ("mirror",)

    @staticmethod
    def fields(schema: PointSchema) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """See :class:`Classifier`."""
        return {"x": (torch.float32, (schema.points, 2)), "length": (torch.int64, ())}

    def features(self, batch: Batch) -> Tensor:
        """See :class:`Classifier`."""
        there = inside(batch["x"], batch["length"])
        mean: Tensor = (self.each(batch["x"]) * there).sum(1) / there.sum(1)
        return mean

    def pretext(self, batch: Batch) -> Batch:
        """By which factor a set was stretched."""
        parts = [{**batch, "x": batch["x"] * (1 + k), "y": torch.full_like(batch["y"], k)} for k in range(4)]
        return joined(parts)


class Points(Kind):
    """See :class:`Kind`."""

    name = "points"
    classifier = PointClassifier
    gallery_note = "How many points each has."

    @staticmethod
    def preview(schema: PointSchema, batch: Batch) -> list[tuple[str, str]]:
        """A row for each set."""
        return [(schema.class_name(int(y)), f"{n} points") for y, n in zip(batch["y"], batch["length"], strict=True)]

    @staticmethod
    def facts(schema: PointSchema, rows: Batch, splits: dict[str, Table]) -> Iterator[tuple[str, str]]:
        """How many points."""
        yield "points", f"{int(rows['length'].min())} to {int(rows['length'].max())} of at most {schema.points}"

    @staticmethod
    def gallery(schema: PointSchema, made: Batch, near: Batch, captions: Sequence[str]) -> Html:
        """A line for each pair."""
        pairs = zip(made["length"].tolist(), near["length"].tolist(), captions, strict=True)
        return tag("ul", *(tag("li", f"{caption}: {a} and {b}") for a, b, caption in pairs))


class PointGAN(GAN):
    """Each point from noise of its own and the class; D judges sets by their mean.

    Args:
        schema: of the sets.
        width: of both networks.
        clip: largest gradient norm per optimiser.
        accumulate: batches whose gradients are summed before an optimiser steps.
        seed: of the initial weights and of the noise in training.
    """

    schema: PointSchema
    schema_kinds = ("points",)
    optimizer_names = ("g", "d")
    phases = [("adversarial", None)]

    def __init__(
        self, schema: PointSchema, width: int = 32, clip: float | None = None, accumulate: int = 1, seed: int = 0
    ) -> None:
        super().__init__(schema, seed, clip, accumulate)
        options = {"width": width, "clip": clip, "accumulate": accumulate, "seed": seed}
        self.save_hyperparameters(options | {"betas": [0.5, 0.99]})
        torch.manual_seed(seed)
        told = 2 + schema.num_classes
        self.generator = nn.Sequential(nn.Linear(told, width), nn.LeakyReLU(0.2), nn.Linear(width, 2))
        self.each = nn.Sequential(nn.Linear(told, width), nn.LeakyReLU(0.2), nn.Linear(width, width))
        self.verdict = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for each network."""
        of_d = [*self.each.parameters(), *self.verdict.parameters()]
        return [torch.optim.Adam(part, 2e-3, **self.adam) for part in (list(self.generator.parameters()), of_d)]

    def _told(self, x: Tensor, y: Tensor) -> Tensor:
        classes = F.one_hot(y, self.schema.num_classes).float()
        return torch.cat([x, classes[:, None].expand(-1, x.shape[1], -1)], 2)

    def judged(self, batch: Batch) -> Tensor:
        """See :meth:`GAN.judged`."""
        there = inside(batch["x"], batch["length"])
        seen = (self.each(self._told(batch["x"], batch["y"])) * there).sum(1) / there.sum(1)
        logits: Tensor = self.verdict(seen)[:, 0]
        return logits

    def adversarial_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of each."""
        g, d = self.optimizers()
        noise = torch.randn_like(batch["x"])
        fake = {**batch, "x": self.generator(self._told(noise, batch["y"])) * inside(noise, batch["length"])}
        with self.toggled_optimizer(d):
            real, made = self.judged(batch), self.judged({**fake, "x": fake["x"].detach()})
            loss_d = LOSSES["hinge"].discriminator(real, made)
            self.update(d, loss_d, self.step)
        with self.toggled_optimizer(g):
            loss_g = LOSSES["hinge"].generator(self.judged(fake))
            self.update(g, loss_g, self.step)
        return {"loss/d": loss_d, "loss/g": loss_g}

    def latent(self, indices: Tensor, seed: int) -> Tensor:
        """Normal, (B, 1 + P, 2)."""
        return draw_rows(indices, seed, (1 + self.schema.points, 2)).to(self.device)

    @torch.no_grad()
    def sample(self, latent: Tensor, labels: Tensor) -> Batch:
        """As many points as the first normal says."""
        latent, labels = latent.to(self.device), labels.to(self.device)
        share = torch.special.ndtr(latent[:, 0, 0])
        length = FEWEST + (share * (MOST + 1 - FEWEST)).long().clamp(max=MOST - FEWEST)
        x = self.generator(self._told(latent[:, 1:], self.classes(labels))) * inside(latent[:, 1:], length)
        return {"x": x, "length": length, "y": labels}
