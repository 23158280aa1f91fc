"""How far one set of feature vectors is from another: pure functions on float tensors (N, d).

What a distance of 0.3 means depends on the features and on the number of rows: compare it with the same distance
between two sets of real data of the same sizes.

Every function refuses what has no answer with an :class:`~datamodules.errors.InputError`, a ``ValueError`` that names
the set: fewer than two rows (one, for :func:`nearest` and :func:`memorisation`), NaN or infinity, anything but two
dimensions, sets of different width. Features that are constant, over all rows or in some columns, are fine everywhere.
Rows of the two sets may differ in number. Everything is computed in float64, pairs of rows a block at a time: beside
the inputs there are copies of them in float64, one of which is centred, and a few hundred MiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.rows import chosen

BLOCK = 1 << 23  # pairs of rows at a time: 64 MiB in float64
MOST_ROWS = 10_000  # rows that callers compare at most, where every pair of rows is looked at


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet (2-Wasserstein) distance between the Gaussians fitted to two sets.

    ``|μa - μb|² + tr(Σa + Σb - 2 (Σa Σb)^½)``, Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule",
    section 4, eq. 6. With covariances written as ``Σ = RᵀR``, the trace of the root is the sum of the singular values
    of ``Ra Rbᵀ``: no complex roots, no added diagonal, exact also where Σ is singular (N ≤ d, constant
    columns). It is biased upwards for few rows: compare equal N only.

    Args:
        a: features (N, d), N ≥ 2.
        b: features (M, d), M ≥ 2.

    Returns:
        At least 0, in squared units of the features; 0 up to rounding for identical sets.
    """
    a, b = _checked(a=a, b=b)
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a), _gaussian(b)  # (d,), (≤ d, d)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross
    return max(0.0, float(distance))


def kernel_distance(
    a: Tensor, b: Tensor, subset_size: int = 1000, subsets: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x·y / d + 1)³``: mean and spread over subsets.

    Bińkowski et al. 2018, "Demystifying MMD GANs", section 4 (the Kernel Inception Distance) and eq. 4. Unlike the
    Fréchet distance its mean does not depend on the number of rows, so it is the one to read with few samples.

    Args:
        a: features (N, d), N ≥ 2.
        b: features (M, d), M ≥ 2.
        subset_size: rows drawn from each set, without replacement, per estimate; at most the smaller set.
        subsets: number of estimates.
        seed: of the draws. The global random state is neither read nor moved.

    Returns:
        Mean and standard deviation over the estimates. Where no set is larger than ``subset_size`` there is one
        estimate, from all rows, and the deviation is 0. Estimates around 0 are to be expected for equal distributions,
        so the mean may be negative.
    """
    a, b = _checked(a=a, b=b)
    if subset_size < 2 or subsets < 1:
        raise InputError(f"kernel_distance needs subset_size ≥ 2 and subsets ≥ 1, not {subset_size} and {subsets}")
    if max(len(a), len(b)) <= subset_size:
        return _mmd2(a, b), 0.0
    size = min(subset_size, len(a), len(b))
    rng = torch.Generator().manual_seed(seed)

    def draw(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=rng)[:size].to(x.device)]

    estimates = torch.tensor([_mmd2(draw(a), draw(b)) for _ in range(subsets)], dtype=torch.float64)
    return float(estimates.mean()), float(estimates.std(correction=0))


def manifold(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """Fidelity and diversity apart, by balls around each row that reach to its k-th nearest neighbour in its own set.

    Distances are Euclidean and balls are closed, so a fake row equal to a real one lies in that one's ball even where
    the radius is 0, as with constant features.

    Args:
        real: features (N, d), N ≥ 2.
        fake: features (M, d), M ≥ 2.
        k: which neighbour, at least 1; at most one less than the rows of the smaller set.

    Returns:
        Four scores by name.

        - ``precision``: share of fake rows inside some real ball, and ``recall``: share of real rows inside some fake
          ball, in [0, 1]. Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric", section 2, eq. 1 and 2.
        - ``density``: real balls that a fake row lies in, over k; near 1 for equal distributions, may exceed 1. And
          ``coverage``: share of real balls that hold some fake row, in [0, 1]. Naeem et al. 2020, "Reliable Fidelity
          and Diversity Metrics", section 3.2, eq. 4 and 5; less easily fooled by outliers than the former two.
    """
    real, fake = _checked(real=real, fake=fake)
    if k < 1:
        raise InputError(f"manifold needs k ≥ 1, not {k}")
    k = min(k, len(real) - 1, len(fake) - 1)
    radius_real, radius_fake = radii(real, k), radii(fake, k)  # (N,), (M,), squared
    balls, recalled, covered = [], [], []
    to_real = squared_distances_to(real)
    for rows in blocks_of(len(fake), len(real)):
        distance = to_real(fake[rows])  # (m, N)
        inside = distance <= radius_real
        balls.append(inside.sum(1))
        covered.append(inside.any(0))
        recalled.append((distance <= radius_fake[rows, None]).any(0))
    count = torch.cat(balls)  # (M,)
    return {
        "precision": _share(count > 0),
        "recall": _share(torch.stack(recalled).any(0)),
        "density": float(count.double().mean()) / k,
        "coverage": _share(torch.stack(covered).any(0)),
    }


def nearest(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest row of ``b`` for each row of ``a``.

    Args:
        a: features (N, d), N ≥ 1.
        b: features (M, d), M ≥ 1.

    Returns:
        Euclidean distance (N,) float64, exactly 0 between equal rows, and index (N,) int64 into ``b``.
    """
    a, b = _checked(least=1, a=a, b=b)
    to_b = squared_distances_to(b)
    index = torch.cat([to_b(a[rows]).argmin(1) for rows in blocks_of(len(a), len(b))])
    distance = torch.cat([(a[rows] - b[index[rows]]).norm(dim=1) for rows in blocks_of(*a.shape)])
    return distance, index


