"""What an augmentation study is asked to do: its cells, its arms, and what all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.base import GANDataModule
from datamodules.errors import InputError, named_once, reason_of
from datamodules.files.manifest import folder_names, make_folder, replacing, sha256_of
from datamodules.rows import fingerprint, spread_rows, stored_rows
from datamodules.schema import Batch, Schema
from ganaug.classifiers.training import Precision
from ganaug.gans.recipe import Recipe
from ganaug.kind import kind_of
from ganaug.study.learners import Learner
from ganaug.study.statistics.trainings import PAIRS, PLACEBO, SHIFT, WITHOUT

# In the order in which they are trained and shown.
ARMS = {
    "real": "the real rows alone",
    "oversampled": "rare classes repeated",
    "smote": "rows between neighbours",
    "classical": "with classical augmentation",
    "classical_oversampled": "rare classes repeated, with classical augmentation",
    "gan": "with GAN samples",
    "oversampled_gan": "rare classes repeated, with GAN samples",
    "classical_gan": "with classical augmentation and GAN samples",
    "classical_oversampled_gan": "rare classes repeated, with classical augmentation and GAN samples",
    "placebo": "real rows drawn again in the place of samples",
    "classical_placebo": "real rows drawn again in the place of samples, with classical augmentation",
    "gan_only": "GAN samples alone",
    "trts": "trained on real rows, tested on samples before filters",
}
REDRAWN = {placebo: PAIRS[arm] for arm, placebo in PLACEBO.items()}  # a placebo and the arm that it adds rows to
SAMPLED = (*PAIRS, "gan_only", "trts")  # need a GAN

TRIED = 2000  # rows, at most, that somebody's classifier is tried on before anything is trained
Selection = Literal["folds", "validation"]
Training = tuple[str, float, int]  # an arm, a ratio of samples to real rows, and a multiple of the classifier's steps
Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One of the runs that a study repeats.

    Args:
        per_class: rows of each class, None for all.
        imbalance: shares of classes, as text such as ``8:0.05,9:0.05``; empty for none.
        seed: of the split, the subset and all that is random in the cell.
        fold: which part of the training rows is taken away, to examine on in the place of the test rows; None for none.
    """

    per_class: int | None
    imbalance: str
    seed: int
    fold: int | None = None

    @property
    def setting(self) -> str:
        """What it has in common with the cells of other seeds."""
        parts = [f"n={self.per_class}"] if self.per_class is not None else []
        return ",".join([*parts, *([self.imbalance] if self.imbalance else [])]) or "all"

    @property
    def name(self) -> str:
        """Such as ``n=20,seed=0``, or ``n=20,seed=0,fold=1``."""
        return f"{self.setting},seed={self.seed}" + ("" if self.fold is None else f",fold={self.fold}")


