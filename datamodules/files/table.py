"""Tables from .csv, .tsv, .xlsx and .parquet: columns of numbers, words and times, and where each cell stands."""

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
from datamodules.files.cells import DIGITS, ZERO_IN_FRONT, Marks, decorated, text_of
from datamodules.files.dates import Dates, read_dates, whole_dates
from datamodules.labels import is_whole
from datamodules.schema import label_ids

DATE = re.compile(r"\s*(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d\d))(?!\d)")
ENDINGS = (".csv", ".tsv", ".xlsx", ".parquet")
SPACES = re.compile(r"^[ \t]+(?=\r?$)", re.MULTILINE)  # lines of nothing else
EMPTY = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")  # how programs write no number


class TableFile:
    """A table, whose cells can be named to whoever has to put them right.

    Args:
        path: a ``.csv`` or ``.tsv`` with a header, the first sheet of an ``.xlsx``, or a ``.parquet``.
        words: columns that are read letter by letter, so that ``007`` and ``NA`` stay what they are.
        marks: how its cells are written, where it is text.

    Attributes:
        frame: the table.
        names: of its columns.
        written: of columns of text all of whose cells are numbers with as many decimals, how many.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path, words: Collection[str] = (), marks: Marks = Marks()) -> None:  # noqa: B008
        self.path, self.marks = path, marks
        if not path.exists():
            raise InputError(f"no file {path}: check the path")
        read = {".csv": self._csv, ".tsv": self._csv, ".xlsx": self._xlsx, ".parquet": self._parquet}.get(
            path.suffix.lower()
        )
        if read is None:
            raise InputError(
                f"{path}: {path.suffix or 'no ending'} is none of {', '.join(ENDINGS)}: rename or convert it"
            )
        self.written: dict[str, int] = {}
        self._lines: list[int] = []  # of each row of a .csv
        self._codes: list[str] = []  # columns of whole numbers with zeros in front
        self.frame = read(set(words))
        self.names = [str(name) for name in self.frame.columns]
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InputError(f"{path}: the column {twice[0]} is there twice: rename one")
        self.frame.columns = pd.Index(self.names)
        if not len(self.frame):
            raise InputError(f"{path}: no rows in it, only the names of {len(self.names)} columns")

    def _csv(self, words: set[str]) -> pd.DataFrame:
        content = text_of(self.path, self.marks.encoding).rstrip("\r\n") + "\n"
        self.marks, said = self.marks.found(self.path, content)
        if (self.marks.separator or ",") not in content.lstrip().split("\n", 1)[0]:  # blank lines are empty cells then
            content = SPACES.sub("", content).rstrip("\r\n") + "\n"
        names, again = self._check(content)
        if again:  # of files that were joined
            said.append(f"the header is there again {len(again)} times, first in line {again[0]}: left out")
            content = self._without_rows(content, names)
        frame = self._read(content, names, words)
        if len(frame) != len(self._lines):
            raise InputError(
                f"{self.path}: {len(self._lines)} rows, of which pandas reads {len(frame)}: check the quotes"
            )
        whole = [name for name in names if name not in words and pd.api.types.is_integer_dtype(frame[name])]
        self._codes = zeros = [name for name in whole if self._zeros_in_front(content, names, name)]
        if zeros:
            frame[zeros] = self._read(content, names, set(zeros), only=set(zeros))[zeros]
            said.append(f"numbers with zeros in front are names: {', '.join(zeros)}")
        self.written = self._decimals(content, names, frame, words)
        if said:
            rank_zero_info(f"{self.path}: {'; '.join(said)}")
        return frame

    def _read(
        self, content: str, names: list[str], words: set[str], only: set[str] | None = None, rows: int | None = None
    ) -> pd.DataFrame:
        empty = [*EMPTY, *self.marks.missing]
        options: dict[str, Any] = {
            "sep": self.marks.separator,
            "decimal": self.marks.decimal,  # thousands are left to _parsed: pandas would take 01.03.2024 for a number
            "na_values": {name: ["", *self.marks.missing] if name in words else empty for name in names},
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
        begins = re.escape(f'\n"{self.marks.separator}')
        if not re.search(rf"0(?<=[{begins}]0)\d", content):  # quick, for most files
            return False
        cells = self._read(content, names, {name}, only={name})[name].dropna()
        return any(ZERO_IN_FRONT.fullmatch(cell.strip()) for cell in cells.unique())

    def _decimals(self, content: str, names: list[str], frame: pd.DataFrame, words: set[str]) -> dict[str, int]:
        """As in ``written``; what holds no value does not count."""
        mark, group = re.escape(self.marks.decimal or "."), re.escape(self.marks.thousands or "")
        number = re.compile(rf"[+-]?[\d{group}]*{mark}(\d{{1,{DIGITS}}})")

        def same(cells: Iterable[str]) -> int:
            """How many decimals all of the numbers have; 0 where they differ, or one is no number."""
            found = {len(one[1]) if (one := number.fullmatch(cell.strip())) else 0 for cell in cells}
            return found.pop() if len(found) == 1 else 0

        there = {name: frame[name].notna().to_numpy() for name in names}
        first = self._read(content, names, set(names), rows=100)  # which settle it for most columns
        likely = {n for n in names if there[n].any() and same(first[n][there[n][: len(first)]])}
        cells = self._read(content, names, likely - words, only=likely - words) if likely - words else frame
        found = {n: same((frame if n in words else cells)[n][there[n]].unique()) for n in names if n in likely}
        return {name: decimals for name, decimals in found.items() if decimals}

    def _rows(self, content: str) -> Any:
        return csv.reader(io.StringIO(content, newline=""), strict=True, delimiter=self.marks.separator or ",")

    def _without_rows(self, content: str, names: list[str]) -> str:
        """The text without the headers behind the first."""
        kept = io.StringIO(newline="")
        writer = csv.writer(kept, delimiter=self.marks.separator or ",")
        writer.writerow(names)
        writer.writerows(fields for fields in self._rows(content) if fields != names)
        return kept.getvalue()

    def _check(self, content: str) -> tuple[list[str], list[int]]:
        """The header, and the lines where it is there again.

        Each row has as many fields, and its line is noted: pandas fills up short rows in silence.
        """
        reader = self._rows(content)
        names: list[str] = []
        again: list[int] = []
        line = 1
        try:
            for fields in reader:
                first, line = line, reader.line_num + 1
                blank = not fields or (len(fields) == 1 and fields[0].isspace())
                if blank and len(names) != 1:
                    continue
                fields = fields or [""]  # the empty cell of a single column
                if not names:
                    names = fields
                    twice = [name for name in names if names.count(name) > 1]
                    if twice:
                        raise InputError(f"{self.path}:{first}: the column {twice[0]!r} is there twice: rename one")
                elif len(fields) != len(names):
                    raise InputError(
                        f"{self.path}:{first}: {len(fields)} fields, where the header names {len(names)}: an empty cell"
                        " needs what separates it from the next, and quotes go around one that holds such a mark"
                    )
                elif fields == names:
                    again.append(first)
                else:
                    self._lines.append(first)
        except csv.Error as error:
            raise InputError(
                f"{self.path}:{line}: no CSV ({reason_of(error)}): check the quotes from there on"
            ) from None
        if not names:
            raise InputError(f"{self.path}: the file is empty: a header and rows are needed")
        return names, again

    def _parquet(self, words: set[str]) -> pd.DataFrame:
        try:
            frame = pd.read_parquet(self.path)
        except ImportError:
            raise no_parquet(self.path) from None
        except (OSError, ValueError, TypeError, NotImplementedError, KeyError) as error:  # pyarrow's errors are these
            raise InputError(
                f"{self.path}: not a .parquet that can be read ({reason_of(error)[:120]}): write it anew"
            ) from None
        return self._without(frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index())

    def _xlsx(self, words: set[str]) -> pd.DataFrame:
        try:
            with pd.ExcelFile(self.path) as book:
                sheets = [str(name) for name in book.sheet_names]
                names = book.parse(sheets[0], nrows=0).columns
                empty = {name: [""] if name in words else list(EMPTY) for name in names}  # as in a .csv
                frame = book.parse(sheets[0], dtype=dict.fromkeys(words, str), na_values=empty, keep_default_na=False)
        except ImportError:
            raise InputError(
                f"{self.path}: .xlsx needs openpyxl: pip install 'ganaug[excel]', or save a .csv"
            ) from None
        except Exception as error:  # openpyxl's are of many kinds
            raise InputError(f"{self.path}: not an .xlsx that can be read ({reason_of(error)[:120]})") from None
        if len(sheets) > 1:
            rank_zero_info(f"{self.path}: of its {len(sheets)} sheets the first is read, {sheets[0]}")
        return self._without(frame)

    def _without(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table without the cells that hold no value by ``missing``: numbers by what they are, -200.0 as -200."""
        missing = self.marks.missing
        numbers = pd.to_numeric(pd.Series(missing, dtype=object), errors="coerce").dropna()
        for name in frame.columns if missing else ():
            data = frame[name]
            empty = data.astype(str).isin(missing)
            if pd.api.types.is_numeric_dtype(data) and not pd.api.types.is_bool_dtype(data):
                empty |= data.isin(numbers)
            frame[name] = data.mask(empty)
        return frame

    # ---- places ----

    def place(self, row: int, column: str | None = None) -> str:
        """``file:line`` of a row, or for a ``.parquet`` its number, and the column."""
        where = f"{self.path}:{self._lines[row]}" if self._lines else f"{self.path}, row {row}"
        return where if column is None else f"{where}, column {column}"

    def require(self, column: str, role: str) -> None:
        """Check that there is such a column.

        Raises:
            InputError: there is none, named by the option ``role``.
        """
        if column not in self.names:
            raise InputError(f"{self.path}: no column {column}: the columns are {', '.join(self.names)}; see {role}")

    # ---- columns ----

    def wordy(self, column: str) -> bool:
        """Whether a column holds text."""
        return _wordy(self.frame[column])

    def numeric(self, column: str) -> bool:
        """Whether a column holds numbers: by its type, or as more than half of its words are some."""
        data = self.frame[column]
        if column in self._codes:
            return False
        if pd.api.types.is_numeric_dtype(data):
            return not pd.api.types.is_complex_dtype(data)
        if not _wordy(data):
            return False
        return bool(self._parsed(data).notna().sum() * 2 > data.notna().sum())

    def _parsed(self, words: pd.Series) -> pd.Series:
        """Words as numbers, by the table's marks; empty where they are none."""
        if mark := self.marks.thousands:  # between groups of three digits: 01.03.2024 and 9.9 are no such numbers
            grouped = words.str.match(rf"\D*\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+(?:\D|$)").fillna(False).astype(bool)
            words = words.where(grouped | ~words.str.contains(mark, regex=False).fillna(False).astype(bool))
            words = words.str.replace(mark, "", regex=False)
        if self.marks.decimal == ",":
            words = words.str.replace(",", ".", regex=False)
        return pd.to_numeric(words, errors="coerce")

    def counts(self, column: str, first: int | None = None) -> bool:
        """Whether all cells of a column, or the first, are numbers, and none has a zero in front, as codes have."""
        data = self.frame[column].iloc[:first]
        if not _wordy(data):
            return bool(pd.api.types.is_numeric_dtype(data))
        cells = data.dropna().astype(str).str.strip()
        numbers = self._parsed(cells).notna().all()
        return bool(len(cells) and numbers and not any(map(ZERO_IN_FRONT.fullmatch, cells.unique())))

    def beside_numbers(self, column: str) -> int | None:
        """The first row of a column of words that says that there is no number, where all others are numbers."""
        cells = self.frame[column].astype(str).str.strip()
        empty = cells.isin(EMPTY).to_numpy()
        numbers = self._parsed(cells).notna().to_numpy()
        if empty.all() or not (empty | numbers).all() or any(map(ZERO_IN_FRONT.fullmatch, cells.unique())):
            return None
        return int(empty.argmax()) if empty.any() else None

    def numbers(self, column: str, exact: bool = True) -> tuple[np.ndarray, str]:
        """A column of numbers: float64 (R,), NaN where a cell is empty, and the name of its type.

        Raises:
            InputError: a cell is none, or is infinite, or, where they are to be ``exact``, a whole number so large that
                float64 loses digits of it.
        """
        data = self.frame[column]
        if column in self._codes:
            self._refuse(column, data.str.match(ZERO_IN_FRONT).fillna(False).to_numpy(), "is a code, not a measurement")
        if not pd.api.types.is_numeric_dtype(data) or pd.api.types.is_complex_dtype(data):
            if not _wordy(data):
                raise InputError(f"{self.path}: the column {column} holds {data.dtype}, and numbers are needed")
            parsed = self._parsed(data)
            self._refuse(column, (parsed.isna() & data.notna()).to_numpy(), "is no number")
            data = parsed
        values: np.ndarray = data.to_numpy(dtype=np.float64, na_value=np.nan)
        self._refuse(column, np.isinf(values), "is no finite number")
        kind = getattr(data.dtype, "numpy_dtype", data.dtype)  # of columns that may have gaps
        if exact and kind.kind in "iuO":
            large = np.abs(values) > 2.0**53
            self._refuse(column, large, "is too large to keep all digits: leave the column out, or name it id_column")
        return values, "float64" if kind.kind == "O" else str(kind)

    def words(self, column: str, empty: bool = False) -> np.ndarray:
        """A column of names: str (R,); whole numbers as such; an empty cell is one only where that is said.

        Raises:
            InputError: a cell is empty, or a number that is not whole.
        """
        data = self.frame[column]
        if empty:
            data = data.astype(object).fillna("")
        self._refuse(column, data.isna().to_numpy(), "is empty: fill it in or remove the row")
        if pd.api.types.is_float_dtype(data):
            self._refuse(column, (data % 1 != 0).to_numpy(), "is neither a word nor a whole number")
            data = data.astype("int64")
        return np.asarray(data.astype(object).map(str).to_numpy(dtype=object))

    def times(self, column: str, style: str = "") -> tuple[np.ndarray, Dates | None]:
        """A column of times: numbers float64 (R,), or dates as microseconds since 1970, int64 (R,), and what these are.

        Args:
            column: its name.
            style: how its dates are written, where that is known.

        Raises:
            InputError: a cell is empty, or no time.
        """
        data = self.frame[column]
        self._refuse(column, data.isna().to_numpy(), "is empty: every step needs its time")
        if self.counts(column, 1):  # the rest must be as the first
            numbers = self.numbers(column, exact=False)[0]
            dates = whole_dates(numbers)
            return (numbers, None) if dates is None else (dates.times, dates)
        if not pd.api.types.is_datetime64_any_dtype(data):
            if not _wordy(data) or not isinstance(data.iloc[0], str):  # such as days without time
                parsed = pd.to_datetime(data, errors="coerce")
                self._refuse(column, parsed.isna().to_numpy(), "is neither a number nor a date")
                data = parsed
            else:
                dates = read_dates(data, lambda wrong, why: self._refuse(column, wrong, why), style)
                return dates.times, dates
        zone = "" if data.dt.tz is None else str(data.dt.tz)
        if zone:
            data = data.dt.tz_convert("UTC").dt.tz_localize(None)
        times = data.to_numpy().astype("datetime64[us]").astype(np.int64)
        return times, Dates(times, zone=zone.removeprefix("UTC") if zone[3:4] in ("+", "-") else zone)

    def dated(self, column: str) -> bool:
        """Whether all cells of a column begin as dates of numbers do, such as 2024-03-30 or 30.3.24."""
        data = self.frame[column].dropna()
        if pd.api.types.is_datetime64_any_dtype(data):
            return True
        return _wordy(data) and len(data) > 0 and all(DATE.match(str(cell)) for cell in data.unique())

    def like_numbers(self, column: str) -> str | None:
        """A cell of a column of words that are numbers but for a sign, such as a percent sign; None of others."""
        data = self.frame[column].dropna()
        if column in self._codes:
            return None
        return decorated([str(cell).strip() for cell in data.unique()[:1000]]) if _wordy(data) and len(data) else None

    def _refuse(self, column: str, wrong: np.ndarray, why: str) -> None:
        """Refuse the first cell that is wrong (R,)."""
        if wrong.any():
            row = int(wrong.argmax())
            cell = self.frame[column].iloc[row]
            raise InputError(f"{self.place(row, column)}: {'the cell' if pd.isna(cell) else repr(str(cell))} {why}")


def class_ids(words: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class ids of names (R,), and the classes: numbers in numeric order, else alphabetic."""
    codes, found = pd.factorize(words)
    ids, classes = label_ids([int(name) for name in found] if all(map(is_whole, found)) else list(found))
    return ids[codes], classes


def no_parquet(path: Path) -> InputError:
    """What to say where pyarrow is not installed."""
    return InputError(f"{path}: .parquet needs pyarrow: pip install 'ganaug[parquet]', or use .csv")


def _wordy(data: pd.Series) -> bool:
    return bool(pd.api.types.is_string_dtype(data) or pd.api.types.is_object_dtype(data))
