"""Tables as text: .csv and .tsv, whose every row has as many cells as the header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch.utilities import rank_zero_info

from datamodules.errors import InputError, reason_of
from datamodules.files.cells import DIGITS, SEP_LINE, ZERO_IN_FRONT, Marks, text_of

SPACES = re.compile(r"^[ \t]+(?=\r?$)", re.MULTILINE)  # lines of nothing else
EMPTY = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")  # how programs write no number


class Delimited:
    """A table of text, checked row by row and read by pandas.

    Args:
        path: of the file.
        words: columns that are read letter by letter, so that ``007`` and ``NA`` stay what they are.
        states: columns that are read letter by letter, too, but in which ``NA`` and its like are empty.
        marks: how its cells are written.

    Attributes:
        frame: the table.
        marks: those that were given, and those that were found out.
        lines: of each row, where it begins in the file.
        codes: columns of whole numbers with zeros in front.
        written: of columns all of whose cells are numbers with as many decimals, how many.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path, words: Collection[str], states: Collection[str], marks: Marks) -> None:
        self.path, self.letters, self.states = path, {*words, *states}, set(states)
        content = text_of(path, marks.encoding).rstrip("\r\n") + "\n"
        self.marks, said = marks.found(path, content, self.letters)
        above = SEP_LINE.match(content)
        content = content[above.end() if above else 0 :]
        if (self.marks.separator or ",") not in content.lstrip().split("\n", 1)[0]:  # blank lines are empty cells then
            content = SPACES.sub("", content).rstrip("\r\n") + "\n"
        self.lines: list[int] = []
        names, again = self._check(content, 1 if above else 0)
        if again:  # of files that were joined
            said.append(f"the header is there again {len(again)} times, first in line {again[0]}: left out")
            content = self._without_rows(content, names)
        self.frame = frame = self._read(content, names, self.letters)
        if len(frame) != len(self.lines):
            raise InputError(f"{path}: {len(self.lines)} rows, of which pandas reads {len(frame)}: check the quotes")
        whole = [name for name in names if name not in self.letters and pd.api.types.is_integer_dtype(frame[name])]
        self.codes = zeros = [name for name in whole if self._zeros_in_front(content, names, name)]
        if zeros:
            frame[zeros] = self._read(content, names, set(zeros), only=set(zeros))[zeros]
            said.append(f"numbers with zeros in front are names: {', '.join(zeros)}")
        self.written = self._decimals(content, names)
        if said:
            rank_zero_info(f"{path}: {'; '.join(said)}")

    def _read(
        self, content: str, names: list[str], words: set[str], only: set[str] | None = None, rows: int | None = None
    ) -> pd.DataFrame:
        empty = [*EMPTY, *self.marks.missing]
        options: dict[str, Any] = {
            "sep": self.marks.separator,
            "decimal": self.marks.decimal,  # thousands are left to TableFile: pandas would take 01.03.2024 for a number
            "na_values": {name: [""] if name in self.letters - self.states else empty for name in names},
            "keep_default_na": False,
            "dtype": {name: str for name in names if name in words},
            "dtype_backend": "numpy_nullable",  # whole numbers stay whole beside empty cells
            # The number that the digits mean, to the last bit, as pandas 3 reads by itself.
            **({"float_precision": "round_trip"} if int(pd.__version__.split(".")[0]) < 3 else {}),
            "low_memory": False,  # guess the type of a column from all of it
            "skip_blank_lines": len(names) > 1,  # else they are empty cells
            "usecols": None if only is None else sorted(only, key=names.index),
            "nrows": rows,
        }
        try:
            return pd.read_csv(io.StringIO(content.lstrip("\r\n")), header=0, names=names, index_col=False, **options)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{self.path}: pandas cannot read it ({reason_of(error)})") from None

    def _zeros_in_front(self, content: str, names: list[str], name: str) -> bool:
        begins = re.escape(f'\r\n "{self.marks.separator}')
        if not re.search(rf"0(?<=[{begins}]0)\d", content):  # quick, for most files
            return False
        cells = self._read(content, names, {name}, only={name})[name].dropna()
        return any(ZERO_IN_FRONT.fullmatch(cell.strip()) for cell in cells.unique())

    def _decimals(self, content: str, names: list[str]) -> dict[str, int]:
        """As in ``written``; what holds no value does not count."""
        mark, group = re.escape(self.marks.decimal or "."), re.escape(self.marks.thousands or "")
        number = re.compile(rf"[+-]?[\d{group}]*{mark}(\d{{1,{DIGITS}}})")

        def same(cells: Iterable[str]) -> int:
            """How many decimals all of the numbers have; 0 where they differ, or one is no number."""
            found = {len(one[1]) if (one := number.fullmatch(cell.strip())) else 0 for cell in cells}
            return found.pop() if len(found) == 1 else 0

        there = {name: self.frame[name].notna().to_numpy() for name in names}
        first = self._read(content, names, set(names), rows=100)  # which settle it for most columns
        likely = {n for n in names if there[n].any() and same(first[n][there[n][: len(first)]])}
        others = likely - self.letters
        cells = self._read(content, names, others, only=others) if others else self.frame
        found = {n: same((cells if n in others else self.frame)[n][there[n]].unique()) for n in names if n in likely}
        return {name: decimals for name, decimals in found.items() if decimals}

    def _rows(self, content: str) -> Any:
        return csv.reader(io.StringIO(content, newline=""), strict=True, delimiter=self.marks.separator or ",")

    def _without_rows(self, content: str, names: list[str]) -> str:
        """The text without the headers behind the first."""
        kept = io.StringIO(newline="")
        writer = csv.writer(kept, delimiter=self.marks.separator or ",")
        writer.writerow(names)
        writer.writerows(fields for fields in self._rows(content) if _names(fields) != names)
        return kept.getvalue()

    def _check(self, content: str, above: int) -> tuple[list[str], list[int]]:
        """The header, behind so many lines, and the lines where it is there again.

        Each row has as many fields, and its line is noted: pandas fills up short rows in silence.
        """
        reader = self._rows(content)
        names: list[str] = []
        again: list[int] = []
        line = 1 + above
        try:
            for fields in reader:
                first, line = line, reader.line_num + 1 + above
                blank = not fields or (len(fields) == 1 and fields[0].isspace())
                if blank and len(names) != 1:
                    continue
                fields = fields or [""]  # the empty cell of a single column
                if not names:
                    names = self._header(fields, first)
                elif len(fields) != len(names):
                    raise InputError(
                        f"{self.path}:{first}: {len(fields)} fields, where the header names {len(names)}: an empty cell"
                        " needs what separates it from the next, and quotes go around one that holds such a mark"
                    )
                elif _names(fields) == names:
                    again.append(first)
                else:
                    self.lines.append(first)
        except csv.Error as error:
            raise InputError(
                f"{self.path}:{line}: no CSV ({reason_of(error)}): check the quotes from there on"
            ) from None
        if not names:
            raise InputError(f"{self.path}: the file is empty: a header and rows are needed")
        return names, again

    def _header(self, fields: list[str], line: int) -> list[str]:
        names = _names(fields)
        if _is_data(names, self.marks.decimal):
            raise InputError(
                f"{self.path}:{line}: {', '.join(names[:4])}{', …' if names[4:] else ''} are numbers, where the names"
                " of the columns are needed: put a line of names above them"
            )
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError(f"{self.path}:{line}: the column {twice[0]!r} is there twice: rename one")
        return names


def _names(fields: list[str]) -> list[str]:
    """Names without the white space around them."""
    return [name.strip() for name in fields]


def _is_data(names: list[str], decimal: str | None) -> bool:
    """Whether a first row is numbers that are no times at equal steps, by which wide tables name their columns."""
    try:
        numbers = np.array([float(name.replace(",", ".") if decimal == "," else name) for name in names])
    except ValueError:
        return False
    steps = np.diff(numbers)
    whole = (numbers == np.round(numbers)).all()
    even = bool((steps > 0).all() and np.allclose(steps, steps[:1]))
    return not (even and (whole or len(numbers) > 2))
