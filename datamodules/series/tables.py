"""Series from the columns of a table: where each begins, how time runs, what was measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.errors import InputError
from datamodules.files.cells import Marks, decimals_of
from datamodules.files.table import TableFile
from datamodules.labels import LABEL, quoted, stripped, unknown
from datamodules.schema import label_ids
from datamodules.series.arrays import Missing, fill
from datamodules.series.clock import Clock
from datamodules.series.roles import Roles

INTERVAL = "interval"
STATES, MOST_STATES = 50, 1000  # most different words that are learnt unasked, and at all
SERIES_ID = "series_id"  # column of the numbers of samples, where the source has none of ids


class SeriesTable:
    """The series of a table, one after another, checked. What :class:`SeriesFile` documents.

    Args:
        path: of the file.
        roles: of its columns.
        missing: see :class:`SeriesFile`.
        marks: how the cells are written.

    Attributes:
        columns, dtypes, decimals, categories: of the measurements, as in the schema.
        values: float64 (R, F), a row a step.
        observed: bool (R, F), which of them were there; None where that is not asked.
        filled: bool (R,), in which some were not.
        bounds: int64 (N + 1,): series i is the rows from ``bounds[i]`` to ``bounds[i + 1]``.
        names: of the N series.
        label: class ids (R,).
        classes: their names.
        group: the name of its group (R,); None where that is not asked.
        static, static_dtypes, static_decimals: an array (R,) for each attribute, its type and its decimals.
        clock: when its steps were.
        measured: the columns of the measurements.
        written: as in the schema.

    Raises:
        InputError: it cannot be read as this says.
    """

    def __init__(
        self,
        path: Path,
        roles: Roles,
        missing: Missing = "raise",
        marks: Marks = Marks(),  # noqa: B008
    ) -> None:
        texts = (roles.id, roles.time, roles.label or LABEL, roles.group, *roles.static)
        words = {name for name in texts if name}
        self.path = path
        self.table = table = TableFile(path, words, marks, states=roles.words)
        self.roles = roles = roles.in_table(table.names)
        for role in ("id", "time", "label"):
            if (name := getattr(roles, role)) is not None:
                table.require(name, f"{role}_column")
        if roles.group is not None:
            table.require(roles.group, "group")
        for role, names in (("value_columns", roles.values or ()), ("static_columns", roles.static)):
            for name in names:
                table.require(name, role)
        label = roles.label or (LABEL if LABEL in table.names and LABEL not in (roles.values or ()) else None)
        named = [name for name in (roles.id, roles.time, label, *roles.static) if name is not None]
        beside = [*named, *([roles.group] if roles.group is not None else [])]  # no measurement, unless it is named so
        measured = self._measured(beside) if roles.values is None else list(roles.values)
        twice = [name for name in named + measured if (named + measured).count(name) > 1]
        if twice:
            raise InputError(f"{path}: the column {twice[0]} is to be two things: name it once")

        self.order, self.bounds, self.names = self._series()
        self.clock = Clock(table, roles, self.order, self.bounds, self.place)
        self.measured = tuple(measured)
        self._measure(measured, missing)
        self.label, self.classes = self._labels(label)
        self.group = None if roles.group is None else self._groups(roles.group)[self.order]
        self.static, self.static_dtypes, self.static_decimals = self._attributes()
        self.written = self._written(measured)
        self.label_column = label or LABEL

    def _measured(self, named: list[str]) -> list[str]:
        rest = [name for name in self.table.names if name not in named]
        numbers = [name for name in rest if self.table.numeric(name)]
        dated = [name for name in rest if name not in numbers and self.table.dated(name)]
        for name in rest:
            if name not in (*numbers, *dated) and (cell := self.table.like_numbers(name)) is not None:
                raise InputError(
                    f"{self.path}, column {name}: {cell!r} is not read as a number: set decimal or thousands, take the"
                    " sign out, name it in missing_values if it holds none, or leave the column out by value_columns"
                )
        said = dated if self.roles.time is None and not self.roles.wide else []
        if said:
            rank_zero_info(f"{self.path}: dates, left out: {', '.join(said)}; time_column names those of the steps")
        found = [name for name in rest if name in numbers or (name not in dated and self._states(name))]
        if not found:
            raise InputError(f"{self.path}: no column of numbers: the columns are {', '.join(self.table.names)}")
        if left := [name for name in rest if name not in (*found, *said)]:
            rank_zero_info(f"{self.path}: no numbers, left out: {', '.join(left)}")
        if words := [name for name in found if name not in numbers]:
            rank_zero_info(f"{self.path}: words that change within a series, learnt as categories: {', '.join(words)}")
        if "" in found:
            raise InputError(
                f"{self.path}: a column has no name, as where pandas wrote its index: name it, or remove it"
            )
        return found

    def _states(self, name: str) -> bool:
        """Whether a column has a few words that change within a series."""
        column = self.table.frame[name]
        if self.roles.wide or not self.table.wordy(name) or not 2 <= column.nunique() <= min(STATES, len(column) // 10):
            return False
        each = np.zeros(len(column)) if self.roles.id is None else self._words(self.roles.id, "id")
        return bool(column.groupby(each).nunique().max() > 1)

    def _series(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """The rows in the order of the series (R,), the bounds of these, and their names."""
        rows = len(self.table.frame)
        if self.roles.wide:
            self.series_of = np.arange(rows)
            if self.roles.id is not None:
                self.series_of, found = pd.factorize(self._words(self.roles.id, "id"))
                return np.arange(rows), np.arange(rows + 1), [str(found[k]) for k in self.series_of]
            return np.arange(rows), np.arange(rows + 1), [str(k) for k in range(rows)]
        if self.roles.id is None:
            self.series_of = np.zeros(1, dtype=np.int64)
            return np.arange(rows), np.array([0, rows]), [self.path.name]
        codes, found = pd.factorize(self._words(self.roles.id, "id"))
        self.series_of = np.arange(len(found))
        bounds = np.concatenate([[0], np.cumsum(np.bincount(codes))])
        return np.argsort(codes, kind="stable"), bounds, [str(name) for name in found]

    def _words(self, name: str, what: str, known: Collection[str] = (), empty: bool = False) -> np.ndarray:
        """A column of names (R,), without the white space around them."""
        words = self.table.words(name, empty=empty)
        return np.array(stripped(words, self.path, lambda row: self.table.place(row, name), known, what), dtype=object)

    def place(self, row: int, column: str | None = None) -> str:
        """Where a step stands in the file."""
        return self.table.place(int(self.order[row]), column)

    # ---- values ----

    def _measure(self, names: list[str], missing: Missing) -> None:
        """Set ``columns``, ``dtypes``, ``decimals``, ``values`` and ``observed``."""
        times, dates = self.clock.times, self.clock.dates
        read = {name: self._codes(name) for name in names if self._wordy(name)}
        parts, kinds = zip(
            *((read[n][0], "object") if n in read else self.table.numbers(n) for n in names), strict=True
        )
        decimals = tuple(
            0 if kind[0] in "iub" else decimals_of(part, kind) for part, kind in zip(parts, kinds, strict=True)
        )
        values = np.stack(parts, axis=1)[self.order]  # (R, F)
        self.observed = None
        if self.roles.wide:
            steps = len(names)
            if self.roles.values is None:
                self._say_steps(names)
            values = values.reshape(-1, 1)
            self.order = np.repeat(self.order, steps)
            self.bounds = self.bounds * steps
            place = lambda row, _: self.place(row, names[row % steps])  # noqa: E731
            self.columns: tuple[str, ...] = ("value",)
            self.dtypes: tuple[str, ...] = (str(np.result_type(*map(np.dtype, kinds))),)
            self.decimals: tuple[int, ...] = (-1 if -1 in decimals else max(decimals),)
        else:
            place = lambda row, column: self.place(row, names[column])  # noqa: E731
            self.columns, self.dtypes, self.decimals = tuple(names), kinds, decimals
        self.categories: tuple[tuple[str, ...], ...] = (
            tuple(read[n][1] if n in read else () for n in names) if read else ()
        )
        absent = np.isnan(values)
        self.filled = absent.any(axis=1)
        for k, name in enumerate(names if missing != "raise" else ()):
            if name in read:  # between two words there is nothing: the one before goes on
                series = np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))
                values[:, k] = pd.Series(values[:, k]).groupby(series).transform(lambda own: own.ffill().bfill())
        if fill(values, self.bounds, missing, place, times) is not None:
            self.observed = ~absent
        constant = [name for name, column in zip(self.columns, values.T, strict=True) if (column == column[0]).all()]
        if constant:
            rank_zero_warn(f"{self.path}: constant, so that there is nothing to learn in them: {', '.join(constant)}")
        if self.roles.irregular:
            assert times is not None
            gaps = np.diff(times, prepend=times[:1]) / (1.0 if dates is None else 1e6)
            gaps[self.bounds[:-1]] = 0.0
            values = np.concatenate([gaps[:, None], values], axis=1)
            self.columns, self.dtypes = (INTERVAL, *self.columns), ("float64", *self.dtypes)
            self.decimals = (self.clock.decimals, *self.decimals)
            self.categories = ((), *self.categories) if self.categories else ()
            if self.observed is not None:
                self.observed = np.concatenate([np.ones((len(gaps), 1), dtype=bool), self.observed], axis=1)
            if INTERVAL in names:
                raise InputError(f"{self.path}: irregular calls its column {INTERVAL}: rename the one in the file")
        self.values = values

    def _say_steps(self, names: list[str]) -> None:
        """Which columns of a wide table were taken for steps; those named unlike most others may be none."""
        shown = quoted(names) if len(names) < 8 else f"{quoted(names[:3])}, …, {quoted(names[-2:])}"
        rank_zero_info(f"{self.path}: the steps are {shown}, {len(names)} columns; others by value_columns")
        forms = [re.sub(r"\d+", "0", name) for name in names]
        usual, count = Counter(forms).most_common(1)[0]
        if len(names) / 2 < count < len(names):
            odd = [name for name, form in zip(names, forms, strict=True) if form != usual]
            rank_zero_warn(
                f"{self.path}: taken for steps, though not named like the others: {quoted(odd, 5)}: where they are"
                " none, name them in static_columns, or the steps in value_columns"
            )

    def _wordy(self, name: str) -> bool:
        """Whether a measurement is one of words."""
        if name in self.roles.words:
            return True
        return not self.roles.wide and not self.table.numeric(name) and self.table.wordy(name)

    def _codes(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """A column of words: the number of each, NaN where a cell is empty, float64 (R,), and the words."""
        there = self.table.frame[name].notna().to_numpy()
        words = self._words(name, "word", empty=True)
        known = self.roles.words.get(name) or tuple(sorted(set(words[there].tolist())))
        if len(known) > MOST_STATES:
            raise InputError(
                f"{self.path}, column {name}: {len(known)} different words, at most {MOST_STATES} are learnt"
            )
        codes = pd.Index(known).get_indexer(words).astype(np.float64)
        wrong = there & (codes < 0)
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(f"{self.table.place(row, name)}: {words[row]!r} is not one of {quoted(known)}")
        codes[~there] = np.nan
        return codes, known

    def _labels(self, column: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
        """Class ids (R,); the classes are those of the roles, else those that occur."""
        if column is None:
            return np.zeros(len(self.values), dtype=np.int64), ()
        words = self._words(column, "label", self.roles.classes, empty="" in self.roles.classes)
        ids, classes = label_ids(words)
        if self.roles.classes:
            known = {name: i for i, name in enumerate(self.roles.classes)}
            for k, name in enumerate(classes):
                if name not in known:
                    row = int((ids == k).argmax())
                    raise InputError(
                        f"{self.table.place(row, column)}: {unknown(name, 'the data', self.roles.classes)}"
                    )
            ids, classes = np.array([known[name] for name in classes])[ids], self.roles.classes
        return ids[self.order], classes

    def _groups(self, column: str) -> np.ndarray:
        """The group of each row, str (R,)."""
        return self._words(column, "group").astype(str)

    def _attributes(self) -> tuple[list[np.ndarray], tuple[str, ...], tuple[int, ...]]:
        """Attributes (R,), constant within each series, their types and their decimals."""
        columns, dtypes, decimals = [], [], []
        for name in self.roles.static:
            if self.table.counts(name):
                column, dtype = self.table.numbers(name)
                gap = np.flatnonzero(np.isnan(column))
                if len(gap):
                    raise InputError(f"{self.table.place(int(gap[0]), name)}: the cell is empty: fill it in")
                decimals.append(decimals_of(column, dtype))
            else:
                if (odd := self.table.beside_numbers(name)) is not None:
                    raise InputError(
                        f"{self.table.place(odd, name)}: no number, where all others are numbers: fill it in, or write"
                        " the others as words"
                    )
                if self.table.numeric(name):
                    rank_zero_info(f"{self.path}, column {name}: not all cells are numbers: each is a category")
                column, dtype = self._words(name, "attribute"), "object"
                decimals.append(-1)
            column = column[self.order]
            changed = self.change(column)
            if changed is not None:
                raise InputError(
                    f"{self.place(changed, name)}: changes within the series {self.name_of(changed)}: an attribute has"
                    " one value a series; or is it a measurement?"
                )
            columns.append(column)
            dtypes.append(dtype)
        return columns, tuple(dtypes), tuple(decimals)

    def _written(self, measured: list[str]) -> tuple[tuple[str, int], ...]:
        """Decimals of the columns of samples that are written with the same number of them in every cell."""
        found = {name: self.table.written.get(name, 0) for name in (*measured, *self.roles.static)}
        if self.roles.wide:
            every = {found.pop(name) for name in measured}
            found[self.columns[0]] = every.pop() if len(every) == 1 else 0
        if self.clock.time and self.clock.dates is None:
            found[self.clock.time] = self.table.written.get(self.clock.time, 0)
        return tuple((name, decimals) for name, decimals in found.items() if decimals)

    def change(self, column: np.ndarray) -> int | None:
        """The first row that differs from the one before it in the same series."""
        changes = np.flatnonzero(column[1:] != column[:-1]) + 1
        changes = np.setdiff1d(changes, self.bounds)
        return int(changes[0]) if len(changes) else None

    def name_of(self, row: int) -> str:
        """The name of the series that a row belongs to."""
        return self.names[int(np.searchsorted(self.bounds, row, side="right")) - 1]
