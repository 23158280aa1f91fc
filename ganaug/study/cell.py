"""A cell of the augmentation study: one subset, one seed and perhaps a fold, a GAN trained on it, and the arms."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor

from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.files.manifest import as_json, make_folder, replacing
from datamodules.rows import joined, some_rows, spread_rows
from datamodules.schema import Batch
from ganaug.callbacks import LastCheckpoint
from ganaug.classifiers.training import ClassifierFeatures, fit_features
from ganaug.evaluation.augmentation_leak import leak
from ganaug.evaluation.facts import copied
from ganaug.evaluation.membership import membership
from ganaug.evaluation.spread import class_spread
from ganaug.gans.base import GAN
from ganaug.gans.checkpoint import AtomicCheckpointIO, serialised
from ganaug.gans.finetune import begin_from
from ganaug.gans.loading import load
from ganaug.gans.randomness import stream_seed
from ganaug.metrics.distance import MOST_ROWS, memorisation, nearest
from ganaug.runtime.devices import device_of
from ganaug.runtime.stopping import told
from ganaug.runtime.training import plain_trainer, without_messages
from ganaug.sampling.drawing import draw_samples
from ganaug.sampling.filters import Figures, filter_samples
from ganaug.study.arms import ArmTrainer, first, oversampled, samples_of
from ganaug.study.plan import SAMPLED, Cell, Study, key, stored_parts

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
            file.write((as_json(facts, indent=2) + "\n").encode())

    with without_messages():
        data = study.module(cell)
        data.setup()
        rows = stored_parts(data)
        if "cell" not in facts:
            keep(cell=cell.name, **({"leakage": leakage(rows)} if cell.fold is None else {}))
        if (here := made_with(study.accelerator)) not in facts.setdefault("made_with", []):
            facts["made_with"].append(here)
        if study.needs_gan(cell) and "samples" not in facts:
            keep(gan_steps=study.gan_steps)
            begun = any((folder / name).exists() for name in ("gan.ckpt", "checkpoints"))
            began = time.perf_counter()
            model = trained(study, cell, data)
            if not begun:  # of a training that was interrupted nobody knows how long it took
                keep(gan_seconds=round(time.perf_counter() - began, 2))
            keep(**make_samples(study, cell, model, rows))
        samples = _read(folder / "samples.pt") if study.needs_gan(cell) else None
        raw = _read(folder / "raw.pt") if "trts" in study.arms_of(cell) else None
        trainer = ArmTrainer(study, cell, data.schema, rows, samples, raw)
        done = facts.setdefault("runs", {})
        for training in study.trainings(cell):
            if key(*training) not in done:
                keep(runs=done | trainer.run(*training))
                done = facts["runs"]
    arms = study.arms_of(cell)
    keep(rows=[trainer.row(run) for run in sorted(done.values(), key=lambda run: arms.index(run["arm"]))])


def made_with(accelerator: str) -> str:
    """Versions, device and threads, which scores may differ by."""
    names = ("ganaug", "torch", "lightning", "scikit-learn", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    device, threads = device_of(accelerator), torch.get_num_threads()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{versions}, Python {platform.python_version()}; {name}, threads {threads}; {platform.system()}"


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
        if study.init_from is not None:
            begin_from(model, study.init_from)
        trainer.fit(model, data, ckpt_path=str(last) if last.is_file() else None)
        told.heed()  # of a signal that came behind the last batch
        last.replace(ckpt)
        shutil.rmtree(last.parent)  # with what a killed process may have left
    return load(ckpt)


def make_samples(study: Study, cell: Cell, model: GAN, rows: dict[str, Batch]) -> dict[str, Any]:
    """Draw samples and filter them; ``samples.pt`` and facts about them.

    In whole cells they are compared with the training rows too. Whether the GAN copies, and whether it gives away which
    rows were trained on, is asked of its samples as they come: the filters take copies away.
    """
    folder, train = study.folder(cell), rows["train"]
    schema, most, level = model.schema, study.ratios[-1], bool(cell.imbalance)
    sizes = [
        samples_of(arm, train["y"], schema.num_classes, most, level) for arm in study.arms_of(cell) if arm in SAMPLED
    ]
    model.to(device_of(study.accelerator))
    seed, steps, accelerator = stream_seed("judge", cell.seed), study.classifier_steps, study.accelerator
    # A judge that has hardly seen a rare class would throw its samples away.
    seen = oversampled(train) if cell.imbalance else train
    judge = fit_features(schema, seen, seed, steps=steps, augment=True, accelerator=accelerator)
    samples, raw, facts = draw(study, cell, model, judge, rows, torch.stack(sizes).amax(0))
    if cell.fold is None:
        facts["memorisation"] = memorisation(*map(judge, (rows["train"], rows["test"], raw)), seed=seed)
        some = [some_rows(part, MOST_ROWS, seed) for part in (rows["train"], rows["test"], raw)]
        facts["augmentation_leak"] = leak(model, *some, seed=seed, steps=steps, accelerator=accelerator)
        real = {part: rows[part] for part in ("train", "test")}
        facts["membership"] = membership(schema, **real, val=rows["val"], synthetic=raw, model=model, seed=cell.seed)
        spread = class_spread(schema, **real, synthetic=raw, labelled=model.conditional, seed=cell.seed)
        facts |= {"class_spread": spread} if spread else {}
    if cell.fold is None and cell.seed == study.gallery_seed and len(samples["y"]):
        shown = spread_rows(samples, GALLERY)
        index = nearest(judge(shown), judge(train))[1]
        near = {name: field[index] for name, field in train.items()}
        found = {"schema": schema.to_dict(), "total": len(samples["y"]), "synthetic": shown, "nearest": near}
        _write(folder / "gallery.pt", found)
    if "trts" in study.arms_of(cell):
        _write(folder / "raw.pt", raw)
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
    # What a fold is examined on must not choose its samples, and whole cells are to be as folds are.
    held_out = rows["val"] if study.selection == "validation" else None
    evidence: dict[str, Any] = {"model": model, "judge": judge, "train": rows["train"], "held_out": held_out}
    for number in range(ROUNDS):
        y = torch.arange(len(counts)).repeat_interleave(torch.where(lacking > 0, counts, 0))
        latents = torch.arange(drawn, drawn + len(y))
        drawn += len(y)
        seed = stream_seed("samples", cell.seed)
        new = {**model.schema.as_written(draw_samples(model, latents, y, seed)), "y": y}
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
    train = rows["train"]
    return {part: copied(train, rows[part]) / n for part in ("val", "test") if (n := len(rows[part]["y"]))}


def _write(path: Path, content: Any) -> None:
    with replacing(path) as file:
        file.write(serialised(content))
