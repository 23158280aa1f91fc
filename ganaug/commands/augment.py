"""``ganaug augment``: whether samples make a classifier better, and how many, over subsets and seeds."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules import GANDataModule
from datamodules.errors import InputError, named_once
from datamodules.files.manifest import as_json, replacing
from datamodules.options import (
    Count,
    File,
    Folder,
    Natural,
    Positive,
    Processes,
    Seed,
    Share,
    Within,
    checked,
    in_range,
)
from datamodules.schema import Schema
from ganaug.classifiers.training import Precision
from ganaug.gans.base import GAN
from ganaug.gans.finetune import begin_from
from ganaug.gans.recipe import Recipe
from ganaug.kind import kind_of
from ganaug.runtime.devices import Accelerator, device_of
from ganaug.runtime.outside import behind
from ganaug.runtime.stopping import told
from ganaug.runtime.training import without_messages
from ganaug.sampling.filters import FILTERS
from ganaug.study.arms import GROUP
from ganaug.study.learners import Classifies, as_learner
from ganaug.study.plan import (
    Cell,
    Row,
    Selection,
    Study,
    checked_arms,
    columns,
    fixed_ratio,
    open_folder,
    plan,
)
from ganaug.study.report import write_report
from ganaug.study.stages import numbered, second_stage
from ganaug.study.statistics import summarise, verdict
from ganaug.study.statistics.trainings import PAIRS
from ganaug.study.statistics.trainings import name as setting_name
from ganaug.study.workers import check_picklable, run


@checked
def augment(
    data: GANDataModule,
    model: Callable[[Schema], GAN],
    out: Folder,
    per_class: Sequence[Count] | None = None,
    imbalance: Sequence[Mapping[str | int, float]] | None = None,
    seeds: Sequence[Seed] = (0, 1, 2, 3, 4),
    gan_steps: Count | None = None,
    init_from: File | None = None,
    ratios: Sequence[Positive] = (1.0, 3.0),
    ratio: Positive | None = None,
    selection: Selection = "folds",
    folds: Annotated[int, Within(2)] = 3,
    repeats: Count = 1,
    until: Annotated[float, Within(0, 100, above=True)] | None = None,
    max_seeds: Count = 50,
    arms: Sequence[str] | None = None,
    filters: Sequence[str] = ("duplicates", "agreement"),
    shift: Sequence[str] | None = None,
    classifier: Callable[[Schema], LightningModule] | Classifies | None = None,
    classifier_steps: Count = 500,
    label_smoothing: Share = 0.0,
    classical: Sequence[str] | None = None,
    curriculum: Share = 0.0,
    workers: Processes = 1,
    threads: Processes | None = None,
    accelerator: Accelerator = "auto",
    precision: Precision = "32-true",
    cell: Natural | None = None,
    list_cells: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Find out whether samples of a GAN make a classifier better, and how many of them.

    A cell is a subset and a seed. In each, a GAN is trained on the training rows alone, its samples are filtered, and
    the classifier is trained in several arms, for equally many steps and from the same weights, and tested on real
    rows that neither has seen. That is done with one ratio of samples to real rows, fixed in advance, and with all
    others. Which of these to use, and whether any, is chosen on folds of the training rows: cells whose GAN and
    classifiers do without some rows and are examined on these. For a seed it is chosen by the folds of the others.
    Interrupted, the same command goes on where it stopped.

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
        init_from: checkpoint from whose weights each GAN begins, such as that of a GAN of rows without labels; classes
            are matched by name. None of the rows that it learnt from may be among those that are tested on.
        ratios: numbers of samples to try, as multiples of the training rows.
        ratio: the one of them that is fixed in advance, on which the verdict rests; by default the first that is at
            least 1, or else the largest.
        selection: what else a ratio may be chosen by: folds, cells of their own; or the validation rows of the data,
            which whoever has few rows does not have.
        folds: parts that the training rows of a seed are cut into, class by class.
        repeats: how many of these parts are held out in turn, each in a cell of its own with a GAN of its own.
        until: go on with further seeds, after the largest given, until the 95 % interval of what the ratio fixed in
            advance gains reaches no more than so many points to each side, as far as the spread over the given seeds
            tells how many that takes.
        max_seeds: that are run for it at most, those given among them.
        arms: of real, oversampled (rare classes repeated), smote, classical (augmentation), classical_oversampled; gan,
            oversampled_gan, classical_gan and classical_oversampled_gan, the same with samples; gan_only; and trts
            (trained on real rows, tested on samples before filters): by default all that the data and the classifier
            allow. Besides there are placebo and classical_placebo, where real rows drawn again take the place of
            samples.
        filters: that samples have to pass, in order: discriminator, agreement, duplicates, density; [] for none.
            Unless validation rows choose, they compare samples with training rows alone, which density cannot.
        shift: what befalls test rows, beside what they are, for scores of their own: of pictures noise, blur, contrast,
            translate, rotate; of sentences typos, drop, swap, unknown; of series noise, drift, loss, rate; [] for
            nothing. By default all, on at most 2,000 rows, a third of them at each of three strengths. With the data's
            group also group: rows of groups that the cell has no rows of, as many.
        classifier: by class path; by default that of the data's kind, which may be given with options such as width. Or
            a LightningModule whose forward(batch) gives logits, or an estimator of scikit-learn.
        classifier_steps: batches of 128 that each classifier is trained for.
        label_smoothing: of the labels of samples, for the classifier of the data's kind.
        classical: what classical augmentation does to a batch, in order; of pictures shift, rotate, flip,
            trivialaugment, randaugment, mixup, cutmix (by default [trivialaugment,flip] of three channels,
            [shift,rotate,trivialaugment] of one, else [shift,rotate]); of sentences eda (the default), forget; of
            series slice, time_warp, magnitude_warp, scale, jitter (by default these five, each to half of a batch),
            mixup.
        curriculum: share of a classifier's steps, the last ones, that see real rows alone.
        workers: processes that run cells side by side, on as many GPUs as there are, in turns.
        threads: of each process; by default the cores that the command may use are shared out among the workers.
        accelerator: what to compute on.
        precision: of the GANs' training: 32-true, or bf16-mixed, faster where the hardware multiplies in it.
        cell: run the cell of this number alone, as one task of many on a cluster; without it, the same command then
            runs what is missing and writes the results.
        list_cells: print the cells, a line each, and leave.
        progress: show a progress bar.

    Returns:
        ``rows`` (one for each training: a cell, an arm, a ratio and a multiple of the steps), their ``summary`` and the
        ``verdict``; ``cells`` where they are listed.

    Raises:
        InputError: data, model or options cannot be used, ``out`` holds another study, or a cell has failed.
    """
    if not ratios or len({f"{one:g}" for one in ratios}) < len(ratios):  # by which they are told apart
        raise InputError(f"ratios must be numbers above 0, each once, not {list(ratios)}; 0 is always tried")
    if selection == "folds":
        in_range("repeats", repeats, 1, folds)
    if selection == "folds" and "density" in filters:
        # Training rows lie so close together in the features of what was trained on them that nothing would pass.
        raise InputError("filters: density needs validation rows: leave it out, or choose by selection validation")
    _check_stages(until, max_seeds, seeds)
    fixed = fixed_ratio(ratio, ratios)
    device_of(accelerator)  # refuses one that is not there
    out = Path(out)
    data.prepare_data()
    cells, imbalances = plan(data, per_class, imbalance, seeds, repeats if selection == "folds" else 0)
    kinds = getattr(behind(model)[0], "schema_kinds", (data.schema.kind,))
    if data.schema.kind not in kinds:
        raise InputError(f"model learns from {' or '.join(kinds)} data, data gives {data.schema.kind} data")
    template = model(data.schema)
    if not isinstance(template, GAN):
        raise InputError(f"model must make a GAN from a schema, not a {type(template).__name__}")
    if not template.conditional:
        raise InputError(f"samples of this {type(template).__name__} have no labels to learn from: make it conditional")
    begun = "" if init_from is None else begin_from(template, init_from)
    with without_messages():  # what there is to say of the data has been said
        unread = data.again()
    study = Study(
        out=out.absolute(),
        data=unread,
        imbalances=imbalances,
        recipe=Recipe.of(template),
        gan_steps=gan_steps or 2000 + template.steps_before_last,
        init_from=None if init_from is None else Path(init_from).absolute(),
        selection=selection,
        folds=folds,
        ratios=tuple(sorted(ratios)),
        ratio=fixed,
        arms=(),
        filters=named_once("filters", filters, FILTERS),
        shift=_shifts(data, shift),
        learner=as_learner(classifier, data.schema, label_smoothing, classical, curriculum, accelerator),
        classifier_steps=classifier_steps,
        until=until,
        first_stage=len(seeds) if until else None,
        max_seeds=max_seeds,
        gallery_seed=cells[0].seed,
        fingerprint=(),
        accelerator=accelerator,
        precision=precision,
    )
    every = numbered(study, cells)
    if list_cells:
        print("\n".join(f"{number:4} {one.name}" for number, one in enumerate(every)))
        return {"cells": [one.name for one in every]}
    if cell is not None and not 0 <= cell < len(every):
        raise InputError(f"cell must be from 0 to {len(every) - 1}, not {cell}: --list_cells shows them")
    with without_messages():
        study = checked_arms(study, cells, arms)
    if until is not None and set(study.arms).isdisjoint(PAIRS):
        raise InputError(f"until needs an arm that is compared with the same without samples: {', '.join(PAIRS)}")
    if workers > 1:
        check_picklable(study)
    open_folder(study, cells)
    asked = cells if cell is None else [every[cell]]
    if per_class is not None and data.per_class is not None:
        rank_zero_info(f"per_class {list(per_class)} stands in the place of the data's own, {data.per_class}")
    rank_zero_info(
        f"{costs(study, asked)}; the arms are {', '.join(study.arms)}; the ratio fixed in advance is {fixed:g}"
        + (f"; a second stage brings each setting to at most {max_seeds} seeds" if until and cell is None else "")
    )
    if begun:
        rank_zero_info(f"each GAN: {begun}")
    with told.listen():
        failed = run(study, asked, workers, threads, progress)
        if cell is None and (more := second_stage(study, cells)):
            rank_zero_info(f"second stage, for {until:g} points: {costs(study, more)}")
            failed |= run(study, more, workers, threads, progress)
            asked = [*asked, *more]
    rows = [row for one in asked for row in study.facts(one).get("rows", [])]
    result: dict[str, Any] = {"rows": rows}
    if rows and cell is None:
        result = write_results(study, asked, failed)
        rank_zero_info(f"{table(rows)}\n\n{result['verdict']}\nreport: {out / 'report.html'}")
    if failed:
        alike: dict[str, list[str]] = {}
        for name, reason in failed.items():
            alike.setdefault(reason, []).append(name)
        reasons = "; ".join(
            names[0] + (f" and {len(names) - 1} more" if names[1:] else "") + f": {reason}"
            for reason, names in alike.items()
        )
        others = ", the others are done and kept" if len(failed) < len(asked) else ""
        raise InputError(
            f"{len(failed)} of {len(asked)} cells failed{others}, the same command tries these again: {reasons}"
        )
    return result


