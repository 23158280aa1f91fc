"""Folders of pictures: which files, of which classes, sizes and modes; ImageFolder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from datamodules.base import Split, Table
from datamodules.errors import InputError
from datamodules.images import SIZES, ImageModule
from datamodules.manifest import folder_names, read_manifest
from datamodules.schema import Batch, ImageSchema
from datamodules.splits import own_splits, split_folders

OnError = Literal["raise", "skip"]
T = TypeVar("T")

ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2", ".tga"}
    | {".pbm", ".pgm", ".ppm", ".pnm"}
)
GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 lie on their side
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class PictureFolder:
    """The pictures of a folder with a subfolder for each class, or of a folder without subfolders.

    Listing reads the file headers alone. The classes are the subfolders, in numeric order where all are whole numbers,
    else alphabetic; the pictures of a class may lie deeper. A ``manifest.json`` as :func:`write_manifest` leaves it
    gives the classes their names and order instead. Hidden files and files that are no pictures are passed over and
    counted.

    Args:
        path: of the folder.
        on_error: ``raise`` refuses a picture that cannot be read, ``skip`` counts it and goes on.

    Raises:
        InputError: no folder, no pictures, a class without pictures, pictures beside class folders, or, with
            ``on_error="raise"``, a file whose header cannot be read.
    """

    def __init__(self, path: str | Path, on_error: OnError = "raise") -> None:
        self.path = Path(path)
        self.on_error = on_error
        if not self.path.exists():
            raise InputError(f"no folder {self.path}: check the path")
        if not self.path.is_dir():
            raise InputError(
                f"{self.path} is a file: give the folder that holds the pictures, or use ImageArrays for a .npz file"
            )
        manifest = read_manifest(self.path) or {}
        described = manifest.get("schema")
        described = described if isinstance(described, dict) and described.get("kind") == "image" else None
        self.files, self.y, self.classes = self._listing(described)
        self.sizes: list[tuple[int, int]] = []  # (height, width), upright
        modes: set[str] = set()
        headers = self.each(_header)
        for header in headers:
            if header is not None:
                self.sizes.append(header[0])
                modes.add(header[1])
        self.keep([header is not None for header in headers])
        self.channels = 1 if modes <= GREY else 4 if described and described.get("channels") == 4 else 3

    def _listing(self, described: dict[str, Any] | None) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        passed_over: Counter[str] = Counter()
        loose, folders = [], []
        for entry in sorted(self.path.iterdir()):
            if entry.is_dir():
                if not entry.name.startswith((".", "__")):  # .git, __MACOSX
                    folders.append(entry)
            elif described is not None and entry.name in ("manifest.json", "grid.png"):
                continue
            elif _is_picture(entry):
                loose.append(entry)
            else:
                passed_over[entry.suffix.lower() or entry.name] += 1
        inside = {folder.name: list(_walk(folder, passed_over)) for folder in folders}
        if passed_over:
            kinds = ", ".join(f"{n} {kind}" for kind, n in passed_over.most_common(5))
            rank_zero_info(f"{self.path}: files that are no pictures passed over: {passed_over.total()} ({kinds})")
        if not any(inside.values()):
            if not loose:
                hint = ": give the .npz file to ImageArrays" if passed_over[".npz"] else ""
                raise InputError(f"{self.path}: no pictures in it (looked for {' '.join(sorted(ENDINGS))}){hint}")
            return loose, np.zeros(len(loose), dtype=np.int64), ()
        if loose:
            raise InputError(
                f"{self.path}: {len(loose)} pictures, the first {loose[0].name}, lie beside the class folders and have"
                " no class: move them into one, or away"
            )
        if described is not None and described.get("classes"):
            classes = tuple(str(name) for name in described["classes"])
            order = folder_names(classes)
            unknown = sorted(set(inside) - set(order))
            if unknown:
                raise InputError(f"{self.path}: manifest.json names no class for the folder {unknown[0]}")
        else:
            order = _numeric_first(list(inside))
            classes = tuple(order)
            empty = [name for name in order if not inside[name]]
            if empty:
                raise InputError(f"{self.path / empty[0]}: a class folder without pictures: fill or remove it")
        files = [file for name in order for file in inside.get(name, [])]
        y = np.repeat(np.arange(len(order)), [len(inside.get(name, [])) for name in order])
        return files, y, classes

    def each(self, read: Callable[[Path], T]) -> list[T | None]:
        """What ``read`` makes of each file, in order, several at a time; None for a broken file that is skipped."""

        def attempt(file: Path) -> T | InputError:
            try:
                return read(file)
            except InputError as error:
                return error

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes without the interpreter's lock
            results = list(pool.map(attempt, self.files))
        broken = [result for result in results if isinstance(result, InputError)]
        if broken and self.on_error == "raise":
            raise InputError(f"{broken[0]}: repair or remove it, or set on_error to skip")
        if broken:
            rank_zero_info(f"{self.path}: broken pictures skipped: {len(broken)}, the first {broken[0]}")
        return [None if isinstance(result, InputError) else result for result in results]

    def keep(self, good: Sequence[bool]) -> None:
        """Forget the other files.

        Raises:
            InputError: a class would be left without pictures.
        """
        rows = np.flatnonzero(good)
        lost = sorted(set(self.y.tolist()) - set(self.y[rows].tolist()))
        if lost:
            where = f"of class {self.classes[lost[0]]} " if self.classes else ""
            raise InputError(f"{self.path}: none of the pictures {where}can be read")
        self.files, self.y = [self.files[row] for row in rows], self.y[rows]


def read_picture(file: Path, channels: int) -> Image.Image:
    """The first picture of a file, upright, as mode L, RGB or RGBA for 1, 3 or 4 channels.

    Transparent parts are laid on black, the ground that padding has, unless ``channels`` is 4. 16-bit grey is scaled
    to 8 bits over its whole range.

    Raises:
        InputError: the file cannot be read; without advice at its end.
    """
    return _pillow(file, lambda image: _upright(image, channels))


def _header(file: Path) -> tuple[tuple[int, int], str]:
    """(height, width) once upright, and Pillow's mode."""

    def read(image: Image.Image) -> tuple[tuple[int, int], str]:
        lying = _turned(image) and image.getexif().get(ORIENTATION, 1) >= 5
        return (image.size if lying else (image.height, image.width)), image.mode

    return _pillow(file, read)


