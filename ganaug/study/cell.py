"""A cell of the augmentation study: one subset and one seed, a GAN trained on it, and what learns from either."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from sklearn.metrics import accuracy_score, f1_score, recall_score
from torch import Tensor

from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.files.manifest import make_folder, replacing
from datamodules.rows import joined, some_rows
from datamodules.schema import Batch, Schema
from datamodules.splits import levelled
from ganaug.callbacks import LastCheckpoint
from ganaug.classifiers.training import ClassifierFeatures, fit_features
from ganaug.gans.base import GAN
from ganaug.gans.checkpoint import AtomicCheckpointIO, serialised
from ganaug.gans.loading import load
from ganaug.gans.randomness import stream_seed
from ganaug.metrics.distance import PAIRS, memorisation, nearest
from ganaug.runtime.devices import device_of
from ganaug.runtime.training import plain_trainer
from ganaug.sampling.drawing import draw_samples
from ganaug.sampling.filters import Figures, filter_samples
from ganaug.study.augmentation_leak import leak
from ganaug.study.learners import Predict
from ganaug.study.plan import BASE, Cell, Row, Study, key, stored_parts, trainings, without_messages
from ganaug.study.smote import smote

ROUNDS = 5  # of drawing samples, where filters leave too few
GALLERY = 40  # samples to look at


def run_cell(study: Study, cell: Cell) -> None:
    """Do what is not done yet. Whatever ends it, the same call goes on from there and comes to the same rows.

    Raises:
        InputError: another process is at work on the cell.
    """
    folder = study.folder(cell)
    make_folder(folder)
    try:
        with FileLock(folder / ".lock", timeout=0):  # the system takes it back from a process that is killed
            _run(study, cell, folder)
    except Timeout:
        raise InputError(f"another process is at work on {folder}: wait for it, or run other cells") from None


def _run(study: Study, cell: Cell, folder: Path) -> None:
    facts = study.facts(cell)
    if "rows" in facts:
        return

    def keep(**found: Any) -> None:
        facts.update(found)
        with replacing(folder / "cell.json") as file:
            file.write((json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())

    with without_messages():
        data = study.module(cell)
        data.setup()
        rows = stored_parts(data)
        if "samples" not in facts:
            keep(cell=cell.name, steps=study.gan_steps)
            begun = any((folder / name).exists() for name in ("gan.ckpt", "checkpoints"))
            began = time.perf_counter()
            model = trained(study, cell, data)
            if not begun:  # of a training that was interrupted nobody knows how long it took
                keep(gan_seconds=round(time.perf_counter() - began, 2))
            keep(**make_samples(study, cell, model, rows))
        trainer = ArmTrainer(study, cell, data.schema, rows, _read(folder / "samples.pt"))
        done = facts.setdefault("runs", {})
        for arm, ratio in trainings(study.arms, study.ratios):
            if key(arm, ratio) not in done:
                keep(runs=done | trainer.run(arm, ratio))
                done = facts["runs"]
    keep(sweep=trainer.sweep(done), rows=[trainer.row(arm, done) for arm in study.arms])


def _read(path: Path) -> Any:
    return torch.load(path, weights_only=True)


# ---- the GAN and its samples ----


def trained(study: Study, cell: Cell, data: GANDataModule) -> GAN:
    """The cell's GAN, trained on its training split alone, from wherever an earlier attempt has come to."""
    folder = study.folder(cell)
    ckpt, last = folder / "gan.ckpt", folder / "checkpoints" / "last.ckpt"
    if not ckpt.is_file():
        trainer = plain_trainer(
            accelerator=study.accelerator,
            precision=study.precision,
            devices=1,
            max_steps=study.gan_steps,
            max_epochs=-1,
            limit_val_batches=0,
            default_root_dir=folder,
            enable_checkpointing=True,
            callbacks=[LastCheckpoint()],
            plugins=[AtomicCheckpointIO(), LightningEnvironment()],
        )
        model = study.recipe.make(data.schema, seed=cell.seed)
        trainer.fit(model, data, ckpt_path=str(last) if last.is_file() else None)
        last.replace(ckpt)
        shutil.rmtree(last.parent)  # with what a killed process may have left
    return load(ckpt)


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