def _shifts(data: GANDataModule, shift: Sequence[str] | None) -> tuple[str, ...]:
    """Those of the data's kind that are asked for, and groups held out, where the data have such."""
    known = [*kind_of(data.schema).shifts(data.schema), *([] if data.group is None else [GROUP])]
    if data.group is None and GROUP in (shift or ()):
        raise InputError("shift: group needs data that say which rows belong together: name the column by data.group")
    return named_once("shift", known if shift is None else shift, known)


def _check_stages(until: float | None, max_seeds: int, seeds: Sequence[int]) -> None:
    if until is None:
        return
    if len(seeds) < 2:
        raise InputError("until needs at least 2 seeds: one tells nothing of their spread")
    if max_seeds < len(seeds):
        raise InputError(f"max_seeds must be at least {len(seeds)}, the number of seeds, not {max_seeds}")
    if max(seeds) + max_seeds - len(seeds) >= 2**64:
        raise InputError(f"seeds: until goes on after the largest, {max(seeds)}, and comes to 2^64: give smaller ones")


def costs(study: Study, cells: Sequence[Cell]) -> str:
    """How much is to be trained, in words."""
    left = [cell for cell in cells if "rows" not in study.facts(cell)]
    if not left:
        return f"all {len(cells)} cells are done"
    done, cells = len(cells) - len(left), left
    trainings = [steps for cell in cells for _, _, steps in study.trainings(cell)]
    folds, gans = sum(cell.fold is not None for cell in cells), sum(map(study.needs_gan, cells))
    twice = sum(steps > 1 for steps in trainings)
    parts = [
        _many(len(cells), "cell") + (f" beside {done} that {'is' if done == 1 else 'are'} done" if done else ""),
        f", {folds} of them {'a fold' if folds == 1 else 'folds'} to choose by" if folds else "",
        f": {_many(gans, 'GAN')} of {study.gan_steps} steps and {_many(len(trainings), 'classifier')}",
        f", {twice} of them for twice the steps" if twice else "",
    ]
    return "".join(parts)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def write_results(study: Study, cells: Sequence[Cell], failed: dict[str, str]) -> dict[str, Any]:
    """``results.csv``, ``summary.json`` and ``report.html``, of all cells that are finished."""
    rows = [row for cell in cells for row in study.facts(cell).get("rows", [])]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(study), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    summary = summarise(
        rows, ratio=study.ratio, failed=failed, first=study.first_stage, selection=study.selection, until=study.until
    )
    result = {"verdict": verdict(summary), "summary": summary}
    for name, content in (("results.csv", text.getvalue()), ("summary.json", as_json(result, indent=2) + "\n")):
        with replacing(study.out / name) as file:
            file.write(content.encode())
    made = provenance(study, cells)
    if len(made["made with"]) > 1:
        rank_zero_warn("cells were made with different versions, devices or threads, which the report lists")
    if leaked := max((facts.get("leakage", {}).get("test", 0.0) for facts in made["cells"]), default=0.0):
        rank_zero_warn(
            f"up to {100 * leaked:.1f} % of a cell's test rows are training rows too, so that all scores flatter:"
            " remove copies from the source"
        )
    write_report(study.out, rows, summary, galleries(study, cells), made)
    return {"rows": rows, **result}


