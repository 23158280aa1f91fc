"""Textbook processes, drawn many series at a time: sinusoids, autoregressions, chaos, Gaussian processes; and noise.

Each process is a frozen dataclass of its parameters that is called with times (N, T), increasing along a row, and a
generator, and answers with values (N, T), both float64. The kinds are those of TimeSynth (Maat et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, cast

import numpy as np
from scipy.signal import lfilter

from datamodules.errors import InputError
from datamodules.options import Count, Natural, Positive, Share, Weight, Within, check, hints

Range = float | tuple[float, float]  # a number, or the lowest and the highest that a series may draw
PositiveRange = Positive | tuple[Positive, Positive]
Kernel = Literal["squared_exponential", "exponential", "matern32", "matern52", "rational_quadratic", "periodic"]

GRID = 0.1  # longest step of the Mackey-Glass integration, in its own time
NUGGET = 1e-8  # share of a Gaussian process's variance added to the diagonal, without which rounding fails Cholesky
ROWS = 256  # covariances at a time
LONGEST = 200_000  # cycles, or grid points, of a series that is still drawn
DIVERGED = 1.5  # NARMA-10 with the usual coefficients seldom passes 1, and does not come back from much more


@dataclass(frozen=True)
class Process:
    """What every process here is."""

    def __post_init__(self) -> None:
        """Refuse parameters that are not as their hints say.

        Raises:
            InputError: which.
        """
        for name, hint in hints(cast(Any, type(self))).items():
            value = check(name, getattr(self, name), hint)
            if hint in (Range, PositiveRange) and not isinstance(value, int | float) and value[0] > value[1]:
                raise InputError(f"{name} must be [lowest, highest], not {list(value)}")

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Values (N, T) at times (N, T)."""
        raise NotImplementedError


def _bounded(number: float, what: str, cause: str) -> None:
    if number > LONGEST:
        raise InputError(f"a series of {number:,.0f} {what} is too long: choose a smaller {cause} or resolution")


def _drawn(value: Range, rows: int, rng: np.random.Generator) -> np.ndarray:
    """The number, or uniform draws from the range, (N, 1)."""
    low, high = (value, value) if isinstance(value, int | float) else value
    return rng.uniform(low, high, (rows, 1))


# ---- periodic --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sinusoid(Process):
    """``amplitude · sin(2π · frequency · t + phase)``; each parameter a number or a range that each series draws from.

    Args:
        amplitude: half of the distance from trough to crest.
        frequency: cycles per unit of time.
        phase: in radians.
    """

    amplitude: PositiveRange = 1.0
    frequency: PositiveRange = (0.2, 0.3)
    phase: Range = (0.0, 2 * math.pi)

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Process`."""
        amplitude, frequency, phase = (_drawn(v, len(times), rng) for v in (self.amplitude, self.frequency, self.phase))
        return np.asarray(amplitude * np.sin(2 * np.pi * frequency * times + phase))


@dataclass(frozen=True)
class PseudoPeriodic(Process):
    """Sine cycles, each of a height and a length of its own, from a random point of the first.

    TimeSynth draws amplitude and frequency anew at every point; a draw a cycle does not depend on the sampling.

    Args:
        amplitude, frequency: their means; cycles per unit of time.
        amplitude_jitter, frequency_jitter: j; a cycle's is uniform in mean · (1 ± j).
    """

    amplitude: PositiveRange = 1.0
    frequency: PositiveRange = (0.2, 0.3)
    amplitude_jitter: Share = 0.6
    frequency_jitter: Share = 0.4

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Process`."""
        rows = len(times)
        amplitude, frequency = (_drawn(v, rows, rng) for v in (self.amplitude, self.frequency))
        since = times - times[:, :1]
        cycles = math.ceil(since.max() * frequency.max() * (1 + self.frequency_jitter)) + 2
        _bounded(cycles, "cycles", "frequency")
        lengths = 1 / (frequency * (1 + self.frequency_jitter * rng.uniform(-1, 1, (rows, cycles))))
        heights = amplitude * (1 + self.amplitude_jitter * rng.uniform(-1, 1, (rows, cycles)))
        ends = np.cumsum(lengths, axis=1) - rng.uniform(0, 1, (rows, 1)) * lengths[:, :1]
        edges = np.concatenate([ends[:, :1] - lengths[:, :1], ends], axis=1)  # (N, cycles + 1)
        passed = np.stack([np.interp(t, edge, np.arange(cycles + 1)) for t, edge in zip(since, edges, strict=True)])
        cycle = np.minimum(passed.astype(np.int64), cycles - 1)
        return np.take_along_axis(heights, cycle, axis=1) * np.sin(2 * np.pi * passed)


def sines(count: int, length: int, features: int, rng: np.random.Generator) -> np.ndarray:
    """TimeGAN's Sines (Yoon et al. 2019, section 5.1): (N, T, F) in [0, 1].

    ``(sin(f·j + p) + 1) / 2`` at j = 0 … T-1; f and p are uniform in [0, 0.1], drawn for each series and feature.
    """
    frequency, phase = rng.uniform(0.0, 0.1, (2, count, 1, features))
    return np.asarray((np.sin(frequency * np.arange(length)[:, None] + phase) + 1) / 2)


# ---- autoregressive --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AR(Process):
    """AR(p): ``x_i = Σ_k coefficients[k] · x_(i-1-k) + ε_i``, one step a point, whatever the times.

    Args:
        coefficients: of the last value, the one before, …; those of a stationary process.
        std: of the ε, which are normal.
        burn_in: steps from zero before the first that counts.
    """

    coefficients: Sequence[float] = (-0.8,)
    std: Positive = 0.4
    burn_in: Natural = 200

    def __post_init__(self) -> None:
        """See :class:`Process`; and coefficients of a process that stays finite."""
        super().__post_init__()
        given = self.coefficients
        if not given:
            raise InputError("coefficients: give at least one")
        if max(np.abs(np.roots([1.0, *(-c for c in given)])), default=0.0) >= 1:
            raise InputError(f"coefficients {list(given)} make a process that grows without bound: choose smaller ones")

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Process`."""
        shocks = rng.normal(0.0, self.std, (len(times), self.burn_in + times.shape[1]))
        return np.asarray(lfilter([1.0], [1.0, *(-c for c in self.coefficients)], shocks, axis=1)[:, self.burn_in :])


