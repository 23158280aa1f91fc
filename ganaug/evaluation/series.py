"""What ``evaluate`` says of time series alone: judges trained to tell them apart, statistics, context features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import fmean
from typing import Any, Literal, cast

import torch
from torch import Tensor

from datamodules.base import GANDataModule
from datamodules.rows import some_rows
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.classifiers.training import fit_features
from ganaug.metrics.distance import frechet_distance, memorisation
from ganaug.metrics.judges import discriminative_score, predictive_score
from ganaug.metrics.series import autocorrelation_distance, correlation_distance, frequency_distance, marginal_distance

Scores = dict[str, dict[str, Any]]
DISTANCES: dict[str, Callable[..., float]] = {
    "correlation_distance": correlation_distance,
    "autocorrelation_distance": autocorrelation_distance,
    "marginal_distance": marginal_distance,
    "change_distance": partial(marginal_distance, differences=True),
}


def series_scores(
    *,
    data: GANDataModule,
    train: Batch,
    test: Batch,
    synthetic: Batch,
    seed: int,
    repeats: int = 10,
    steps: int | None = None,
    device: str = "cpu",
    **_: Any,
) -> Scores:
    """Every score of series, each a dict of ``synthetic`` and its ``floor`` by real series, and ``rows``.

    The floor is the score of unseen real series in the place of the samples: test against training series, as many as
    are compared of the samples.

    Args:
        data: where the real rows come from.
        train, test, synthetic: rows, at least 2 of each: ``x`` float32 (N, T, F), ``length`` and ``y`` int64 (N,).
        seed: of the judges and of the choice of rows where equal numbers are compared.
        repeats: judges of each kind, trained side by side; their spread is given too. 0 leaves them out.
        steps: batches for the context features; by default as for classifiers.
        device: that the judges and the context features are trained on.
    """
    schema = cast(SeriesSchema, data.schema)
    n = min(len(part["y"]) for part in (train, test, synthetic))
    few = [some_rows(part, n, seed) for part in (train, test, synthetic)]
    scores: Scores = {}
    if repeats and n >= 5:
        scores |= _judged(few, seed, repeats, device)
    real, unseen, made = ((part["x"], part["length"]) for part in few)
    for name, distance in DISTANCES.items():
        if (
            name in ("correlation_distance", "marginal_distance")
            or min(int(s[1].max()) for s in (real, unseen, made)) > 1
        ):
            scores[name] = {"synthetic": distance(*real, *made), "floor": distance(*real, *unseen), "rows": n}
    if words := [(first, width) for first, width in zip(schema.places, schema.widths, strict=True) if width > 1]:
        for name, order in (("word_frequency_distance", 1), ("word_transition_distance", 2)):
            columns = [
                [(part["x"][..., first : first + width], part["length"]) for part in few] for first, width in words
            ]
            scores[name] = {
                "synthetic": fmean(frequency_distance(*a, *c, order) for a, _, c in columns),
                "floor": fmean(frequency_distance(*a, *b, order) for a, b, _ in columns),
                "rows": n,
            }
    # Whatever the classes: what a network sees that was taught how series go on, as the published figures have it.
    blind = {**train, "y": torch.zeros_like(train["y"])}
    context = fit_features(data.schema, blind, seed, steps=steps, accelerator=torch.device(device).type)
    seen = [context(part) for part in few]
    scores["context_frechet_distance"] = {
        "synthetic": frechet_distance(seen[0], seen[2]),
        "floor": frechet_distance(seen[0], seen[1]),
        "rows": n,
        "extractor": context.name,
    }
    values = (part["x"].flatten(1) for part in (train, test, synthetic))
    return scores | {"memorisation": {"in_values": memorisation(*values, seed=seed)}}


def _judged(few: list[Batch], seed: int, repeats: int, device: str) -> Scores:
    """Discriminative and predictive score (Yoon et al. 2019, section 4)."""
    train, test, synthetic = ((part["x"], part["length"]) for part in few)
    options: dict[str, Any] = {"repeats": repeats, "seed": seed, "device": device}
    scores: Scores = {}
    judges: tuple[Literal["gru", "conv"], ...] = ("gru", "conv")
    for judge in judges:
        name = "discriminative_score" + ("" if judge == "gru" else f"_{judge}")
        scores[name] = _spread(
            discriminative_score(*train, *synthetic, judge=judge, **options),
            discriminative_score(*train, *test, judge=judge, **options),
        )
    if min(int(length.max()) for _, length in (train, test, synthetic)) > 1:
        scores["predictive_score"] = _spread(
            predictive_score(*synthetic, *test, **options), predictive_score(*train, *test, **options)
        )
    return {name: score | {"rows": len(few[0]["y"])} for name, score in scores.items()}


def _spread(synthetic: Tensor, floor: Tensor) -> dict[str, Any]:
    sides = {"synthetic": synthetic, "floor": floor}
    deviations = {f"{side}_deviation": float(part.std(unbiased=False)) for side, part in sides.items()}
    return {side: float(part.mean()) for side, part in sides.items()} | deviations