@dataclass(frozen=True)
class Study:
    """What all cells have in common; a process of its own can be sent it.

    Args:
        out: folder of the study.
        data: as it was made, not set up: each cell makes it again.
        imbalances: by their text, classes and shares.
        recipe: of the GAN.
        gan_steps: batches that it is trained for.
        init_from: checkpoint whose weights it begins from; None for new ones.
        selection: what a ratio can be chosen by.
        folds: parts that training rows are cut into.
        ratios: of samples to training rows, in rising order.
        ratio: the one of them that is fixed in advance.
        arms: of :data:`ARMS`, in that order.
        filters: that samples pass through.
        shift: what befalls test rows, beside what they are.
        learner: what is trained on rows.
        classifier_steps: batches it is trained for, in every arm.
        until: half width in points that the interval of the headline's difference is to have; None for any.
        first_stage: how many seeds, the lowest, say how many that takes.
        max_seeds: that are run for it, at most.
        gallery_seed: of the cells whose samples are kept to look at.
        fingerprint: numbers that tell its rows from those of other data under the same options.
        accelerator, precision: for the GAN.
    """

    out: Path
    data: GANDataModule
    imbalances: dict[str, dict[str, float]]
    recipe: Recipe
    gan_steps: int
    init_from: Path | None
    selection: Selection
    folds: int
    ratios: tuple[float, ...]
    ratio: float
    arms: tuple[str, ...]
    filters: tuple[str, ...]
    shift: tuple[str, ...]
    learner: Learner
    classifier_steps: int
    until: float | None
    first_stage: int | None
    max_seeds: int
    gallery_seed: int
    fingerprint: tuple[float, ...]
    accelerator: str
    precision: Precision

    def folder(self, cell: Cell) -> Path:
        """Where the cell keeps what it has; no other cell of the study does."""
        # Long names of settings are cut, and told apart by their number among those that are as large.
        settings = folder_names([replace(cell, imbalance=text).setting for text in self.imbalances])
        setting = settings[list(self.imbalances).index(cell.imbalance)]
        return self.out / "cells" / (setting + cell.name.removeprefix(cell.setting))

    def module(self, cell: Cell) -> GANDataModule:
        """The data of the cell."""
        changes: dict[str, Any] = {"seed": cell.seed}
        changes |= {"per_class": cell.per_class} if cell.per_class is not None else {}
        # An empty one too, where the data have one of their own.
        changes |= {"imbalance": self.imbalances[cell.imbalance]} if cell.imbalance or self.data.imbalance else {}
        return self.data.again(**changes, fold=None if cell.fold is None else (cell.fold, self.folds))

    def arms_of(self, cell: Cell) -> tuple[str, ...]:
        """The arms of the cell: a fold is for choosing, and what no choice is made of is left out there."""
        return tuple(arm for arm in self.arms if cell.fold is None or arm not in ("gan_only", "trts"))

    def needs_gan(self, cell: Cell) -> bool:
        """Whether one of its arms needs samples."""
        return not set(self.arms_of(cell)).isdisjoint(SAMPLED)

    def trainings(self, cell: Cell) -> list[Training]:
        """What is trained in the cell; ``trts`` comes with ``real``.

        The arms without samples are also trained for twice the steps, where they can be examined on rows that are no
        test rows: it shows whether they were trained to the end.
        """
        once_more = self.learner.stepped and (cell.fold is not None or self.selection == "validation")
        found: list[Training] = []
        for arm in self.arms_of(cell):
            tried = self.ratios if arm in PAIRS or arm in REDRAWN else self.ratios[-1:] if arm == "gan_only" else (0.0,)
            found += [(arm, ratio, 1) for ratio in tried if arm != "trts"]
            found += [(arm, 0.0, 2)] if once_more and arm in WITHOUT else []
        return found

    def facts(self, cell: Cell) -> dict[str, Any]:
        """What the cell has found out so far; it has ``rows`` when it is finished."""
        path = self.folder(cell) / "cell.json"
        return _read(path, "remove it, and the same command runs the cell anew") if path.is_file() else {}


def _read(path: Path, advice: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}): {advice}") from None
    return found


# ---- what is asked for ----


def plan(
    data: GANDataModule,
    per_class: Sequence[int] | None,
    imbalance: Sequence[Mapping[str | int, float]] | None,
    seeds: Sequence[int],
    repeats: int,
) -> tuple[list[Cell], dict[str, dict[str, float]]]:
    """The cells, setting by setting, of each seed the whole one and so many folds; and the imbalances by their text."""
    schema = data.schema
    if len(schema.classes) < 2:
        raise InputError(
            f"a classifier needs at least 2 classes, --data gives {len(schema.classes)}: name their column"
        )
    given: tuple[tuple[str, Sequence[Any] | None], ...]
    given = ("seeds", seeds), ("per_class", per_class), ("imbalance", imbalance)
    for name, values in given:
        if values is not None and (not len(values) or any(value in values[:k] for k, value in enumerate(values))):
            raise InputError(f"{name}: give at least one, and each once, not {list(values)}")
    shares: dict[str, dict[str, float]] = {}
    for rare in imbalance if imbalance is not None else [data.imbalance]:
        by_id = dict(zip(schema.class_ids("imbalance", rare), map(float, rare.values()), strict=True))
        named = {schema.class_name(c): by_id[c] for c in sorted(by_id)}
        text = ",".join(f"{name}:{share:g}" for name, share in named.items())
        if text in shares:
            raise InputError(f"imbalance: two of them are {text}: give each once")
        shares[text] = named
    sizes = sorted(per_class) if per_class is not None else [data.per_class]
    folds = (None, *range(repeats))
    return [Cell(size, text, seed, k) for size in sizes for text in shares for seed in seeds for k in folds], shares


def fixed_ratio(ratio: float | None, ratios: Sequence[float]) -> float:
    """The ratio that is fixed in advance: by default the first of at least 1, or else the largest.

    Raises:
        InputError: it is not among the ratios.
    """
    if ratio is None:
        return next((one for one in sorted(ratios) if one >= 1), max(ratios))
    if ratio not in ratios:
        raise InputError(f"ratio must be one of ratios, {', '.join(f'{r:g}' for r in sorted(ratios))}, not {ratio:g}")
    return ratio


