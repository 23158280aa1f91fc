"""Statistics of series against numpy, scipy, plain loops and what can be worked out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from datamodules.errors import InputError
from ganaug.metrics.series import (
    autocorrelation,
    autocorrelation_distance,
    correlation,
    correlation_distance,
    frequency_distance,
    marginal_distance,
)

DISTANCES = {
    "published": correlation_distance,
    "mean": lambda *sets: correlation_distance(*sets, reduction="mean"),
    "autocorrelation": autocorrelation_distance,
    "values": marginal_distance,
    "differences": lambda *sets: marginal_distance(*sets, differences=True),
}
every = pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)


def full(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, torch.full((len(x),), x.shape[1])


def draw(count: int = 40, steps: int = 9, features: int = 3, seed: int = 0, shortest: int = 1) -> tuple[Tensor, Tensor]:
    """Walks that go together, of different lengths, and garbage behind them."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, steps, features, generator=g).cumsum(1) @ torch.randn(features, features, generator=g)
    length = torch.randint(shortest, steps + 1, (count,), generator=g)
    length[:2] = steps
    return with_padding(x, length, math.nan), length


def with_padding(x: Tensor, length: Tensor, value: float) -> Tensor:
    return torch.where((torch.arange(x.shape[1]) < length[:, None])[..., None], x, value)


def values(x: Tensor, length: Tensor) -> np.ndarray:
    return np.concatenate([row[:steps].double().numpy() for row, steps in zip(x, length, strict=True)])


# ---- correlation -----------------------------------------------------------------------------------------------------


def test_correlation_agrees_with_numpy():
    x, length = draw()
    np.testing.assert_allclose(correlation(x, length), np.corrcoef(values(x, length).T), atol=1e-12)


def test_correlation_distance_by_hand():
    a = torch.randn(500, 8, 1)
    b = torch.randn(500, 8, 1)
    real, synthetic = torch.cat([a, a, b], 2), torch.cat([a, -a, b], 2)
    own = float(np.corrcoef(a.flatten(), b.flatten())[0, 1])
    expected = 2 + abs(2 * own)  # of the three pairs the first goes from 1 to -1, and the last from ρ to -ρ
    assert correlation_distance(*full(real), *full(synthetic)) == pytest.approx(expected / 10, abs=1e-6)
    assert correlation_distance(*full(real), *full(synthetic), "mean") == pytest.approx(expected / 3, abs=1e-6)


def test_correlation_distance_agrees_with_the_published_code():
    """Standardised by mean and deviation over series and steps, products over both, a sum over i ≥ j, a tenth of it."""
    (x, _), (y, _) = full(torch.randn(30, 9, 4).cumsum(1)), full(torch.randn(20, 9, 4).cumsum(1))

    def published(x: Tensor) -> Tensor:
        z = (x - x.mean((0, 1), keepdim=True)) / x.std((0, 1), keepdim=True)
        return torch.stack([(z[..., i] * z[..., j]).mean() for i in range(4) for j in range(i + 1)])

    expected = float((published(x) - published(y)).abs().sum() / 10)
    assert correlation_distance(*full(x), *full(y)) == pytest.approx(expected, rel=0.02)


def test_a_constant_feature_goes_with_none():
    x = torch.rand(20, 5, 3)
    x[..., 1] = 0.1
    matrix = correlation(*full(x))
    assert torch.equal(matrix[1], torch.tensor([0.0, 1, 0], dtype=torch.float64))
    assert matrix[0, 2] != 0
    assert correlation_distance(*full(x[..., :1]), *full(x[..., 1:2])) == 0  # one feature, no pair


# ---- autocorrelation -------------------------------------------------------------------------------------------------


def test_autocorrelation_agrees_with_a_plain_loop():
    x, length = draw(count=12)
    curve = autocorrelation(x, length, 6)
    assert curve.shape == (7, 3)
    for feature in range(3):
        for lag in range(7):
            each = []
            for row, steps in zip(x[..., feature].double().numpy(), length.tolist(), strict=True):
                if steps > lag:
                    v = row[:steps] - row[:steps].mean()
                    power = (v * v).sum()
                    each.append((v[lag:] * v[: steps - lag]).sum() / power if power > 1e-9 else float(lag == 0))
            assert curve[lag, feature] == pytest.approx(np.mean(each), abs=1e-10)


def test_autocorrelation_by_hand():
    turns = torch.tensor([0.0, 1] * 50)[None, :, None]
    assert autocorrelation(*full(turns), 2).flatten().tolist() == pytest.approx([1, -0.99, 0.98])
    assert autocorrelation(*full(torch.full((3, 7, 1), 0.1)), 2).flatten().tolist() == [1, 0, 0]
    both = torch.cat([turns, torch.full_like(turns, 0.3)])
    assert autocorrelation(*full(both), 1)[1].item() == pytest.approx(-0.495)
    assert autocorrelation_distance(*full(turns), *full(torch.ones_like(turns)), lags=2) == pytest.approx(
        (0.99 + 0.98) / 2
    )


