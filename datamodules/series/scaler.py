"""Offset and scale of columns of numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np

from datamodules.errors import InputError

Scaler = Literal["min_max", "standard", "robust"]


def fit_scaler(values: np.ndarray, scaler: Scaler) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Offset and scale of each column.

    Args:
        values: (N, F), NaN where there is none; at least one number in each column.
        scaler: see :class:`SeriesSchema`.

    Returns:
        Two tuples of F; the scale of a constant column is 1, so that it becomes 0 and comes back as it was.

    Raises:
        InputError: numbers are so large that their squares or differences are none.
    """
    values = values.astype(np.float64)
    if (large := np.nanmax(np.abs(values))) > 1e150:
        raise InputError(f"there are values as large as {large:.1e}: give them in another unit, below 1e150")
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
