"""Folders of pictures: which files, of which classes and groups, sizes and modes, and the range of their pixels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, reduce
from operator import or_
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.errors import InputError
from datamodules.files.cells import Marks
from datamodules.files.manifest import folder_names, read_manifest
from datamodules.files.table import TableFile
from datamodules.images.files import (
    ENDINGS,
    GREY,
    Header,
    Numbers,
    RangeMisfitError,
    Ranges,
    is_picture,
    read_extent,
    read_header,
    varies,
    walk,
)
from datamodules.images.ranges import Extent, Range, found_range
from datamodules.images.splits import passed_over, split_folders
from datamodules.labels import quoted, renumbered, say_alike, stripped
from datamodules.splits import SPLIT_NAMES, Split

OnError = Literal["raise", "skip"]
METADATA, FILE = "metadata.csv", "file_name"  # named as by the datasets library's ImageFolder
T = TypeVar("T")


class PictureFolder:
    """The pictures of a folder with a subfolder for each class, or of a folder without subfolders.

    Listing reads the file headers alone. The classes are the subfolders, in numeric order where all are whole numbers,
    else alphabetic; the pictures of a class may lie deeper. A ``manifest.json`` as :func:`write_manifest` leaves it
    gives the classes their names and order instead. Hidden files and files that are no pictures are passed over and
    counted.

    Args:
        path: of the folder.
        on_error: ``raise`` refuses a picture that cannot be read, ``skip`` counts it and goes on.
        label_column: of ``metadata.csv``: the class of each picture, wherever in the folder it lies.

    Raises:
        InputError: no folder, no pictures, a class without pictures, pictures beside class folders, or, with
            ``on_error="raise"``, a file whose header cannot be read.
    """

    def __init__(self, path: str | Path, on_error: OnError = "raise", label_column: str | None = None) -> None:
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
        self.files, self.y, self.classes = (
            self._listing(described) if label_column is None else self._labels(label_column)
        )
        self.headers: list[Header] = []
        headers = self.each(read_header)
        self.keep([header is not None for header in headers])
        self.headers = [header for header in headers if header is not None]
        self.sizes = {header.size for header in self.headers}
        modes = {header.mode for header in self.headers}
        if several := [file for file, header in zip(self.files, self.headers, strict=True) if header.several]:
            rank_zero_info(
                f"{self.path}: files with several pages, or an animation, of which the first picture is read:"
                f" {len(several)}, the first {several[0]}"
            )
        if described is None and label_column is None:
            self._look_inside()
        say_alike(self.classes)
        self._known = described and described.get("channels")
        self.colours = 1 if modes <= GREY else 3

    def _look_inside(self) -> None:
        """Refuse splits inside of classes, and warn of folders inside that may be the classes."""
        inner: dict[str, set[str]] = {name: set() for name in self.classes}
        for file, c in zip(self.files, self.y, strict=True) if self.classes else ():
            parts = file.relative_to(self.path).parts
            inner[self.classes[c]].add(parts[1] if len(parts) > 2 else "")
        for name, folders in inner.items():
            if len({SPLIT_NAMES[folder.casefold()] for folder in folders if folder.casefold() in SPLIT_NAMES}) > 1:
                raise InputError(
                    f"{self.path / name}: {' and '.join(sorted(folders))} look like splits inside of a class: put the"
                    " folders of the classes into folders train and test, or give these as path and test_path"
                )
        shared = set.intersection(*inner.values()) if inner else set()
        if shared and "" not in set.union(*inner.values()) and (len(inner) == 1 or len(shared) > 1):
            rank_zero_warn(
                f"{self.path}: the classes are {quoted(self.classes)}, and have folders inside, such as"
                f" {' and '.join(sorted(shared)[:2])}: where those are the classes, give the folder that holds them"
            )

    @cached_property
    def channels(self) -> int:
        """1 grey, 3 RGB; 4 with the transparency, where that varies in every picture."""
        if self._known == 4:
            return 4
        if not all(header.clear for header in self.headers):
            return self.colours
        for file in self.files:
            try:
                if not varies(file):
                    return self.colours
            except InputError:  # said when it is read for good
                continue
        rank_zero_info(f"{self.path}: every picture is transparent in parts: channels 4, with the transparency kept")
        return 4

    def ranges(self, asked: Range | None = None) -> Ranges:
        """Black and white of grey pictures that are stored in more than bytes, as asked for, or as found, and said.

        Raises:
            InputError: no range can be told.
        """
        if asked is not None:
            if any(header.numbers != "byte" for header in self.headers):
                rank_zero_info(f"{self.path}: {asked.said}")
            return {"whole": asked, "float": asked, "byte": asked}
        found: dict[Numbers, Range] = {}
        kinds: tuple[Numbers, ...] = ("whole", "float")
        for kind in kinds:
            files = [file for file, header in zip(self.files, self.headers, strict=True) if header.numbers == kind]
            extents = [extent for extent in _several(read_extent, files) if isinstance(extent, Extent)]
            if extents:
                try:
                    found[kind] = found_range(reduce(or_, extents))
                except InputError as error:
                    raise InputError(f"{self.path}: {error}") from None
                if found[kind].said:
                    rank_zero_info(f"{self.path}: {found[kind].said}; another range by value_range")
        return found

    def column(self, column: str, what: str, option: str) -> np.ndarray:
        """What a column of ``metadata.csv`` says of each picture, str (N,).

        Its column ``file_name`` gives paths inside the folder.

        Args:
            column: the name.
            what: a picture has there: a group, a label.
            option: that asks for it, for what is refused.

        Raises:
            InputError: there is no such file or column, a picture is not in it or is in it twice, or a cell is empty.
        """
        path = self.path / METADATA
        wanted = [file.relative_to(self.path).as_posix() for file in self.files]
        if not path.is_file():
            raise InputError(
                f"{option}: no file {path}: write one with the columns {FILE}, such as {wanted[0]}, and {column}"
            )
        table = TableFile(path, words={FILE, column}, marks=Marks(decimal=".", thousands=","))  # numbers are no matter
        table.require(FILE, option)
        table.require(column, option)
        rows: dict[str, int] = {}
        for row, written in enumerate(table.words(FILE)):
            name = PurePosixPath(written.strip().replace("\\", "/")).as_posix()
            if name in rows:
                raise InputError(f"{table.place(row, FILE)}: {name} is there twice: remove one of the rows")
            rows[name] = row
        missing = [name for name in wanted if name not in rows]
        if missing:
            first = next(iter(rows))
            raise InputError(
                f"{path}: no row of {len(missing)} of {len(wanted)} pictures, the first {missing[0]}: add it,"
                f" written so in {FILE}, where the first row has {first}"
            )
        if more := sorted(set(rows) - set(wanted)):
            rank_zero_info(f"{path}: rows of no picture here: {len(more)}, the first {more[0]}")
        names = stripped(table.words(column), path, lambda row: table.place(row, column), what=what)
        return np.array([names[rows[name]] for name in wanted], dtype=str)

    def _labels(self, column: str) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        """All pictures in the folder, and their classes by a column of ``metadata.csv``."""
        self.files = list(walk(self.path, Counter()))
        if not self.files:
            raise InputError(f"{self.path}: no pictures in it (looked for {' '.join(sorted(ENDINGS))})")
        names = self.column(column, "label", "label_column")
        classes = _numeric_first(sorted(set(names.tolist())))
        return self.files, np.array([classes.index(name) for name in names], dtype=np.int64), tuple(classes)

    def _say_unread(self) -> None:
        """Say which columns of ``metadata.csv``, which may be labels, are not read."""
        try:
            names = TableFile(self.path / METADATA, marks=Marks(decimal=".", thousands=",")).names
        except InputError:  # none, or one that is no matter where no groups are asked for
            return
        if others := [name for name in names if name != FILE]:
            rank_zero_info(
                f"{self.path / METADATA}: not read without the options label_column and group: {', '.join(others)}"
            )

    def _listing(self, described: dict[str, Any] | None) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        skipped: Counter[str] = Counter()
        loose, folders = [], []
        classes = tuple(str(name) for name in (described or {}).get("classes") or ())
        named = folder_names(classes)
        for entry in sorted(self.path.iterdir()):
            if entry.is_dir():
                if entry.name in named or not passed_over(entry):
                    folders.append(entry)
            elif entry.name == METADATA or (described is not None and entry.name in ("manifest.json", "grid.png")):
                continue
            elif is_picture(entry):
                loose.append(entry)
            else:
                skipped[entry.suffix.lower() or entry.name] += 1
        seen = {os.path.realpath(self.path)}  # of a link to where it lies nothing is read again
        inside = {folder.name: list(walk(folder, skipped, seen)) for folder in folders}
        if skipped:
            kinds = ", ".join(f"{n} {kind}" for kind, n in skipped.most_common(5))
            tables = f"; labels are read from {METADATA}, by label_column" if skipped[".csv"] else ""
            rank_zero_info(f"{self.path}: files that are no pictures passed over: {skipped.total()} ({kinds}){tables}")
        if not any(inside.values()):
            if not loose:
                hint = ": give the .npz file to ImageArrays" if skipped[".npz"] else ""
                raise InputError(f"{self.path}: no pictures in it (looked for {' '.join(sorted(ENDINGS))}){hint}")
            self._say_unread()
            return loose, np.zeros(len(loose), dtype=np.int64), ()
        if loose:
            raise InputError(
                f"{self.path}: of pictures beside the class folders, {len(loose)}, the first {loose[0].name}, the class"
                " is not known: move them into one, or away"
            )
        if classes:
            order = named
            others = sorted(set(inside) - set(order))
            if others:
                known = f"those that it names have {quoted(order)}"
                raise InputError(f"{self.path}: manifest.json names no class for the folder {others[0]!r}: {known}")
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
        results = _several(read, self.files)
        broken = [result for result in results if isinstance(result, InputError)]
        if beyond := [result for result in broken if isinstance(result, RangeMisfitError)]:
            raise beyond[0]
        if broken and self.on_error == "raise":
            raise InputError(f"{broken[0]}: repair or remove it, or set on_error to skip")
        if broken:
            rank_zero_info(f"{self.path}: broken pictures skipped: {len(broken)}, the first {broken[0]}")
        return [None if isinstance(result, InputError) else result for result in results]

    def say_halved(self, brightest: int) -> None:
        """Say that of colour of 16 bits 8 are read, once the pictures are.

        Args:
            brightest: byte of such colours.

        Raises:
            InputError: the upper 8 bits are hardly used.
        """
        halved = sum(header.halved for header in self.headers)
        if halved and brightest < 128:
            raise InputError(
                f"{self.path}: colour of 16 bits, of which only {8 + brightest.bit_length()} are used and the upper 8"
                " can be read: save it with 8 bits, or as arrays for ImageArrays"
            )
        if halved:
            rank_zero_warn(
                f"{self.path}: {halved} of {len(self.files)} pictures are of 16-bit colour, of which the upper 8 bits"
                " are read"
            )

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
        if self.headers:
            self.headers = [self.headers[row] for row in rows]


def _numeric_first(names: list[str]) -> list[str]:
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)


def _several(read: Callable[[Path], T], files: Sequence[Path]) -> list[T | InputError]:
    """What ``read`` makes of each file, in order, several at a time, or how it fails."""

    def attempt(file: Path) -> T | InputError:
        try:
            return read(file)
        except InputError as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes without the interpreter's lock
        return list(pool.map(attempt, files))


def picture_folders(
    path: Path, on_error: OnError = "raise", label_column: str | None = None
) -> dict[Split, PictureFolder]:
    """The folder as ``train``, or what it holds where that is the splits, with the same class ids in all."""
    splits = split_folders(path, lambda folder: any(walk(folder, Counter())))
    found = splits or {"train": path}
    folders = {role: PictureFolder(folder, on_error, label_column) for role, folder in found.items()}
    for folder in list(folders.values())[1:]:
        match_classes(folders["train"], folder)
    if splits and (loose := [file.name for file in sorted(path.iterdir()) if is_picture(file)]):
        raise InputError(f"{path}: {loose[0]} lies beside the splits: move it into one, or away")
    return folders


def match_classes(train: PictureFolder, test: PictureFolder) -> None:
    """Give the test pictures the class ids of the training pictures."""
    if train.classes and not test.classes:
        raise InputError(f"{test.path}: no class folders, but {train.path} has them: use the same folders in both")
    if train.classes or test.classes:
        y = renumbered(test.y, test.classes, train.classes, test.path, train.path)
        test.y, test.classes = y, train.classes
