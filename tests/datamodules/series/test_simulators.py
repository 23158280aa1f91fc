import dataclasses
import itertools

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from scipy.integrate import solve_ivp
from scipy.special import gamma, kv
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datamodules import GANDataModule
from datamodules.series.simulated import Signals, Sines, irregular, regular
from datamodules.series.simulators import (
    AR,
    CAR,
    NARMA,
    GaussianProcess,
    MackeyGlass,
    PseudoPeriodic,
    Sinusoid,
    process,
    sines,
)
from datamodules.series.simulators import PROCESSES as KINDS
from tests.data_contract import DataModuleContract, WorkersContract, counted
from tests.datamodules.images.test_images import refused


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def values(module) -> tuple[np.ndarray, np.ndarray]:
    """All rows in their units, (N, T, F), and their classes."""
    fields = module.load()[0].fields
    return module.schema.decode(fields["x"]), fields["y"].numpy()


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])


# ---- data modules ----------------------------------------------------------------------------------------------------


def unscaled(module):
    """The module with its rows in their own units: scales fitted on fewer training rows make other numbers of all."""
    features = module.schema.features
    module.schema = dataclasses.replace(module.schema, offset=(0.0,) * features, scale=(1.0,) * features)
    return module


class TestSignals(DataModuleContract):
    def make(self, tmp_path, **options):
        return unscaled(Signals(series=70, length=20, **options))


class TestIrregular(WorkersContract):
    def make(self, tmp_path, **options):
        options |= {"sampling": "irregular", "noise": "red", "features": 2}
        return unscaled(Signals(["sinusoid", "car"], series=41, length=12, **options))


class TestSines(DataModuleContract):
    def make(self, tmp_path, **options):
        return unscaled(Sines(series=60, length=10, features=3, **options))


def test_the_defaults():
    module = Signals()
    x, y = values(module)
    assert x.shape == (1400, 48, 1)
    assert np.isfinite(x).all()
    assert module.schema.classes == tuple(KINDS)
    assert np.bincount(y).tolist() == [200] * 7
    assert module.schema.columns == ("value",)
    sizes = [x[y == c].std() for c in range(7)]
    assert max(sizes) < 3 * min(sizes)


def test_each_kind_is_recognised():
    module = Signals()
    module.setup()

    def features(table):
        x = module.schema.decode(table.fields["x"])[..., 0]
        mean, std = x.mean(1, keepdims=True), x.std(1, keepdims=True)
        z = (x - mean) / std
        return np.concatenate([mean, std, *((z[:, k:] * z[:, :-k]).mean(1, keepdims=True) for k in range(1, 13))], 1)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(features(module.train), module.train.fields["y"])
    assert model.score(features(module.test), module.test.fields["y"]) >= 0.95


def test_a_sinusoid_of_100_points_over_20_units_of_time():
    module = Signals(["sinusoid"], series=10, length=100, resolution=0.2, noise="none")
    module.setup()
    frame = module.schema.frame(np.arange(len(module.train)), module.train.fields)
    one = frame[frame.series_id == 0]
    assert list(frame.columns) == ["series_id", "time", "value", "label"]
    np.testing.assert_allclose(one.time, 0.2 * np.arange(100))
    t, v = one.time.to_numpy(), one.value.to_numpy()

    def residual(frequency):
        basis = np.stack([np.sin(2 * np.pi * frequency * t), np.cos(2 * np.pi * frequency * t)], 1)
        found, left, *_ = np.linalg.lstsq(basis, v, rcond=None)
        return left[0], np.hypot(*found)

    least, amplitude = min(map(residual, np.linspace(0.2, 0.3, 2001)))
    assert least < 1e-4
    assert abs(amplitude - 1) < 1e-3


def test_irregular_series_come_back_with_their_times():
    module = Signals(["sinusoid", "car"], series=40, length=30, sampling="irregular", resolution=0.5)
    assert module.schema.intervals
    assert module.schema.columns == ("interval", "value")
    rows = module._rows.values
    frame = module.schema.frame(np.arange(40), module.load()[0].fields)
    assert list(frame.columns) == ["series_id", "time", "value", "label"]
    times = frame.time.to_numpy().reshape(40, 30)
    np.testing.assert_allclose(times, np.cumsum(rows[..., 0], axis=1), atol=1e-4)
    np.testing.assert_allclose(frame.value.to_numpy().reshape(40, 30), rows[..., 1], atol=1e-5)
    assert (times[:, 0] == 0).all()
    assert (np.diff(times, axis=1) > 0).all()
    assert len({row.tobytes() for row in times}) == 40


