"""Areas against closed forms and brute force, intervals by how often they hold, attacks where the truth is known."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, norm, spearmanr
from torch import Tensor

from datamodules import InputError
from ganaug.metrics.membership import auc_interval, density_ratio, nearness, told_apart


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- how well scores tell apart ----


def test_area_in_plain_cases() -> None:
    low, high = torch.arange(5.0), torch.arange(5.0) + 10
    assert told_apart(high, low)["auc"] == 1
    assert told_apart(low, high)["auc"] == 0
    assert told_apart(low, low)["auc"] == 0.5
    assert told_apart(torch.zeros(7), torch.zeros(3))["auc"] == 0.5
    assert told_apart(torch.tensor([1.0, 3]), torch.tensor([0.0, 2]))["auc"] == 0.75
    assert told_apart(torch.tensor([1.0, 2]), torch.tensor([1.0, 0]))["auc"] == 0.875  # a tie is half
    assert told_apart(torch.tensor([math.inf, 2]), torch.tensor([1.0, -math.inf]))["auc"] == 1


def test_area_of_gaussians() -> None:
    """P(a > b) = Φ(μ / √2) of unit Gaussians μ apart; and the Mann-Whitney statistic over the number of pairs."""
    members, others = normal(2000, 1, 0)[:, 0] + 1, normal(1500, 1, 1)[:, 0]
    found = told_apart(members, others)
    assert found["auc"] == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.02)
    assert found["auc"] == pytest.approx(mannwhitneyu(members, others).statistic / (2000 * 1500))
    assert found["tpr"] == pytest.approx(norm.sf(norm.isf(0.01) - 1), abs=0.03)


def test_true_positives_need_a_hundred_others() -> None:
    few = torch.cat([torch.full((20,), 5.0), torch.zeros(80)])  # a fifth given away for sure, the others not at all
    found = told_apart(few, torch.linspace(-1, 1, 100))
    assert found["tpr"] == pytest.approx(0.2)
    assert found["auc"] == pytest.approx(0.6, abs=0.01)
    assert "tpr" not in told_apart(few, torch.zeros(99))


def test_interval_is_the_exact_deviation_of_guessing_at_a_half() -> None:
    """The variance there is that of the Mann-Whitney statistic, (m + n + 1) / 12mn."""
    n, z = 80, norm.ppf(0.975)
    edge = 0.5 + z * math.sqrt((2 * n + 1) / (12 * n * n))
    assert auc_interval(edge + 1e-6, n, n)[0] > 0.5 > auc_interval(edge - 1e-6, n, n)[0]


def test_interval_stays_in_its_range_and_does_not_vanish() -> None:
    low, high = auc_interval(1.0, 20, 20)
    assert 0.85 < low < 0.95
    assert high == 1
    assert auc_interval(0.0, 20, 20) == pytest.approx([0, 1 - low])
    assert auc_interval(0.5, 10**6, 10**6) == pytest.approx([0.5, 0.5], abs=2e-3)
    assert auc_interval(0.7, 30, 30, 0.99)[0] < auc_interval(0.7, 30, 30, 0.95)[0]


@pytest.mark.parametrize("area", [0.5, 0.75, 0.97])
@pytest.mark.parametrize("n", [15, 60])
def test_interval_holds_as_often_as_it_says(area: float, n: int) -> None:
    rng = np.random.default_rng(n)
    draws = 600
    members = rng.normal(size=(draws, n, 1)) + math.sqrt(2) * norm.ppf(area)
    seen = (members > rng.normal(size=(draws, 1, n))).mean((1, 2))
    held = [low <= area <= high for low, high in (auc_interval(a, n, n) for a in seen)]
    assert 0.92 <= np.mean(held) <= 0.99


def test_refusals() -> None:
    with pytest.raises(InputError, match="0 and 3"):
        told_apart(torch.zeros(0), torch.zeros(3))
    with pytest.raises(InputError, match="1 of 4 scores of an attack are not numbers"):
        told_apart(torch.tensor([math.nan, 1]), torch.zeros(2))


# ---- attacks ----


def test_density_ratio_of_known_gaussians() -> None:
    """Samples N(1, 1), data N(0, 1): log p_G/p_R = x - 1/2, whatever the constant."""
    rows = torch.linspace(-1.5, 2.5, 60, dtype=torch.float64)[:, None]
    found = density_ratio(rows, normal(4000, 1, 0) + 1, normal(4000, 1, 1), k=60)
    assert (found - found.mean() - (rows[:, 0] - rows.mean())).abs().max() < 0.5
    assert spearmanr(found, rows[:, 0]).statistic > 0.98
    two = normal(200, 2, 2)
    ratio = 2 * density_ratio(two, normal(3000, 2, 3) / 2, normal(3000, 2, 4), k=50)  # log p_G/p_R = log 4 - 1.5 |x|²
    true = math.log(4) - 1.5 * two.square().sum(1)
    assert spearmanr(ratio, true).statistic > 0.95  # far out, neighbours are those of the nearest edge of the cloud


def test_reference_rows_are_judged_by_the_others() -> None:
    reference, samples = normal(300, 3, 0), normal(300, 3, 1)
    own = density_ratio(None, samples, reference)
    fresh = density_ratio(normal(300, 3, 2), samples, reference)
    assert own.isfinite().all()
    assert told_apart(own, fresh)["auc"] == pytest.approx(0.5, abs=0.06)


def test_rows_that_are_there_twice() -> None:
    rows = torch.zeros(4, 2)
    assert density_ratio(rows, rows, rows).tolist() == [0, 0, 0, 0]
    assert nearness(rows, rows).tolist() == [0, 0, 0, 0]
    copied = normal(30, 2, 0)
    assert (density_ratio(copied, copied, normal(30, 2, 1)) > 5).all()


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_rows_learnt_by_heart_are_found(noise: float) -> None:
    train, test, val = (normal(80, 8, seed) for seed in range(3))
    samples = train + noise * normal(80, 8, 3)
    for attack in (nearness, lambda rows, made: density_ratio(rows, made, val)):
        found = told_apart(attack(train, samples), attack(test, samples))
        assert found["auc"] > 0.99
        assert found["interval"][0] > 0.9


def test_fresh_draws_of_the_same_distribution_give_nothing_away() -> None:
    held = {"near": 0, "ratio": 0}
    for seed in range(40):
        train, test, val, samples = (normal(60, 4, 10 * seed + k) for k in range(4))
        low, high = told_apart(nearness(train, samples), nearness(test, samples))["interval"]
        held["near"] += low <= 0.5 <= high
        low, high = told_apart(*(density_ratio(rows, samples, val) for rows in (train, test)))["interval"]
        held["ratio"] += low <= 0.5 <= high
    assert min(held.values()) >= 35


def test_density_ratio_finds_what_distance_hides() -> None:
    """Rows of a wide cloud learnt by heart, beside a tight cloud in which every row has samples near to it."""
    tight, wide = [0.01 * normal(60, 4, seed) for seed in range(4)], [normal(60, 4, 10 + seed) for seed in range(3)]
    train, test, val = (torch.cat([a, b + 20]) for a, b in zip(tight[:3], wide, strict=True))
    samples = torch.cat([tight[3], wide[0] + 20 + 0.3 * normal(60, 4, 20)])
    near = told_apart(nearness(train, samples), nearness(test, samples))
    ratio = told_apart(*(density_ratio(rows, samples, val) for rows in (train, test)))
    assert ratio["auc"] > near["auc"] + 0.05
    assert ratio["interval"][0] > 0.5