def neighbour_distance(a: Tensor, b: Tensor, k: int, without: Tensor | None = None) -> Tensor:
    """Euclidean distance (N,) float64 of each row of ``a`` to the k-th nearest row of ``b``.

    Args:
        a: features (N, d), N ≥ 1.
        b: features (M, d), M ≥ k, and above k with ``without``.
        k: which neighbour, at least 1.
        without: of each row of ``a`` the row of ``b`` that does not count, int64 (N,), such as itself.
    """
    a, b = _checked(least=1, a=a, b=b)
    to_b, found = squared_distances_to(b), []
    for rows in blocks_of(len(a), len(b)):
        distance = to_b(a[rows])  # (n, M)
        if without is not None:
            distance.scatter_(1, without[rows, None].to(distance.device), torch.inf)
        found.append(distance.topk(k, dim=1, largest=False).values[:, -1])
    return torch.cat(found).sqrt()


def distance_within(x: Tensor, y: Tensor) -> dict[int, float]:
    """Mean Euclidean distance between two different rows of a class, by class; 0 where all of them are equal.

    Args:
        x: features (N, d), N ≥ 1.
        y: classes (N,), int64; those of a single row are left out.
    """
    (x,) = _checked(least=1, x=x)
    found = {}
    for c in torch.unique(y).tolist():
        own = x[(y == c).to(x.device)]
        if len(own) < 2:
            continue
        to_own = squared_distances_to(own)
        total = sum(float(to_own(own[rows]).sqrt().sum()) for rows in blocks_of(len(own), len(own)))
        found[c] = total / (len(own) * (len(own) - 1))
    return found