def test_classes_by_parameters():
    kinds = {
        "slow": {"kind": "sinusoid", "frequency": 0.05, "phase": 0},
        "fast": {"kind": "sinusoid", "frequency": 0.5, "phase": 0.0, "amplitude": [1, 2]},
        "gaussian_process": {"kernel": "periodic"},
    }
    module = Signals(kinds, series=30, noise="none", resolution=0.25, length=40)
    x, y = values(module)
    assert module.schema.classes == ("slow", "fast", "gaussian_process")
    t = 0.25 * np.arange(40)
    np.testing.assert_allclose(x[y == 0, :, 0], np.tile(np.sin(0.1 * np.pi * t), (10, 1)), atol=1e-6)
    fast = x[y == 1, :, 0]
    np.testing.assert_allclose(fast, fast[:, [1]] / np.sin(np.pi * 0.25) * np.sin(np.pi * t), atol=1e-5)
    assert 1 <= np.abs(fast).max(axis=1).min() < np.abs(fast).max(axis=1).max() <= 2
    np.testing.assert_allclose(x[y == 2, 16:32], x[y == 2, :16], atol=2e-3)  # the period is 4


def test_the_kernel_is_that_of_classes_without_their_own():
    own = {"a": {"kind": "gaussian_process"}, "b": {"kind": "gaussian_process", "kernel": "exponential"}}
    options = {"series": 20, "noise": "none"}
    (a, y), (b, _) = (values(Signals(own, kernel=kernel, **options)) for kernel in ("matern32", "exponential"))
    assert not np.allclose(a[y == 0], b[y == 0], atol=1e-2)
    np.testing.assert_allclose(a[y == 1], b[y == 1], atol=1e-6)


def test_noise_is_added():
    options = {"kinds": ["sinusoid"], "series": 400}
    nothing, white, red = (
        Signals(**options, noise=noise, noise_std=0.3, noise_tau=2.0)._rows.values[..., 0]
        for noise in ("none", "white", "red")
    )
    for noisy, next_to in ((white, 0.0), (red, np.exp(-0.5 / 2))):
        added = noisy - nothing
        assert abs(added.std() - 0.3) < 0.01
        assert abs(correlation(added[:, 1:], added[:, :-1]) - next_to) < 0.03
    assert np.array_equal(nothing, Signals(**options, noise="white", noise_std=0.0)._rows.values[..., 0])


def test_features_are_independent_draws():
    x, y = values(Signals(series=1400, features=2))
    assert x.shape == (1400, 48, 2)
    for c in range(7):
        assert abs(correlation(x[y == c, 20, 0], x[y == c, 20, 1])) < 0.3
    assert Signals(series=14, features=2).schema.columns == ("value_0", "value_1")


@pytest.mark.parametrize("make", [Signals, lambda **o: Signals(sampling="irregular", noise="red", **o), Sines])
def test_rows_are_a_function_of_the_seed(make):
    options = {"series": 70, "length": 12}
    first, again, other = (make(**options, seed=seed).load()[0] for seed in (3, 3, 4))
    assert torch.equal(first.fields["x"], again.fields["x"])
    assert not counted(first) & counted(other)
    assert len(counted(first)) == 70
    # Nor do options that leave the source alone change it.
    a, b = make(**options, seed=3), make(**options, seed=3, scaler="standard", val_fraction=0.3, batch_size=5)
    np.testing.assert_array_equal(a._rows.values, b._rows.values)


def test_series_that_do_not_divide_are_spread_as_evenly_as_can_be():
    assert np.bincount(values(Signals(series=16))[1]).tolist() == [3, 3, 2, 2, 2, 2, 2]


