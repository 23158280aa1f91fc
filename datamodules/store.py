"""Writes samples, and reads them back: pictures, sentences, series."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import pad

from datamodules.arrays import ImageSource
from datamodules.errors import InputError
from datamodules.folder import picture_folders
from datamodules.labels import unknown
from datamodules.manifest import folder_names, make_folder, read_manifest, replacing, write_manifest
from datamodules.pictures import MODES, brightest, read_picture
from datamodules.roles import Roles, find
from datamodules.scales import SeriesSchema
from datamodules.schema import Batch, ImageSchema
from datamodules.seriesarrays import SeriesSource
from datamodules.seriestable import SeriesTable
from datamodules.sheet import as_image
from datamodules.sides import cropped_size
from datamodules.tables import no_parquet
from datamodules.textsource import LABEL, TEXT, TextSource
from datamodules.tokens import TextSchema
from datamodules.windows import cut

__all__ = [
    "folder_names",
    "read_images",
    "read_manifest",
    "read_series",
    "read_texts",
    "write_images",
    "write_manifest",
    "write_series",
    "write_texts",
]


def write_images(
    schema: ImageSchema, shards: Iterable[Batch], out: Path, format: Literal["folder", "npz"] = "folder"
) -> None:
    """Write samples in the size of the source's pictures, without loss; every file appears whole or not at all.

    Args:
        schema: of the model that made them.
        shards: any number of batches of ``index`` int64 (n,), ``x`` float (n, C, H, W) in [-1, 1] and ``y`` (n,); an
            index written before is written over.
        out: folder to write in, made where it is missing.
        format: ``folder`` writes ``<class>/<index>.png``, grey, RGB or RGBA, and without classes ``<index>.png``;
            ``npz`` writes one ``samples.npz`` with ``x`` uint8 (N, H, W, C), or (N, H, W) where C is 1, ``y`` int64,
            ``classes``, ``index`` and ``layout``.

    Raises:
        InputError: PNG cannot hold this number of channels, or ``out`` cannot be a folder.
    """
    if format not in ("folder", "npz"):
        raise InputError(f"format must be folder or npz, not {format}")
    if format == "folder" and schema.channels not in MODES:
        raise InputError(f"pictures of {schema.channels} channels cannot be written as PNG: choose the format npz")
    make_folder(out)
    if format == "npz":
        return _write_npz(schema, shards, out / "samples.npz")
    folders = [out / name for name in folder_names(schema.classes)] or [out]
    for batch in shards:
        index, y = batch["index"].tolist(), batch["y"].tolist()
        for c in sorted(set(y)):
            make_folder(folders[c])
        for i, picture, c in zip(index, schema.decode(batch["x"]), y, strict=True):
            with replacing(folders[c] / f"{i:08d}.png") as file:
                as_image(picture).save(file, format="PNG")


def _write_npz(schema: ImageSchema, shards: Iterable[Batch], path: Path) -> None:
    index, pictures, y = [np.empty(0, np.int64)], [], [np.empty(0, np.int64)]
    pictures.append(np.empty((0, schema.height, schema.width, schema.channels), np.uint8))
    for batch in shards:
        index.append(batch["index"].cpu().numpy())
        pictures.append(schema.decode(batch["x"]))
        y.append(batch["y"].cpu().numpy())
    # The same file however the work was shared out; of an index that comes again the last.
    numbers, last = np.unique(np.concatenate(index)[::-1], return_index=True)
    order = sum(map(len, index)) - 1 - last
    x_all = np.concatenate(pictures)[order]  # (N, H, W, C)
    with replacing(path) as file:
        np.savez(
            file,
            x=x_all[..., 0] if schema.channels == 1 else x_all,
            y=np.concatenate(y)[order],
            classes=np.array(schema.classes, dtype=str),
            index=numbers,
            layout=np.array("NHWC"),
        )


def read_images(
    path: str | Path, channels: Literal[1, 3, 4] | None = None
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Read what :func:`write_images` wrote, or any picture folder or ``.npz`` that the data modules read.

    Args:
        path: of the ``.npz`` file, or of the folder; a folder that holds ``samples.npz`` is read from there.
        channels: of pictures in a folder, as for :class:`ImageFolder`.

    Returns:
        Pictures uint8 (N, H, W, C), class ids int64 (N,) or None where there are no labels, the classes' names.
        Pictures of different sizes are scaled and cropped as :class:`ImageFolder` does. All splits of a folder or
        ``.npz`` are joined.

    Raises:
        InputError: there is nothing there that can be read.
    """
    path = Path(path)
    if path.is_dir() and (path / "samples.npz").is_file():
        path = path / "samples.npz"
    if path.is_file() and path.suffix.lower() == ".npz":
        source = ImageSource(path)
        x = np.concatenate([source.pictures(split) for split in source.splits])
        y = np.concatenate([source.y[split] for split in source.splits])
        return x, y if source.classes else None, source.classes
    folders = list(picture_folders(path).values())
    depth = channels or max([folders[0].channels, *(folder.colours for folder in folders)])
    ranges = {kind: found for folder in reversed(folders) for kind, found in folder.ranges().items()}
    sizes = {size for folder in folders for size in folder.sizes}
    size = cropped_size(sizes) if len(sizes) > 1 else None

    halved = {f for folder in folders for f, header in zip(folder.files, folder.headers, strict=True) if header.halved}
    bright = [0]

    def read(file: Path) -> np.ndarray:
        image = read_picture(file, depth, ranges).image
        if size:
            image = ImageOps.fit(image, size[::-1], Image.Resampling.LANCZOS)
        if file in halved:
            bright.append(brightest(image))
        return np.array(image).reshape(image.height, image.width, depth)

    x = np.stack([picture for folder in folders for picture in folder.each(read) if picture is not None])
    for folder in folders:
        folder.say_halved(max(bright))
    classes = folders[0].classes
    return x, np.concatenate([folder.y for folder in folders]) if classes else None, classes


