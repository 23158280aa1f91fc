"""What an arm of the augmentation study trains on, and how well the classifier then does."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score
from torch import Tensor

from datamodules.errors import InputError
from datamodules.rows import joined, some_rows
from datamodules.schema import Batch, Schema
from datamodules.splits import levelled
from ganaug.gans.randomness import stream_seed
from ganaug.kind import kind_of
from ganaug.study.learners import Predict
from ganaug.study.plan import REDRAWN, SAMPLED, Cell, Row, Study, columns, key
from ganaug.study.smote import smote
from ganaug.study.statistics.trainings import PAIRS, SHIFT

GROUP = "group"  # the shift to groups that are held out whole
SHIFTED = 2000  # test rows, at most, that something befalls: they are examined once for each shift

# ---- how many samples ----


def samples_beside_real(y: Tensor, num_classes: int, ratio: float, level: bool) -> Tensor:
    """How many samples of each class, (num_classes,).

    Args:
        y: classes (N,) of the training rows.
        ratio: of samples to training rows.
        level: give the ``ratio × N`` samples to the rarest classes, until all are equal, and then to all alike;
            otherwise as many times the rows of each class as the ratio says.
    """
    have = y.bincount(minlength=num_classes)
    if not level:
        return (have * ratio + 0.5).long()
    total = int(len(y) * ratio + 0.5)
    low, high = int(have.min()), int(have.max()) + total  # the highest level that the samples suffice for is in [ , )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if int((middle - have).clamp(min=0).sum()) <= total else (low, middle)
    counts = (low - have).clamp(min=0)
    at_level = (have + counts == low).nonzero()[:, 0]
    counts[at_level[: total - int(counts.sum())]] += 1
    return counts


def samples_in_place_of_real(y: Tensor, num_classes: int, ratio: float, level: bool) -> Tensor:
    """How many samples of each class (num_classes,) stand in for the training rows: in their shares, or all alike."""
    share = int(len(y) * ratio / num_classes + 0.5)
    return torch.full((num_classes,), max(1, share)) if level else samples_beside_real(y, num_classes, ratio, False)


def samples_of(arm: str, y: Tensor, num_classes: int, ratio: float, level: bool) -> Tensor:
    """How many samples of each class (num_classes,) the arm is to have; of a placebo, how many rows in their place.

    Beside rare rows that are repeated until classes are level, every class is given as many.
    """
    if arm in ("gan_only", "trts"):
        return samples_in_place_of_real(y, num_classes, ratio, level)
    if arm.endswith("oversampled_gan"):
        return samples_in_place_of_real(y, num_classes, ratio, True)
    return samples_beside_real(y, num_classes, ratio, level)


def first(rows: Batch, counts: Tensor) -> Batch:
    """The first so many rows of each class, class after class, or all where there are fewer."""
    index = torch.cat([(rows["y"] == c).nonzero()[:count, 0] for c, count in enumerate(counts.tolist())])
    return {name: field[index] for name, field in rows.items()}


def redrawn(rows: Batch, counts: Tensor, seed: int) -> Batch:
    """Rows drawn again with replacement, class after class, ``counts`` (num_classes,) of each that has any."""
    rng = torch.Generator().manual_seed(seed)
    index = []
    for c, count in enumerate(counts.tolist()):
        own = (rows["y"] == c).nonzero()[:, 0]
        index.append(own[torch.randint(len(own), (count,), generator=rng)] if len(own) else own)
    return {name: field[torch.cat(index)] for name, field in rows.items()}


# ---- the arms ----


class ArmTrainer:
    """Trains the learner on what an arm gives it, and examines it.

    Args:
        study: what to train and for how long.
        cell: which subset.
        schema: of its rows.
        rows: ``train``, ``val`` and ``test``, as they are stored.
        samples: of the GAN, class after class; None where no arm needs any.
        raw: the same before filters, which ``trts`` is about: a filter may have asked a classifier of these rows.
    """

    def __init__(
        self,
        study: Study,
        cell: Cell,
        schema: Schema,
        rows: dict[str, Batch],
        samples: Batch | None = None,
        raw: Batch | None = None,
    ) -> None:
        self.study, self.cell, self.schema, self.rows = study, cell, schema, rows
        self.samples, self.raw = samples, raw
        held = rows["val"]["y"] if cell.fold is not None else rows["train"]["y"][:0]
        counts = torch.cat([rows["train"]["y"], held]).bincount(minlength=schema.num_classes)  # as in the whole cell
        self.metric = "macro_f1" if cell.imbalance else "accuracy"
        self.rarest = int(counts.argmin()) if int(counts.min()) < int(counts.max()) else None  # of several the first

    def made(self, arm: str, ratio: float) -> Batch:
        """The samples of the arm, or of a placebo as many rows in their place."""
        y, classes, level = self.rows["train"]["y"], self.schema.num_classes, bool(self.cell.imbalance)
        counts = samples_of(arm, y, classes, ratio, level)
        pool = self.raw if arm == "trts" else self.samples
        if arm in REDRAWN:
            if pool is not None:  # of some classes filters may have left fewer than were asked for
                counts = counts.minimum(pool["y"].bincount(minlength=classes))
            most = samples_of(arm, y, classes, self.study.ratios[-1], level)
            pool = redrawn(self.rows["train"], most, stream_seed("placebo", self.cell.seed))
        assert pool is not None
        return first(pool, counts)

    def lacking(self, arm: str, ratio: float, made: int) -> int:
        """Samples that were asked for and that filters did not leave."""
        if arm not in SAMPLED:
            return 0
        asked = samples_of(arm, self.rows["train"]["y"], self.schema.num_classes, ratio, bool(self.cell.imbalance))
        return int(asked.sum()) - made

    def table(self, arm: str, ratio: float) -> tuple[Batch, int]:
        """The rows that the learner is given, and how many of them were made up."""
        train = self.rows["train"]
        if arm == "gan_only":
            made = self.made(arm, ratio)
            return _marked(made, True), len(made["y"])
        if arm == "smote":
            rows = smote(train, self.schema, stream_seed("smote", self.cell.seed))
            return _marked(rows, False), len(rows["y"]) - len(train["y"])
        real = oversampled(train) if "oversampled" in arm else train
        if arm in PAIRS or arm in REDRAWN:
            made = self.made(arm, ratio)
            return joined(alike(real, made)), len(made["y"])
        return _marked(real, False), 0  # where labels of samples are smoothed, those of real rows are not, in any arm

    def run(self, arm: str, ratio: float, steps: int = 1) -> dict[str, Row]:
        """Train once and examine; after ``real`` on the samples too, if that is asked.

        Args:
            arm: of :data:`~ganaug.study.plan.ARMS`.
            ratio: of samples to training rows.
            steps: multiple of the study's ``classifier_steps``.

        Returns:
            What was found, by :func:`~ganaug.study.plan.key`.
        """
        began = time.perf_counter()
        rows, made = self.table(arm, ratio)
        found: Row = {"arm": arm, "ratio": ratio, "steps": steps, "accuracy": None}
        found |= {"train_rows": len(rows["y"]) - made, "synthetic_rows": made}
        found |= {"lacking_rows": self.lacking(arm, ratio, made), "seconds": 0.0}
        if not bool((rows["y"] != rows["y"][:1]).any()):  # samples alone, of which too few have passed the filters
            return {key(arm, ratio, steps): found}
        # The same seed in all arms: they begin with the same weights and differ in their rows alone.
        seed = stream_seed("classifier", self.cell.seed)
        augment = arm.startswith("classical")
        predict = self.study.learner.learn(self.schema, rows, steps * self.study.classifier_steps, seed, augment)
        if self.cell.fold is not None:
            found |= self.examined(predict, self.rows["val"])
        elif steps == 1:  # nothing is chosen by test rows
            found |= self.examined(predict, self.rows["test"])
            for name, rows_in_life in self.shifted.items():
                found[f"{SHIFT}{name}"] = self.examined(predict, rows_in_life)[self.metric]
        if self.cell.fold is None and len(self.rows["val"]["y"]):
            validation = self.examined(predict, self.rows["val"])
            found |= {"validation": validation[self.metric], "validation_loss": validation["loss"]}
        runs = {key(arm, ratio, steps): found | {"seconds": round(time.perf_counter() - began, 2)}}
        if arm == "real" and steps == 1 and "trts" in self.study.arms_of(self.cell):
            asked = self.made("trts", self.study.ratios[-1])
            accuracy = self.examined(predict, asked)["accuracy"] if len(asked["y"]) else None
            tested: Row = {"arm": "trts", "ratio": 0.0, "steps": 1, "accuracy": accuracy, "seconds": 0.0}
            tested |= {"train_rows": len(rows["y"]), "synthetic_rows": len(asked["y"])}
            runs[key("trts", 0.0, 1)] = tested
        return runs

    @cached_property
    def shifted(self) -> dict[str, Batch]:
        """Test rows by what has befallen them, and rows of groups held out; at most so many, the same in every arm."""
        some = some_rows(self.rows["test"], SHIFTED, stream_seed("shifted", self.cell.seed))
        known = kind_of(self.schema).shifts(self.schema)
        shifted = {
            name: known[name](some, self.schema, stream_seed("shift", name, self.cell.seed))
            for name in self.study.shift
            if name in known
        }
        if GROUP in self.study.shift:
            shifted[GROUP] = some_rows(self.rows["elsewhere"], SHIFTED, stream_seed("shifted", self.cell.seed))
        return shifted

    def examined(self, predict: Predict, rows: Batch) -> dict[str, Any]:
        """Accuracy, mean F1 of the classes that have rows, recall of the rarest, or None; and −log of p(y)."""
        answers = predict(rows)
        if not bool(answers.isfinite().all()):
            raise InputError("classifier: its answers are no numbers, it has diverged: lower its learning rate")
        right, said = rows["y"].numpy(), answers.argmax(1).numpy()
        rare = recall_score(right == self.rarest, said == self.rarest, zero_division=np.nan)  # NaN where it has no row
        return {
            "accuracy": float(accuracy_score(right, said)),
            "macro_f1": float(f1_score(right, said, labels=np.unique(right), average="macro", zero_division=0)),
            "rare_recall": None if np.isnan(rare) else float(rare),
            "loss": float(-answers.gather(1, rows["y"][:, None]).clamp(min=1e-6).log().mean()),
        }

    def row(self, run: Row) -> Row:
        """A row of the results."""
        own = {name: getattr(self.cell, name) for name in ("per_class", "imbalance", "seed", "fold")}
        rarest = "" if self.rarest is None else self.schema.class_name(self.rarest)
        known = {"cell": self.cell.name, **own, "rarest": rarest, **run}
        return {name: known.get(name) for name in columns(self.study)}


def oversampled(rows: Batch) -> Batch:
    """Rows of every class repeated until it has as many as the largest."""
    index = torch.from_numpy(levelled(rows["y"].numpy()))
    return {name: field[index] for name, field in rows.items()}


def alike(real: Batch, made: Batch) -> tuple[Batch, Batch]:
    """Both with the fields that both have, since samples have no number in the source, and marked as what they are."""
    both = [name for name in real if name in made]
    return _marked({k: real[k] for k in both}, False), _marked({k: made[k] for k in both}, True)


def _marked(rows: Batch, synthetic: bool) -> Batch:
    return {**rows, "synthetic": torch.full(rows["y"].shape, synthetic)}
