"""Writes samples, reads them back, and lays pictures out on a contact sheet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from datamodules.arrays import ImageSource
from datamodules.errors import InputError
from datamodules.folder import MODES, PictureFolder, cropped_side, read_picture
from datamodules.manifest import folder_names, make_folder, read_manifest, replacing, write_manifest
from datamodules.schema import ImageSchema
from datamodules.text import LABEL, TEXT, TextSource
from datamodules.tokens import TextSchema

__all__ = [
    "contact_sheet",
    "folder_names",
    "read_images",
    "read_manifest",
    "read_texts",
    "write_images",
    "write_manifest",
    "write_texts",
]

Shard = tuple[np.ndarray, Tensor, np.ndarray]


def write_images(
    schema: ImageSchema, shards: Iterable[Shard], out: Path, format: Literal["folder", "npz"] = "folder"
) -> None:
    """Write samples in the size of the source's pictures, without loss; every file appears whole or not at all.

    Args:
        schema: of the model that made them.
        shards: any number of ``(index (n,), x float (n, C, S, S) in [-1, 1], y (n,))``; an index written before is
            written over.
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
    for index, x, y in shards:
        for c in np.unique(y):
            make_folder(folders[c])
        for i, picture, c in zip(index, schema.decode(x), y, strict=True):
            with replacing(folders[c] / f"{i:08d}.png") as file:
                _image(picture).save(file, format="PNG")