def make_samples(study: Study, cell: Cell, model: GAN, rows: dict[str, Batch]) -> dict[str, Any]:
    """Draw samples, filter them, compare them with the training rows; ``samples.pt`` and facts about them.

    Whether the GAN copies is asked of its samples as they come: the filters take copies away.
    """
    folder, train = study.folder(cell), rows["train"]
    schema, most = model.schema, study.ratios[-1]
    sizes = [
        split(train["y"], schema.num_classes, most, bool(cell.imbalance))
        for split in (samples_beside_real, samples_in_place_of_real)
    ]
    model.to(device_of(study.accelerator))
    seed, steps, accelerator = stream_seed("judge", cell.seed), study.classifier_steps, study.accelerator
    # A judge that has hardly seen a rare class would throw its samples away.
    seen = oversampled(train) if cell.imbalance else train
    judge = fit_features(schema, seen, seed, steps=steps, augment=True, accelerator=accelerator)
    samples, raw, facts = draw(study, cell, model, judge, rows, torch.maximum(*sizes))
    some = [some_rows(part, PAIRS, seed) for part in (rows["train"], rows["test"], raw)]
    facts["leakage"] = leakage(rows)
    facts["memorisation"] = memorisation(*map(judge, some))
    facts["augmentation_leak"] = leak(model, *some, seed=seed, steps=steps, accelerator=accelerator)
    if cell.seed == study.gallery_seed and len(samples["y"]):
        shown = _spread(samples, GALLERY)
        index = nearest(judge(shown), judge(train))[1]
        gallery = {"schema": schema.to_dict(), "synthetic": shown, "nearest": {k: v[index] for k, v in train.items()}}
        _write(folder / "gallery.pt", gallery)
    _write(folder / "samples.pt", samples)
    return facts


def draw(
    study: Study, cell: Cell, model: GAN, judge: ClassifierFeatures, rows: dict[str, Batch], counts: Tensor
) -> tuple[Batch, Batch, dict[str, Any]]:
    """Samples that have passed the filters, class after class, at most ``counts`` (num_classes,) of each, or none.

    Returns:
        These, the first round as it was drawn, and how many of them went where.
    """
    kept: list[Batch] = []
    raw: Batch = {}
    lacking, drawn, reports = counts, 0, []
    evidence: dict[str, Any] = {"model": model, "judge": judge, "train": rows["train"], "held_out": rows["val"]}
    for number in range(ROUNDS):
        y = torch.arange(len(counts)).repeat_interleave(torch.where(lacking > 0, counts, 0))
        latents = torch.arange(drawn, drawn + len(y))
        drawn += len(y)
        seed = stream_seed("samples", cell.seed)
        new = {**draw_samples(model, latents, y, seed), "y": y}
        raw = raw or new
        if study.filters:
            new, report = filter_samples(study.filters, new, seed=stream_seed("filter", cell.seed, number), **evidence)
            reports.append(report)
        new = joined([*kept, new])
        if kept and "duplicates" in study.filters:  # of samples of an earlier round
            new, report = filter_samples(["duplicates"], new, seed=stream_seed("filter", cell.seed), **evidence)
            reports.append({"duplicates": {k: v for k, v in report["duplicates"].items() if k != "in"}})
        kept = [new]
        lacking = counts - new["y"].bincount(minlength=len(counts))
        if not bool((lacking > 0).any()):
            break
    samples = first(kept[0], counts)
    found = samples["y"].bincount(minlength=len(counts))
    named = {model.schema.class_name(c): int(k) for c, k in enumerate(found)}
    missing = {model.schema.class_name(c): int(k) for c, k in enumerate(counts - found) if k}
    facts = {"samples": {"drawn": drawn, "kept": named, "missing": missing}, "filters": summed_reports(reports)}
    return samples, raw, facts