def provenance(study: Study, cells: Sequence[Cell]) -> dict[str, Any]:
    """What was asked for, what each whole cell found out beside its rows, and with what they were made."""
    every = [study.facts(cell) for cell in cells]
    whole = [facts for facts, cell in zip(every, cells, strict=True) if cell.fold is None]
    return {
        "request": json.loads((study.out / "study.json").read_text(encoding="utf-8")),
        "cells": [{k: v for k, v in facts.items() if k not in ("rows", "runs")} for facts in whole if "rows" in facts],
        "made with": dict(enumerate(dict.fromkeys(one for facts in every for one in facts.get("made_with", ())), 1)),
    }


def galleries(study: Study, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Of every setting samples of the first seed and the training row that each is nearest to."""
    found = []
    for cell in cells:
        path = study.folder(cell) / "gallery.pt"
        if path.is_file():
            kept = torch.load(path, weights_only=True)
            rows = {name: kept[name] for name in ("synthetic", "nearest", "total")}
            setting = setting_name({"per_class": cell.per_class, "imbalance": cell.imbalance})
            found.append({"title": f"Samples, {setting}", "schema": Schema.from_dict(kept["schema"]), **rows})
    return found


def table(rows: Sequence[Row]) -> str:
    """Mean and standard deviation over seeds of whole cells, a line for each setting, arm and ratio."""
    groups: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        if row["fold"] is None and row["steps"] == 1:
            setting = row["cell"].removesuffix(f",seed={row['seed']}")
            groups.setdefault((setting, row["arm"], row["ratio"]), []).append(row)
    lines = [f"{'':24}{'arm':28}{'samples a row':>14}{'accuracy':>16}{'macro-F1':>16}{'rarest class':>16}"]
    for (setting, arm, ratio), those in groups.items():
        scores = [[row[name] for row in those] for name in ("accuracy", "macro_f1", "rare_recall")]
        lines.append(f"{setting:24}{arm:28}{ratio:>14g}" + "".join(f"{_spread(values):>16}" for values in scores))
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{statistics.mean(known):.3f}" + (f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else "")