def test_the_command_line_reads_every_option(tmp_path):
    config = tmp_path / "data.yaml"
    config.write_text("""
data:
  class_path: datamodules.series.simulated.Signals
  init_args:
    kinds:
      slow: {kind: sinusoid, frequency: 0.05}
      usual: {kind: sinusoid, frequency: [0.2, 0.3]}
      zigzag: {kind: ar, coefficients: [-0.9]}
    series: 30
    kernel: matern52
    scaler: standard
    val_fraction: 0.2
""")
    parser = ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(GANDataModule, "data")
    module = parser.instantiate_classes(parser.parse_args(["--config", str(config)])).data
    assert module.schema.classes == ("slow", "usual", "zigzag")
    assert (module.scaler, module.val_fraction) == ("standard", 0.2)
    arguments = ["--data", "datamodules.series.simulated.Signals", "--data.kinds", "[narma, ar]", "--data.series", "10"]
    assert parser.instantiate_classes(parser.parse_args(arguments)).data.schema.classes == ("narma", "ar")
    arguments = ["--data", "datamodules.series.simulated.Signals", "--data.batch_size", "7"]
    assert parser.instantiate_classes(parser.parse_args(arguments)).data.schema.classes == tuple(KINDS)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"kinds": []}, "kinds must be a list of sinusoid"),
        ({"kinds": "sinusoid"}, "kinds must be a list"),
        ({"kinds": ["sinusoid", "square"]}, "no kind 'square': known are sinusoid, pseudo_periodic"),
        ({"kinds": ["ar", "ar"]}, "ar is there twice"),
        ({"kinds": {1: {"kind": "ar"}, "1": {"kind": "ar"}}}, "1 is there twice"),
        ({"kinds": [["ar"]]}, "kinds must be a list, each text or a mapping"),
        ({"kinds": ["mackey_glass"], "resolution": 3600}, "steps is too long: choose a smaller pace or resolution"),
        ({"kinds": ["pseudo_periodic"], "resolution": 1e5}, "cycles is too long: choose a smaller frequency"),
        ({"kinds": {"slow": {}}}, "kinds: slow: no kind 'slow'"),
        ({"kinds": {"slow": {"kind": ["ar"]}}}, "kinds: slow: no kind ['ar']"),
        ({"kinds": {"slow": "sinusoid"}}, "kinds: slow: parameters are needed, such as {kind: sinusoid}"),
        ({"kinds": {"slow": {"kind": "sinusoid", "speed": 1}}}, "no parameter 'speed': it has amplitude, frequency"),
        ({"kinds": {"slow": {"kind": "sinusoid", "frequency": -1}}}, "kinds: slow: frequency must be above 0, not -1"),
        (
            {"kinds": {"sinusoid": {"frequency": [0.3, 0.2]}}},
            "frequency must be [lowest, highest], not [0.3, 0.2]",
        ),
        ({"kinds": {"sinusoid": {"frequency": [0.3]}}}, "[0.3]"),
        (
            {"kinds": {"sinusoid": {"phase": "none"}}},
            "phase must be a number or a list of 2: a number",
        ),
        ({"kinds": {"sinusoid": {"amplitude": True}}}, "not True"),
        ({"kinds": {"pseudo_periodic": {"frequency_jitter": 1}}}, "at least 0 and below 1, not 1"),
        ({"kinds": {"ar": {"coefficients": []}}}, "coefficients: give at least one"),
        ({"kinds": {"ar": {"coefficients": 0.5}}}, "coefficients must be a list, each a number, not 0.5"),
        ({"kinds": {"ar": {"coefficients": [0.5, 0.5]}}}, "grows without bound"),
        ({"kinds": {"ar": {"burn_in": 1.5}}}, "burn_in must be a whole number, not 1.5"),
        ({"kinds": {"car": {"tau": 0}}}, "tau must be above 0, not 0"),
        ({"kinds": {"narma": {"order": 0}}}, "order must be at least 1, not 0"),
        ({"kinds": {"narma": {"coefficients": [1.2, 0.05, 1.5, 0.1]}}}, "kinds: narma: order 10 with coefficients"),
        (
            {"kinds": {"narma": {"coefficients": [1.2]}}},
            "coefficients must be a list of 4: a number",
        ),
        ({"kinds": {"mackey_glass": {"tau": float("nan")}}}, "tau must be a number, not nan"),
        ({"kinds": {"mackey_glass": {"n": 0.5}}}, "n must be at least 1, not 0.5"),
        ({"kinds": {"gaussian_process": {"kernel": "linear"}}}, "kernel must be squared_exponential, "),
        ({"kinds": {"gaussian_process": {"length_scale": None}}}, "length_scale must be a number, not None"),
        ({"kernel": "linear"}, "kernel must be squared_exponential, "),
        ({"noise": "pink"}, "noise must be none, white or red, not 'pink'"),
        ({"noise_std": -0.1}, "noise_std must be at least 0, not -0.1"),
        ({"noise_std": float("inf")}, "noise_std"),
        ({"noise_tau": 0}, "noise_tau must be above 0"),
        ({"sampling": "random"}, "sampling must be regular or irregular"),
        ({"resolution": 0}, "resolution must be above 0"),
        ({"resolution": float("nan")}, "resolution must be a number, not nan"),
        ({"drop": 1.0}, "drop must be at least 0 and below 1"),
        ({"jitter": -0.5}, "jitter must be at least 0 and below 1"),
        ({"length": 1}, "length must be at least 2, not 1"),
        ({"features": 0}, "features must be at least 1"),
        ({"series": 6}, "series must be at least 7, not 6"),
        ({"scaler": "none"}, "scaler must be"),
        ({"imbalance": {"square": 0.5}}, "unknown label 'square'"),
    ],
)
def test_options_that_cannot_be_used(options, expected):
    refused(lambda: Signals(**options), expected)