def _pillow(file: Path, read: Callable[[Image.Image], T]) -> T:
    try:
        with Image.open(file) as image:
            return read(image)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders let out nearly every kind there is
        try:
            empty = not file.stat().st_size
        except OSError:
            empty = False
        reason = "the file is empty" if empty else _reason(error)
        raise InputError(f"{file}: not a picture that can be read ({reason})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no known picture format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _turned(image: Image.Image) -> bool:
    """Whether EXIF may ask for a turn: asked before decoding, for Pillow turns TIFF by itself."""
    return "exif" in image.info


def _upright(image: Image.Image, channels: int) -> Image.Image:
    turned = _turned(image)
    image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if turned:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels != 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert(MODES[channels])


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Grey in 16 bits, or in floats 0 to 1, to uint8."""
    most = 1.0 if pixels.dtype.kind == "f" else 65535.0
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= most):
        raise ValueError(f"pixels from {low:g} to {high:g}, where 0 to {most:g} is understood")
    return np.rint(pixels.astype(np.float64) * (255.0 / most)).astype(np.uint8)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".")


def _walk(folder: Path, passed_over: Counter[str]) -> Iterator[Path]:
    """The pictures in a folder and below, in order; links to folders are followed, each folder once."""
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(files):
            file = Path(root, name)
            if _is_picture(file):
                yield file
            else:
                passed_over[file.suffix.lower() or name] += 1


def _numeric_first(names: list[str]) -> list[str]:
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)


def read_square(file: Path, schema: ImageSchema, crop: bool) -> Tensor:
    """One picture as the networks see it, uint8 (channels, image_size, image_size).

    Raises:
        InputError: the file cannot be read, or, without ``crop``, is not of the schema's size.
    """
    image = read_picture(file, schema.channels)
    size = (schema.width, schema.height)
    if crop:
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    elif image.size != size:
        raise InputError(f"{file}: {image.height}×{image.width}, where its header said {size[1]}×{size[0]}")
    return schema.encode(np.array(image).reshape(1, schema.height, schema.width, schema.channels))[0]


class PictureFiles(Table):
    """Rows that are read from their files when a batch asks for them."""

    def __init__(self, files: Sequence[Path], fields: Batch, schema: ImageSchema, crop: bool) -> None:
        super().__init__(fields, transform=schema.prepare)
        self.files, self.schema, self.crop = files, schema, crop

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows, dtype=torch.long)
        files = [self.files[row] for row in self.fields["row"][index].tolist()]
        x = torch.stack([read_square(file, self.schema, self.crop) for file in files])  # (B, C, S, S)
        return self.schema.prepare({"x": x, "y": self.fields["y"][index]})

    def subset(self, rows: np.ndarray) -> PictureFiles:
        """The given rows, in the given order."""
        index = torch.from_numpy(rows)
        fields = {name: field[index] for name, field in self.fields.items()}
        return PictureFiles(self.files, fields, self.schema, self.crop)


class ImageFolder(ImageModule):
    """Pictures in a folder, with a subfolder for each class, or all together where there are no classes.

    Pictures of one size are padded or scaled to the square, and written in their own size again. Where sizes differ,
    each is scaled until its shorter side fills the square and cropped around its centre. Transparent parts are laid on
    black, EXIF turns are applied, 16-bit grey is scaled, and of an animation the first picture counts.

    Folders ``train``, ``val`` (or ``valid``, ``validation``) and ``test``, with nothing beside them, are taken as the
    splits: ``train`` and one of the others must be there. What is missing is held out of ``train``.

    Args:
        path: of the folder.
        test_path: a second folder, with classes of the same names, to test on.
        on_error: ``raise`` refuses a picture that cannot be read, ``skip`` leaves it out and counts it.
        channels: 1 grey, 3 RGB, 4 RGB and alpha. By default 1 where every picture is grey, else 3.
        in_memory: hold the pictures in memory, as bytes, instead of reading them for each batch. By default where
            they fit in a quarter of the memory that is free.
        image_size: side of the square that the networks see: 8, 16, 32, 64 or 128. By default the smallest that
            holds pictures of one size; where sizes differ, the largest not above the shortest side.
        kwargs: the options of :class:`ImageModule` and :class:`GANDataModule`.

    Raises:
        InputError: the folder cannot be used as it is. A picture cut short is only found by ``setup``.
    """

    def __init__(
        self,
        path: str | Path,
        test_path: str | Path | None = None,
        on_error: OnError = "raise",
        channels: Literal[1, 3, 4] | None = None,
        in_memory: bool | None = None,
        image_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(image_size=image_size, **kwargs)
        self.path, self.in_memory = Path(path), in_memory
        self._folders = picture_folders(self.path, on_error)
        if test_path is not None:
            if "test" in self._folders:
                raise InputError(f"test_path: {self.path} has a folder {self._folders['test'].path.name}: give one")
            self._folders["test"] = PictureFolder(test_path, on_error)
            _match_classes(self._folders["train"], self._folders["test"])
        if len(self._folders) > 1:
            counts = {role: len(folder.files) for role, folder in self._folders.items()}
            rank_zero_info(f"{self.path}: {own_splits(counts, self.test_fraction, self.val_fraction)}")
        depth = channels or max(folder.channels for folder in self._folders.values())
        sizes = {size for folder in self._folders.values() for size in folder.sizes}
        self.crop = len(sizes) > 1
        height, width = (self._crop(sizes),) * 2 if self.crop else sizes.pop()
        self.schema = self._describe(height, width, depth, self._folders["train"].classes)

    def _crop(self, sizes: set[tuple[int, int]]) -> int:
        span = " to ".join(f"{height}×{width}" for height, width in (min(sizes), max(sizes)))
        if self.fit is not None:
            raise InputError(
                f"fit: the pictures of {self.path} differ in size ({span}) and are scaled and cropped: leave fit out"
            )
        side = self.image_size or cropped_side(sizes)
        rank_zero_info(
            f"{self.path}: sizes differ ({span}, height×width): each picture is scaled and cropped to {side}×{side}"
        )
        return side

    def load(self) -> tuple[Table, Table | None, Table | None]:
        """The pictures of ``path``, or of its ``train``, and those of its own splits; every file is read once, so that
        none fails later.
        """
        tables = {role: self._rows(folder) for role, folder in self._folders.items()}
        return tables["train"], tables.get("test"), tables.get("val")

    def _rows(self, folder: PictureFolder) -> Table:
        in_memory = self._fits(len(folder.files))

        def read(file: Path) -> Tensor:
            picture = read_square(file, self.schema, self.crop)
            return picture if in_memory else picture[:0].clone()  # not in memory: only to see that it can be read

        pictures = folder.each(read)
        folder.keep([picture is not None for picture in pictures])
        y = torch.from_numpy(folder.y)
        if not in_memory:
            return PictureFiles(folder.files, {"row": torch.arange(len(y)), "y": y}, self.schema, self.crop)
        x = torch.stack([picture for picture in pictures if picture is not None])  # (N, C, S, S) uint8
        return Table({"x": x, "y": y}, transform=self.schema.prepare)

    def _fits(self, rows: int) -> bool:
        if self.in_memory is not None or "SC_AVPHYS_PAGES" not in os.sysconf_names:  # macOS does not say
            return self.in_memory is not False
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return rows * self.schema.channels * self.schema.image_size**2 <= free // 4


def picture_folders(path: Path, on_error: OnError = "raise") -> dict[Split, PictureFolder]:
    """The folder as ``train``, or what it holds where that is the splits, with the same class ids in all."""
    splits = split_folders(path, lambda folder: any(_walk(folder, Counter())))
    folders = {role: PictureFolder(folder, on_error) for role, folder in (splits or {"train": path}).items()}
    for folder in list(folders.values())[1:]:
        _match_classes(folders["train"], folder)
    if splits and (loose := [file.name for file in sorted(path.iterdir()) if _is_picture(file)]):
        raise InputError(f"{path}: {loose[0]} lies beside the splits: move it into one, or away")
    return folders


def cropped_side(sizes: Collection[tuple[int, int]]) -> int:
    """The side that pictures of different sizes are cropped to: the largest that enlarges none of them."""
    shortest = min(min(size) for size in sizes)
    return max([side for side in SIZES if side <= shortest], default=SIZES[0])


def _match_classes(train: PictureFolder, test: PictureFolder) -> None:
    """Give the test pictures the class ids of the training pictures."""
    unknown = sorted(set(test.classes) - set(train.classes))
    if unknown:
        raise InputError(f"{test.path}: the class {unknown[0]} is not among those of {train.path}")
    if train.classes and not test.classes:
        raise InputError(f"{test.path}: no class folders, but {train.path} has them: use the same folders in both")
    if train.classes:
        ids = np.array([train.classes.index(name) for name in test.classes])
        test.y, test.classes = ids[test.y], train.classes
