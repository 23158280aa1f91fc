"""``ganaug generate``: labelled samples from a checkpoint alone."""

from __future__ import annotations

import inspect
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.base import requests
from datamodules.errors import InputError
from datamodules.files.manifest import (
    folder_names,
    make_folder,
    read_manifest,
    replacing,
    sha256_of,
    write_manifest,
)
from datamodules.options import BatchSize, Count, File, Folder, Fraction, Positive, Seed, Size, checked
from datamodules.schema import Batch
from datamodules.store import store_of
from ganaug.gans.checkpoint import read_checkpoint, serialised, trained_on
from ganaug.gans.loading import load
from ganaug.kind import kind_of
from ganaug.runtime.devices import Accelerator
from ganaug.runtime.training import plain_trainer
from ganaug.sampling.wanted import asked_for, choose_labels, how_many, wanted_rows

PARTS = ".partial"  # folder of what an unfinished generation has drawn so far


@checked
def generate(
    ckpt: File,
    out: Folder,
    n: Count | None = None,
    per_class: Count | None = None,
    labels: str | Sequence[str | int] | None = None,
    seed: Seed = 0,
    format: str | None = None,
    batch_size: BatchSize = 256,
    truncation: Positive | None = None,
    temperature: Positive | None = None,
    top_k: Count | None = None,
    top_p: Fraction | None = None,
    length: Size | None = None,
    static: str | Mapping[str, str | float] | None = None,
    rows: File | None = None,
    overwrite: bool = False,
    accelerator: Accelerator = "auto",
    devices: str | int = "auto",
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
    progress: bool = True,
) -> Path:
    """Write labelled samples of a trained model, from its checkpoint alone.

    Sample i depends on the seed, i and its label, not on the batch size, the number of devices or what else is drawn.
    Interrupted, the same command goes on where it stopped. Beside the samples stands ``manifest.json`` (where they come
    from, how many of each class), and for a look ``grid.png`` beside pictures and ``plot.png`` beside series.

    Args:
        ckpt: checkpoint that ``ganaug fit`` wrote.
        out: folder to write to; made where it is missing.
        n: number of samples in all, spread evenly over the labels.
        per_class: number of samples of each label; 10 where neither this nor n is given.
        labels: the classes to draw, by name, comma-separated; all by default. Where no name is like a number, numbers
            will do.
        seed: of the latents; another seed gives other samples.
        format: of pictures folder (a PNG each, in a folder a class) or npz (one file of arrays); of sentences jsonl
            ({"text": …, "label": …} a line), csv or txt (a line each, a file a class); of series csv or parquet (a row
            a step) or npz. The first is the default.
        batch_size: samples drawn at a time on each device.
        truncation: of pictures, and of series by R3GAN: squeeze the latents into [-t, t]; smaller is cleaner and less
            diverse.
        temperature: of sentences: below 1 is cleaner and less diverse.
        top_k: of sentences: draw from so many of the likeliest tokens.
        top_p: of sentences: draw from the likeliest tokens that together have this probability.
        static: of series: attributes that all samples are to have, such as age=30,sex=f; the others are drawn.
        rows: table (.csv, .tsv, .xlsx, .parquet) of the samples wanted, one a row: its class, where there is a column
            of the source's name for it (label), and of series its attributes; instead of n, per_class, labels, static.
        length: of series: steps of each, by default as many as the data have; further on series have no movement that
            is slower than those that the model has seen, and stay near the level that they have reached.
        overwrite: replace what another generation has written to ``out``.
        accelerator: what to compute on.
        devices: number of devices to share the work.
        precision: of the network's arithmetic.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        InputError: the checkpoint, the labels or the folder cannot be used.
    """
    ckpt, out = Path(ckpt), Path(out)
    rows = None if rows is None else Path(rows)
    model = load(ckpt)
    chosen = choose_labels(model, labels)
    y: Tensor | None = None
    fields: dict[str, Tensor] = {}
    if rows is not None:
        others = {"n": n, "per_class": per_class, "labels": labels, "static": static}
        if given_too := [name for name, value in others.items() if value is not None]:
            raise InputError(f"rows says which samples are wanted: leave --{given_too[0]} out")
        y, fields = wanted_rows(model, rows)
    count = how_many(n, per_class, len(chosen)) if y is None else len(y)
    schema = model.schema if model.conditional else replace(model.schema, classes=())
    model.sample_seed = seed
    options: dict[str, Any] = {
        "truncation": truncation, "temperature": temperature, "top_k": top_k, "top_p": top_p, "length": length,
        "static": asked_for(static),
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    model.latent_options, model.sample_options = (
        {name: value for name, value in given.items() if name in inspect.signature(method).parameters}
        for method in (model.latent, model.sample)
    )
    for name in given:
        if name not in model.latent_options | model.sample_options:
            raise InputError(f"{name} is no option of {type(model).__name__}: leave --{name} out")
    if caution := model.caution(model.latent_options | model.sample_options):
        rank_zero_info(caution)
    store = store_of(schema)
    formats = store.possible(schema)
    format = format or formats[0]
    if format not in formats:
        these = f"such {schema.kind}" if format in store.formats else schema.kind
        raise InputError(f"{these} samples are written as {' or '.join(formats)}, not as {format}")
    request = {
        "checkpoint_sha256": sha256_of(ckpt),
        "labels": [schema.class_name(c) for c in chosen],
        "samples": count,
        "seed": seed,
        "format": format,
        "precision": precision,
        **given,
        **({} if rows is None else {"rows_sha256": sha256_of(rows)}),
    }
    # Cyclic, so that sample i has the same label and the same latent whether 100 or 100,000 are asked for.
    if y is None:
        y = torch.tensor(chosen).repeat(-(-count // len(chosen)))[:count]
    # What cannot be drawn, or not on such a device, is refused before anything in the folder is replaced.
    parts = out / PARTS
    trainer = plain_trainer(
        accelerator=accelerator,
        devices=devices,
        precision=precision,
        enable_progress_bar=progress,
        callbacks=[_Parts(parts), *([RichProgressBar()] if progress else [])],
    )
    model.predict_step(next(iter(requests(y[:1], 1, **{name: field[:1] for name, field in fields.items()}))), 0)
    if not _claim(out, request, overwrite):
        rank_zero_info(f"{out} is complete already: the same {count} samples of the same checkpoint")
        return out

    drawn = np.zeros(count, dtype=bool)
    for part in _shards(parts):
        drawn[part["index"]] = True
    pending = torch.from_numpy(np.flatnonzero(~drawn))
    if len(pending):
        asked = {name: field[pending] for name, field in fields.items()}
        trainer.predict(model, requests(y[pending], batch_size, pending, **asked), return_predictions=False)
        trainer.strategy.barrier()
    if trainer.is_global_zero:
        store.write(schema, _shards(parts), out, format)
        kind_of(schema).overview(schema, lambda count: _first(_shards(parts), count), out)
        own = {name: model.hparams[name] for name in model.networks if isinstance(model.hparams.get(name), dict)}
        counts = np.bincount(y.numpy(), minlength=schema.num_classes)
        write_manifest(
            out,
            {
                "ganaug": version("ganaug"),
                "model": type(model).__name__,
                **({"networks": own} if own else {}),
                "checkpoint": str(ckpt),
                "data": trained_on(read_checkpoint(ckpt)),
                "request": request,
                "counts": {schema.class_name(c): int(k) for c, k in enumerate(counts) if k},
                "files": _files(out),
                "schema": schema.to_dict(),
                "versions": {
                    "python": sys.version.split()[0],
                    **{name: version(name) for name in ("torch", "lightning", "numpy")},
                },
            },
        )
        shutil.rmtree(parts)
        glance = next((out / name for name in ("grid.png", "plot.png") if (out / name).is_file()), None)
        rank_zero_info(f"{count} samples in {out}" + (f", the first at a glance in {glance}" if glance else ""))
    trainer.strategy.barrier()  # whoever goes on finds a whole folder
    return out


def _claim(out: Path, request: dict[str, Any], overwrite: bool) -> bool:
    """Make ``out`` ready for the request; False where it holds the complete answer already.

    Processes that share the work may all do so at the same time. So the folder is listed before anything is looked for
    in it, and as long as there is something in it, a request or a manifest says whose it is.
    """
    make_folder(out)
    begun = out / PARTS / "request.json"
    taken = any(entry.name != PARTS for entry in out.iterdir())
    manifest = read_manifest(out)
    before = _begun(begun)
    if before == request:
        return True
    same = manifest is not None and manifest.get("request") == request
    lacking = same and manifest is not None and _files(out) < manifest.get("files", 0)
    if same and not lacking and not overwrite:
        return False
    ours = bool(before) or (manifest is not None and "request" in manifest)
    if taken or before:
        if not ours:
            raise InputError(f"{out} is not empty, and what is in it was not generated here: choose another folder")
        if not overwrite:
            why = "lacks files that were written there" if lacking else "holds the samples of another generation"
            raise InputError(f"{out} {why}: choose another folder or give --overwrite")
        # Of a generation that was stopped before its manifest the labels are known from its request.
        schema = (manifest or {}).get("schema")
        known = schema.get("classes") if isinstance(schema, dict) else None
        names = folder_names(before.get("labels", ()) if known is None else known)
        written = before or (manifest or {})["request"]
        ours_too = ("grid.png", "plot.png", f"samples.{written.get('format')}")
        folders = [out / name for name in names]
        pictures: list[Path] = []
        for folder in (out, *folders):
            with suppress(FileNotFoundError):  # another process was here
                pictures += folder.glob("[0-9]" * 8 + ".png")
        parts = begun.parent.glob("*.pt")
        for old in (*pictures, *parts, *(out / f for f in (*ours_too, *(f"{n}.txt" for n in names)))):
            old.unlink(missing_ok=True)
        for folder in folders:
            with suppress(OSError):  # not there; or not empty: somebody keeps files of their own in it
                folder.rmdir()
    make_folder(begun.parent)
    with replacing(begun) as file:
        file.write(json.dumps(request).encode())
    (out / "manifest.json").unlink(missing_ok=True)
    return True


def _files(out: Path) -> int:
    """How many files of samples there are in a folder."""
    files = (file for file in out.rglob("*") if file.is_file() and PARTS not in file.parts)
    return sum(file.name not in ("manifest.json", "grid.png", "plot.png") for file in files)


def _begun(path: Path) -> dict[str, Any]:
    """The request of a generation that has not ended."""
    try:
        request = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise InputError(f"{path} is damaged: remove {path.parent}")
    return request


class _Parts(Callback):
    """Keeps each batch as soon as it is drawn, as a file that appears whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Batch, *_: Any) -> None:
        with replacing(self.folder / f"{int(outputs['index'][0]):012d}.pt") as file:
            file.write(serialised({name: field.cpu() for name, field in outputs.items()}))


def _shards(folder: Path) -> Iterator[Batch]:
    for file in sorted(folder.glob("*.pt")):
        yield torch.load(file, weights_only=True)


def _first(shards: Iterator[Batch], count: int) -> Batch:
    """The samples numbered below ``count``, in order."""
    parts = [{name: field[part["index"] < count] for name, field in part.items()} for part in shards]
    rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    order = rows["index"].argsort()
    return {name: field[order] for name, field in rows.items()}
