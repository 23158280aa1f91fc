"""Tables from .csv and .parquet: columns of numbers, words and times, and where in the file each cell stands."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.errors import InputError
from datamodules.schema import label_ids
from datamodules.textsource import is_whole, reason_of, text_of

ENDINGS = (".csv", ".parquet")
EMPTY = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A")  # how programs write no number


class TableFile:
    """A table, whose cells can be named to whoever has to put them right.

    Args:
        path: a ``.csv`` in UTF-8 with a header, or a ``.parquet``.
        words: columns of a ``.csv`` that are read letter by letter, so that ``007`` and ``NA`` stay what they are.
        named: columns besides in which ``NA`` and its like stand for themselves.

    Attributes:
        frame: the table.
        names: of its columns.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path, words: Collection[str] = (), named: Collection[str] = ()) -> None:
        self.path = path
        if not path.exists():
            raise InputError(f"no file {path}: check the path")
        read = {".csv": self._csv, ".parquet": self._parquet}.get(path.suffix.lower())
        if read is None:
            raise InputError(
                f"{path}: {path.suffix or 'no ending'} is none of {', '.join(ENDINGS)}: rename or convert it"
            )
        self._lines: list[int] = []  # of each row of a .csv
        self.frame = read(set(words), set(words) | set(named))
        self.names = [str(name) for name in self.frame.columns]
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InputError(f"{path}: the column {twice[0]} is there twice: rename one")
        self.frame.columns = pd.Index(self.names)
        if not len(self.frame):
            raise InputError(f"{path}: no rows in it, only the names of {len(self.names)} columns")

    def _csv(self, words: set[str], named: set[str]) -> pd.DataFrame:
        content = text_of(self.path)
        names = self._check(content)
        options: dict[str, Any] = {
            "na_values": {name: [""] if name in named else list(EMPTY) for name in names},
            "keep_default_na": False,
            "dtype": {name: str for name in names if name in words},
            "low_memory": False,  # guess the type of a column from all of it
        }
        try:
            frame = pd.read_csv(io.StringIO(content), header=0, names=names, index_col=False, **options)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{self.path}: pandas cannot read it ({reason_of(error)})") from None
        if len(frame) != len(self._lines):
            raise InputError(
                f"{self.path}: {len(self._lines)} rows, of which pandas reads {len(frame)}: check the quotes"
            )
        return frame

    def _check(self, content: str) -> list[str]:
        """The header; each row has as many fields, and its line is noted: pandas fills up short rows in silence."""
        reader = csv.reader(io.StringIO(content, newline=""), strict=True)
        names: list[str] = []
        line = 1
        try:
            for fields in reader:
                first, line = line, reader.line_num + 1
                if not fields or (len(fields) == 1 and fields[0].isspace()):
                    continue
                if not names:
                    names = fields
                    twice = [name for name in names if names.count(name) > 1]
                    if twice:
                        raise InputError(f"{self.path}:{first}: the column {twice[0]!r} is there twice: rename one")
                elif len(fields) != len(names):
                    raise InputError(
                        f"{self.path}:{first}: {len(fields)} fields, where the header names {len(names)}: an empty cell"
                        " needs its comma, and quotes go around what holds one"
                    )
                else:
                    self._lines.append(first)
        except csv.Error as error:
            raise InputError(
                f"{self.path}:{line}: no CSV ({reason_of(error)}): check the quotes from there on"
            ) from None
        if not names:
            raise InputError(f"{self.path}: the file is empty: a header and a row a step are needed")
        return names

    def _parquet(self, words: set[str], named: set[str]) -> pd.DataFrame:
        try:
            frame = pd.read_parquet(self.path)
        except ImportError:
            raise no_parquet(self.path) from None
        except (OSError, ValueError, TypeError, NotImplementedError, KeyError) as error:  # pyarrow's errors are these
            raise InputError(
                f"{self.path}: not a .parquet that can be read ({reason_of(error)[:120]}): write it anew"
            ) from None
        return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()

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

    def numeric(self, column: str) -> bool:
        """Whether a column holds numbers: by its type, or as more than half of its words are some."""
        data = self.frame[column]
        if pd.api.types.is_numeric_dtype(data):
            return not pd.api.types.is_complex_dtype(data)
        if not _wordy(data):
            return False
        return bool(pd.to_numeric(data, errors="coerce").notna().sum() * 2 > data.notna().sum())

    def numbers(self, column: str, exact: bool = True) -> tuple[np.ndarray, str]:
        """A column of numbers: float64 (R,), NaN where a cell is empty, and the name of its type.

        Raises:
            InputError: a cell is none, or is infinite, or, where they are to be ``exact``, a whole number so large that
                float64 loses digits of it.
        """
        data = self.frame[column]
        if not pd.api.types.is_numeric_dtype(data) or pd.api.types.is_complex_dtype(data):
            if not _wordy(data):
                raise InputError(f"{self.path}: the column {column} holds {data.dtype}, and numbers are needed")
            parsed = pd.to_numeric(data, errors="coerce")
            self._refuse(column, (parsed.isna() & data.notna()).to_numpy(), "is no number")
            data = parsed
        values: np.ndarray = data.to_numpy(dtype=np.float64, na_value=np.nan)
        self._refuse(column, np.isinf(values), "is no finite number")
        kind = getattr(data.dtype, "numpy_dtype", data.dtype)  # of columns that may have gaps
        if exact and kind.kind in "iuO":
            large = np.abs(values) > 2.0**53
            self._refuse(column, large, "is too large to keep all digits: leave the column out, or name it id_column")
        return values, "float64" if kind.kind == "O" or (kind.kind != "f" and np.isnan(values).any()) else str(kind)

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

    def times(self, column: str) -> tuple[np.ndarray, bool]:
        """A column of times: numbers float64 (R,), or dates as microseconds since 1970, int64 (R,); and whether dates.

        Dates with a time zone are taken to UTC.

        Raises:
            InputError: a cell is empty, or no time.
        """
        data = self.frame[column]
        self._refuse(column, data.isna().to_numpy(), "is empty: every step needs its time")
        if self.numeric(column):
            return self.numbers(column, exact=False)[0], False
        if _wordy(data):
            parsed = pd.to_datetime(data, errors="coerce", utc=True, format="ISO8601")
            if parsed.isna().any():  # another way to write dates, the same for all
                others = [pd.to_datetime(data, errors="coerce", utc=True, format=layout) for layout in _layouts(data)]
                whole = [other for other in others if other.notna().all()]
                if len(whole) > 1 and (differs := (whole[0] != whole[1]).to_numpy()).any():
                    self._refuse(column, differs, "may have the day or the month first: write dates as 2024-12-31")
                parsed = max([parsed, *others], key=lambda dates: int(dates.notna().sum()))
            self._refuse(column, parsed.isna().to_numpy(), "is neither a number nor a date like the others")
            data = parsed
        if not pd.api.types.is_datetime64_any_dtype(data):
            data = pd.to_datetime(data, errors="coerce", utc=True)  # such as days without time
            self._refuse(column, data.isna().to_numpy(), "is neither a number nor a date")
        if data.dt.tz is not None:
            data = data.dt.tz_convert("UTC").dt.tz_localize(None)
        return data.to_numpy().astype("datetime64[us]").astype(np.int64), True

    def _refuse(self, column: str, wrong: np.ndarray, why: str) -> None:
        """Refuse the first cell that is wrong (R,)."""
        if wrong.any():
            row = int(wrong.argmax())
            cell = self.frame[column].iloc[row]
            raise InputError(f"{self.place(row, column)}: {'the cell' if pd.isna(cell) else repr(str(cell))} {why}")


def _layouts(dates: pd.Series) -> list[str]:
    """How the first date may be written: with the day first, with the month first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a day that comes first where it cannot
        guesses = [pd.tseries.api.guess_datetime_format(str(dates.iloc[0]), dayfirst=first) for first in (True, False)]
    return [layout for layout in dict.fromkeys(guesses) if layout is not None]


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
