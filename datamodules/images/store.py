"""Pictures as files: written, and read back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from datamodules.errors import InputError
from datamodules.files.manifest import folder_names, make_folder, replacing
from datamodules.images.arrays import ImageSource
from datamodules.images.files import MODES, as_image, brightest, read_picture
from datamodules.images.listing import picture_folders
from datamodules.images.schema import ImageSchema
from datamodules.images.sides import cropped_size
from datamodules.schema import Batch
from datamodules.store import Store, own_ids


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


def read_image_rows(path: Path, schema: ImageSchema) -> tuple[Batch, bool]:
    """See :func:`datamodules.store.read_samples`."""
    known: Any = schema.channels if schema.channels in (1, 3, 4) else None
    pictures, y, classes = read_images(path, channels=known)
    expected = (schema.height, schema.width, schema.channels)
    if pictures.shape[1:] != expected:
        found, wanted = (
            f"{h}×{w}" + (f" with {c} channels" if pictures.shape[3] != schema.channels else "")
            for h, w, c in (pictures.shape[1:], expected)
        )
        raise InputError(f"{path}: the samples are {found}, the data are {wanted}")
    return {
        "x": schema.encode(pictures),
        "y": own_ids(path, schema, y, classes, len(pictures)),
    }, y is not None


class ImageStore(Store):
    """Folders and ``.npz`` files of pictures."""

    kind = "image"
    formats = ("folder", "npz")

    @classmethod
    def possible(cls, schema: ImageSchema) -> tuple[str, ...]:
        """PNG has one, three or four channels."""
        return cls.formats if schema.channels in MODES else ("npz",)

    write = staticmethod(write_images)
    read = staticmethod(read_image_rows)