def checked_arms(study: Study, cells: Sequence[Cell], arms: Sequence[str] | None) -> Study:
    """The study with its arms, after trying what can go wrong, on the largest and the smallest cell of each imbalance.

    Raises:
        InputError: too few rows of some class, nothing to choose or to test with, an arm that has no meaning here, or a
            classifier that cannot learn from such rows.
    """
    uneven, vectors = False, True
    for text in study.imbalances:
        alike = [cell for cell in cells if cell.imbalance == text and cell.seed == cells[0].seed]
        few = [cell for cell in alike if cell.setting == alike[0].setting][-1]
        whole = [cell for cell in alike if cell.fold is None][-1]
        for cell in dict.fromkeys([whole, few]):
            data = study.module(cell)
            data.setup()
            rows = stored_parts(data)
            counts = _checked_counts(study, cell, data.schema, rows)
            if cell is not whole:
                continue
            if not study.fingerprint:
                study = replace(study, fingerprint=(*fingerprint(rows["train"]), *fingerprint(rows["test"])))
            train = rows["train"]
            uneven |= len(set(counts.tolist())) > 1
            complete = "observed" not in train or bool(train["observed"].bool().all())
            one_length = "length" not in train or len(set(train["length"].tolist())) == 1
            vectors &= kind_of(data.schema).vectors and complete and one_length
            if not study.learner.augments:  # ours can learn from anything
                _tried(study.learner, data.schema, spread_rows(train, TRIED))
    named = named_once("arms", [arm for arm in ARMS if arm not in REDRAWN] if arms is None else arms, ARMS)
    if not named:
        raise InputError(f"arms: give at least one of {', '.join(ARMS)}")
    own = "the classifier of the data's kind, since yours is given the rows as they are"
    needs = [
        ("oversampled", uneven, "classes of different sizes"),
        ("smote", uneven and vectors, "classes of different sizes, and rows of equally many numbers"),
        ("smote", find_spec("imblearn") is not None, "imbalanced-learn (pip install 'ganaug[smote]')"),
        ("classical", study.learner.augments, own),
    ]
    cannot: dict[str, str] = {}
    for part, met, need in needs:
        cannot = {arm: need for arm in named if part in arm and not met} | cannot
    if cannot and arms is not None:
        arm, need = next(iter(cannot.items()))
        raise InputError(f"the arm {arm} needs {need}: leave it out")
    if cannot.get("smote", "").startswith("imbalanced-learn"):
        rank_zero_info(f"the arm smote is left out: it needs {cannot['smote']}")
    bases = {**PAIRS, **REDRAWN, "trts": "real"}
    compared = {bases[arm] for arm in named if arm in bases}
    chosen = tuple(arm for arm in ARMS if arm in compared.union(named).difference(cannot))
    return replace(study, arms=chosen)


def _checked_counts(study: Study, cell: Cell, schema: Schema, rows: dict[str, Batch]) -> Tensor:
    """Training rows of each class (num_classes,), after what :func:`checked_arms` refuses of rows."""
    for part in ("val", "test") if study.selection == "validation" else ("test",):
        if not len(rows[part]["y"]):
            raise InputError(f"{cell.setting}: no {part} rows are left to measure with: raise data.{part}_fraction")
    counts = rows["train"]["y"].bincount(minlength=schema.num_classes)
    if not bool(counts.all()):
        lacking = schema.class_name(int(counts.argmin()))
        raise InputError(f"{cell.setting}: class {lacking} has no training row: leave the class out of the data")
    # Of samples that level the classes all count together.
    least = int(counts.sum() if cell.imbalance else counts.max())
    if least * study.ratios[0] < 0.5:
        whose = "" if cell.imbalance else " of a class"
        raise InputError(f"ratios: {study.ratios[0]:g} of {least} rows{whose} is no sample: raise it")
    return counts


def _tried(learner: Learner, schema: Schema, rows: Batch) -> None:
    """Refuse a classifier that cannot be trained on such rows, whatever it says."""
    try:
        learner.learn(schema, rows, 1, 0, False)(rows)
    except InputError:
        raise
    except Exception as error:  # somebody's code: anything may come
        name = learner.describe()["class"].rpartition(".")[2]
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"classifier: {name} cannot be trained on this data: {reason}") from error


