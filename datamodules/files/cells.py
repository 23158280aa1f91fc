"""How a file writes its cells: what separates them, what numbers look like, and how many decimals they have."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from datamodules.errors import InputError

Separator = Literal[",", ";", "\t", "|"]
SEPARATORS: dict[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LOOKED_AT, LETTERS = 2000, 4_000_000  # rows and letters by which marks are found out, at most
DIGITS = 12  # most decimals that are taken for a column's own; float64 has hardly more
GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
GROUPED_WITH_POINT = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+")
GROUPED_WITH_COMMA = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+")
GROUPED_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
DECORATED = re.compile(
    r"[^\w\s.+-]?\s?[+-]?\d[\d.,'\u00a0\u202f ]*([eE][+-]?\d+)?\s?[^\w\s]{0,2}"
)  # such as 3.5% or $ 1 250
ZERO_IN_FRONT = re.compile(r"[+-]?0\d+")
SEP_LINE = re.compile(r"sep=([,;\t|])\r?\n")  # by which Excel is told what separates the cells
csv.field_size_limit(2**31 - 1)  # Python's own is 131,072 letters


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How a table writes its cells; None for what is to be found out.

    Args:
        separator: between cells.
        decimal, thousands: marks in numbers.
        encoding: of the file; by default UTF-8, or UTF-16 where the file begins with its mark.
        missing: cells besides the empty one that hold no value, as they are written.
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse marks that cannot be.

        Raises:
            InputError: naming the option.
        """
        marks = {"separator": SEPARATORS, "decimal": (".", ","), "thousands": (",", ".", "'", " ", "_")}
        for name, known in marks.items():
            if (given := getattr(self, name)) is not None and given not in known:
                raise InputError(f"{name} must be one of {' '.join(map(repr, known))}, not {given!r}")
        if self.decimal is not None and self.decimal == self.thousands:
            raise InputError(f"decimal and thousands are both {self.decimal!r}")
        if self.encoding is not None:
            codec_of(self.encoding)

    def found(self, path: Path, content: str, words: Collection[str] = ()) -> tuple[Marks, list[str]]:
        """All marks, those that were left out found out; and what was found, for a line.

        Args:
            path: of the file.
            content: what it holds.
            words: columns in which there may be none, which are left out where there is doubt.

        Raises:
            InputError: there is doubt, with the cell that may be read in two ways.
        """
        said: list[str] = []
        separator = self.separator
        if separator is None:
            above = SEP_LINE.match(content)
            separator = above[1] if above else "\t" if path.suffix.lower() == ".tsv" else _separator(path, content)
            if separator != {".tsv": "\t"}.get(path.suffix.lower(), ","):
                said.append(f"cells are separated by {SEPARATORS[separator]}")
        marks = replace(self, separator=separator)
        if self.decimal is None and self.thousands is None:
            try:
                decimal, thousands, cell = _numbers(path, content, separator, ())
            except InputError:
                if not words:
                    raise
                decimal, thousands, cell = _numbers(path, content, separator, words)
            marks = replace(marks, decimal=decimal, thousands=thousands)
            if cell:
                grouped = f", with {thousands!r} between thousands" if thousands else ""
                said.append(f"numbers like {cell!r} have a decimal {'comma' if decimal == ',' else 'point'}{grouped}")
        decimal = marks.decimal or ("," if marks.thousands == "." else ".")
        return replace(marks, decimal=decimal), said