def summed_reports(reports: Sequence[dict[str, Figures]]) -> dict[str, Figures]:
    """What filters said in several rounds as if in one: counts added up, and of other figures those of the first."""
    whole: dict[str, Figures] = {}
    for report in reports:
        for name, figures in report.items():
            before = whole.setdefault(name, {})
            for figure, value in figures.items():
                before[figure] = before.get(figure, 0) + value if isinstance(value, int) else before.get(figure, value)
    return whole


def leakage(rows: dict[str, Batch]) -> dict[str, float]:
    """Share of the validation and of the test rows that are equal to a training row; the source's own repetitions."""
    known = {row.tobytes() for row in rows["train"]["x"].numpy()}
    return {
        part: float(np.mean([row.tobytes() in known for row in rows[part]["x"].numpy()])) for part in ("val", "test")
    }


def first(rows: Batch, counts: Tensor) -> Batch:
    """The first so many rows of each class, class after class, or all where there are fewer."""
    index = torch.cat([(rows["y"] == c).nonzero()[:count, 0] for c, count in enumerate(counts.tolist())])
    return {name: field[index] for name, field in rows.items()}


def _spread(rows: Batch, most: int) -> Batch:
    """At most so many rows, as evenly from the classes as there are."""
    y = rows["y"]
    place = torch.cat([torch.arange(k) for k in y.bincount().tolist()])  # in its class; they stand class after class
    index = torch.sort(torch.argsort(place, stable=True)[:most])[0]
    return {name: field[index] for name, field in rows.items()}


def _write(path: Path, content: Any) -> None:
    with replacing(path) as file:
        file.write(serialised(content))


# ---- the arms ----


