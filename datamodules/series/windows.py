"""Windows of the series of a table."""

from __future__ import annotations

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.errors import InputError
from datamodules.series.base import SeriesRows
from datamodules.series.tables import SeriesTable


def cut(table: SeriesTable, window: int | None, stride: int) -> tuple[SeriesRows, np.ndarray, np.ndarray]:
    """Windows, or where there is no window whole series.

    Returns:
        The rows, the first step of each in ``values``, and the number of the series that it is of, (N,) each.

    Raises:
        InputError: a series is shorter than the window, or the label changes in one that is not cut.
    """
    lengths = np.diff(table.bounds)
    if window is None:
        start, length, series = table.bounds[:-1], lengths, np.arange(len(lengths))
        if len(breaks := table.clock.breaks):
            rank_zero_warn(
                f"{table.place(int(breaks[0]), table.clock.time)}: steps are missing before this one, and at"
                f" {len(breaks) - 1} other places: series go on over them as if none were"
            )
    else:
        short = np.flatnonzero(lengths < window)
        if len(short):
            k = int(short[0])
            raise InputError(
                f"{table.place(table.bounds[k])}: the series {table.names[k]} has {lengths[k]} steps, and window is"
                f" {window}: choose a smaller one, or leave the series out"
            )
        starts = [np.arange(a, b - window + 1, stride) for a, b in zip(table.bounds, table.bounds[1:], strict=False)]
        start, series = np.concatenate(starts), np.repeat(np.arange(len(starts)), [len(part) for part in starts])
        start, series = _whole(table, start, series, window)
        length = np.full(len(start), window)
    start, length, series = _of_one_group(table, start, length, series)
    changes = np.concatenate([[0], np.cumsum(table.label[1:] != table.label[:-1])])
    steady = changes[start + length - 1] == changes[start]
    if not steady.all():
        if window is None:
            row = table.change(table.label)
            assert row is not None
            raise InputError(
                f"{table.place(row, table.label_column)}: the label changes within the series {table.name_of(row)}:"
                " set window to cut series into windows of one label"
            )
        lost = np.setdiff1d(table.label, table.label[start[steady]])
        if len(lost):
            raise InputError(
                f"{table.path}: no window of {window} steps is of the class {table.classes[lost[0]]} alone: choose a"
                " smaller window or stride"
            )
        rank_zero_info(f"{table.path}: {(~steady).sum()} of {len(steady)} windows hold a change of label: left out")
        start, length, series = start[steady], length[steady], series[steady]
    within = np.arange(length.max())
    inside = within < length[:, None]
    step = np.where(inside, start[:, None] + within, start[:, None])  # (N, T)
    values = table.values[step]
    values[~inside] = 0.0
    if table.roles.irregular:
        values[:, 0, 0] = 0.0
    rows = SeriesRows(
        values,
        length,
        table.label[start],
        [column[start] for column in table.static],
        None if table.observed is None else table.observed[step] & inside[:, :, None],
        None if table.group is None else table.group[start],
    )
    return rows, start, table.series_of[series]


def _whole(table: SeriesTable, start: np.ndarray, series: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows that reach over no missing steps."""
    if not len(breaks := table.clock.breaks):
        return start, series
    before, after = (np.searchsorted(breaks, at, side="right") for at in (start, start + window - 1))
    whole = before == after
    if not whole.any():
        raise InputError(
            f"{table.path}: steps are missing at {len(breaks)} places, and no window of {window} lies between"
            " them: choose a smaller one"
        )
    rank_zero_info(
        f"{table.place(int(breaks[0]), table.clock.time)}: steps are missing before this one"
        + (f" and at {len(breaks) - 1} other places" if len(breaks) > 1 else "")
        + f": {(~whole).sum()} of {len(whole)} windows would reach over such a gap: left out"
    )
    return start[whole], series[whole]


def _of_one_group(
    table: SeriesTable, start: np.ndarray, length: np.ndarray, series: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that do not change their group."""
    if table.group is None:
        return start, length, series
    changes = np.concatenate([[0], np.cumsum(table.group[1:] != table.group[:-1])])
    one = changes[start + length - 1] == changes[start]
    if not one.any():
        row = table.change(table.group)
        assert row is not None
        raise InputError(
            f"{table.place(row, table.roles.group)}: the group changes within the series {table.name_of(row)}, and in"
            " every other row: set window, or a smaller one, to cut series into windows of one group"
        )
    if not one.all():
        rank_zero_info(f"{table.path}: {(~one).sum()} of {len(one)} series or windows hold a change of group: left out")
    return start[one], length[one], series[one]
