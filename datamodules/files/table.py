"""Tables from .csv, .tsv, .xlsx and .parquet: columns of numbers, words and times, and where each cell stands."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from lightning.pytorch.utilities import rank_zero_info

from datamodules.errors import InputError, reason_of
from datamodules.files.cells import ZERO_IN_FRONT, Marks, decorated
from datamodules.files.dates import Dates, read_dates, whole_dates
from datamodules.files.delimited import EMPTY, Delimited

DATE = re.compile(r"\s*(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d\d))(?!\d)")
ENDINGS = (".csv", ".tsv", ".xlsx", ".parquet")


class TableFile:
    """A table, whose cells can be named to whoever has to put them right.

    Args:
        path: a ``.csv`` or ``.tsv`` with a header, the first sheet of an ``.xlsx``, or a ``.parquet``.
        words: columns that are read letter by letter, so that ``007`` and ``NA`` stay what they are.
        states: columns that are read letter by letter, too, but in which ``NA`` and its like are empty.
        marks: how its cells are written, where it is text.

    Attributes:
        frame: the table.
        names: of its columns.
        written: of columns of text all of whose cells are numbers with as many decimals, how many.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(
        self,
        path: Path,
        words: Collection[str] = (),
        marks: Marks = Marks(),  # noqa: B008
        states: Collection[str] = (),
    ) -> None:
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
        self._lines: list[int] = []  # of each row of a .csv or .xlsx
        self._codes: list[str] = []  # columns of whole numbers with zeros in front
        self.frame = read(set(words), set(states))
        self.names = [str(name).strip() for name in self.frame.columns]
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InputError(f"{path}: the column {twice[0]} is there twice: rename one")
        self.frame.columns = pd.Index(self.names)
        self.frame = self._without(self.frame, set(words))
        if not len(self.frame):
            raise InputError(f"{path}: no rows in it, only the names of {len(self.names)} columns")

    def _csv(self, words: set[str], states: set[str]) -> pd.DataFrame:
        text = Delimited(self.path, words, states, self.marks)
        self.marks, self.written, self._lines, self._codes = text.marks, text.written, text.lines, text.codes
        return text.frame

    def _parquet(self, words: set[str], states: set[str]) -> pd.DataFrame:
        try:
            frame = pd.read_parquet(self.path, dtype_backend="numpy_nullable")  # whole stays whole beside empty cells
        except ImportError:
            raise no_parquet(self.path) from None
        except (OSError, ValueError, TypeError, NotImplementedError, KeyError) as error:  # pyarrow's errors are these
            raise InputError(
                f"{self.path}: not a .parquet that can be read ({reason_of(error)[:120]}): write it anew"
            ) from None
        frame = frame.astype({n: object for n, kind in frame.dtypes.items() if isinstance(kind, pd.CategoricalDtype)})
        if not isinstance(frame.index, pd.RangeIndex):
            nameless = frame.index.names == [None] and pd.api.types.is_integer_dtype(frame.index)
            if nameless:
                rank_zero_info(f"{self.path}: the numbers of its rows, an index without a name, are left out")
            frame = frame.reset_index(drop=nameless)
        return frame

    def _xlsx(self, words: set[str], states: set[str]) -> pd.DataFrame:
        try:
            with pd.ExcelFile(self.path) as book:
                sheets = [str(name) for name in book.sheet_names]
                above = book.parse(sheets[0], header=None, nrows=1, keep_default_na=False)
                names = [] if above.empty else above.iloc[0].tolist()
                places = {k: "" if pd.isna(name) else str(name).strip() for k, name in enumerate(names)}
                frame = book.parse(
                    sheets[0],
                    header=None,
                    skiprows=1,
                    dtype={k: str for k, name in places.items() if name in {*words, *states}},
                    na_values={k: [""] if name in words else list(EMPTY) for k, name in places.items()},  # as in a .csv
                    keep_default_na=False,
                    dtype_backend="numpy_nullable",
                )
        except ImportError:
            raise InputError(
                f"{self.path}: .xlsx needs openpyxl: pip install 'ganaug[excel]', or save a .csv"
            ) from None
        except Exception as error:  # openpyxl's are of many kinds
            raise InputError(f"{self.path}: not an .xlsx that can be read ({reason_of(error)[:120]})") from None
        if len(sheets) > 1:
            rank_zero_info(
                f"{self.path}: of its {len(sheets)} sheets the first is read, {sheets[0]}; save another as a file"
            )
        self._lines = list(range(2, len(frame) + 2))
        frame = frame.rename(columns={k: places.get(k, "") for k in frame.columns})
        there = [bool(name) or bool(data.notna().any()) for name, data in frame.items()]
        return frame.loc[:, there]

    def _without(self, frame: pd.DataFrame, words: set[str]) -> pd.DataFrame:
        """The table without the cells that hold no value by ``missing``: numbers by what they are, -200.0 as -200."""
        missing = self.marks.missing
        numbers = pd.to_numeric(pd.Series(missing, dtype=object), errors="coerce").dropna()
        for name in (name for name in frame.columns if missing and name not in words):
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
        if pd.api.types.is_numeric_dtype(data):
            return not pd.api.types.is_complex_dtype(data)
        if not _wordy(data) or self._coded(column):
            return False
        return bool(self._parsed(data).notna().sum() * 2 > data.notna().sum())

    def _coded(self, column: str) -> bool:
        """Whether a column of words has one with a zero in front, as codes have."""
        return column in self._codes or any(
            ZERO_IN_FRONT.fullmatch(str(c).strip()) for c in self.frame[column].unique()
        )

    def _parsed(self, words: pd.Series) -> pd.Series:
        """Words as numbers, by the table's marks; empty where they are none."""
        words = words.where(words.isna(), words.astype(str))  # an .xlsx has numbers beside texts in a column
        if self.marks.thousands == " ":
            words = words.str.replace(r"[\u00a0\u202f]", " ", regex=True)
        if mark := self.marks.thousands:  # between groups of three digits: 01.03.2024 and 9.9 are no such numbers
            grouped = words.str.match(rf"\D*\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+(?:\D|$)").fillna(False).astype(bool)
            words = words.where(grouped | ~words.str.contains(mark, regex=False).fillna(False).astype(bool))
            words = words.str.replace(mark, "", regex=False)
        if self.marks.decimal == ",":  # a point is no mark then: 1.234 may be meant for 1234
            words = words.where(~words.str.contains(".", regex=False).fillna(False).astype(bool))
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
        """The first row of a column of words that says that there is no number, as ``NA`` and ``?`` do, where all
        others are numbers.
        """
        cells = self.frame[column].astype(str).str.strip()
        empty = (cells.isin(EMPTY) | ~cells.str.contains(r"\w", regex=True)).to_numpy()
        numbers = self._parsed(cells).notna().to_numpy()
        if empty.all() or not (empty | numbers).all() or self._coded(column):
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
        large = np.abs(values) > 2.0**53
        if kind.kind == "f" and large.any():  # of more than 64 bits whole numbers come as text
            large &= self.frame[column].astype(str).str.fullmatch(r"\s*[+-]?\d+\s*").to_numpy(dtype=bool)
        if exact:
            self._refuse(column, large, "is too large to keep all digits: leave the column out, or name it id_column")
        return values, "float64" if kind.kind == "O" else str(kind)

    def words(self, column: str, empty: bool = False) -> np.ndarray:
        """A column of names: str (R,); whole numbers as such; an empty cell is one only where that is said.

        Raises:
            InputError: a cell is empty, or a number that is not whole, or no text at all.
        """
        data = self.frame[column]
        if pd.api.types.is_float_dtype(data):
            odd, large = (data % 1 != 0) & data.notna(), (data.abs() > 2.0**53) & data.notna()
            self._refuse(column, odd.to_numpy(dtype=bool), "is neither a word nor a whole number")
            self._refuse(column, large.to_numpy(dtype=bool), "is too large to keep all digits: write it as text")
            data = data.astype("Int64")
        if empty:
            data = data.astype(object).fillna("")
        self._refuse(column, data.isna().to_numpy(), "is empty: fill it in or remove the row")
        if pd.api.types.is_object_dtype(data):
            other = np.array([isinstance(cell, bytes | list | dict | np.ndarray) for cell in data], dtype=bool)
            self._refuse(column, other, "is no text: write it as a string")
        return np.asarray(data.astype(object).map(str).to_numpy(dtype=object))

    def times(self, column: str, style: str = "") -> tuple[np.ndarray, Dates | None]:
        """A column of times: numbers, float64 or int64 (R,), or dates as microseconds since 1970, int64 (R,), and what
        these are.

        Args:
            column: its name.
            style: how its dates are written, where that is known.

        Raises:
            InputError: a cell is empty, or no time.
        """
        data = self.frame[column]
        self._refuse(column, data.isna().to_numpy(), "is empty: every step needs its time")
        if self.counts(column, 1):  # the rest must be as the first
            read = self._parsed(data) if _wordy(data) else data
            whole = pd.api.types.is_integer_dtype(read) and bool((read.abs() < 2**63).all())  # float64 has fewer digits
            numbers = read.to_numpy(np.int64) if whole else self.numbers(column, exact=False)[0]
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
        fine = (data != data.dt.floor("us")).to_numpy()
        self._refuse(column, fine, "is finer than a microsecond: give times as whole numbers")
        times = data.to_numpy().astype("datetime64[us]").astype(np.int64)
        return times, Dates(times, zone=zone.removeprefix("UTC") if zone[3:4] in ("+", "-") else zone)

    def dated(self, column: str) -> bool:
        """Whether all cells of a column begin as dates of numbers do, such as 2024-03-30 or 30.3.24."""
        data = self.frame[column].dropna()
        if pd.api.types.is_datetime64_any_dtype(data):
            return True
        return _wordy(data) and len(data) > 0 and all(DATE.match(str(cell)) for cell in data.unique())

    def like_numbers(self, column: str) -> str | None:
        """A cell that is no number in a column of words that are numbers, or but for a sign, such as a percent sign;
        None of other columns.
        """
        data = self.frame[column].dropna()
        if not _wordy(data) or not len(data) or self._coded(column):
            return None
        cells = pd.Series([str(cell).strip() for cell in data.unique()[:1000]])
        looks = cells.map(decorated)
        odd = cells[self._parsed(cells).isna()]
        return str((odd[looks] if looks[odd.index].any() else odd).iloc[0]) if looks.sum() * 2 > len(cells) else None

    def _refuse(self, column: str, wrong: np.ndarray, why: str) -> None:
        """Refuse the first cell that is wrong (R,)."""
        if wrong.any():
            row = int(wrong.argmax())
            cell = self.frame[column].iloc[row]
            raise InputError(f"{self.place(row, column)}: {'the cell' if pd.isna(cell) else repr(str(cell))} {why}")


def no_parquet(path: Path) -> InputError:
    """What to say where pyarrow is not installed."""
    return InputError(f"{path}: .parquet needs pyarrow: pip install 'ganaug[parquet]', or use .csv")


def _wordy(data: pd.Series) -> bool:
    """Whether a column holds text, or what is written as text; not so lists and the like."""
    if pd.api.types.is_object_dtype(data):
        return not isinstance(next(iter(data.dropna()), ""), list | dict | np.ndarray)
    return bool(pd.api.types.is_string_dtype(data))