def test_sines_that_cannot_be():
    refused(lambda: Sines(series=0), "series must be at least 1")
    refused(lambda: Sines(length=1), "length must be at least 2")
    refused(lambda: Sines(features=0), "features must be at least 1")


# ---- simulators ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_process_returns(kind):
    for times in (regular(6, 15, 0.3), irregular(6, 15, 0.3, rng(5))):
        drawn = process(kind, {})(times, rng())
        assert drawn.shape == times.shape
        assert drawn.dtype == np.float64
        assert np.isfinite(drawn).all()
        assert len({row.tobytes() for row in drawn}) == 6
        np.testing.assert_array_equal(drawn, process(kind, {})(times, rng()))
    assert process(kind, {})(times[:, :1], rng()).shape == (6, 1)


def test_sinusoid():
    times = irregular(4, 30, 0.2, rng(1))
    drawn = Sinusoid(amplitude=2.0, frequency=0.25, phase=0.5)(times, rng())
    np.testing.assert_allclose(drawn, 2 * np.sin(np.pi / 2 * times + 0.5), atol=1e-12)
    many = Sinusoid(amplitude=(1, 3), frequency=1e-9, phase=np.pi / 2)(np.zeros((2000, 2)), rng())[:, 0]
    np.testing.assert_allclose([many.min(), many.mean(), many.max()], [1, 2, 3], atol=0.05)


def test_pseudo_periodic_without_jitter_is_a_sinusoid_and_with_it_sine_cycles():
    times = regular(50, 2001, 0.01)
    plain = PseudoPeriodic(2.0, 0.5, amplitude_jitter=0, frequency_jitter=0)(times, rng())
    np.testing.assert_allclose(plain[:, 200:], plain[:, :-200], atol=1e-9)  # a cycle takes 2
    np.testing.assert_allclose(plain[:, 50:] ** 2 + plain[:, :-50] ** 2, 4, atol=1e-9)  # sin² + cos²
    lengths, heights = [], []
    for row in PseudoPeriodic(1.0, 0.5, amplitude_jitter=0.6, frequency_jitter=0.4)(times, rng()):
        up = np.flatnonzero((row[:-1] <= 0) & (row[1:] > 0))  # where cycles begin
        lengths += np.diff(up * 0.01).tolist()
        heights += [row[a:b].max() for a, b in itertools.pairwise(up)]
        assert np.abs(np.diff(row)).max() < 1.6 * 2 * np.pi * 0.7 * 0.01 + 1e-9  # it never jumps
    f = 1 / np.array(lengths)
    assert 0.29 < f.min() < 0.32
    assert 0.68 < f.max() < 0.72
    assert 0.4 - 1e-3 < min(heights) < 0.45
    assert 1.55 < max(heights) <= 1.6
    assert abs(correlation(f, np.array(heights))) < 0.15


