"""``ganaug augment``: whether samples make a classifier better, and how many, over subsets and seeds."""

from __future__ import annotations

import csv
import io
import json
import math
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info

from datamodules import GANDataModule
from datamodules.errors import InputError, named_once
from datamodules.files.manifest import replacing
from datamodules.options import checked, in_range
from datamodules.schema import Schema
from ganaug.classifiers.training import Precision
from ganaug.gans.base import GAN
from ganaug.gans.recipe import Recipe
from ganaug.runtime.devices import Accelerator
from ganaug.runtime.outside import behind
from ganaug.runtime.stopping import told
from ganaug.sampling.filters import FILTERS
from ganaug.study.learners import Classifies, as_learner
from ganaug.study.plan import (
    Cell,
    Row,
    Study,
    check_picklable,
    checked_arms,
    open_folder,
    plan,
    trainings,
    without_messages,
)
from ganaug.study.report import write_report
from ganaug.study.statistics import summarise, verdict
from ganaug.study.workers import run

COLUMNS = (
    "cell", "per_class", "imbalance", "seed", "arm", "ratio", "accuracy", "macro_f1", "rare_recall", "rarest",
    "validation", "train_rows", "synthetic_rows", "steps", "seconds",
)  # fmt: skip


@checked
def augment(
    data: GANDataModule,
    model: Callable[[Schema], GAN],
    out: Path,
    per_class: Sequence[int] | None = None,
    imbalance: Sequence[Mapping[str | int, float]] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    gan_steps: int | None = None,
    ratios: Sequence[float] = (1.0, 3.0),
    arms: Sequence[str] | None = None,
    filters: Sequence[str] = ("duplicates", "agreement"),
    classifier: Callable[[Schema], LightningModule] | Classifies | None = None,
    classifier_steps: int = 500,
    label_smoothing: float = 0.0,
    classical: Sequence[str] | None = None,
    curriculum: float = 0.0,
    workers: int = 1,
    threads: int | None = None,
    accelerator: Accelerator = "auto",
    precision: Precision = "32-true",
    cell: int | None = None,
    list_cells: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Find out whether samples of a GAN make a classifier better, and how many of them.

    A cell is a subset and a seed. In each, a GAN is trained on the training rows alone, its samples are filtered, and
    the classifier is trained in several arms, for equally many steps and from the same weights, and tested on real
    rows that neither has seen. How many samples to use, and whether any, is chosen on the validation rows. Interrupted,
    the same command goes on where it stopped.

    Args:
        data: the real data, of at least two classes.
        model: the GAN.
        out: folder for results.csv, summary.json, report.html and what each cell has made.
        per_class: numbers of training rows of each class to try, like [10,20,50]; by default all rows.
        imbalance: shares of classes to keep, by name, like [{8: 0.05, 9: 0.05}]; each is tried, with each of
            per_class. Samples then go to the rarest classes first, and macro-F1 decides. With the data's balance true
            the GAN sees every class equally often, without which it learns little of the rare ones.
        seeds: each draws the split, the subset, the GAN and the classifier anew.
        gan_steps: batches that each GAN is trained for; by default 2,000, after the phases that lead up to its last.
        ratios: numbers of samples to try, as multiples of the training rows.
        arms: of real, oversampled (rare classes repeated), smote, classical (augmentation), classical_oversampled, gan
            (real rows and samples), classical_gan, gan_only and trts (trained on real rows, tested on samples); by
            default all that the data and the classifier allow.
        filters: that samples have to pass, in order: discriminator, agreement, duplicates, density; [] for none.
        classifier: by class path; by default that of the data's kind, which may be given with options such as width. Or
            a LightningModule whose forward(batch) gives logits, or an estimator of scikit-learn.
        classifier_steps: batches of 128 that each classifier is trained for.
        label_smoothing: of the labels of samples, for the classifier of the data's kind.
        classical: what classical augmentation does to a batch, in order; of pictures shift (the default), rotate, flip,
            randaugment; of sentences forget (the default), eda; of series slice, time_warp, magnitude_warp, scale,
            jitter (by default all, each to half of a batch).
        curriculum: share of a classifier's steps, the last ones, that see real rows alone, in [0, 1).
        workers: processes that run cells side by side, on as many GPUs as there are, in turns.
        threads: of each process; by default the machine's cores are shared out.
        accelerator: auto, cpu, cuda, mps.
        precision: of the GANs' training: 32-true, or bf16-mixed, faster where the hardware multiplies in it.
        cell: run the cell of this number alone, as one task of many on a cluster; without it, the same command then
            runs what is missing and writes the results.
        list_cells: print the cells, a line each, and leave.
        progress: show a progress bar.

    Returns:
        ``rows`` (one for each cell and arm), their ``summary`` and the ``verdict``; ``cells`` where they are listed.

    Raises:
        InputError: data, model or options cannot be used, ``out`` holds another study, or a cell has failed.
    """
    in_range("gan_steps", gan_steps, 1)
    in_range("classifier_steps", classifier_steps, 1)
    in_range("workers", workers, 1, 1024)
    in_range("threads", threads, 1, 1024)
    for name, share in {"label_smoothing": label_smoothing, "curriculum": curriculum}.items():
        if not 0 <= share < 1:
            raise InputError(f"{name} must be at least 0 and below 1, not {share}")
    if not ratios or not all(0 < ratio < math.inf for ratio in ratios) or len(set(ratios)) < len(ratios):
        raise InputError(f"ratios must be numbers above 0, each once, not {list(ratios)}; 0 is always tried")
    out = Path(out)
    data.prepare_data()
    cells, imbalances = plan(data, per_class, imbalance, seeds)
    if list_cells:
        print("\n".join(f"{number:4} {one.name}" for number, one in enumerate(cells)))
        return {"cells": [one.name for one in cells]}
    if cell is not None and not 0 <= cell < len(cells):
        raise InputError(f"cell must be from 0 to {len(cells) - 1}, not {cell}: --list_cells shows them")
    kinds = getattr(behind(model)[0], "schema_kinds", (data.schema.kind,))
    if data.schema.kind not in kinds:
        raise InputError(f"model learns from {' or '.join(kinds)} data, data gives {data.schema.kind} data")
    template = model(data.schema)
    if not isinstance(template, GAN):
        raise InputError(f"model must make a GAN from a schema, not a {type(template).__name__}")
    if not template.conditional:
        raise InputError(f"samples of this {type(template).__name__} have no labels to learn from: make it conditional")
    study = Study(
        out=out.absolute(),
        data=data.again(),
        imbalances=imbalances,
        recipe=Recipe.of(template),
        gan_steps=gan_steps or 2000 + sum(steps or 0 for _, steps in template.phases[:-1]),
        ratios=tuple(sorted(ratios)),
        arms=(),
        filters=named_once("filters", filters, FILTERS),
        learner=as_learner(classifier, data.schema, label_smoothing, classical, curriculum, accelerator),
        classifier_steps=classifier_steps,
        gallery_seed=cells[0].seed,
        accelerator=accelerator,
        precision=precision,
    )
    with without_messages():
        study = checked_arms(study, cells, arms)
    if workers > 1:
        check_picklable(study)
    open_folder(study, cells)
    if cell is not None:
        cells = [cells[cell]]
    count = len(trainings(study.arms, study.ratios))
    rank_zero_info(
        f"{len(cells)} cells of {len(study.arms)} arms: {len(cells)} GANs of {study.gan_steps} steps and"
        f" {len(cells) * count} classifiers; the arms are {', '.join(study.arms)}"
    )
    with told.listen():
        failed = run(study, cells, workers, threads, progress)
    rows = [row for one in cells for row in study.facts(one).get("rows", [])]
    result: dict[str, Any] = {"rows": rows}
    if rows and cell is None:
        result = write_results(study, cells, failed)
        rank_zero_info(f"{table(rows)}\n\n{result['verdict']}\nreport: {out / 'report.html'}")
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise InputError(
            f"{len(failed)} of {len(cells)} cells failed, the others are done and kept, the same command tries these"
            f" again: {reasons}"
        )
    return result


def write_results(study: Study, cells: Sequence[Cell], failed: dict[str, str]) -> dict[str, Any]:
    """``results.csv``, ``summary.json`` and ``report.html``, of all cells that are finished."""
    rows = [row for cell in cells for row in study.facts(cell).get("rows", [])]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    summary = summarise(rows, failed)
    result = {"verdict": verdict(summary), "summary": summary}
    for name, content in (("results.csv", text.getvalue()), ("summary.json", json.dumps(result, indent=2) + "\n")):
        with replacing(study.out / name) as file:
            file.write(content.encode())
    write_report(study.out, rows, summary, galleries(study, cells), provenance(study, cells))
    return {"rows": rows, **result}


def provenance(study: Study, cells: Sequence[Cell]) -> dict[str, Any]:
    """What was asked for, what each cell found out beside its rows, and with which versions."""
    every = [study.facts(cell) for cell in cells]
    return {
        "request": json.loads((study.out / "study.json").read_text(encoding="utf-8")),
        "cells": [{k: v for k, v in facts.items() if k not in ("rows", "runs")} for facts in every if "rows" in facts],
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("ganaug", "torch", "lightning", "scikit-learn", "numpy")},
        },
        "machine": platform.platform(),
    }


def galleries(study: Study, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Of every setting samples of the first seed and the training row that each is nearest to."""
    found = []
    for cell in cells:
        path = study.folder(cell) / "gallery.pt"
        if path.is_file():
            kept = torch.load(path, weights_only=True)
            rows = {name: kept[name] for name in ("synthetic", "nearest")}
            found.append({"title": cell.setting, "schema": Schema.from_dict(kept["schema"]), **rows})
    return found


def table(rows: Sequence[Row]) -> str:
    """Mean and standard deviation over seeds, a line for each setting and arm."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["cell"].removesuffix(f",seed={row['seed']}"), row["arm"]), []).append(row)
    lines = [f"{'':24}{'arm':22}{'accuracy':>16}{'macro-F1':>16}{'rarest class':>16}{'samples a row':>16}"]
    for (setting, arm), those in groups.items():
        scores = [[row[name] for row in those] for name in ("accuracy", "macro_f1", "rare_recall")]
        ratio = statistics.mean(row["ratio"] for row in those)
        lines.append(
            f"{setting:24}{arm:22}" + "".join(f"{_spread(values):>16}" for values in scores) + f"{ratio:>16.2f}"
        )
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{statistics.mean(known):.3f}" + (f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else "")