def test_autocorrelation_of_a_known_process():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, 600, 1, generator=g)
    for t in range(1, 600):
        x[:, t] += 0.7 * x[:, t - 1]
    curve = autocorrelation(*full(x), 4).flatten()
    assert curve.tolist() == pytest.approx([0.7**k for k in range(5)], abs=0.02)


# ---- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("differences", [False, True])
def test_marginal_distance_agrees_with_scipy(differences):
    sets = [draw(seed=1), draw(count=25, steps=7, seed=2)]
    rows = []
    for x, length in sets:
        series = [row[:steps].double().numpy() for row, steps in zip(x, length, strict=True)]
        rows.append(np.concatenate([np.diff(s, axis=0) for s in series] if differences else series))
    each = [wasserstein_distance(rows[0][:, k], rows[1][:, k]) / rows[0][:, k].std() for k in range(3)]
    assert marginal_distance(*sets[0], *sets[1], differences=differences) == pytest.approx(np.mean(each))


def test_marginal_distance_by_hand():
    x = torch.rand(50, 6, 2)
    deviation = x.double().std((0, 1), correction=0)
    assert marginal_distance(*full(x), *full(x + 3 * deviation)) == pytest.approx(3, abs=1e-5)
    assert marginal_distance(*full(x), *full(x + 5), differences=True) == pytest.approx(0, abs=1e-5)
    shifted = x.flip(0) * torch.tensor([1.0, 1000]) + torch.tensor([0, 7.0])
    wide = x * torch.tensor([1.0, 1000])
    assert marginal_distance(*full(wide), *full(shifted)) == pytest.approx(7 / (2000 * float(deviation[1])), abs=1e-5)
    constant = torch.full((4, 5, 1), 0.1)
    assert marginal_distance(*full(constant), *full(constant + 0.5)) == pytest.approx(0.5)


# ---- all of them -----------------------------------------------------------------------------------------------------


@every
def test_nothing_between_a_set_and_itself_and_little_between_two_of_a_kind(distance):
    x, length = draw(count=4000, shortest=2)
    assert distance(x, length, x, length) == 0
    halves = distance(x[:2000], length[:2000], x[2000:], length[2000:])
    other = torch.rand(2000, 9, 3)
    assert 0 < halves < 0.1 * distance(x[:2000], length[:2000], *full(other))


@every
def test_what_lies_beyond_a_length_never_counts(distance):
    (x, x_length), (y, y_length) = draw(seed=3), draw(count=30, steps=8, seed=4)
    scores = {
        distance(with_padding(x, x_length, a), x_length, with_padding(y, y_length, b), y_length)
        for a, b in ((0, 0), (math.nan, 1e30), (-5, math.inf))
    }
    longer = torch.nn.functional.pad(x, (0, 0, 0, 4), value=9.0)
    scores.add(distance(longer, x_length, y, y_length))
    assert len(scores) == 1
    assert scores.pop() > 0.01


@every
def test_what_has_no_answer_is_refused_in_a_line(distance):
    x, length = full(torch.rand(6, 5, 2))
    broken = x.clone()
    broken[2, 3, 1] = math.nan
    for bad, message in (
        ((x[..., :1], length), "2 and 1 features"),
        (
            (x[:0], length[:0]),
            r"synthetic should be numbers \(series, steps, features\), not torch.float32 \(0, 5, 2\)",
        ),
        ((x[0], length), "synthetic should be numbers"),
        ((x.long(), length), "synthetic should be numbers"),
        ((x, length[:3]), "synthetic: 6 series want as many whole lengths"),
        ((x, length.float()), "synthetic: 6 series want as many whole lengths"),
        ((x, length + 1), r"synthetic: series 0 has length 6, which is not within 1 … 5"),
        ((x, length * torch.tensor([1, 1, 1, 1, 0, 1])), "synthetic: series 4 has length 0"),
        ((broken, length), "synthetic: NaN or infinity in series 2 at step 3"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            distance(x, length, *bad)
        assert "\n" not in str(caught.value)


def test_lags_and_steps_that_are_not_there_are_refused():
    x, length = full(torch.rand(6, 5, 2))
    with pytest.raises(InputError, match="no autocorrelation at lag 5: the longest series has 5 steps"):
        autocorrelation(x, length, 5)
    with pytest.raises(InputError, match="lag of at least 1, not 0"):
        autocorrelation_distance(x, length, x, length, lags=0)
    with pytest.raises(InputError, match="synthetic: no series has two steps"):
        marginal_distance(x, length, x, torch.ones_like(length), differences=True)
    with pytest.raises(InputError, match="the longest series has 1 steps"):
        autocorrelation_distance(x, length, x, torch.ones_like(length))


@pytest.mark.parametrize("width", [1, 2])
def test_frequencies_of_other_words_are_not_compared(width: int) -> None:
    lengths = torch.tensor([4, 4])
    with pytest.raises(InputError, match=f"the sets have {width} and 3 features"):
        frequency_distance(torch.ones(2, 4, width), lengths, torch.ones(2, 4, 3), lengths)