def test_ar_against_its_autocovariance():
    phi, std = (0.6, -0.5), 0.3
    drawn = AR(phi, std)(regular(40_000, 6, 1.0), rng())
    rho = [1.0, phi[0] / (1 - phi[1])]  # Yule and Walker
    for _ in range(4):
        rho.append(phi[0] * rho[-1] + phi[1] * rho[-2])
    variance = std**2 / (1 - phi[0] * rho[1] - phi[1] * rho[2])
    found = [(drawn[:, 0] * drawn[:, k]).mean() for k in range(6)]
    np.testing.assert_allclose(found, variance * np.array(rho), atol=0.02 * variance)
    shocks = rng(3).normal(0.0, std, (2, 9))  # without burn-in, step by step
    by_hand = np.zeros((2, 9))
    for i in range(9):
        by_hand[:, i] = shocks[:, i] + sum(c * by_hand[:, i - 1 - k] for k, c in enumerate(phi) if i > k)
    np.testing.assert_allclose(AR(phi, std, burn_in=0)(regular(2, 9, 1.0), rng(3)), by_hand, atol=1e-12)


def test_car_is_exact_at_irregular_times():
    times = np.tile([0.0, 0.1, 1.0, 1.5, 6.0], (40_000, 1))
    drawn = CAR(tau=2.0, std=0.7)(times, rng())
    wanted = 0.49 * np.exp(-np.abs(times[0][:, None] - times[0]) / 2.0)
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), wanted, atol=0.012)


def test_narma_against_a_plain_loop():
    n, steps = 10, 60
    inputs = rng(2).uniform(0, 0.5, (3, n - 1 + steps))
    found = NARMA().respond(inputs)
    for u, got in zip(inputs, found, strict=True):
        y = [0.0] * n
        for i in range(n - 1, n - 1 + steps):
            y.append(0.3 * y[-1] + 0.05 * y[-1] * sum(y[-n:]) + 1.5 * u[i - n + 1] * u[i] + 0.1)
        np.testing.assert_allclose(got, y[n:], atol=1e-12)
    times = regular(3, steps - 20, 1.0)
    np.testing.assert_allclose(NARMA(amplitude=2, burn_in=20)(times, rng(2)), 2 * found[:, 20:], atol=1e-12)


