"""Distances against closed forms, against torchmetrics, and against the formulas of the papers written plainly."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from ganaug.metrics import distance
from ganaug.metrics.distance import (
    distance_within,
    frechet_distance,
    kernel_distance,
    manifold,
    memorisation,
    nearest,
)


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """Rows with exactly this sample mean and this symmetric root of the sample covariance."""
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (len(x) - 1))).T @ root + mean


# ---- Fréchet ---------------------------------------------------------------------------------------------------------


def test_frechet_of_known_gaussians():
    mean_a, mean_b = torch.tensor([0.0, 1, 2]).double(), torch.tensor([3.0, 1, -2]).double()
    std_a, std_b = torch.tensor([1.0, 2, 0.5]).double(), torch.tensor([2.0, 2, 3]).double()
    a, b = exactly(normal(50, 3), mean_a, std_a.diag()), exactly(normal(70, 3, 1), mean_b, std_b.diag())
    expected = (mean_a - mean_b).square().sum() + (std_a - std_b).square().sum()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_frechet_agrees_with_torchmetrics():
    a, b = normal(300, 20) @ normal(20, 20, 2), normal(200, 20, 1) + 0.3
    assert frechet_distance(a, b) == pytest.approx(
        float(_compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())), rel=1e-6
    )
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a.float(), b.float()) == pytest.approx(frechet_distance(a, b), rel=1e-5)


@pytest.mark.parametrize("n", [2, 7, 12, 13, 40])
def test_frechet_with_fewer_rows_than_features(n):
    a, b = normal(n, 12), normal(n + 3, 12, 1) * 2
    root = np.linalg.eigvals((a.T.cov() @ b.T.cov()).numpy()).real.clip(0) ** 0.5
    expected = (a.mean(0) - b.mean(0)).square().sum() + a.T.cov().trace() + b.T.cov().trace() - 2 * root.sum()
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-5)


def test_frechet_is_zero_for_equal_and_moves_with_the_mean():
    a = normal(100, 8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(a, a.flip(0) + 2) == pytest.approx(8 * 4)
    assert frechet_distance(a[:5], a[:5]) == pytest.approx(0, abs=1e-10)


# ---- kernel ----------------------------------------------------------------------------------------------------------


def test_kernel_distance_agrees_with_torchmetrics_on_all_rows():
    a, b = normal(100, 6), normal(100, 6, 1) * 1.2 + 0.1
    gamma = 1 / 6
    kernels = [(gamma * x @ y.T + 1) ** 3 for x, y in ((a, a), (a, b), (b, b))]
    n = 100
    plain = sum((k.sum() - k.trace()) / (n * (n - 1)) for k in (kernels[0], kernels[2])) - 2 * kernels[1].mean()
    mean, std = kernel_distance(a, b)
    assert std == 0
    assert mean == pytest.approx(float(plain), rel=1e-9)
    assert mean == pytest.approx(float(poly_mmd(a, b)), rel=1e-9)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    a, b = normal(3000, 6), normal(2000, 6, 1)
    same, spread = kernel_distance(a, b, subset_size=200, subsets=50)
    moved, _ = kernel_distance(a, b + 0.5, subset_size=200, subsets=50)
    assert abs(same) < 0.02 < 0.5 < moved
    assert spread > 0
    assert abs(kernel_distance(a, b[:100], subset_size=1000, subsets=20)[0]) < 0.2  # clipped to the smaller set


def test_kernel_distance_has_a_generator_of_its_own():
    a, b = normal(300, 4), normal(300, 4, 1)
    before = torch.get_rng_state()
    first = kernel_distance(a, b, subset_size=50, subsets=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert first == kernel_distance(a, b, subset_size=50, subsets=5)
    assert first != kernel_distance(a, b, subset_size=50, subsets=5, seed=1)


# ---- precision, recall, density, coverage ----------------------------------------------------------------------------


def test_manifold_agrees_with_the_formulas():
    real, fake, k = normal(150, 5).numpy(), normal(120, 5, 1).numpy() * 0.8 + 0.4, 4

    def radius(x):
        return NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)[0][:, -1]

    between = np.linalg.norm(real[:, None] - fake[None], axis=-1)  # (N, M)
    in_real, in_fake = between <= radius(real)[:, None], between <= radius(fake)[None]
    assert manifold(torch.from_numpy(real), torch.from_numpy(fake), k) == pytest.approx(
        {
            "precision": in_real.any(0).mean(),
            "recall": in_fake.any(1).mean(),
            "density": in_real.sum(0).mean() / k,
            "coverage": in_real.any(1).mean(),
        }
    )


def test_manifold_of_the_same_distribution_and_of_far_ones():
    scores = manifold(normal(1000, 3), normal(1000, 3, 1))
    assert scores["precision"] > 0.9
    assert scores["recall"] > 0.9
    assert scores["density"] == pytest.approx(1, abs=0.1)
    assert scores["coverage"] > 0.9
    assert set(manifold(normal(50, 3), normal(50, 3, 1) + 100).values()) == {0.0}
    identical = manifold(normal(50, 3), normal(50, 3))
    assert identical["precision"] == identical["recall"] == identical["coverage"] == 1


def test_dropping_a_mode_lowers_recall_and_coverage_alone():
    modes = torch.tensor([[0.0, 0], [20, 0]]).double().repeat_interleave(200, 0)
    scores = manifold(normal(400, 2) + modes, normal(400, 2, 1))
    assert scores["precision"] > 0.9
    assert scores["recall"] == pytest.approx(0.5, abs=0.06)
    assert scores["coverage"] == pytest.approx(0.5, abs=0.06)


# ---- memorisation ----------------------------------------------------------------------------------------------------


def test_nearest_finds_row_and_distance():
    a, b = normal(50, 7), normal(60, 7, 1)
    b[10], b[20] = a[3], a[4]
    found, index = nearest(a, b)
    assert (int(index[3]), int(index[4])) == (10, 20)
    assert found[3] == found[4] == 0
    torch.testing.assert_close(found, torch.cdist(a, b).min(1).values)
    torch.testing.assert_close((a - b[index]).norm(dim=1), found)


def test_memorisation_of_new_copied_and_nearly_copied_rows():
    train, test = normal(1000, 4), normal(1000, 4, 1)
    new = memorisation(train, test, normal(1000, 4, 2))
    assert new["ratio"] == pytest.approx(1, abs=0.1)
    assert new["closer"] == pytest.approx(0.01, abs=0.01)
    assert new["copies"] == 0
    copied = {"ratio": 0, "closer": 1, "closer_floor": pytest.approx((1 + 9.99) / 1001), "copies": 1, "rows": 100}
    assert memorisation(train, test, train[:100]) == copied
    near = memorisation(train, test, torch.cat([train[:50] + 1e-3, normal(50, 4, 3)]))
    assert near["copies"] == 0
    assert near["closer"] == pytest.approx(0.5, abs=0.05)
    assert memorisation(train, test, normal(100, 4, 2) * 10)["ratio"] > 5


@pytest.mark.parametrize("unseen", [20, 300])
def test_what_is_expected_of_samples_that_copy_nothing(unseen):
    """Over many drawings of training, test and as good as real rows."""
    found = [memorisation(normal(200, 3, k), normal(unseen, 3, 1000 + k), normal(400, 3, 2000 + k)) for k in range(300)]
    mean = sum(one["closer"] for one in found) / len(found)
    assert mean == pytest.approx(found[0]["closer_floor"], rel=0.15)


def test_a_copy_of_any_training_row_is_found(monkeypatch):
    """Also where there are more of them than are compared with each other otherwise."""
    monkeypatch.setattr(distance, "MOST_ROWS", 50)
    train = normal(3000, 4)
    found = memorisation(train, normal(1500, 4, 1), train[torch.randperm(3000)])
    assert found["copies"] == 1
    assert found["rows"] == 1000


def test_memorisation_where_test_rows_are_training_rows():
    train = normal(10, 3)
    copied = {"ratio": 1, "closer": 0, "closer_floor": pytest.approx(1.09 / 11), "copies": 1, "rows": 10}
    assert memorisation(train, train, train) == copied
    assert memorisation(train, train, train + 1)["ratio"] == math.inf


# ---- all of them -----------------------------------------------------------------------------------------------------


def everything(a: Tensor, b: Tensor) -> list[float]:
    return [
        frechet_distance(a, b),
        *kernel_distance(a, b),
        *manifold(a, b).values(),
        *memorisation(a, b, b + 0.1).values(),
        *distance_within(a, torch.arange(len(a)) % 3).values(),
    ]


def test_distance_within_agrees_with_scipy_class_by_class():
    x, y = normal(40, 5), torch.arange(40) % 3 + (torch.arange(40) == 7)  # class 2 has one more
    found = distance_within(x + 1e6, y)
    assert found == pytest.approx({c: pdist(x[y == c]).mean() for c in range(3)}, rel=1e-6)
    assert distance_within(torch.full((5, 3), 0.1), torch.tensor([4, 4, 4, 1, 0])) == {4: 0}, "single rows have none"


def test_blocks_do_not_matter(monkeypatch):
    a, b = normal(90, 8), normal(70, 8, 1)
    whole = everything(a, b)
    monkeypatch.setattr(distance, "BLOCK", 300)
    assert everything(a, b) == pytest.approx(whole, rel=1e-12)


def test_constant_features_and_large_offsets():
    same = torch.full((6, 3), 0.1)
    assert everything(same, same)[:7] == pytest.approx([0, 0, 0, 1, 1, 6 / 5, 1], abs=1e-12)
    assert frechet_distance(same, same + 1) == pytest.approx(3, rel=1e-6)
    flat = normal(40, 3).clone()
    flat[:, 1] = 7
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-10)
    a, b = normal(60, 3), normal(60, 3, 1)
    assert manifold(a + 1e6, b + 1e6) == manifold(a, b)


@pytest.mark.parametrize("function", [frechet_distance, kernel_distance, manifold, nearest])
def test_what_has_no_answer_is_refused_by_name(function):
    good, bad = normal(5, 3), normal(5, 3)
    bad[2, 1] = math.nan
    with pytest.raises(ValueError, match=r"features (b|fake): NaN or infinity in 1 of 5 rows"):
        function(good, bad)
    with pytest.raises(ValueError, match="differ in width"):
        function(good, normal(5, 4))
    with pytest.raises(ValueError, match=r"shape \(N, d\)"):
        function(good, normal(5, 3)[0])
    with pytest.raises(ValueError, match="at least"):
        function(good, normal(1 if function is not nearest else 0, 3))
