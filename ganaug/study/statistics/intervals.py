"""Means over seeds with their intervals, corrected for many settings; and what a study could have seen.

All are functions of arrays whose last axis is that of the seeds or of the settings.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]
ALPHA = 0.05  # two-sided: a gain is claimed by chance in 1 study of 40, harm in 1 of 40
POWER = 0.8


def student(differences: Any, first: int | None = None) -> tuple[Floats, Floats, Floats]:
    """Student's t over seeds: Student 1908, "The Probable Error of a Mean", section VIII.

    Args:
        differences: (..., n) paired differences, one a seed.
        first: how many seeds were a first stage that said how many are wanted, by default all: their spread alone
            counts, as :mod:`~ganaug.study.statistics.stein` asks for.

    Returns:
        Mean, half the width of the 95 % interval, two-sided p, each (...). Half width and p are NaN for one seed, and
        for equal differences, which leave nothing to estimate chance from.
    """
    x = np.asarray(differences, dtype=float)
    n, mean = x.shape[-1], x.mean(-1)
    staged = n if first is None else min(first, n)
    if staged < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    sd = x[..., :staged].std(-1, ddof=1)
    error = np.where(sd > 1e-12, sd, np.nan) / math.sqrt(n)
    half = stats.t.ppf(1 - ALPHA / 2, staged - 1) * error
    p = 2 * stats.t.sf(np.abs(mean) / error, staged - 1)
    return mean, half, p


def holm(p: Any) -> Floats:
    """Adjusted p of several comparisons: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".

    Args:
        p: (..., m), without NaN.

    Returns:
        (..., m) in [0, 1]. To claim what is below alpha claims anything false with a chance of at most alpha.
    """
    values = np.asarray(p, dtype=float)
    order = values.argsort(-1)
    steps = np.take_along_axis(values, order, -1) * np.arange(values.shape[-1], 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(steps, -1), 1.0)
    return np.take_along_axis(adjusted, order.argsort(-1), -1)


def detectable(sd: float, n: int, comparisons: int = 1, first: int | None = None) -> float:
    """The true gain that such a study finds in 4 of 5 cases, at the level that Holm asks of its first comparison.

    Of few seeds the true deviation may be far from theirs. So the power (Cohen 1988, "Statistical Power Analysis for
    the Behavioral Sciences", chapter 2) is averaged over what it may be: it is ``sd / u``, where the square of u is
    distributed as chi-square over its degrees of freedom.

    Args:
        sd: of the paired differences over seeds, in whatever unit the gain is wanted in.
        n: seeds, at least 2.
        comparisons: settings that are corrected for.
        first: seeds of the first stage, whose spread ``sd`` is; by default all.
    """
    return _gain_found(min(first or n, n) - 1, ALPHA / comparisons) * sd / math.sqrt(n)


@cache
def _gain_found(freedom: int, alpha: float) -> float:
    """In standard errors as they were estimated."""
    limit = stats.t.ppf(1 - alpha / 2, freedom)
    # The deviation of this study, and that of another like it, over the true one.
    here = np.sqrt(stats.chi2.ppf((np.arange(200) + 0.5) / 200, freedom) / freedom)
    there = here[:, None]

    def lacking(gain: float) -> float:
        return float(special.ndtr(gain * here - limit * there).mean()) - POWER

    high = limit + 1
    while lacking(high) < 0:
        high *= 2
    return float(optimize.brentq(lacking, 0, high))
