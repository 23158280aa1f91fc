"""Series from ``.npz`` files, and what is done about values that are missing; SeriesArrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from datamodules.errors import InputError
from datamodules.files.archive import Archive
from datamodules.labels import stripped
from datamodules.series.base import SeriesModule, SeriesRows
from datamodules.splits import Split, own_splits

Missing = Literal["raise", "interpolate", "mask"]
Layout = Literal["NTF", "NFT"]
WORDS = "arrays of series are numbers; columns of words are read from tables, such as a .csv, by SeriesFile"
LENGTHS = ("lengths", "length", "len")  # names under which lengths are looked for
SPLITS: dict[Split, str] = {"train": "_train", "val": "_val", "test": "_test"}  # endings of their arrays' names


class SeriesSource:
    """The series of an ``.npz`` file, checked. What :class:`SeriesArrays` documents.

    Attributes:
        splits: those of ``train``, ``val``, ``test`` that there are, and how the names of their arrays end, as in
            ``x_train``.
        rows: of each split.
        classes: their names.
        columns: names of the F measurements.
        dtypes: of each.
        static, static_dtypes: names and types of the attributes.

    Raises:
        InputError: it cannot be read as this says.
    """

    def __init__(self, path: str | Path, layout: Layout | None = None, missing: Missing = "raise") -> None:
        self.archive = archive = Archive(path)
        if "x_train" not in archive and "x" not in archive:
            raise InputError(
                f"{archive.path}: no array x, nor x_train: the file holds {', '.join(archive.keys) or 'nothing'}"
            )
        if "x_train" in archive and "x" in archive:
            raise InputError(f"{archive.path}: holds x and x_train: leave the series to train on in one of them")
        self.splits = {split: end for split, end in SPLITS.items() if f"x{end}" in archive}
        if "x" in archive:
            self.splits = {"train": "", **self.splits}
        if layout is None and "layout" in archive:
            layout = archive.word("layout")  # type: ignore[assignment]
        if layout not in ("NTF", "NFT", None):
            raise InputError(f"{archive.path}: layout must be NTF or NFT, not {layout!r}")
        values = {split: self._values(f"x{end}", layout) for split, end in self.splits.items()}
        widths = {f"x{self.splits[split]}": x.shape[2] for split, x in values.items()}
        if len(set(widths.values())) > 1:
            raise InputError(
                f"{archive.path}: {' and '.join(widths)} hold {' and '.join(map(str, widths.values()))} columns"
            )
        features = values["train"].shape[2]
        plain = ["value"] if features == 1 else [f"x{k}" for k in range(features)]
        self.columns = self._names("columns", features) or tuple(plain)
        kind = archive.header(f"x{self.splits['train']}")[1].newbyteorder("=")
        stored = str(kind if kind.itemsize <= 8 else np.dtype(np.float64))  # no table has longer ones
        self.dtypes = self._names("dtypes", features) or (stored,) * features
        self.static = self._names("static_columns")
        labels = {split: (f"x{end}", f"y{end}", len(values[split])) for split, end in self.splits.items()}
        self.y, self.classes = archive.labels(labels)
        self.rows = {split: self._rows(split, x, missing) for split, x in values.items()}
        self.static_dtypes = tuple(str(column.dtype) for column in self.rows["train"].static)

    def unread(self) -> list[str]:
        """Names of the arrays that nothing is made of."""
        ends = self.splits.values()
        whole = ("layout", "columns", "dtypes", "static_columns", "classes")
        statics = [f"static_{k}" for k in range(len(self.static))]
        known = {*whole, *(f"{name}{end}" for name in ("x", "y", *LENGTHS, *statics) for end in ends)}
        return [key for key in self.archive.keys if key not in known]

    def _values(self, name: str, layout: Layout | None) -> np.ndarray:
        """float64 (N, T, F)."""
        path = self.archive.path
        shape, dtype = self.archive.header(name, instead=WORDS)
        if dtype.kind in "US":
            raise InputError(f"{path}: {name} holds text: {WORDS}")
        if len(shape) not in (2, 3):
            raise InputError(f"{path}: {name} has shape {shape}: series are (N, T), (N, T, F) or (N, F, T)")
        if not all(shape):
            raise InputError(f"{path}: {name} has shape {shape}: there are no series in it")
        if dtype.kind not in "biuf":
            raise InputError(f"{path}: {name} is {dtype}: series are numbers")
        if len(shape) == 3 and layout is None:
            raise InputError(
                f"{path}: {name} has shape {shape}, and which axis is time is not said: set layout to NTF (series,"
                " time, columns) or NFT, or add an array layout with that word"
            )
        x = self.archive[name]
        if dtype.kind in "iu" and (large := (x > 2**53) | (x < -(2**53))).any():
            raise InputError(f"{path}: {name} has {x[large][0]}, too large to keep all digits: take an offset off")
        x = x.astype(np.float64)
        return x[..., None] if x.ndim == 2 else (np.moveaxis(x, 1, 2) if layout == "NFT" else x)

    def _names(self, key: str, count: int | None = None) -> tuple[str, ...]:
        """The names in an array, () where there is no such array."""
        if key not in self.archive:
            return ()
        names = tuple(str(name) for name in self.archive[key].reshape(-1))
        if count is not None and len(names) != count:
            raise InputError(f"{self.archive.path}: {key} holds {len(names)} names for {count} columns")
        if key != "dtypes" and len(set(names)) < len(names):
            raise InputError(f"{self.archive.path}: {key} names {next(n for n in names if names.count(n) > 1)} twice")
        return names

    def _rows(self, split: Split, x: np.ndarray, missing: Missing) -> SeriesRows:
        path, end = self.archive.path, self.splits[split]
        name, length = f"x{end}", self._length(end, x)
        row, step = np.nonzero(np.arange(x.shape[1]) < length[:, None])

        def place(position: int, column: int) -> str:
            where = f"row {row[position]}, step {step[position]}, column {self.columns[column]}"
            return f"{path}: {name}, {where}"

        bounds = np.concatenate([[0], np.cumsum(length)])
        values = x[row, step]
        infinite = np.argwhere(np.isinf(values))
        if len(infinite):
            raise InputError(f"{place(*infinite[0].tolist())}: {values[tuple(infinite[0])]} is no finite number")
        observed = fill(values, bounds, missing, place)
        whole, seen = np.zeros_like(x), None
        whole[row, step] = values
        if observed is not None:
            seen = np.zeros(x.shape, dtype=bool)
            seen[row, step] = observed
        return SeriesRows(
            whole, length, self.y[split], [self._static(k, end, len(x)) for k in range(len(self.static))], seen
        )

    def _length(self, end: str, x: np.ndarray) -> np.ndarray:
        """int64 (N,): of the file, or up to the last step that has a number."""
        path, steps = self.archive.path, x.shape[1]
        name = next((f"{name}{end}" for name in LENGTHS if f"{name}{end}" in self.archive), None)
        if name is None:
            there = ~np.isnan(x).all(axis=2)  # (N, T)
            length: np.ndarray = np.where(there.any(axis=1), steps - there[:, ::-1].argmax(axis=1), 0)
        else:
            shape, dtype = self.archive.header(name)
            if shape != (len(x),) or dtype.kind not in "iu":
                raise InputError(
                    f"{path}: {name} is {dtype} of shape {shape}: a whole number for each of {len(x)} series"
                )
            length = self.archive[name].astype(np.int64)
        wrong = np.flatnonzero((length < 1) | (length > steps))
        if len(wrong):
            raise InputError(
                f"{path}: the series in row {wrong[0]} of x{end} has length {length[wrong[0]]}: at least 1 and at"
                f" most {steps} are possible"
            )
        return length

    def _static(self, number: int, end: str, rows: int) -> np.ndarray:
        """The attribute of that number, (N,)."""
        name = f"static_{number}{end}"
        column = self.archive[name]
        if column.shape != (rows,):
            raise InputError(f"{self.archive.path}: {name} has shape {column.shape}: a value for each of {rows} series")
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            row = int((~np.isfinite(column)).argmax())
            raise InputError(f"{self.archive.path}: {name} has {column[row]} in row {row}: fill it in")
        if column.dtype.kind == "U":
            where = f"{self.archive.path}: {name}"
            return np.array(stripped(column.tolist(), where, lambda row: f"{where}, row {row}", what="attribute"))
        return column


class SeriesArrays(SeriesModule):
    """Series and labels from a ``.npz`` file.

    The file holds ``x`` (or ``x_train``) and, where there are labels, ``y`` (``y_train``); ``x_val``, ``y_val`` and
    ``x_test``, ``y_test`` are used as such, and what there is not of them is held out of the training rows. Their
    numbers of steps may differ. Series are numbers: (N, T), or in three axes as ``layout`` says. Labels are whole
    numbers or strings; beside an array ``classes`` of names they are ids into it. Of series of different lengths
    ``lengths`` (or ``length`` or ``len``; ``lengths_train``, …) says how many steps count; without it, a series ends
    before the steps at its end that are NaN in every column. ``columns`` names the columns, and ``dtypes`` the types in
    which samples are written; ``static_columns`` names attributes, the first of which is ``static_0``.

    Args:
        path: of the file.
        layout: of arrays of three axes: ``NTF`` (series, time, columns) or ``NFT``; where it is left out, what the
            string array ``layout`` in the file says.
        missing: NaN within a series: ``raise`` refuses it; ``interpolate`` fills it in, linearly in time and at the
            ends with the nearest value; ``mask`` does too, and batches say by ``observed`` what was there.
        kwargs: the options of :class:`SeriesModule` and :class:`GANDataModule`.

    Raises:
        InputError: the file cannot be read as this says.
    """

    def __init__(
        self, path: str | Path, layout: Layout | None = None, missing: Missing = "raise", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        source = SeriesSource(path, layout, missing)
        if others := [key for key in source.unread() if key != self.group]:
            rank_zero_info(f"{source.archive.path}: arrays that are not read: {', '.join(others)}")
        rows = source.rows
        if len(rows) > 1:
            counts = {split: len(part) for split, part in rows.items()}
            rank_zero_info(f"{source.archive.path}: {own_splits(counts, self.test_fraction, self.val_fraction)}")
        if self.group is not None:
            rows["train"].group = source.archive.groups(self.group, len(rows["train"]))
        present = np.unique(rows["train"].y)
        if source.classes and len(present) == 1:
            rank_zero_warn(f"{source.archive.path}: all series are of one class, {source.classes[present[0]]}")
        self.describe(
            rows["train"],
            rows.get("test"),
            source.columns,
            val=rows.get("val"),
            classes=source.classes,
            dtypes=source.dtypes,
            **static_fields(source.static, source.static_dtypes, list(rows.values())),
        )


def static_fields(names: tuple[str, ...], dtypes: tuple[str, ...], rows: list[SeriesRows]) -> dict[str, Any]:
    """What a schema says of attributes, before they are scaled: words are categories, in the order of the alphabet."""
    categories: list[tuple[str, ...]] = []
    for k, name in enumerate(names):
        if len({part.static[k].dtype.kind in "biuf" for part in rows}) > 1:
            raise InputError(
                f"the attribute {name} is of numbers in one split and of words in another: write all alike"
            )
        column = np.concatenate([part.static[k] for part in rows])
        categories.append(() if column.dtype.kind in "biuf" else tuple(np.unique(column.astype(str)).tolist()))
    kinds = tuple("object" if found else dtype for dtype, found in zip(dtypes, categories, strict=True))
    return {"static": names, "static_dtypes": kinds, "static_categories": tuple(categories)}


def fill(
    values: np.ndarray,
    bounds: np.ndarray,
    missing: Missing,
    place: Callable[[int, int], str],
    at: np.ndarray | None = None,
) -> np.ndarray | None:
    """Fill in the NaN of series that lie one after another, in place: linearly, and at their ends the nearest value.

    Args:
        values: float64 (R, F).
        bounds: (N + 1,): series i is the rows from ``bounds[i]`` to ``bounds[i + 1]``.
        missing: see :class:`SeriesArrays`.
        place: of a row and column, for what is said.
        at: (R,) times, rising within a series; by default steps.

    Returns:
        Which values were there, bool (R, F), if ``missing`` is ``mask``.

    Raises:
        InputError: a value is missing and must not be, or a series has none in some column.
    """
    absent = np.isnan(values)
    if missing == "raise" and absent.any():
        raise InputError(
            f"{place(*np.argwhere(absent)[0].tolist())}: no value: fill it in, set missing to"
            " interpolate or mask, or leave the column out"
        )
    for column in np.flatnonzero(absent.any(axis=0)):
        rows = np.flatnonzero(absent[:, column])
        for series in np.unique(np.searchsorted(bounds, rows, side="right") - 1):
            part = slice(bounds[series], bounds[series + 1])
            gaps = absent[part, column]
            if gaps.all():
                raise InputError(
                    f"{place(int(bounds[series]), int(column))}: the series that begins here has no value in it"
                )
            times = np.arange(len(gaps)) if at is None else at[part]
            known = values[part, column][~gaps]
            values[part, column] = np.interp(times, times[~gaps], known)
    return ~absent if missing == "mask" else None
