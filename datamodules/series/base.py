"""SeriesModule: series in memory, scaled by what the training rows are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.rows import Table
from datamodules.schema import Batch
from datamodules.series.schema import Scaler, SeriesSchema


@dataclass
class SeriesRows:
    """Series in their own units.

    Args:
        values: float64 (N, T, F), finite up to ``length``; whatever lies beyond it does not count.
        length: int64 (N,), at least 1 and at most T.
        y: class ids int64 (N,), 0 without classes.
        static: an array (N,) for each static attribute.
        observed: bool (N, T, F), False for what was filled in; None where nothing was.
        group: str (N,), of each the name of its group; None where that is not asked.
    """

    values: np.ndarray
    length: np.ndarray
    y: np.ndarray
    static: list[np.ndarray] = field(default_factory=list)
    observed: np.ndarray | None = None
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def inside(self) -> np.ndarray:
        """Which steps count, bool (N, T)."""
        return np.arange(self.values.shape[1]) < self.length[:, None]


class SeriesModule(GANDataModule):
    """Base of the sources of series. A subclass hands its rows to :meth:`describe` at the end of ``__init__``.

    Args:
        scaler: of each column, fitted on the training rows: ``min_max`` to [0, 1]; ``standard`` to mean 0 and deviation
            1; ``robust`` to median 0 and 1 between the quartiles, for columns with outliers.
        bounds: of columns by name, the lowest and the highest value that samples may have; or ``train``, for all
            columns, what they are in the training rows.
        **options: of :class:`GANDataModule`.

    Raises:
        InputError: there is no such scaler or column, or a value lies beyond its bounds.
    """

    schema: SeriesSchema

    def __init__(
        self,
        scaler: Scaler = "min_max",
        bounds: Literal["train"] | Mapping[str, tuple[float, float]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.scaler = scaler
        self.bounds = bounds

    def describe(
        self,
        rows: SeriesRows,
        test: SeriesRows | None,
        columns: tuple[str, ...],
        val: SeriesRows | None = None,
        **fields: Any,
    ) -> None:
        """Take the rows, and make the schema: split, then fit the scalers on the training rows.

        Args:
            rows: all of them; or, where the source has splits of its own for testing or validation, the others.
            test: the one for testing.
            columns: names of the F measurements.
            val: the one for validation.
            **fields: of :class:`SeriesSchema`, but those that are known from the rows.
        """
        self._rows, self._test, self._val = rows, test, val
        steps = max(part.values.shape[1] for part in self._sources)
        unscaled = (0.0,) * len(columns), (1.0,) * len(columns)
        known: dict[str, Any] = {
            "columns": columns,
            "dtypes": ("float64",) * len(columns),
            "offset": unscaled[0],
            "scale": unscaled[1],
            "length": steps,
            "fixed": all((part.length == steps).all() for part in self._sources),
            "scaler": self.scaler,
            "static_offset": (0.0,) * len(fields.get("static", ())),
            "static_scale": (1.0,) * len(fields.get("static", ())),
        }
        self.schema = SeriesSchema(**known | fields)  # the classes are needed to split
        train, _, _ = self.partition(rows.y, test is not None, val is not None)
        counts = rows.inside()[train][:, :, None] & (True if rows.observed is None else rows.observed[train])
        values = np.where(counts, rows.values[train], np.nan)  # (N, T, F)
        empty = np.flatnonzero(np.isnan(values).all(axis=(0, 1)))
        if len(empty):
            raise InputError(f"the column {columns[empty[0]]} has no value in the training split: leave it out")
        offset, scale = fit_scaler(values.reshape(-1, len(columns)), self.scaler, columns)
        offset = tuple(0.0 if self.schema.words(k) else own for k, own in enumerate(offset))
        scale = tuple(1.0 if self.schema.words(k) else own for k, own in enumerate(scale))
        ranges = self._ranges(columns, values)
        self.schema = replace(self.schema, offset=offset, scale=scale, ranges=ranges)
        self._warn_far_out(columns, values, offset, scale)
        numbers = [k for k, categories in enumerate(self.schema.static_categories) if not categories]
        static_offset, static_scale = [0.0] * len(self.schema.static), [1.0] * len(self.schema.static)
        for k in numbers:
            (static_offset[k],), (static_scale[k],) = fit_scaler(
                rows.static[k][train][:, None], "min_max", self.schema.static[k : k + 1]
            )
        self.schema = replace(self.schema, static_offset=tuple(static_offset), static_scale=tuple(static_scale))

    @property
    def _sources(self) -> list[SeriesRows]:
        """All rows of the source, by its own splits."""
        return [part for part in (self._rows, self._test, self._val) if part is not None]

    def _ranges(self, columns: tuple[str, ...], train: np.ndarray) -> tuple[tuple[float, ...], ...]:
        """As in the schema, of training values (N, T, F): the bounds that were asked for, and those of constants."""
        given = self.bounds if isinstance(self.bounds, Mapping) else {}
        for name, (low, high) in given.items():
            if name not in columns:
                raise InputError(f"bounds: no column {name!r}: the columns are {', '.join(columns)}")
            if low > high:
                raise InputError(
                    f"bounds: of {name} the lowest value is {low} and the highest {high}: the other way round"
                )
        ranges: list[tuple[float, ...]] = []
        for k, name in enumerate(columns):
            if self.schema.words(k):
                ranges.append(())
                continue
            parts = [part.values[..., k][part.inside()] for part in self._sources]
            least, most = min(map(np.min, parts)), max(map(np.max, parts))
            if name in given and (least < given[name][0] or most > given[name][1]):
                beyond = least if least < given[name][0] else most
                raise InputError(f"bounds: {name} has the value {beyond:g}, beyond {list(given[name])}: correct either")
            if least == most:
                ranges.append((float(least), float(most)))
            elif self.bounds == "train":
                ranges.append((float(np.nanmin(train[..., k])), float(np.nanmax(train[..., k]))))
            else:
                ranges.append(tuple(map(float, given.get(name, ()))))
        return tuple(ranges)

    def _warn_far_out(
        self, columns: tuple[str, ...], train: np.ndarray, offset: tuple[float, ...], scale: tuple[float, ...]
    ) -> None:
        """Warn of a column in which a few values leave the others a hundredth of the range."""
        numbers = [(k, name) for k, name in enumerate(columns) if not self.schema.words(k)]
        for k, name in numbers if self.scaler == "min_max" else ():
            scaled = (train[..., k][np.isfinite(train[..., k])] - offset[k]) / scale[k]
            low, high = np.quantile(scaled, [0.005, 0.995])
            if len(scaled) >= 200 and 0 < high - low < 0.01:
                far = float((1.0 if 1 - high > low else 0.0) * scale[k] + offset[k])
                rank_zero_warn(
                    f"{name}: {far:g} lies so far out that 99 % of the values share {100 * (high - low):.1g} % of the"
                    " range: if it is no value, name it by missing_values; else set scaler to robust"
                )

    def groups(self) -> np.ndarray | None:
        """As the source has read them."""
        return self._rows.group

    def load(self) -> tuple[Table, Table | None, Table | None]:
        """The rows as the model sees them."""
        test, val = (None if part is None else Table(self._encoded(part)) for part in (self._test, self._val))
        return Table(self._encoded(self._rows)), test, val

    def _encoded(self, rows: SeriesRows) -> Batch:
        missing = self.schema.length - rows.values.shape[1]
        values = np.pad(rows.values, ((0, 0), (0, missing), (0, 0)))
        batch = {
            "x": self.schema.encode(values, rows.length),
            "length": torch.from_numpy(rows.length.astype(np.int64)),
            "y": torch.from_numpy(rows.y.astype(np.int64)),
            "row": torch.arange(len(rows)),
        }
        if not torch.isfinite(batch["x"]).all():
            feature = int((~torch.isfinite(batch["x"])).any(dim=1).any(dim=0).nonzero()[0])
            column = self.schema.columns[np.searchsorted(self.schema.places, feature, side="right") - 1]
            raise InputError(
                f"{column}: a value lies more than 1e38 times the range of the training values away: is it in another"
                " unit?"
            )
        if self.schema.static:
            batch["static"] = self.schema.encode_static(rows.static)
        if rows.observed is not None:
            observed = np.pad(rows.observed & rows.inside()[:, :, None], ((0, 0), (0, missing), (0, 0)))
            observed = observed.repeat(self.schema.widths, axis=2)
            batch["observed"] = torch.from_numpy(observed.astype(np.float32))
        return batch


def fit_scaler(values: np.ndarray, scaler: Scaler, names: Sequence[str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Offset and scale of each column.

    Args:
        values: (N, F), NaN where there is none; at least one number in each column.
        scaler: see :class:`SeriesSchema`.
        names: of the F columns.

    Returns:
        Two tuples of F; the scale of a constant column is 1, so that it becomes 0 and comes back as it was.

    Raises:
        InputError: numbers are so large that their squares or differences are none.
    """
    values = values.astype(np.float64)
    if len(large := np.flatnonzero(np.nanmax(np.abs(values), axis=0) > 1e150)):
        most = np.nanmax(np.abs(values[:, large[0]]))
        raise InputError(f"{names[large[0]]}: values as large as {most:.1e}: give them in another unit, below 1e150")
    if scaler == "min_max":
        offset = np.nanmin(values, axis=0)
        scale = np.nanmax(values, axis=0) - offset
    elif scaler == "standard":
        offset, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    else:
        low, offset, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        # Where more than half of the values are equal, the quartiles say nothing of how far the others lie.
        scale = np.where(high > low, high - low, np.nanstd(values, axis=0))
    scale = np.where(scale > np.abs(offset) * 1e-12, scale, 1.0)
    return tuple(float(o) for o in offset), tuple(float(s) for s in scale)