def text_of(file: Path, encoding: str | None = None) -> str:
    """What a file holds, without a byte order mark.

    Args:
        encoding: by default UTF-8, or UTF-16 where the file begins with its mark.

    Raises:
        InputError: it cannot be read, or not in this encoding.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if encoding is None and not wide and content.count(0) * 4 > len(content):
        raise InputError(f"{file}: zero bytes between the others, as in UTF-16: name its encoding, such as utf-16-le")
    codec = codec_of(encoding or ("utf-16" if wide else "utf-8"))
    try:
        text = content.decode(codec).removeprefix("\ufeff")
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = content.count(b"\n", 0, start) + 1
        raise InputError(
            f"{file}:{line}: not {codec.upper()}, at byte {start} of the file (0x{content[start]:02x}): save the file"
            " in UTF-8, or name its encoding, such as encoding cp1252"
        ) from None
    if not codec.startswith("utf-8") and not content.isascii() and _is_utf8(content):
        rank_zero_info(f"{file}: read as {codec}, and could be UTF-8: leave encoding out if letters look wrong")
    return text


def codec_of(encoding: str) -> str:
    """Python's own name of an encoding.

    Raises:
        InputError: it knows none of this name, for text.
    """
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):  # of no encoding; of one with a zero byte in its name
        raise InputError(f"encoding: there is no {encoding!r}; usual are utf-8, utf-16, cp1252 and gb18030") from None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _rows(content: str, separator: str) -> list[list[str]]:
    """The first rows that have cells."""
    reader = csv.reader(io.StringIO(content[:LETTERS], newline=""), delimiter=separator)
    rows = list(islice((row for row in reader if row and not (len(row) == 1 and row[0].isspace())), LOOKED_AT))
    return rows[:-1] if len(content) > LETTERS and 1 < len(rows) < LOOKED_AT else rows  # the last may be cut short


def _separator(path: Path, content: str) -> str:
    """The mark by which every row has as many cells as the header, and more than one, or else the only one by which
    most have; a comma where there is none.
    """
    fits, nearly = [], []
    for mark in SEPARATORS:
        counts = [len(row) for row in _rows(content, mark)]
        same = counts.count(counts[0]) if counts and counts[0] > 1 else 0
        if same and same == len(counts):
            fits.append(mark)
        if same * 2 > len(counts):
            nearly.append(mark)
    fits = fits or (nearly if len(nearly) == 1 else [])
    if len(fits) > 1:
        line = content.split("\n", 1)[0].strip()
        raise InputError(
            f"{path}:1: {line[:80]!r} may be separated by {' or by '.join(SEPARATORS[mark] for mark in fits)}: set"
            " separator"
        )
    return fits[0] if fits else ","


def _numbers(path: Path, content: str, separator: str, words: Collection[str]) -> tuple[str, str | None, str]:
    """The marks for decimals and for thousands, and a cell that says so where they are not the usual ones."""
    if separator == "," and '"' not in content:
        return ".", None, ""
    above = SEP_LINE.match(content)
    names, *rows = _rows(content[above.end() if above else 0 :], separator) or [[]]
    columns = [{row[k].strip() for row in rows if k < len(row)} for k in range(len(names))]
    read = [
        {cell for cell in column if cell[:1] in "+-0123456789." and cell[:1]}
        for name, column in zip(names, columns, strict=True)
        if name.strip() not in words
    ]
    if separator != "," and "," not in content:
        return ".", None, _with_points(path, read)
    cells = set().union(*read)

    def first(form: re.Pattern[str]) -> str:
        return next(filter(form.fullmatch, sorted(cells)), "")

    if cell := first(GROUPED_WITH_POINT):
        return ".", ",", cell
    if cell := first(GROUPED_WITH_COMMA):
        return ",", ".", cell
    commas = [cell for cell in sorted(cells) if COMMA.fullmatch(cell) and not GROUPED.fullmatch(cell)]
    if commas and (point := first(POINT)):
        raise InputError(f"{path}: {commas[0]!r} and {point!r}: which mark has the decimals? set decimal")
    if commas:
        return ",", None, commas[0]
    if cell := first(GROUPED):
        raise InputError(
            f"{path}: {cell!r} may be {cell.replace(',', '')} or {cell.replace(',', '.', 1)}: set thousands to ',' or"
            " decimal to ','"
        )
    return ".", None, ""


def _with_points(path: Path, columns: list[set[str]]) -> str:
    """A cell of a table without commas that has a decimal point, where the points could divide thousands, else none.

    Raises:
        InputError: they may well: the only cells of their column without one are whole numbers below 1,000.
    """
    said = ""
    for cells in columns:
        points = sorted(cell for cell in cells if "." in cell)
        if not points or not all(map(GROUPED_BY_POINT.fullmatch, points)):
            continue
        cell, whole = points[0], [other for other in cells if "." not in other]
        if whole and all(other.lstrip("+-").isdigit() and len(other.lstrip("+-")) < 4 for other in whole):
            raise InputError(
                f"{path}: {cell!r}, beside {min(whole)!r}, may be {cell.replace('.', '')} or {cell}: set thousands to"
                " '.' or decimal to '.'"
            )
        said = said or cell
    return said


def decorated(cell: str) -> bool:
    """Whether a cell is a number, or but for a sign, such as a percent sign."""
    return DECORATED.fullmatch(cell) is not None


def decimals_of(values: np.ndarray, dtype: str = "float64") -> int:
    """The least number of decimals that all numbers have; -1 where it is more than can be told.

    Args:
        values: float64 (R,); what is not finite does not count.
        dtype: that they came in: digits beyond those of float32 are none of the source's.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return -1
    if np.dtype(dtype).kind != "f":
        return 0
    single = np.dtype(dtype) == np.float32
    limit = 2.0 ** (24 if single else 53) / max(1.0, float(np.abs(values).max()))
    for decimals in range(DIGITS + 1):
        scale = 10.0**decimals
        if scale > limit:
            break
        if all(_equal(np.rint(part * scale) / scale, part, single) for part in (values[:64], values)):
            return decimals
    return -1


def _equal(a: np.ndarray, b: np.ndarray, single: bool) -> bool:
    return bool((a.astype(np.float32) == b.astype(np.float32)).all() if single else (a == b).all())


def rounded(values: np.ndarray, decimals: int) -> np.ndarray:
    """Values with so many decimals, each the number that its digits mean; as they are where there are -1."""
    if decimals < 0:
        return values
    whole: np.ndarray = np.rint(values * 10.0**decimals) / 10.0**decimals + 0.0  # of -0.0, 0.0
    return whole