def write_texts(
    schema: TextSchema, shards: Iterable[Batch], out: Path, format: Literal["jsonl", "txt", "csv"] = "jsonl"
) -> None:
    """Write sentences in the order of their indices, in UTF-8; every file appears whole or not at all.

    Args:
        schema: of the model that made them.
        shards: any number of batches of ``index`` int64 (n,), ``x`` int64 (n, T) and ``y`` (n,); of an index that comes
            again the last counts.
        out: folder to write in, made where it is missing.
        format: ``jsonl`` writes ``samples.jsonl``, an object a line with ``text`` and, where there are classes,
            ``label``; ``csv`` writes ``samples.csv`` with the same columns; ``txt`` writes ``samples.txt``, a sentence
            a line, and where there are classes a ``.txt`` for each.

    Raises:
        InputError: a sentence with a line break is to be a line, or ``out`` cannot be a folder.
    """
    if format not in ("jsonl", "txt", "csv"):
        raise InputError(f"format must be jsonl, txt or csv, not {format}")
    make_folder(out)
    samples: dict[int, tuple[str, int]] = {}
    for batch in shards:
        rows = zip(batch["index"].tolist(), schema.decode(batch["x"]), batch["y"].tolist(), strict=True)
        samples.update((i, (text, c)) for i, text, c in rows)
    ordered = [samples[i] for i in sorted(samples)]
    if format == "txt":
        return _write_txt(schema, ordered, out)
    table = [{TEXT: text, **({LABEL: schema.class_name(c)} if schema.labelled else {})} for text, c in ordered]
    content = io.StringIO(newline="")
    if format == "jsonl":
        content.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
    else:
        writer = csv.DictWriter(content, [TEXT, LABEL] if schema.labelled else [TEXT])
        writer.writeheader()
        writer.writerows(table)
    with replacing(out / f"samples.{format}") as file:
        file.write(content.getvalue().encode())


