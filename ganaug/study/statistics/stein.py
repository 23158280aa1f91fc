"""How many seeds are wanted for an interval of a given width: Stein's two-stage procedure.

Stein 1945, "A Two-Sample Test for a Linear Hypothesis Whose Power Is Independent of the Variance", Annals of
Mathematical Statistics 16(3), section 2. A first stage of seeds estimates the spread, which says how many are wanted in
all. The interval is about the mean of all seeds, but by the spread of the first stage alone: to look at the mean, and
to add seeds until it pleases, would make any interval too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from datamodules.errors import InputError
from ganaug.study.statistics.intervals import ALPHA, student


def seeds_wanted(differences: Sequence[float], half_width: float) -> int:
    """How many seeds in all, those of the first stage among them, make the 95 % interval as narrow as asked.

    Args:
        differences: paired differences of the first stage, one a seed, at least 2.
        half_width: above 0, in the unit of the differences.

    Raises:
        InputError: fewer than 2 differences, or a half width that is not above 0.
    """
    if not half_width > 0:
        raise InputError(f"half_width must be above 0, not {half_width:g}")
    return max(len(differences), math.ceil((_reach(differences) / half_width) ** 2 - 1e-9))


def stein_interval(differences: Sequence[float], first: int) -> tuple[float, float]:
    """The 95 % interval of the mean difference after the second stage.

    Args:
        differences: of all seeds, those of the first stage first.
        first: how many those are, at least 2; :func:`seeds_wanted` was asked with them alone.

    Returns:
        Low and high. It holds the true mean in at least 95 % of studies with normal differences, and is no wider than
        was asked for where at least as many seeds were run as were wanted.

    Raises:
        InputError: fewer than 2 differences in the first stage, or fewer in all than in it.
    """
    if len(differences) < first:
        raise InputError(f"{len(differences)} differences in all are fewer than the {first} of the first stage")
    _reach(differences[:first])
    mean, half, _ = map(float, student(differences, first))
    return mean - half, mean + half


def _reach(first: Sequence[float]) -> float:
    """Half the width of the interval if there were one seed: Student's quantile times the first stage's deviation."""
    if len(first) < 2:
        raise InputError(f"the first stage needs at least 2 seeds, not {len(first)}: one tells nothing of their spread")
    return float(stats.t.ppf(1 - ALPHA / 2, len(first) - 1) * np.std(first, ddof=1))