def test_narma_that_diverges_is_drawn_again():
    times = regular(3000, 400, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        free = NARMA().respond(rng().uniform(0, 0.5, (3000, 9 + 500)))
    lost = ~(np.abs(free).max(axis=1) <= 1.5)
    assert lost.sum() > 3  # the case is there
    drawn = NARMA(amplitude=1)(times, rng())
    assert drawn.max() <= 1.5
    np.testing.assert_array_equal(drawn[~lost], free[~lost, 100:])


def test_mackey_glass_against_scipy():
    glass, tau = MackeyGlass(), 17.0
    levels = [0.3, 0.9, 1.15]
    block = np.repeat(np.array(levels)[:, None], 171, axis=1)
    blocks = [block := glass.onward(block) for _ in range(6)]
    for row, level in enumerate(levels):
        past, x = (lambda s, level=level: level), level
        for k in range(6):  # each stretch of tau is an ordinary equation
            solved = solve_ivp(
                lambda s, x, past=past: 0.2 * past(s - tau) / (1 + past(s - tau) ** 10) - 0.1 * x,
                (k * tau, (k + 1) * tau),
                [x],
                dense_output=True,
                rtol=1e-9,
                atol=1e-11,
                max_step=0.5,
            )
            wanted = solved.sol(k * tau + np.linspace(0, tau, 171))[0]
            np.testing.assert_allclose(blocks[k][row], wanted, atol=1e-3)
            past, x = (lambda s, sol=solved.sol: sol(s)[0]), solved.y[0, -1]


def test_mackey_glass_at_times_of_any_distance():
    times = irregular(5, 40, 0.5, rng(1))
    glass = MackeyGlass(amplitude=1.0, burn_in=17.0)
    drawn, fine = glass(times, rng(2)), glass(regular(5, 4000, 0.01), rng(2))
    for t, got, line in zip(times, drawn, fine, strict=True):
        np.testing.assert_allclose(got, np.interp(t, 0.01 * np.arange(4000), line), atol=1e-4)
    slow = MackeyGlass(amplitude=3.0, burn_in=17.0, pace=1.0)(4 * times, rng(2))
    np.testing.assert_allclose(slow, 3 * drawn, atol=1e-9)
    settled = MackeyGlass(amplitude=1.0)(regular(300, 50, 0.5), rng())
    assert 0.2 < settled.min() < settled.max() < 1.4
    assert settled[:, 0].std() > 0.15  # the series are not in step


KERNELS = {
    "squared_exponential": lambda d: np.exp(-0.5 * (d / 1.3) ** 2),
    "exponential": lambda d: np.exp(-d / 1.3),
    "matern32": lambda d: matern(d, 1.5),
    "matern52": lambda d: matern(d, 2.5),
    "rational_quadratic": lambda d: 1 / (1 + (d / 1.3) ** 2 / 3) ** 1.5,
    "periodic": lambda d: np.exp((np.cos(2 * np.pi * d / 2.2) - 1) / 1.3**2),
}


def matern(d: np.ndarray, nu: float) -> np.ndarray:
    """By its definition, with the Bessel function."""
    z = np.sqrt(2 * nu) * np.where(d > 0, d, 1.0) / 1.3
    return np.where(d > 0, 2 ** (1 - nu) / gamma(nu) * z**nu * kv(nu, z), 1.0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gaussian_process_against_its_kernel(kernel):
    gauss = GaussianProcess(kernel, length_scale=1.3, std=0.7, alpha=1.5, period=2.2)
    t = np.array([0.0, 0.2, 0.9, 2.0, 5.0])
    wanted = 0.49 * KERNELS[kernel](np.abs(t[:, None] - t))
    np.testing.assert_allclose(gauss.covariance(t[:, None] - t), wanted, atol=1e-12)
    together = gauss(np.tile(t, (40_000, 1)), rng())
    np.testing.assert_allclose(together.T @ together / 40_000, wanted, atol=0.012)
    apart = np.tile(t, (600, 1)) + np.arange(600)[:, None]  # series of times of their own, in more than one part
    np.testing.assert_allclose(gauss(apart, rng(4)), gauss(np.tile(t, (600, 1)), rng(4)), atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_long_gaussian_processes_are_drawn(kernel):
    assert np.isfinite(GaussianProcess(kernel, length_scale=20.0)(regular(3, 500, 0.05), rng())).all()


def test_times():
    np.testing.assert_allclose(regular(2, 4, 0.2), [[0, 0.2, 0.4, 0.6]] * 2)
    for drop, jitter in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.9), (0.6, 0.99)):
        times = irregular(300, 40, 0.5, rng(), drop, jitter)
        gaps = np.diff(times, axis=1)
        assert times.shape == (300, 40)
        assert (times[:, 0] == 0).all()
        assert gaps.min() > 0
        assert abs(gaps.mean() - 0.5 / (1 - drop)) < 0.05 / (1 - drop)
        if not jitter:  # what is left lies on the grid
            np.testing.assert_allclose(times / 0.5, np.round(times / 0.5), atol=1e-9)
        else:
            assert gaps.min() >= 0.5 * (1 - jitter) - 1e-9


def test_sines():
    drawn = sines(2000, 24, 3, rng())
    assert drawn.shape == (2000, 24, 3)
    angle = np.arcsin(2 * drawn[:, :6] - 1)  # below π/2 for six steps at most
    p, f = angle[:, 0], np.diff(angle, axis=1)
    np.testing.assert_allclose(f, np.broadcast_to(f[:, :1], f.shape), atol=1e-9)
    for uniform in (p, f[:, 0]):
        np.testing.assert_allclose(np.quantile(uniform, [0, 0.25, 0.5, 0.75, 1]), np.linspace(0, 0.1, 5), atol=3e-3)
    assert abs(correlation(p, f[:, 0])) < 0.05
    j = np.arange(24)[:, None]
    np.testing.assert_allclose(drawn, (np.sin(f[:, :1] * j + p[:, None]) + 1) / 2, atol=1e-9)


def test_sines_as_data():
    module = Sines()
    assert module._rows.values.shape == (10_000, 24, 5)
    assert module.schema.columns == ("sine_0", "sine_1", "sine_2", "sine_3", "sine_4")
    assert not module.schema.labelled
    np.testing.assert_allclose(values(module)[0], module._rows.values, atol=1e-6)