def _write_txt(schema: TextSchema, samples: Sequence[tuple[str, int]], out: Path) -> None:
    broken = [text for text, _ in samples if "\n" in text or "\r" in text]
    if broken:
        raise InputError(f"{broken[0][:40]!r} has a line break, and a .txt is a sentence a line: choose jsonl or csv")
    for c, name in enumerate(folder_names(schema.classes) or ["samples"]):
        lines = [text for text, y in samples if y == c]
        if lines or not schema.labelled:
            with replacing(out / f"{name}.txt") as file:
                file.write("".join(f"{line}\n" for line in lines).encode())


def read_texts(path: str | Path) -> tuple[list[str], np.ndarray | None, tuple[str, ...]]:
    """Read what :func:`write_texts` wrote, or any file or folder that :class:`TextFile` reads.

    Args:
        path: of the file or folder, with the columns ``text`` and ``label``.

    Returns:
        Sentences as they stand there, empty ones too; class ids int64 (N,) or None where there are no labels; the
        classes' names.

    Raises:
        InputError: there is nothing there that can be read.
    """
    source = TextSource(path, empty="keep")
    return source.texts, source.y if source.classes else None, source.classes


def write_series(
    schema: SeriesSchema,
    shards: Iterable[Batch],
    out: Path,
    format: Literal["csv", "parquet", "npz"] = "csv",
) -> None:
    """Write series in their own units, in the order of their indices; the file appears whole or not at all.

    Args:
        schema: of the model that made them.
        shards: any number of batches of ``index`` int64 (n,), ``x`` float (n, T, F) as scaled, ``length`` (n,), ``y``
            (n,) and, where there are static attributes, ``static`` (n, S); of an index that comes again the last
            counts.
        out: folder to write in, made where it is missing.
        format: ``csv`` and ``parquet`` write ``samples.csv`` and ``samples.parquet``, a row a step, as
            :meth:`SeriesSchema.frame` says; ``npz`` writes ``samples.npz`` as :class:`SeriesArrays` reads it, ``x``
            float64 (N, T, F) with NaN beyond the length of a series.

    Raises:
        InputError: there are no samples, pyarrow is missing, or ``out`` cannot be a folder.
    """
    if format not in ("csv", "parquet", "npz"):
        raise InputError(f"format must be csv, parquet or npz, not {format}")
    if format == "npz" and schema.features > len(schema.columns):
        raise InputError("series with words cannot be written as npz: choose the format csv or parquet")
    make_folder(out)
    index, batch = _gathered(shards)
    path = out / f"samples.{format}"
    with replacing(path) as file:
        if format == "csv":
            schema.cells(schema.frame(index, batch)).to_csv(file, index=False)
        elif format == "parquet":
            try:
                schema.frame(index, batch).to_parquet(file, index=False)
            except ImportError:
                raise no_parquet(path) from None
        else:
            np.savez(file, **_series_arrays(schema, index, batch))  # type: ignore[arg-type]


def _gathered(shards: Iterable[Batch]) -> tuple[np.ndarray, Batch]:
    """The indices in order, and all rows as one batch."""
    parts = list(shards)
    if not parts:
        raise InputError("no samples to write")
    steps = max(part["x"].shape[1] for part in parts)
    parts = [{**part, "x": pad(part["x"], (0, 0, 0, steps - part["x"].shape[1]))} for part in parts]
    batch = {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}
    index, last = np.unique(batch.pop("index").numpy()[::-1], return_index=True)
    chosen = torch.from_numpy(len(batch["y"]) - 1 - last)
    return index, {name: field[chosen] for name, field in batch.items()}


