"""SeriesSchema: measurements in their own units to numbers of one scale, and back to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.errors import InputError, reason_of
from datamodules.files.cells import DIGITS, rounded
from datamodules.files.dates import written, zone_of
from datamodules.labels import quoted
from datamodules.options import in_range
from datamodules.schema import Batch, Schema

Scaler = Literal["min_max", "standard", "robust"]

LONGEST = 2**20  # steps
STEP = "step"  # column of a table that says where in its series a row stands, where there is no time


@dataclass(frozen=True, kw_only=True)
class SeriesSchema(Schema):
    """Series as rows ``x`` (T, F) of scaled numbers, ``length`` steps of which count, and attributes beside them.

    A batch holds ``x`` float32 (B, T, F), 0 from ``length`` on; ``length`` int64 (B,); ``y`` int64 (B,); where there
    are static attributes ``static`` float32 (B, S); and where values are missing ``observed`` float32 (B, T, F), 1 for
    what was measured and 0 for what was filled in and for padding. Batches of a source have also ``row`` int64 (B,),
    their numbers in it. Rows are stored as the model sees them.

    Args:
        columns: names of the F measurements.
        dtypes: of each, as numpy calls it; samples are written in it, integers as integers.
        offset, scale: of each: ``x = (value - offset) / scale``. Fitted on the training split alone, so that values of
            other splits may lie beyond those of its range.
        decimals: of each, how many its values have; -1 for as many as there are. Empty for no such knowledge.
        written: columns of a table, attributes and the time among them, all of whose cells are written with the same
            number of decimals, as 0.50 is, and that number.
        ranges: of each, the lowest and the highest value that samples may have; empty where there is no limit. A
            constant column has one value for both.
        categories: of each, its words, which are features of their own, one of them 1 and the others 0; none of a
            column of numbers. Empty where all are of numbers.
        scaler: that they come from: ``min_max`` (training values in [0, 1]), ``standard`` (mean 0, deviation 1),
            ``robust`` (median 0, distance between quartiles 1).
        length: T, the longest series or the window.
        fixed: whether every series has T steps.
        time: name of the time column; without one, samples are written with a number, ``step``.
        start: first time of the source: a number, or a date in ISO format.
        zone: of dates: a name such as ``Europe/Berlin``, an offset such as ``+05:30``, or empty where none is said.
        time_format: how dates are written, as :func:`~datamodules.files.dates.written` has it.
        frequency: time from step to step: a number, or for dates an alias of pandas such as ``h`` or ``5min``.
        intervals: whether the first of the columns is the time since the step before (0 at the first), from which the
            time column is made: irregular sampling.
        static: names of the attributes that a series has one value of.
        static_dtypes, static_decimals: of each.
        static_offset, static_scale: of each that is a number: in [0, 1] in the training split.
        static_categories: of each: its values as text, or none where it is a number.
        id_column, label_column: their names in the source.
    """

    kind: ClassVar[str] = "series"

    columns: tuple[str, ...]
    dtypes: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    length: int
    decimals: tuple[int, ...] = ()
    written: tuple[tuple[str, int], ...] = field(default=(), compare=False)  # nothing that a model depends on
    ranges: tuple[tuple[float, ...], ...] = ()
    categories: tuple[tuple[str, ...], ...] = ()
    scaler: Scaler = "min_max"
    fixed: bool = True
    time: str = ""
    start: str = "0"
    frequency: str = "1"
    zone: str = ""
    time_format: str = ""
    intervals: bool = False
    static: tuple[str, ...] = ()
    static_dtypes: tuple[str, ...] = ()
    static_decimals: tuple[int, ...] = ()
    static_offset: tuple[float, ...] = ()
    static_scale: tuple[float, ...] = ()
    static_categories: tuple[tuple[str, ...], ...] = ()
    id_column: str = "series_id"
    label_column: str = "label"

    def __post_init__(self) -> None:
        """See :class:`~datamodules.schema.Schema`."""
        super().__post_init__()
        self.within(1, LONGEST, "length")
        for names, beside in (
            ("columns", ("dtypes", "offset", "scale")),
            ("static", ("static_dtypes", "static_offset", "static_scale", "static_categories")),
        ):
            self.once(names)
            count = len(getattr(self, names))
            for name in beside:
                if (given := len(getattr(self, name))) != count:
                    raise InputError(f"series schema: {given} {name} beside {count} {names}")
        may_be = {"decimals": "columns", "ranges": "columns", "categories": "columns", "static_decimals": "static"}
        for name, names in may_be.items():
            given, count = len(getattr(self, name)), len(getattr(self, names))
            if given not in (0, count):
                raise InputError(f"series schema: {given} {name} beside {count} {names}")
        for decimals in (*self.decimals, *self.static_decimals):
            in_range("series schema: decimals", decimals, -1, DIGITS)
        for _, decimals in self.written:
            in_range("series schema: written", decimals, 1, DIGITS)
        for limits in self.ranges:
            if len(limits) not in (0, 2) or (limits and limits[0] > limits[1]):
                raise InputError(f"series schema: {limits} is no range: the lowest value and the highest are needed")
        if not self.columns:
            raise InputError("series schema: there are no columns")
        parts = [("the number of the series", self.id_column), ("the time", self.time or self._unnamed_time)]
        parts += [("a measurement", name) for name in self.columns[self.intervals :]]
        parts += [("an attribute", name) for name in self.static]
        parts += [("the label", self.label_column)] if self.labelled else []
        taken = [name for _, name in parts]
        if twice := [name for name in taken if taken.count(name) > 1]:
            first, second, *_ = [part for part, name in parts if name == twice[0]]
            raise InputError(
                f"samples would have two columns {twice[0]}, {first} and {second}: rename one in the data, or name the"
                " column of the numbers, of the time or of the labels by id_column, time_column or label_column"
            )
        if 0 in (*self.scale, *self.static_scale):
            raise InputError("series schema: a scale must not be 0")
        for dtype in (*self.dtypes, *self.static_dtypes):
            try:
                np.dtype(dtype)
            except (TypeError, ValueError):
                raise InputError(f"series schema: {dtype!r} is not a type of numpy's") from None
        if self.intervals or self.time:
            try:
                _ = self._after(np.zeros(1)) if self.intervals else self.times(1)
            except (ValueError, OverflowError) as error:
                reason = reason_of(error)
                raise InputError(
                    f"series schema: no times from {self.start!r} every {self.frequency!r} ({reason})"
                ) from None

    @property
    def _unnamed_time(self) -> str:
        """What samples call the time where the source has no column of it."""
        return "time" if self.intervals else STEP

    @property
    def features(self) -> int:
        """F: one for each column of numbers, and one for each word of the others."""
        return sum(self.widths)

    @property
    def widths(self) -> list[int]:
        """How many features each column takes."""
        return [len(words) or 1 for words in self.categories] or [1] * len(self.columns)

    @property
    def places(self) -> list[int]:
        """The first feature of each column."""
        return [0, *accumulate(self.widths)][:-1]

    @property
    def measured(self) -> list[bool]:
        """Of each feature, whether it is a measurement on a scale: no word, no true or false, no time between steps."""
        plain = [not self.words(k) and dtype != "bool" and k >= self.intervals for k, dtype in enumerate(self.dtypes)]
        return [of for of, width in zip(plain, self.widths, strict=True) for _ in range(width)]

    def words(self, column: int) -> tuple[str, ...]:
        """Those of a column, none where it is of numbers."""
        return self.categories[column] if self.categories else ()

    @property
    def bounded(self) -> bool:
        """Whether the training values lie in [0, 1], so that a sigmoid reaches all of them."""
        return self.scaler == "min_max"

    @property
    def static_width(self) -> int:
        """S: a place for each number, and for each category of the others."""
        return sum(len(categories) or 1 for categories in self.static_categories)

    # ---- values to numbers ----

    def encode(self, values: np.ndarray, length: np.ndarray) -> Tensor:
        """Values (N, T, C) of the columns in their own units to ``x`` float32 (N, T, F).

        Of a column of words, values are the words' numbers. Whatever lies beyond ``length`` becomes 0.
        """
        x = (values.astype(np.float64) - np.array(self.offset)) / np.array(self.scale)
        if self.features > len(self.columns):
            one = [np.eye(max(1, len(self.words(k)))) for k in range(len(self.columns))]
            codes = values.astype(np.int64)
            parts = [one[k][codes[..., k]] if self.words(k) else x[..., k, None] for k in range(len(self.columns))]
            x = np.concatenate(parts, axis=-1)
        inside = np.arange(values.shape[1]) < length[:, None]
        with np.errstate(over="ignore"):  # of what float32 cannot hold, infinity
            return torch.from_numpy(np.where(inside[:, :, None], x, 0.0).astype(np.float32))

    def decode(self, x: Tensor) -> np.ndarray:
        """``x`` (N, T, F) to values float64 (N, T, C) as the source has them: their units, decimals and ranges.

        Of a column's range they have the seven digits that float32 has. Of a column of words, the number of the one
        that stands out most. The time since the step before is at least 0, and at the first step it is 0.
        """
        features: np.ndarray = x.detach().cpu().double().numpy()
        values: np.ndarray = features[..., self.places] * np.array(self.scale) + np.array(self.offset)
        for column, (dtype, first) in enumerate(zip(self.dtypes, self.places, strict=True)):
            if words := self.words(column):
                values[..., column] = features[..., first : first + len(words)].argmax(-1)
                continue
            own = rounded(values[..., column], self.decimals[column]) if self.decimals else values[..., column]
            limits = self.ranges[column] if self.ranges else ()
            values[..., column] = _as(np.clip(own, limits[0], limits[1]) if limits else own, dtype)
        if self.intervals:
            values[..., 0] = np.maximum(values[..., 0], 0.0)
            values[:, 0, 0] = 0.0
        return values

    def as_written(self, rows: Batch) -> Batch:
        """``x`` and ``static`` by :meth:`decode` and back, with the decimals, types and ranges of the source."""
        written = {"x": self.encode(self.decode(rows["x"]), rows["length"].cpu().numpy())}
        if self.static:
            written["static"] = self.encode_static(self.decode_static(rows["static"]))
        return {**rows, **written}

    def settled(self, x: Tensor) -> Tensor:
        """``x`` (N, T, F) with one word in each place of words: the one that stands out most is 1, the others are 0."""
        if self.features == len(self.columns):
            return x
        parts = list(torch.split(x, self.widths, dim=-1))
        for k in range(len(self.columns)):
            if words := self.words(k):
                parts[k] = F.one_hot(parts[k].argmax(-1), len(words)).to(x)
        return torch.cat(parts, dim=-1)

    def encode_static(self, values: Sequence[np.ndarray]) -> Tensor:
        """Attributes, an array (N,) for each, to ``static`` float32 (N, S): numbers scaled, categories as one of many.

        Raises:
            InputError: a category that is not among the known ones.
        """
        parts = []
        for k, (column, categories) in enumerate(zip(values, self.static_categories, strict=True)):
            if not categories:
                parts.append((column.astype(np.float64)[:, None] - self.static_offset[k]) / self.static_scale[k])
                continue
            index = {name: i for i, name in enumerate(categories)}
            unknown = next((str(name) for name in column if str(name) not in index), None)
            if unknown is not None:
                raise InputError(f"{self.static[k]} {unknown!r} is not one of {quoted(categories)}")
            parts.append(np.eye(len(categories))[[index[str(name)] for name in column]])
        return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))

    def asked(self, values: Mapping[str, str | float]) -> Tensor:
        """Some attributes by name as ``static`` float32 (S,), NaN in the places of the others.

        Raises:
            InputError: there is no such attribute, or it has no such category, or is a number.
        """
        for name in values:
            if name not in self.static:
                raise InputError(f"static: no attribute {name!r}: known are {', '.join(self.static) or 'none'}")
        parts = []
        for k, (name, words) in enumerate(zip(self.static, self.static_categories, strict=True)):
            if name not in values:
                parts.append(torch.full((len(words) or 1,), torch.nan))
            elif words:
                if (word := str(values[name])) not in words:
                    raise InputError(f"static: {name} {word!r} is not one of {quoted(words)}")
                parts.append(F.one_hot(torch.tensor(words.index(word)), len(words)).float())
            else:
                try:
                    number = float(values[name])
                except ValueError:
                    number = np.nan
                if not np.isfinite(number):
                    raise InputError(f"static: {name} is a number, not {values[name]!r}")
                parts.append(torch.tensor([(number - self.static_offset[k]) / self.static_scale[k]]))
        return torch.cat(parts) if parts else torch.empty(0)

    def decode_static(self, static: Tensor) -> list[np.ndarray]:
        """The inverse of :meth:`encode_static`, for ``static`` (N, S): of categories the one that stands out most."""
        array, columns, first = static.detach().cpu().double().numpy(), [], 0
        for k, categories in enumerate(self.static_categories):
            part = array[:, first : first + (len(categories) or 1)]
            first += part.shape[1]
            if categories:
                named = np.array(categories)[part.argmax(1)]
                numeric = np.issubdtype(np.dtype(self.static_dtypes[k]), np.number)
                columns.append(named.astype(self.static_dtypes[k]) if numeric else named.astype(object))
            else:
                value = part[:, 0] * self.static_scale[k] + self.static_offset[k]
                value = rounded(value, self.static_decimals[k]) if self.static_decimals else value
                columns.append(_as(value, self.static_dtypes[k]).astype(self.static_dtypes[k]))
        return columns

    # ---- numbers to a table ----

    def times(self, steps: int) -> np.ndarray | pd.DatetimeIndex:
        """The times of a series of so many steps, at the source's frequency from its start, as it writes them."""
        try:
            interval = float(self.frequency)
        except ValueError:
            dates = pd.date_range(self._first(), periods=steps, freq=self.frequency)
            return written(dates, self.time_format)
        if self.start.lstrip("-").isdecimal() and interval.is_integer():  # such as nanoseconds, beyond float64's digits
            return int(self.start) + int(interval) * np.arange(steps)
        decimals = max(-int(Decimal(part).as_tuple().exponent) for part in (self.start, self.frequency))
        times = float(self.start) + interval * np.arange(steps)
        return rounded(times, max(0, decimals) if decimals <= DIGITS else -1)

    @property
    def dated(self) -> bool:
        """Whether the time is of dates; else it is of numbers."""
        try:
            float(self.start)
        except ValueError:
            return True
        return False

    def _first(self) -> pd.Timestamp:
        """The first date, in its zone; that of a ``start`` without an offset is its clock's there."""
        start, zone = pd.Timestamp(self.start), zone_of(self.zone)
        return start if zone is None else start.tz_localize(zone) if start.tz is None else start.tz_convert(zone)

    def frame(self, index: np.ndarray, batch: dict[str, Tensor]) -> pd.DataFrame:
        """Series as a table in long form: a row a step.

        Args:
            index: (N,) their numbers.
            batch: ``x`` (N, T, F), ``length`` (N,), ``y`` (N,) and, where there are static attributes, ``static``.

        Returns:
            Columns ``id_column``; the time, or ``step``; the measurements in their units and types; then the static
            attributes and, where there are classes, ``label_column``.
        """
        length = batch["length"].cpu().numpy()
        values = self.decode(batch["x"])
        inside = np.arange(values.shape[1]) < length[:, None]
        row, step = np.nonzero(inside)
        table: dict[str, Any] = {self.id_column: index[row]}
        first = 0
        if self.intervals:
            first, gaps = 1, np.where(inside, values[..., 0], 0.0)
            resolution = 10.0 ** -self.decimals[0] if self.decimals and self.decimals[0] >= 0 else 0.0
            gaps[:, 1:] = np.where(inside[:, 1:], np.maximum(gaps[:, 1:], resolution), 0.0)
            passed = np.cumsum(gaps, axis=1)[inside]
            table[self.time or self._unnamed_time] = self._after(passed)
        else:
            table[self.time or self._unnamed_time] = self.times(values.shape[1])[step] if self.time else step
        for column in range(first, len(self.columns)):
            own, words = values[..., column][inside], np.array(self.words(column), dtype=object)
            table[self.columns[column]] = words[own.astype(np.int64)] if len(words) else own.astype(self.dtypes[column])
        if self.static:
            for name, value in zip(self.static, self.decode_static(batch["static"]), strict=True):
                table[name] = value[row]
        if self.labelled:
            table[self.label_column] = np.array(self.classes, dtype=object)[batch["y"].cpu().numpy()][row]
        return pd.DataFrame(table)

    def cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The same table with the cells of ``written`` columns as text, for a file of text."""
        texts = {
            name: [f"{value:.{decimals}f}" for value in frame[name]]
            for name, decimals in self.written
            if name in frame and pd.api.types.is_numeric_dtype(frame[name])
        }
        return frame.assign(**texts)

    def _after(self, passed: np.ndarray) -> np.ndarray | pd.DatetimeIndex:
        """Times that lie so far after the start, to the source's resolution: numbers, or of dates seconds."""
        decimals = self.decimals[0] if self.decimals else -1
        if self.dated:
            passed = rounded(passed, decimals if decimals >= 0 else 3)
            dates = self._first() + pd.to_timedelta(np.rint(passed * 1e6).astype(np.int64), unit="us")
            return written(pd.DatetimeIndex(dates), self.time_format)
        times = rounded(float(self.start) + passed, decimals)
        return times.astype(np.int64) if decimals == 0 else times


def _as(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values as far as a type can hold them: rounded and kept in its range where it is of integers."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return np.clip(np.round(values), 0, 1)
    if kind.kind not in "iu":
        return values
    limits = np.iinfo(kind)
    largest = float(limits.max)  # of 64 bits one more than there is
    return np.clip(np.round(values), limits.min, largest if largest <= limits.max else np.nextafter(largest, 0))