class ArmTrainer:
    """Trains the learner on what an arm gives it, and examines it.

    Args:
        study: what to train and for how long.
        cell: which subset.
        schema: of its rows.
        rows: ``train``, ``val`` and ``test``, as they are stored.
        samples: of the GAN, class after class.
    """

    def __init__(self, study: Study, cell: Cell, schema: Schema, rows: dict[str, Batch], samples: Batch) -> None:
        self.study, self.cell, self.schema, self.rows, self.samples = study, cell, schema, rows, samples
        counts = rows["train"]["y"].bincount(minlength=schema.num_classes)
        self.rarest = int(counts.argmin()) if int(counts.min()) < int(counts.max()) else None  # of several the first

    def table(self, arm: str, ratio: float) -> tuple[Batch, int]:
        """The rows that the learner is given, and how many of them were made up."""
        train, level = self.rows["train"], bool(self.cell.imbalance)
        if arm in BASE:
            made = first(self.samples, samples_beside_real(train["y"], self.schema.num_classes, ratio, level))
            return joined(_alike(train, made)), len(made["y"])
        if arm == "gan_only":
            made = first(self.samples, samples_in_place_of_real(train["y"], self.schema.num_classes, ratio, level))
            return _marked(made, True), len(made["y"])
        if arm.endswith("oversampled"):
            return oversampled(train), 0
        if arm == "smote":
            rows = smote(train, self.schema, stream_seed("smote", self.cell.seed))
            return rows, len(rows["y"]) - len(train["y"])
        return train, 0

    def run(self, arm: str, ratio: float) -> dict[str, Row]:
        """Train once and examine on validation and test rows; after ``real`` on the samples too, if that is asked."""
        began = time.perf_counter()
        rows, made = self.table(arm, ratio)
        if not bool((rows["y"] != rows["y"][:1]).any()):  # samples alone, of which too few have passed the filters
            counts = {"train_rows": len(rows["y"]) - made, "synthetic_rows": made}
            return {key(arm, ratio): {"ratio": ratio, "accuracy": None, **counts, "seconds": 0.0}}
        # The same seed in all arms: they begin with the same weights and differ in their rows alone.
        seed = stream_seed("classifier", self.cell.seed)
        augment = arm.startswith("classical")
        predict = self.study.learner.learn(self.schema, rows, self.study.classifier_steps, seed, augment)
        validation = self.examined(predict, self.rows["val"])
        found: Row = {"ratio": ratio, **self.examined(predict, self.rows["test"])}
        found |= {"validation": validation["macro_f1" if self.cell.imbalance else "accuracy"]}
        found |= {"validation_loss": validation["loss"]}
        found |= {"train_rows": len(rows["y"]) - made, "synthetic_rows": made}
        found |= {"seconds": round(time.perf_counter() - began, 2)}
        runs = {key(arm, ratio): found}
        if arm == "real" and "trts" in self.study.arms:
            most = samples_in_place_of_real(
                rows["y"], self.schema.num_classes, self.study.ratios[-1], bool(self.cell.imbalance)
            )
            asked = first(self.samples, most)
            accuracy = self.examined(predict, asked)["accuracy"] if len(asked["y"]) else None
            runs["trts@0"] = {"ratio": 0.0, "accuracy": accuracy, "seconds": 0.0}
            runs["trts@0"] |= {"train_rows": len(rows["y"]), "synthetic_rows": len(asked["y"])}
        return runs

    def examined(self, predict: Predict, rows: Batch) -> dict[str, Any]:
        """Accuracy, mean F1 of the classes that have rows, recall of the rarest, or None; and −log of p(y)."""
        answers = predict(rows)
        right, said = rows["y"].numpy(), answers.argmax(1).numpy()
        rare = recall_score(right == self.rarest, said == self.rarest, zero_division=np.nan)  # NaN where it has no row
        return {
            "accuracy": float(accuracy_score(right, said)),
            "macro_f1": float(f1_score(right, said, labels=np.unique(right), average="macro", zero_division=0)),
            "rare_recall": None if np.isnan(rare) else float(rare),
            "loss": float(-answers.gather(1, rows["y"][:, None]).clamp(min=1e-6).log().mean()),
        }

    def tried(self, arm: str, runs: dict[str, Row]) -> list[Row]:
        """The arm's trainings, and that of its base, the ratio 0."""
        own = [run for name, run in runs.items() if name.split("@")[0] == arm]
        return [*self.tried(BASE[arm], runs), *own] if arm in BASE else own

    def sweep(self, runs: dict[str, Row]) -> list[Row]:
        """Every ratio that was tried, with what it scored on validation and, to look at afterwards, on test."""
        names = ("ratio", "validation", "validation_loss", "accuracy")
        return [
            {"arm": arm, **{name: run[name] for name in names}}
            for arm in self.study.arms
            if arm in BASE
            for run in self.tried(arm, runs)
        ]

    def row(self, arm: str, runs: dict[str, Row]) -> Row:
        """The arm's row of the results: of several ratios the one that validation prefers, 0 among them.

        Where few rows to validate with leave it undecided, their log-likelihood decides, and then the smaller ratio.
        """
        tried = self.tried(arm, runs)
        chosen = max(
            tried, key=lambda run: (run.get("validation", 0.0), -run.get("validation_loss", 0.0), -run["ratio"])
        )
        return {
            "cell": self.cell.name,
            "per_class": self.cell.per_class,
            "imbalance": self.cell.imbalance,
            "seed": self.cell.seed,
            "arm": arm,
            "ratio": chosen["ratio"],
            **{name: chosen.get(name) for name in ("accuracy", "macro_f1", "rare_recall")},
            "rarest": "" if self.rarest is None else self.schema.class_name(self.rarest),
            "validation": chosen.get("validation"),
            "train_rows": chosen["train_rows"],
            "synthetic_rows": chosen["synthetic_rows"],
            "steps": self.study.classifier_steps if self.study.learner.stepped else None,
            "seconds": round(sum(run["seconds"] for run in tried), 2),
        }


def oversampled(rows: Batch) -> Batch:
    """Rows of every class repeated until it has as many as the largest."""
    index = torch.from_numpy(levelled(rows["y"].numpy()))
    return {name: field[index] for name, field in rows.items()}


def _alike(real: Batch, made: Batch) -> tuple[Batch, Batch]:
    """Both with the fields that both have, since samples have no number in the source, and marked as what they are."""
    both = [name for name in real if name in made]
    return _marked({k: real[k] for k in both}, False), _marked({k: made[k] for k in both}, True)


def _marked(rows: Batch, synthetic: bool) -> Batch:
    return {**rows, "synthetic": torch.full(rows["y"].shape, synthetic)}
