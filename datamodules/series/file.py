"""Series from tables: .csv, .tsv, .xlsx, .parquet, and folders that ``ganaug generate`` wrote; SeriesFile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.errors import InputError
from datamodules.files.cells import Marks, Separator
from datamodules.options import Within
from datamodules.series.arrays import Missing, static_fields
from datamodules.series.base import SeriesModule
from datamodules.series.roles import Roles, find
from datamodules.series.schema import LONGEST
from datamodules.series.tables import SERIES_ID, SeriesTable
from datamodules.series.windows import cut
from datamodules.splits import Fold, apart, consecutive_fold, stratified_fold, stratified_split

Steps = Annotated[int, Within(1, LONGEST)]


class SeriesFile(SeriesModule):
    """Series from a table, or from a folder of samples.

    ``.csv`` or ``.tsv`` with a header, the first sheet of ``.xlsx``, or ``.parquet``. In ``long`` form a row is a step,
    and the steps of a series stand in order of time; in ``wide`` form a row is a series, and its columns are the steps.
    Of a folder, ``samples.csv`` or ``samples.parquet`` is read, whichever is found first, and ``manifest.json`` says
    which column is what. Samples are written as the source is, but with decimal points, and commas between cells: its
    decimals, all of them where every cell of a column has as many (0.50), its zones, and its styles of dates.

    Args:
        path: of the file or folder.
        test_path: of a second one to test on, with columns and classes of the same names.
        form: long or wide.
        id_column: which series a row belongs to; without one, a long table is one series.
        time_column: of a long table: numbers or dates. Samples go on at their frequency, from the first of them.
        value_columns: the measurements; by default every column that is not named otherwise and holds numbers, or a few
            words that change within a series, which are learnt as categories.
        label_column: the labels, strings or whole numbers. Where it is left out and there is no column ``label``, there
            are no classes.
        static_columns: attributes that have one value a series: numbers, or words.
        window: steps of the windows that series are cut into; by default each series is a row. Windows in which the
            label changes are left out, and counted.
        stride: steps from window to window.
        split: what is held out for validation and testing: ``random`` windows; all windows of some series by ``id``; or
            of each series the last by ``time``, where windows that reach over the cut are left out, and counted.
        missing: empty cells: ``raise`` refuses them; ``interpolate`` fills them in, linearly in time and at the ends of
            a series with the nearest value, before anything is split; ``mask`` does too, and batches say by
            ``observed`` what was there.
        irregular: learn the time between steps too, of dates in seconds.
        separator: between the cells of text: ``,``, ``;``, a tab or ``|``. Like the next two found out, and said, where
            it is left out and there is no doubt.
        decimal: the mark before decimals, ``.`` or ``,``.
        thousands: the mark between thousands, as in 1,250.50.
        encoding: of a file of text, such as ``cp1252``; by default UTF-8.
        missing_values: cells that hold no value besides empty ones and ``NA`` and its like, such as [-200, "?"].
        kwargs: the options of :class:`SeriesModule` and :class:`GANDataModule`.

    Raises:
        InputError: a file cannot be read as this says.
    """

    def __init__(
        self,
        path: str | Path,
        test_path: str | Path | None = None,
        form: Literal["long", "wide"] = "long",
        id_column: str | None = None,
        time_column: str | None = None,
        value_columns: list[str] | None = None,
        label_column: str | None = None,
        static_columns: list[str] | None = None,
        window: Steps | None = None,
        stride: Steps = 1,
        split: Literal["random", "id", "time"] = "random",
        missing: Missing = "raise",
        irregular: bool = False,
        separator: Separator | None = None,
        decimal: Literal[".", ","] | None = None,
        thousands: str | None = None,
        encoding: str | None = None,
        missing_values: list[str | float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        marks = Marks(
            separator=separator,
            decimal=decimal,
            thousands=thousands,
            encoding=encoding,
            missing=tuple(str(value) for value in missing_values or ()),
        )
        if value_columns is not None and not value_columns:
            raise InputError("value_columns names no column: leave it out for every column of numbers")
        given: dict[str, Any] = {
            "id": id_column,
            "time": time_column,
            "label": label_column,
            "values": None if value_columns is None else tuple(value_columns),
            "static": None if static_columns is None else tuple(static_columns),
            "irregular": irregular or None,
            "group": self.group,
        }
        file, written = find(Path(path))
        roles = replace(
            Roles() if written is None else Roles.of(written),
            **{name: value for name, value in given.items() if value is not None},
            wide=form == "wide",
        )
        if roles.wide and (roles.time is not None or roles.irregular):
            raise InputError(f"{file}: in wide form columns are steps: leave time_column and irregular out")
        if roles.irregular and roles.time is None:
            raise InputError(f"{file}: irregular learns the time between steps: name the times by time_column")
        self.split, self.window = split, window
        source = SeriesTable(file, roles, missing, marks)
        clock = source.clock
        if roles.classes and not source.classes:
            raise InputError(f"{file}: no column {roles.label}, and manifest.json has classes: label the rows")
        if window is None and len(source.names) == 1:
            raise InputError(
                f"{file}: one series only: set window to cut it up, name the series by id_column, or, where each row is"
                " a series, set form to wide"
            )
        rows, self._start, self._series = cut(source, window, stride)
        self._filled = source.filled
        sources, test = [source], None
        if test_path is not None:
            test_file = find(Path(test_path))[0]
            apart(file, test_file)
            other = replace(
                roles,
                group=None,
                values=source.measured,
                label=source.label_column if source.classes else None,
                classes=source.classes,
                words={n: own for n, own in zip(source.columns, source.categories, strict=False) if own},
                style=clock.time_format,
            )
            found = source.table.marks  # 1.200 in the second file is what it is in the first
            if decimal is None and thousands is None and (found.decimal == "," or found.thousands):
                marks = replace(marks, decimal=found.decimal, thousands=found.thousands)
            sources.append(SeriesTable(test_file, other, missing, marks))
            if clock.frequency != sources[1].clock.frequency:
                rank_zero_warn(
                    f"{test_path}: a step every {sources[1].clock.frequency}, in {file} every {clock.frequency}: they"
                    " are compared step by step"
                )
            if source.classes and not sources[1].classes:
                raise InputError(f"{test_path}: no labels, but {file} has them: label both or neither")
            test, _, _ = cut(sources[1], window, stride)
        elif window is None and split == "time":
            raise InputError(f"{file}: split time needs window: whole series cannot be cut at a time")
        kinds = dict(zip(written.columns, written.dtypes, strict=True)) if written is not None else {}
        self._warned = False
        self.describe(
            rows,
            test,
            source.columns,
            classes=source.classes,
            dtypes=tuple(kinds.get(name, kind) for name, kind in zip(source.columns, source.dtypes, strict=True)),
            decimals=source.decimals,
            written=source.written,
            categories=source.categories,
            time=clock.time,
            start=clock.start,
            frequency=clock.frequency,
            zone=clock.zone,
            time_format=clock.time_format,
            intervals=roles.irregular,
            id_column=roles.id or SERIES_ID,
            label_column=source.label_column,
            static_decimals=source.static_decimals,
            **static_fields(roles.static, source.static_dtypes, [rows, *([test] if test is not None else [])]),
        )

    # ---- splits ----

    def hold_out(self, rows: np.ndarray, y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """As ``split`` says; see :meth:`GANDataModule.hold_out`.

        Raises:
            InputError: there is one series, or there are too few steps, to hold some out.
        """
        if not fraction:
            return rows, rows[:0]
        if self.split == "random":
            keep, held = super().hold_out(rows, y, fraction, seed)
            self._warn_overlap(keep, held)
            return keep, held
        keep, held = self._by_id(rows, y, fraction, seed) if self.split == "id" else self._by_time(rows, fraction)
        lost = np.setdiff1d(y[held], y[keep])
        if len(lost):
            rank_zero_warn(
                f"split {self.split} holds out every row of the class {self.schema.class_name(int(lost[0]))}"
            )
        return rows[keep], rows[held]

    def _by_id(self, rows: np.ndarray, y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Whole series, the same share of each class where there are enough, at least one: bool (N,) twice."""
        _, first, series = np.unique(self._series[rows], return_index=True, return_inverse=True)
        if len(first) < 2:
            raise InputError(
                "split id needs at least two series on each side of it: choose time or random, or a smaller"
                " val_fraction or test_fraction"
            )
        _, chosen = stratified_split(y[first], fraction, seed)
        if not len(chosen):
            count = min(max(1, round(len(first) * fraction)), len(first) - 1)
            chosen = np.random.default_rng((seed, 7)).permutation(len(first))[:count]
        held = np.isin(series, chosen)
        return ~held, held

    def _by_time(self, rows: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        """The last windows of each series: bool (N,) twice."""
        assert self.window is not None
        start, stop = self._start[rows], self._start[rows] + self.window
        _, series = np.unique(self._series[rows], return_inverse=True)
        begin, end = np.full(series.max() + 1, stop.max()), np.zeros(series.max() + 1, dtype=np.int64)
        np.minimum.at(begin, series, start)
        np.maximum.at(end, series, stop)
        cut = (end - np.round((end - begin) * fraction).astype(np.int64))[series]
        keep, held = stop <= cut, start >= cut
        if not keep.any() or not held.any():
            raise InputError(
                f"split time: of {(end - begin).max()} steps a share of {fraction} leaves no window of {self.window} on"
                " one side: choose a smaller window or another val_fraction or test_fraction"
            )
        rank_zero_info(f"split time: {(~keep & ~held).sum()} of {len(rows)} windows reach over the cut: left out")
        first = np.unique(cut[keep])
        if over := int((self._filled[first - 1] & self._filled[np.minimum(first, len(self._filled) - 1)]).sum()):
            rank_zero_warn(
                f"split time: at {over} of {len(first)} cuts values are missing on both sides: those before it were"
                " filled in from later ones"
            )
        return keep, held

    def hold_out_fold(self, rows: np.ndarray, y: np.ndarray, fold: Fold, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Training rows to keep and to hold out, which share no steps, and with ``split: id`` no series.

        Where windows share steps, a part is a stretch of each class's windows in the order of time, and what reaches
        over its ends is left out. Where a class would have no row left to train on, none of it is held out.
        """
        overlap = self.window is not None and bool((np.diff(np.sort(self._start[rows])) < self.window).any())
        if self.split == "id":
            _, first, series = np.unique(self._series[rows], return_index=True, return_inverse=True)
            held = np.isin(series, stratified_fold(y[first], fold, seed)[1])
            held &= ~np.isin(series, series[np.isin(y, np.setdiff1d(y, y[~held]))])
            keep = ~held
        elif self.split == "time" or overlap:
            held = consecutive_fold(y, self._start[rows], fold, seed)
            keep = ~held & ~self._shared(rows, rows[held])
            held &= ~np.isin(y, np.setdiff1d(y, y[keep]))
            keep = ~held & ~self._shared(rows, rows[held])
        else:
            return super().hold_out_fold(rows, y, fold, seed)
        return rows[keep], rows[held]

    def _shared(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Which windows share steps with some of the others, bool (N,)."""
        if self.window is None or not len(others):
            return np.zeros(len(rows), dtype=bool)
        known, start = np.sort(self._start[others]), self._start[rows]
        after = np.searchsorted(known, start)
        below, above = known[np.maximum(after - 1, 0)], known[np.minimum(after, len(known) - 1)]
        shared: np.ndarray = np.minimum(np.abs(start - below), np.abs(above - start)) < self.window
        return shared

    def _warn_overlap(self, keep: np.ndarray, held: np.ndarray) -> None:
        """Warn, once, of windows held out that share steps with others that are not."""
        shared = self._shared(held, keep)
        if shared.any() and not self._warned:
            self._warned = True
            rank_zero_warn(
                f"{shared.sum()} of {len(held)} windows that are held out share steps with windows for training, which"
                " flatters scores on them: set split to time or id, or stride to the window"
            )
