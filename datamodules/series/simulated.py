"""Series that are simulated: Signals, whose classes are textbook processes, and Sines, those of the TimeGAN paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from datamodules.errors import InputError
from datamodules.options import LARGEST, Positive, Share, Weight, in_range
from datamodules.series.base import SeriesModule, SeriesRows
from datamodules.series.simulators import CAR, PROCESSES, Kernel, Process, process, sines

Noise = Literal["none", "white", "red"]
Sampling = Literal["regular", "irregular"]


class Signals(SeriesModule):
    """Simulated series, a class a process: sinusoid, pseudo_periodic, ar, car, narma, mackey_glass, gaussian_process.

    With the default parameters each is recognised at sight, and their values are of like size. Regular series have the
    columns time and value; irregular ones are learned with their ``interval``, the time since the point before, as
    first column.

    Args:
        kinds: names of processes, each a class; or by the class's name, its parameters, and its process as ``kind``
            where the name is not one: ``{slow: {kind: sinusoid, frequency: 0.1}, sinusoid: {frequency: [0.2, 0.3]}}``.
            :mod:`datamodules.series.simulators` documents the parameters of each.
        series: how many in all, as evenly over the classes as can be.
        length: points of each.
        features: independent draws of the same process, side by side. One is called ``value``, more ``value_0``, ….
        noise: added to each value: none, white (independent) or red (an Ornstein-Uhlenbeck process).
        noise_std: its standard deviation.
        noise_tau: time in which the correlation of red noise falls to 1/e.
        sampling: regular; or irregular, where points are left out and moved, each series its own.
        resolution: time from point to point, before any is left out.
        drop: of irregular sampling, the share of points left out.
        jitter: of irregular sampling: points move by at most half of this share of the resolution.
        kernel: of gaussian_process, where the class has none of its own.
        **kwargs: the options of :class:`SeriesModule` and :class:`GANDataModule`; another ``seed`` draws other series.

    Raises:
        InputError: an option or a parameter that cannot be used.
    """

    def __init__(
        self,
        kinds: Sequence[str] | Mapping[str | int, Any] = tuple(PROCESSES),
        series: int = 1400,
        length: int = 48,
        features: int = 1,
        noise: Noise = "white",
        noise_std: Weight = 0.05,
        noise_tau: Positive = 1.0,
        sampling: Sampling = "regular",
        resolution: Positive = 0.5,
        drop: Share = 0.3,
        jitter: Share = 0.5,
        kernel: Kernel = "squared_exponential",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        processes = _processes(kinds, kernel)
        _at_least(series, length, features, len(processes))

        values, shares = [], [len(share) for share in np.array_split(np.arange(series), len(processes))]
        for number, (share, (name, draw)) in enumerate(zip(shares, processes.items(), strict=True)):
            rng = np.random.default_rng((self.seed, 31, number))
            if sampling == "regular":
                times = regular(share, length, resolution)
            else:
                times = irregular(share, length, resolution, rng, drop, jitter)
            columns = [] if sampling == "regular" else [np.diff(times, axis=1, prepend=0.0)]
            for _ in range(features):
                try:
                    column = draw(times, rng)
                except InputError as error:
                    raise InputError(f"kinds: {name}: {error}") from None
                if noise == "white":
                    column = column + rng.normal(0.0, noise_std, times.shape)
                elif noise == "red":
                    column = column + CAR(noise_tau, noise_std)(times, rng)
                columns.append(column)
            values.append(np.stack(columns, axis=2))
        rows = SeriesRows(np.concatenate(values), np.full(series, length), np.repeat(np.arange(len(processes)), shares))
        names = ("value",) if features == 1 else tuple(f"value_{k}" for k in range(features))
        self.describe(
            rows,
            None,
            names if sampling == "regular" else ("interval", *names),
            classes=tuple(processes),
            time="time",
            start="0",
            frequency=str(resolution),
            intervals=sampling == "irregular",
        )


class Sines(SeriesModule):
    """The Sines of TimeGAN (Yoon et al. 2019, section 5.1), without classes.

    See :func:`datamodules.series.simulators.sines`.

    Args:
        series: how many.
        length: points of each.
        features: independent sines side by side, called ``sine_0``, ….
        **kwargs: the options of :class:`SeriesModule` and :class:`GANDataModule`; another ``seed`` draws other series.

    Raises:
        InputError: an option that cannot be used.
    """

    def __init__(self, series: int = 10_000, length: int = 24, features: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _at_least(series, length, features, 1)
        values = sines(series, length, features, np.random.default_rng((self.seed, 37)))
        rows = SeriesRows(values, np.full(series, length), np.zeros(series, dtype=np.int64))
        self.describe(rows, None, tuple(f"sine_{k}" for k in range(features)))


def _processes(kinds: Sequence[str] | Mapping[str | int, Any], kernel: Kernel) -> dict[str, Process]:
    """By the class's name, its process."""
    if not isinstance(kinds, Mapping | list | tuple) or not kinds:
        raise InputError(f"kinds must be a list of {', '.join(PROCESSES)}, or name classes and say of each which it is")
    names = [str(name) for name in kinds]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise InputError(f"kinds: {twice} is there twice: give each class a name, {{a: {{kind: sinusoid}}, b: …}}")
    parameters_of = kinds.values() if isinstance(kinds, Mapping) else [{}] * len(names)
    found: dict[str, Process] = {}
    for name, given in zip(names, parameters_of, strict=True):
        if not isinstance(given, Mapping):
            raise InputError(f"kinds: {name}: parameters are needed, such as {{kind: sinusoid}}, not {given!r}")
        parameters = dict(given)
        kind = parameters.pop("kind", name)
        if kind == "gaussian_process":
            parameters.setdefault("kernel", kernel)
        try:
            found[name] = process(kind, parameters)
        except InputError as error:
            raise InputError(f"kinds: {name}: {error}") from None
    return found


def _at_least(series: int, length: int, features: int, classes: int) -> None:
    in_range("series", series, classes, 10**7)
    in_range("length", length, 2, LARGEST)
    in_range("features", features, 1, LARGEST)


def regular(rows: int, length: int, resolution: float) -> np.ndarray:
    """Times (N, T) from 0, so far apart."""
    return np.tile(resolution * np.arange(length), (rows, 1))


def irregular(
    rows: int, length: int, resolution: float, rng: np.random.Generator, drop: float = 0.3, jitter: float = 0.5
) -> np.ndarray:
    """Times (N, T) from 0, each series its own: regular ones of which some are left out and the others moved.

    Args:
        rows: N.
        length: T, the points that are left.
        resolution: distance of the regular times.
        rng: that chooses.
        drop: share left out, at least 0 and below 1.
        jitter: at least 0 and below 1: a time is moved by at most half of this share of the resolution, so that none
            passes another.
    """
    points = round(length / (1 - drop))
    kept = np.sort(np.argsort(rng.random((rows, points)), axis=1)[:, :length], axis=1)
    times = resolution * (kept + jitter * rng.uniform(-0.5, 0.5, kept.shape))
    return times - times[:, :1]