@dataclass(frozen=True)
class CAR(Process):
    """CAR(1), the Ornstein-Uhlenbeck process: normal, with correlation exp(-Δt / tau) at any distance Δt.

    Its transitions are exact, so that nothing depends on the steps between the times. As noise it is called red.

    Args:
        tau: time in which the correlation falls to 1/e.
        std: of the values.
    """

    tau: Positive = 2.0
    std: Weight = 0.7

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Process`."""
        values = rng.normal(0.0, self.std, times.shape)
        gaps = np.diff(times, axis=1) / self.tau
        kept, fresh = np.exp(-gaps), np.sqrt(-np.expm1(-2 * gaps))
        for i in range(1, times.shape[1]):
            values[:, i] = kept[:, i - 1] * values[:, i - 1] + fresh[:, i - 1] * values[:, i]
        return values


# ---- non-linear ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NARMA(Process):
    """NARMA of order n (Atiya and Parlos 2000), one step a point, whatever the times, times an amplitude.

    ``y_(i+1) = a·y_i + b·y_i·Σ_(k<n) y_(i-k) + c·u_(i-n+1)·u_i + d`` with inputs u uniform in [0, 0.5]. Now and then
    such a series grows without bound: one that passes 1.5 is drawn again.

    Args:
        order: n.
        coefficients: a, b, c and d.
        amplitude: what y is multiplied with.
        burn_in: steps from zero before the first that counts.

    Raises:
        InputError: on the call, where a series has passed 1.5 in each of 30 draws.
    """

    order: Count = 10
    coefficients: tuple[float, float, float, float] = (0.3, 0.05, 1.5, 0.1)
    amplitude: Positive = 3.0
    burn_in: Natural = 100

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Process`."""
        rows, steps = len(times), self.burn_in + times.shape[1]
        values, left = np.empty(times.shape), np.arange(rows)
        for _ in range(30):
            inputs = rng.uniform(0.0, 0.5, (len(left), self.order - 1 + steps))
            drawn = self.respond(inputs)
            values[left] = drawn[:, self.burn_in :]
            left = left[~(np.abs(drawn).max(axis=1) <= DIVERGED)]  # not a number is no less
            if not len(left):
                return self.amplitude * values
        raise InputError(f"order {self.order} with coefficients {list(self.coefficients)} grows without bound")

    def respond(self, inputs: np.ndarray) -> np.ndarray:
        """y (N, S) of inputs (N, order - 1 + S), all zeros before."""
        (a, b, c, d), n = self.coefficients, self.order
        y = np.zeros((len(inputs), inputs.shape[1] + 1))  # the first n are the zeros before
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(n, y.shape[1]):
                last = y[:, i - 1]
                y[:, i] = a * last + b * last * y[:, i - n : i].sum(1) + c * inputs[:, i - n] * inputs[:, i - 1] + d
        return y[:, n:]


@dataclass(frozen=True)
class MackeyGlass(Process):
    """The Mackey-Glass equation (1977), chaotic as it stands, times an amplitude.

    ``dx/ds = beta · x(s - tau) / (1 + x(s - tau)^n) - gamma · x(s)``. Each series starts from a constant history
    uniform in [0.2, 1.2]. It is integrated on a grid of 0.1, second order, and read between grid points by a line.

    Args:
        tau, n, beta, gamma: of the equation; with the usual ones a cycle takes about 50 of its own time.
        pace: its own time in a unit of time.
        amplitude: what x, which lies between about 0.4 and 1.3, is multiplied with.
        burn_in: of its own time, before the first point.
    """

    tau: Positive = 17.0
    n: Annotated[float, Within(1)] = 10.0
    beta: Positive = 0.2
    gamma: Positive = 0.1
    pace: Positive = 4.0
    amplitude: Positive = 2.0
    burn_in: Weight = 500.0

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Process`."""
        points = math.ceil(self.tau / GRID)
        block = np.repeat(rng.uniform(0.2, 1.2, (len(times), 1)), points + 1, axis=1)
        for _ in range(math.ceil(self.burn_in / self.tau)):
            block = self.onward(block)
        place = (times - times[:, :1]) * self.pace * points / self.tau  # in grid points
        _bounded(place.max(), "steps", "pace")
        blocks = [block]
        while len(blocks) * points <= place.max():
            blocks.append(self.onward(blocks[-1]))
        x = np.concatenate([blocks[0], *(b[:, 1:] for b in blocks[1:])], axis=1)
        before = place.astype(np.int64)
        low, high = (np.take_along_axis(x, index, axis=1) for index in (before, before + 1))
        return np.asarray(self.amplitude * (low + (place - before) * (high - low)))

    def onward(self, block: np.ndarray) -> np.ndarray:
        """From x at equally spaced points (N, P) of a stretch of tau, both ends counted, that of the next stretch.

        There the first term of the equation is known at every point: what is left is linear, and its decay exact.
        """
        step = self.tau / (block.shape[1] - 1)
        decay = math.exp(-self.gamma * step)
        inflow = self.beta * block / (1 + block**self.n)
        added = step / 2 * (decay * inflow[:, :-1] + inflow[:, 1:])
        following, _ = lfilter([1.0], [1.0, -decay], added, axis=1, zi=decay * block[:, -1:])
        return np.concatenate([block[:, -1:], following], axis=1)


