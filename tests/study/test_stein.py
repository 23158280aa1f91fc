"""Stein's two-stage procedure by hand; its coverage is in test_simulated."""

import math

import pytest
from scipy import stats

from datamodules.errors import InputError
from ganaug.study.statistics.stein import seeds_wanted


def test_by_hand():
    first, t = [1.0, 2.0, 3.0], stats.t.ppf(0.975, 2)  # deviation 1
    assert seeds_wanted(first, 1.0) == math.ceil(t**2) == 19
    assert seeds_wanted(first, 100.0) == 3, "those there are suffice"
    assert seeds_wanted([0.5] * 4, 0.1) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seeds_wanted([0.1], 0.1), "needs at least 2 seeds, not 1"),
        (lambda: seeds_wanted([0.1, 0.2], 0.0), "half_width must be above 0, not 0"),
        (lambda: seeds_wanted([0.1, 0.2], math.nan), "half_width must be above 0, not nan"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()
