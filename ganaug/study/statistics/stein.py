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
from ganaug.study.statistics.intervals import ALPHA


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
    first = len(differences)
    if first < 2:
        raise InputError(f"the first stage needs at least 2 seeds, not {first}: one tells nothing of their spread")
    of_one_seed = float(stats.t.ppf(1 - ALPHA / 2, first - 1) * np.std(differences, ddof=1))
    return max(first, math.ceil((of_one_seed / half_width) ** 2 - 1e-9))