# ---- Gaussian processes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GaussianProcess(Process):
    """A Gaussian process of mean 0 (Rasmussen and Williams 2006, section 4.2), by Cholesky.

    Args:
        kernel: at the distance d, in length scales r = d / length_scale:
            ``squared_exponential`` exp(-r²/2); ``exponential`` exp(-r); ``matern32`` (1 + √3·r) exp(-√3·r);
            ``matern52`` (1 + √5·r + 5r²/3) exp(-√5·r); ``rational_quadratic`` (1 + r²/(2·alpha))^-alpha;
            ``periodic`` exp(-2 sin²(π·d/period) / length_scale²).
        length_scale: in units of time; of ``periodic``, without a unit.
        std: of the values.
        alpha: of ``rational_quadratic``.
        period: of ``periodic``.
    """

    kernel: Kernel = "squared_exponential"
    length_scale: Positive = 2.0
    std: Positive = 0.7
    alpha: Positive = 1.0
    period: Positive = 4.0

    def covariance(self, distance: np.ndarray) -> np.ndarray:
        """Of values so far apart, any shape."""
        r = np.abs(distance) / self.length_scale
        if self.kernel == "squared_exponential":
            correlation = np.exp(-(r**2) / 2)
        elif self.kernel == "exponential":
            correlation = np.exp(-r)
        elif self.kernel == "matern32":
            correlation = (1 + math.sqrt(3) * r) * np.exp(-math.sqrt(3) * r)
        elif self.kernel == "matern52":
            correlation = (1 + math.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-math.sqrt(5) * r)
        elif self.kernel == "rational_quadratic":
            correlation = (1 + r**2 / (2 * self.alpha)) ** -self.alpha
        else:
            correlation = np.exp(-2 * np.sin(np.pi * distance / self.period) ** 2 / self.length_scale**2)
        return np.asarray(self.std**2 * correlation)

    def __call__(self, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """See :class:`Process`."""
        draws = rng.standard_normal(times.shape)
        if (times == times[0]).all():  # one covariance for all
            return np.asarray(draws @ self._root(times[0]).T)
        parts = [slice(first, first + ROWS) for first in range(0, len(times), ROWS)]
        return np.concatenate([(self._root(times[part]) @ draws[part, :, None])[..., 0] for part in parts])

    def _root(self, times: np.ndarray) -> np.ndarray:
        """Lower triangular (…, T, T), whose product with its transpose is the covariance at times (…, T)."""
        covariance = self.covariance(times[..., :, None] - times[..., None, :])
        return np.linalg.cholesky(covariance + NUGGET * self.std**2 * np.eye(times.shape[-1]))


PROCESSES: dict[str, type[Process]] = {
    "sinusoid": Sinusoid,
    "pseudo_periodic": PseudoPeriodic,
    "ar": AR,
    "car": CAR,
    "narma": NARMA,
    "mackey_glass": MackeyGlass,
    "gaussian_process": GaussianProcess,
}


def process(kind: str, parameters: Mapping[str, Any]) -> Process:
    """The process of a kind with such parameters, the others being its defaults.

    Raises:
        InputError: there is no such kind or parameter, or it cannot have that value.
    """
    if not isinstance(kind, str) or kind not in PROCESSES:
        raise InputError(f"no kind {kind!r}: known are {', '.join(PROCESSES)}")
    known = [field.name for field in fields(PROCESSES[kind])]
    unknown = next((name for name in parameters if name not in known), None)
    if unknown is not None:
        raise InputError(f"{kind} has no parameter {unknown!r}: it has {', '.join(known)}")
    return PROCESSES[kind](**parameters)