def _write_npz(schema: ImageSchema, shards: Iterable[Shard], path: Path) -> None:
    index, pictures, y = [np.empty(0, np.int64)], [], [np.empty(0, np.int64)]
    pictures.append(np.empty((0, schema.height, schema.width, schema.channels), np.uint8))
    for shard_index, x, shard_y in shards:
        index.append(np.asarray(shard_index, np.int64))
        pictures.append(schema.decode(x))
        y.append(np.asarray(shard_y, np.int64))
    order = np.argsort(np.concatenate(index), kind="stable")  # the same file however the work was shared out
    x_all = np.concatenate(pictures)[order]  # (N, H, W, C)
    with replacing(path) as file:
        np.savez(
            file,
            x=x_all[..., 0] if schema.channels == 1 else x_all,
            y=np.concatenate(y)[order],
            classes=np.array(schema.classes, dtype=str),
            index=np.concatenate(index)[order],
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
        Pictures of different sizes are scaled and cropped as :class:`ImageFolder` does. Both splits of an ``.npz`` are
        joined.

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
    folder = PictureFolder(path)
    depth = channels or folder.channels
    side = cropped_side(folder.sizes) if len(set(folder.sizes)) > 1 else None

    def read(file: Path) -> np.ndarray:
        image = read_picture(file, depth)
        if side:
            image = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
        return np.array(image).reshape(image.height, image.width, depth)

    x = np.stack([picture for picture in folder.each(read) if picture is not None])
    return x, folder.y if folder.classes else None, folder.classes


def write_texts(
    schema: TextSchema, shards: Iterable[Shard], out: Path, format: Literal["jsonl", "txt", "csv"] = "jsonl"
) -> None:
    """Write sentences in the order of their indices, in UTF-8; every file appears whole or not at all.

    Args:
        schema: of the model that made them.
        shards: any number of ``(index (n,), x int64 (n, T), y (n,))``; of an index that comes again the last counts.
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
    for index, x, y in shards:
        samples.update((int(i), (text, int(c))) for i, text, c in zip(index, schema.decode(x), y, strict=True))
    ordered = [samples[i] for i in sorted(samples)]
    if format == "txt":
        return _write_txt(schema, ordered, out)
    rows = [{TEXT: text, **({LABEL: schema.class_name(c)} if schema.labelled else {})} for text, c in ordered]
    content = io.StringIO(newline="")
    if format == "jsonl":
        content.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        writer = csv.DictWriter(content, [TEXT, LABEL] if schema.labelled else [TEXT])
        writer.writeheader()
        writer.writerows(rows)
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


# ---- the contact sheet -----------------------------------------------------------------------------------------------

GAP = 4
FONT_SIZE = 12


def contact_sheet(
    pictures: np.ndarray, y: np.ndarray, schema: ImageSchema, columns: int = 10, rows: int = 40
) -> Image.Image:
    """The first samples of each class at a size that can be seen, one row a class, its name in the left margin.

    Up to ten pictures make a single strip, each under the name of its class; without classes more make a square.
    Small pictures are enlarged by a whole factor, pixel by pixel; those above 128 pixels are reduced.

    Args:
        pictures: uint8 (N, H, W, C). Of channel numbers other than 1, 3 and 4 the first channel is drawn, as grey.
        y: class ids (N,).
        schema: gives the classes their names.
        columns: most pictures of a class; without classes, of the square's side.
        rows: most classes; a line at the end says how many more there are.

    Raises:
        InputError: there are no pictures.
    """
    if not len(pictures):
        raise InputError("no pictures to lay out on a contact sheet")
    longest = max(pictures.shape[1:3])
    scale = max(1, 64 // longest) if longest <= 128 else 128 / longest
    height, width = (max(1, round(side * scale)) for side in pictures.shape[1:3])
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS

    def tile(row: int) -> Image.Image:
        return _image(pictures[row]).resize((width, height), method)

    if len(pictures) <= 10 or not schema.labelled:
        count = min(len(pictures), columns**2)
        across = count if count <= 10 else math.ceil(math.sqrt(count))
        names = [_legible(schema, c) for c in y[:count]] if schema.labelled else []
        return _grid([tile(row) for row in range(count)], across, names)

    present = np.unique(y)
    shown = [np.flatnonzero(y == c)[:columns] for c in present[:rows]]
    names = [_legible(schema, c) for c in present[:rows]]
    margin = max(_width(name) for name in names) + 2 * GAP
    more = f"and {len(present) - rows} more classes" if len(present) > rows else ""
    across = max(map(len, shown))
    sheet = _canvas(
        max(margin + across * (width + GAP), _width(more) + 2 * GAP),
        len(shown) * (max(height, _line()) + GAP) + GAP + (_line() + GAP if more else 0),
    )
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for name, members in zip(names, shown, strict=True):
        draw.text((GAP, top + (max(height, _line()) - _line()) // 2), name, fill="black", font=_font())
        for column, row in enumerate(members):
            sheet.paste(tile(row), (margin + column * (width + GAP), top))
        top += max(height, _line()) + GAP
    draw.text((GAP, top), more, fill="black", font=_font())
    return sheet


def _grid(tiles: Sequence[Image.Image], across: int, names: Sequence[str]) -> Image.Image:
    """Tiles in rows of ``across``, each under its name where there are names."""
    width, height = tiles[0].size
    above = _line() if names else 0
    cell = max([width, *(_width(name) for name in names)]) + GAP
    sheet = _canvas(across * cell + GAP, -(-len(tiles) // across) * (height + above + GAP) + GAP)
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        left, top = number % across * cell + GAP, number // across * (height + above + GAP) + GAP
        if names:
            draw.text((left, top), names[number], fill="black", font=_font())
        sheet.paste(tile, (left, top + above))
    return sheet


def _image(picture: np.ndarray) -> Image.Image:
    """A picture uint8 (H, W, C); of channel numbers that no picture file has, the first channel."""
    return Image.fromarray(picture if picture.shape[-1] in (3, 4) else np.ascontiguousarray(picture[..., 0]))


def _legible(schema: ImageSchema, class_id: int) -> str:
    """The class's name, cut short, or its number where the font that comes with Pillow lacks the script."""
    name = schema.class_name(int(class_id))
    if not name.isprintable() or any(ord(letter) > 255 for letter in name):
        return f"class {class_id}"
    return name if len(name) <= 20 else f"{name[:17]}..."


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)


def _width(text: str) -> int:
    return math.ceil(_font().getlength(text))


def _line() -> int:
    return FONT_SIZE + 4


def _canvas(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "white")