def stored_parts(data: GANDataModule) -> dict[str, Batch]:
    """``train``, ``val``, ``test`` and, if any, ``elsewhere`` of a data module that is set up, as they are stored."""
    parts = {"train": data.train, "val": data.val, "test": data.test, "elsewhere": data.elsewhere}
    return {name: stored_rows(data.schema, table) for name, table in parts.items() if table is not None}


def open_folder(study: Study, cells: Sequence[Cell]) -> None:
    """Make the study's folder its own; ``study.json`` says what it was asked for.

    Raises:
        InputError: it holds another study, naming what differs, or something else.
    """
    # A cell has its own seeds.
    unasked = {"data": {"num_workers", "seed"}, "model": {"seed", *study.recipe.cls.runtime_options}}
    parts = {
        "data": {"class": type(study.data).__qualname__, **study.data._arguments},
        "model": {"class": study.recipe.cls.__qualname__, **(study.recipe.arguments or {}), **study.recipe.options},
        "classifier": study.learner.describe(),
    }
    names = ("gan_steps", "precision", "selection", "ratios", "ratio", "arms", "filters", "shift", "classifier_steps")
    asked: dict[str, Any] = {
        "cells": [cell.name for cell in cells],
        **{name: getattr(study, name) for name in names},
        "folds": study.folds if study.selection == "folds" else None,
        "init_from": None if study.init_from is None else sha256_of(study.init_from),
        "until": study.until,
        "max_seeds": study.max_seeds if study.until else None,
    }
    for part, options in parts.items():
        asked |= {f"{part}.{name}": value for name, value in options.items() if name not in unasked.get(part, ())}
    asked = json.loads(json.dumps({**asked, "fingerprint": study.fingerprint}, default=str))
    make_folder(study.out)
    with FileLock(study.out / ".lock"):  # two tasks may begin at the same moment
        _claim(study.out, asked)


def _claim(out: Path, asked: dict[str, Any]) -> None:
    """Write ``study.json``, or compare it."""
    path = out / "study.json"
    if path.is_file():
        there = _read(path, "choose another folder")
        if "selection" not in there:
            raise InputError(f"{out} holds a study of an earlier version: choose another folder")
        other = {
            part for part in ("data", "model", "classifier") if there.get(f"{part}.class") != asked[f"{part}.class"]
        }
        # Studies of before have no fingerprint, and a seed of the data, which no cell heeds.
        seen, _ = there.pop("fingerprint", asked["fingerprint"]), there.pop("data.seed", None)
        differ = [
            _differing(name, there.get(name), asked.get(name))
            for name in sorted({*there, *asked} - {"fingerprint"})
            # of another class the name says it all
            if there.get(name) != asked.get(name) and (name.endswith(".class") or name.partition(".")[0] not in other)
        ]
        if differ:
            raise InputError(f"{out} holds another study: choose another folder ({'; '.join(differ)})")
        if not np.allclose(seen, asked["fingerprint"], rtol=1e-3, atol=1e-6):
            source = asked.get("data.path", "the source")
            raise InputError(f"{out} holds a study of other rows: has {source} changed? Choose another folder")
        return
    if any(not entry.name.startswith(".") for entry in out.iterdir()):
        raise InputError(f"{out} is not empty, and what is in it is no study: choose another folder")
    with replacing(path) as file:
        file.write((json.dumps(asked, indent=2, ensure_ascii=False) + "\n").encode())


def _differing(name: str, there: Any, here: Any) -> str:
    if name != "cells" or not there or not here:
        return f"{name} {there} there, {here} here"
    only = [[one for one in mine if one not in theirs] for mine, theirs in ((there, here), (here, there))]
    sides = [
        f"{len(own)} {where} alone, such as {own[0]}" for own, where in zip(only, ("there", "here"), strict=True) if own
    ]
    return f"cells: {', '.join(sides) or 'in another order'}"


def columns(study: Study) -> tuple[str, ...]:
    """Names of what a row of the results says."""
    scores = ("accuracy", "macro_f1", "rare_recall", "rarest", "loss", *(f"{SHIFT}{name}" for name in study.shift))
    trained = ("cell", "per_class", "imbalance", "seed", "fold", "arm", "ratio", "steps")
    given = ("validation", "validation_loss", "train_rows", "synthetic_rows", "lacking_rows", "seconds")
    return (*trained, *scores, *given)


def key(arm: str, ratio: float, steps: int) -> str:
    """What ``cell.json`` calls a training."""
    return f"{arm}@{ratio:g}" + (f"x{steps}" if steps > 1 else "")