def memorisation(train: Tensor, test: Tensor, synthetic: Tensor, *, seed: int = 0) -> dict[str, float]:
    """Whether synthetic rows lie closer to the training rows than unseen real rows do.

    In the spirit of Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models": unseen
    rows show how near is near. With fewer than 100 of them the 1 % quantile is little more than their minimum, and more
    than 1 % of other unseen rows lie below it: (1 + 0.01 (M − 1)) / (M + 1) by the expectations of order statistics.
    :func:`nearest` ``(synthetic, train)`` names the training row that each sample is closest to.

    All training rows are looked at, since a copy of one that is left out is no copy. Where there are more than 10,000,
    fewer of the other rows are, so that there are 10⁸ pairs, but at least 1,000.

    Args:
        train: features (N, d) of what the generator saw, N ≥ 1.
        test: features (M, d) of unseen real rows, M ≥ 1.
        synthetic: features (K, d), K ≥ 1.
        seed: of which of the last two are looked at.

    Returns:
        Scores by name.

        - ``ratio``: median distance of synthetic to nearest training row over that of test. About 1 where nothing is
          memorised, towards 0 with copying, above 1 for samples far from all data. 1 where both medians are 0 and
          infinity where only that of test is.
        - ``closer``: share of synthetic rows closer to a training row than 99 % of the test rows are.
        - ``closer_floor``: what it is expected to be where nothing is memorised, a little above 0.01.
        - ``copies``: share of synthetic rows that are training rows: no further away than 1e-5 of the median distance
          of test, since features from a network differ in their last bits with the batch they were computed in.
        - ``rows``: how many synthetic rows were looked at.
    """
    most = max(1000, MOST_ROWS**2 // max(1, len(train)))
    test, synthetic = (x[chosen(len(x), most, seed).to(x.device)] for x in (test, synthetic))
    train, test, synthetic = _checked(least=1, train=train, test=test, synthetic=synthetic)
    unseen, made = nearest(test, train)[0], nearest(synthetic, train)[0]
    usual, median = float(unseen.quantile(0.5)), float(made.quantile(0.5))
    return {
        "ratio": median / usual if usual > 0 else 1.0 if median == 0 else float("inf"),
        "closer": _share(made < unseen.quantile(0.01)),
        "closer_floor": (1 + 0.01 * (len(unseen) - 1)) / (len(unseen) + 1),
        "copies": _share(made <= 1e-5 * usual),
        "rows": len(made),
    }


def _checked(least: int = 2, **sets: Tensor) -> tuple[Tensor, ...]:
    """The sets in float64, after what the module's docstring promises to refuse."""
    for name, x in sets.items():
        if x.ndim != 2 or not x.is_floating_point():
            raise InputError(f"features {name}: expected floats of shape (N, d), got {x.dtype} of {tuple(x.shape)}")
        if len(x) < least:
            raise InputError(f"features {name}: {len(x)} rows, at least {least} are needed")
        if not bool(x.isfinite().all()):
            bad = int((~x.isfinite()).any(1).sum())
            raise InputError(f"features {name}: NaN or infinity in {bad} of {len(x)} rows")
    if len({x.shape[1] for x in sets.values()}) > 1:
        raise InputError("features differ in width: " + ", ".join(f"{n} {x.shape[1]}" for n, x in sets.items()))
    device = next(iter(sets.values())).device
    device = torch.device("cpu") if device.type == "mps" else device  # it has no float64
    return tuple(x.detach().to(device).double() for x in sets.values())


def blocks_of(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows, each of which times the columns fits into memory."""
    step = max(1, BLOCK // max(1, columns))
    return (slice(start, start + step) for start in range(0, rows, step))


def squared_distances_to(b: Tensor) -> Callable[[Tensor], Tensor]:
    """Of rows (N, d) the squared Euclidean distances (N, M) to those of b (M, d), which are looked at once.

    What is rounding error rather than distance is exactly 0.
    """
    mean = b.mean(0)
    b = b - mean  # large offsets would cancel badly in the next lines
    norms = b.square().sum(1)

    def squared(a: Tensor) -> Tensor:
        a = a - mean
        scale = a.square().sum(1)[:, None] + norms
        squared = scale.addmm(a, b.T, alpha=-2)
        return squared.masked_fill_(squared <= scale.mul_(1e-13), 0)

    return squared


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())


def _gaussian(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and R (min(N, d), d) with RᵀR the covariance."""
    mean = x.mean(0)
    scale = (len(x) - 1) ** -0.5
    if len(x) <= x.shape[1]:
        return mean, (x - mean) * scale
    covariance = x.new_zeros(len(mean), len(mean))
    for rows in blocks_of(*x.shape):
        centred = (x[rows] - mean) * scale
        covariance.addmm_(centred.T, centred)
    values, vectors = torch.linalg.eigh(covariance)
    return mean, values.clamp_(min=0).sqrt_()[:, None] * vectors.T


def _mmd2(a: Tensor, b: Tensor) -> float:
    n, m = len(a), len(b)
    within = _kernel_sum(a, a) - _kernel_diagonal(a), _kernel_sum(b, b) - _kernel_diagonal(b)
    return within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)) - 2 * _kernel_sum(a, b) / (n * m)


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    one, total = a.new_ones(1), 0.0
    for rows in blocks_of(len(a), len(b)):
        k = torch.addmm(one, a[rows], b.T, alpha=1 / a.shape[1]).flatten()
        total += float(k.square() @ k)
    return total


def _kernel_diagonal(a: Tensor) -> float:
    return float((a.square().mean(1) + 1).pow_(3).sum())


def radii(x: Tensor, k: int) -> Tensor:
    """Squared distance (N,) of each row to its k-th nearest other row."""
    to_x, found = squared_distances_to(x), []
    for rows in blocks_of(len(x), len(x)):
        distance = to_x(x[rows])  # (n, N)
        distance.diagonal(offset=rows.start).fill_(torch.inf)  # a row is not its own neighbour
        found.append(distance.topk(k, dim=1, largest=False).values[:, -1])
    return torch.cat(found)
