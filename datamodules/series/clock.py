"""When the steps of a table's series were: from when on, how often, and before which of them others are missing."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from lightning.pytorch.utilities import rank_zero_info

from datamodules.errors import InputError
from datamodules.files.cells import decimals_of
from datamodules.files.dates import Dates, zone_of
from datamodules.files.table import TableFile
from datamodules.series.roles import Roles
from datamodules.series.schema import STEP


class Clock:
    """The column of times of a table, whose series lie one after another.

    Args:
        table: the file.
        roles: of its columns.
        order: its rows in the order of the series (R,); where a column tells these apart, sorted by time in place.
        bounds: (N + 1,): series i is the rows from ``bounds[i]`` to ``bounds[i + 1]``.
        place: of a row in that order and a column, for what is said.

    Attributes:
        times: (R,), rising within each series, in microseconds where they are dates; None where there is no column.
        dates: how these are written; None of numbers.
        decimals: of the times, -1 where it cannot be told.
        time, start, frequency, zone, time_format: as in the schema.
        breaks: steps, in order, before which others are missing.

    Raises:
        InputError: they are no times, or do not rise.
    """

    def __init__(
        self,
        table: TableFile,
        roles: Roles,
        order: np.ndarray,
        bounds: np.ndarray,
        place: Callable[[int, str | None], str],
    ) -> None:
        self.time, self.start, self.frequency, self.zone, self.time_format = "", "0", "1", "", ""
        self.times: np.ndarray | None = None
        self.dates: Dates | None = None
        self.decimals = -1
        self.breaks = np.empty(0, dtype=np.int64)
        if roles.time is None:
            return
        self._bounds = bounds
        read, self.dates = table.times(roles.time, roles.style)
        times: np.ndarray = read[order]
        within = np.ones(len(times) - 1, dtype=bool)
        within[bounds[1:-1] - 1] = False
        back = np.flatnonzero(within & (np.diff(times) < 0))
        if len(back) and roles.id is not None:  # without one, two recordings in one file may have been meant
            moved = place(int(back[0]) + 1, roles.time)
            by_time = np.lexsort((times, np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))))
            order[:], times = order[by_time], times[by_time]
            rank_zero_info(f"{moved}: not in order of time: the steps of each series are sorted by it")
        self.times = times
        gaps = np.diff(times)
        late = np.flatnonzero(within & (gaps < 0 if roles.ties else gaps <= 0))
        if len(late):
            row = int(late[0]) + 1
            raise InputError(
                f"{place(row, roles.time)}: the time {'is that of' if gaps[row - 1] == 0 else 'lies before'} the step"
                " before: sort each series by time, a row for each"
            )
        if self.dates is not None:
            self.zone, self.time_format = self.dates.zone, self.dates.format
            if self.dates.said:
                rank_zero_info(f"{table.path}, column {roles.time}: {self.dates.said}")
            start = self._local(times[:1])[0].isoformat()
            self.decimals = next((d for d in (0, 3) if not (times % 10 ** (6 - d)).any()), 6)
        else:
            start = repr(int(times[0]) if float(times[0]).is_integer() else float(times[0]))
            self.decimals = decimals_of(times, str(times.dtype))
        if roles.irregular:
            self.time, self.start = roles.time, start
            return
        frequency = self._frequency(times, gaps, within) if within.any() else ""
        if not frequency and within.any():
            rank_zero_info(
                f"{table.path}: the steps of {roles.time} are not all equally long: samples number them; irregular"
                " learns how long they are"
            )
        elif frequency and (roles.time, start, frequency) != (STEP, "0", "1"):  # which is how steps are numbered
            self.time, self.start, self.frequency = roles.time, start, frequency

    def _local(self, times: np.ndarray) -> pd.DatetimeIndex:
        """Times (R,) as dates in their zone."""
        dates = pd.DatetimeIndex(times.astype("datetime64[us]"))
        zone = zone_of(self.zone)
        return dates if zone is None else dates.tz_localize("UTC").tz_convert(zone)

    def _frequency(self, times: np.ndarray, gaps: np.ndarray, within: np.ndarray) -> str:
        """What the schema calls the time from step to step; empty where it is not the same everywhere.

        Where most are the same and the others longer, steps are missing before these: ``breaks``.
        """
        gap = float(np.median(gaps[within]))
        exact = times.dtype.kind == "i"
        noise = 0.0 if exact else 1e-6 * gap + 4 * np.finfo(float).eps * float(np.abs(times).max())
        longer = within & (gaps > gap + noise)
        if (np.abs(gaps[within] - gap) <= noise).all():
            return self._name(gap)
        if self.dates is not None and (
            calendar := _calendar([self._local(part) for part in np.split(times, self._bounds[1:-1])])
        ):
            return calendar
        equal = within & ~longer
        if longer.sum() * 10 > within.sum() or (np.abs(gaps[equal] - gap) > noise).any():
            return ""
        self.breaks = np.flatnonzero(longer) + 1
        return self._name(gap)

    def _name(self, gap: float) -> str:
        """What the schema calls a time between two steps."""
        if self.dates is None:
            return _plain(gap)
        name = str(pd.tseries.frequencies.to_offset(pd.Timedelta(int(gap), unit="us")).freqstr)
        if days := re.fullmatch(r"(\d*)D", name):  # what pandas before 3 calls so many times 24 hours
            name = f"{24 * int(days[1] or 1)}h"
        return name


def _plain(number: float) -> str:
    """A number without the noise of its last binary digits."""
    return repr(int(number)) if float(number).is_integer() else f"{number:.12g}"


def _calendar(series: list[pd.DatetimeIndex]) -> str:
    """What pandas calls steps of a calendar, such as months, the same in all series; empty where they are none."""
    longest = max(series, key=len)
    alias = pd.infer_freq(longest) if len(longest) > 2 else None
    # In their own unit: pandas before 3 makes nanoseconds of all dates, which are no others, but of another type.
    same = alias and all(
        part.equals(pd.date_range(part[0], periods=len(part), freq=alias).as_unit(part.unit)) for part in series
    )
    return str(alias) if same else ""