def _series_arrays(schema: SeriesSchema, index: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
    values, length = schema.decode(batch["x"]), batch["length"].numpy()
    if schema.intervals:  # as in a table
        values[..., 0] = np.maximum(values[..., 0], 0.0)
        values[:, 0, 0] = 0.0
    values[np.arange(values.shape[1]) >= length[:, None]] = np.nan
    arrays = {
        "x": values,
        "lengths": length,
        "y": batch["y"].numpy(),
        "classes": np.array(schema.classes, dtype=str),
        "columns": np.array(schema.columns),
        "dtypes": np.array(schema.dtypes),
        "layout": np.array("NTF"),
        "index": index,
    }
    if schema.static:
        static = schema.decode_static(batch["static"])
        arrays["static_columns"] = np.array(schema.static)
        arrays |= {f"static_{k}": col.astype(str) if col.dtype == object else col for k, col in enumerate(static)}
    return arrays


def read_series(path: str | Path, schema: SeriesSchema) -> tuple[Batch, bool]:
    """Read series that :func:`write_series` wrote, or tables and arrays of the same columns, scaled as by a schema.

    Args:
        path: of a ``.csv`` or ``.parquet`` in long form, of an ``.npz`` as :class:`SeriesArrays` reads it, both splits
            of which are joined, or of a folder that holds ``samples.csv``, ``.parquet`` or ``.npz``.
        schema: of the data that they are like: it names the columns of tables.

    Returns:
        Rows as the data's are stored: ``x`` float32 (N, T, F), ``length``, ``y`` in the data's class ids, 0 where
        either has no classes, and ``static`` where the data have it; and whether the samples have labels.

    Raises:
        InputError: they cannot be read, have other columns or classes than the data, or are longer.
    """
    path = Path(path)
    if path.is_dir() and (path / "samples.npz").is_file():
        path = path / "samples.npz"
    if path.suffix.lower() == ".npz" and not path.is_dir():
        source = SeriesSource(path)
        columns, classes, static = source.columns, source.classes, source.static
        parts = [source.rows[split] for split in source.splits]
    else:
        path, _ = find(path)
        table = SeriesTable(path, Roles.of(schema))
        columns, classes, static = table.columns, table.classes, table.roles.static
        known = {table.roles.id, table.roles.time, table.label_column, *columns, *static}
        more = [name for name in table.table.names if name not in known]
        if more:
            raise InputError(f"{path}: the samples have a column {more[0]}, the data have none: leave it out")
        parts = [cut(table, None, 1)[0]]
    for found, wanted, what in ((columns, schema.columns, "columns"), (static, schema.static, "attributes")):
        if found != wanted:
            raise InputError(
                f"{path}: the samples have the {what} {', '.join(found) or '(none)'}, the data"
                f" {', '.join(wanted) or '(none)'}"
            )
    batches: list[Batch] = []
    for rows in parts:
        if rows.length.max() > schema.length:
            k = int(rows.length.argmax())
            raise InputError(
                f"{path}: series {k} has {rows.length[k]} steps, the data's longest {schema.length}: cut it, or choose"
                " other samples"
            )
        x = schema.encode(rows.values[:, : schema.length], rows.length)
        batch = {
            "x": pad(x, (0, 0, 0, schema.length - x.shape[1])),
            "length": torch.from_numpy(rows.length.astype(np.int64)),
            "y": _known(schema, rows.y, classes, path),
        }
        if static:
            try:
                batch["static"] = schema.encode_static(rows.static)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
        batches.append(batch)
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}, bool(classes)


def _known(schema: SeriesSchema, y: np.ndarray, classes: tuple[str, ...], path: Path) -> Tensor:
    """The data's ids of class ids that belong to other names."""
    if not classes or not schema.labelled:
        return torch.zeros(len(y), dtype=torch.long)
    others = [name for name in classes if name not in schema.classes]
    if others:
        raise InputError(f"{path}: {unknown(others[0], 'the data', schema.classes)}")
    return torch.tensor([schema.class_id(name) for name in classes])[torch.from_numpy(y)]
