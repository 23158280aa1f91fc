"""What a study found: arms beside each other over seeds, as plain numbers.

A seed draws the split, the subset, the GAN and the classifier anew, and all arms share what it draws. So differences
are taken within a seed, and their interval is Student's t over seeds (Demšar 2006, "Statistical Comparisons of
Classifiers over Multiple Data Sets", section 3.1.1). Where seeds share test rows, it holds for those rows: another test
set might say otherwise. Where they share training rows too, which is so without ``per_class``, it is too narrow: see
Nadeau and Bengio 2003, "Inference for the Generalization Error", section 3, whose correction needs splits that are
drawn at random with sizes that rows do not tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from datamodules.errors import InputError
from ganaug.study.statistics.intervals import ALPHA, detectable, holm, student
from ganaug.study.statistics.stein import seeds_wanted
from ganaug.study.statistics.trainings import (
    METRICS,
    PAIRS,
    PLACEBO,
    SHIFT,
    WITHOUT,
    Row,
    Trainings,
    check,
    headline_of,
    name,
    paired,
    ratio_of,
    selection_of,
    setting_of,
    value_of,
)

BEST = "best without samples"
Stage = Sequence[int] | None  # the seeds of a first stage, None where there is no second


def summarise(
    rows: Sequence[Row],
    ratio: float = 1.0,
    failed: Mapping[str, str] | None = None,
    first: int | None = None,
    selection: str | None = None,
    until: float | None = None,
) -> dict[str, Any]:
    """Means, deviations and paired differences of every arm, in every setting: a number of rows a class, an imbalance.

    An arm with samples is there twice: ``<arm>, always`` at the ratio that was fixed in advance, and ``<arm>, chosen``,
    for each seed at the ratio, 0 among them, that is best on average on the folds of all other seeds. Of rules for that
    choice this one loses least in simulated studies. ``best without samples`` is the arm that is chosen likewise from
    those without samples.

    The headline of a setting is fixed in advance: under imbalance classical_oversampled_gan over classical_oversampled,
    else classical_gan over classical, else oversampled_gan over oversampled, else gan over real; without imbalance
    classical_gan over classical, else gan over real; the first of which the study ran both arms. It is ``always``, in
    the setting's metric.

    Args:
        rows: see :mod:`ganaug.study.statistics.trainings`. Scores are shares in [0, 1]; NaN counts as None.
        ratio: of samples to real rows, fixed in advance.
        failed: cells without rows, and why.
        first: how many seeds, the lowest, were a first stage whose spread said how many are wanted; by default all.
        selection: what ratios are chosen by, ``folds`` or ``validation``, for each seed its own validation rows; by
            default folds where rows have any.
        until: half width, in points, that the headline's interval was to have; None for any.

    Returns:
        Plain values, fit for JSON. ``ratio``, ``failed``, ``first`` and ``until`` as given; ``selection``: ``folds``,
        ``validation`` or None; ``metrics``, names by metric; ``comparisons`` and ``shifts``, how many headlines, and
        how many differences under shift, Holm's correction is for; and ``settings``, a list of ``name``, ``per_class``,
        ``imbalance``, ``seeds``, ``rarest``, ``metric`` (accuracy or, under imbalance, macro-F1) and:

        - ``arms``, by name: ``seeds``, how many rows; ``ratios``, by seed; of each metric ``mean``, ``sd`` (n - 1) and
          ``n``; and ``to``, by the other arm, by metric: ``n`` seeds of both, ``mean`` difference, its 95 %
          ``interval`` [low, high] or None, ``p``, and ``outcome``, as :func:`outcome` calls it;
        - ``best``: by seed, what the best arm without samples was;
        - ``blind``, or None: how many held-out folds have no row of the rarest class, and of how many;
        - ``headline``, or None: ``arm``, ``other``, the difference of these; ``holm``, its adjusted p; ``outcome`` by
          that, where ``before holm`` is a gain or harm by its own interval alone; ``detectable``, the true gain that is
          found in 4 of 5 such studies; ``seeds_for_one_point``, by Stein, for an interval of a point each way;
          ``lacking``, the share of the samples asked for that filters did not leave: where they left none, the outcome
          is ``no samples``; ``shifts``, by name, the same difference on test rows that something has befallen, with
          ``holm`` and ``outcome`` corrected for ``shifts``, all those of all settings;
        - ``untrained``: arms without samples whose score on held-out rows rises with twice the steps, beyond chance:
          ``arm``, ``mean`` rise, ``n``, and ``holm``, the one-sided p of Student over seeds, corrected for all such
          arms of all settings, below 0.05. It is a warning: of studies whose arms were all trained to the end 1 in 20
          has one. None is no proof, since few seeds and small folds see large rises alone; and what is still rising at
          twice the steps, or rises on test rows only, it cannot tell.

    Raises:
        InputError: there are no rows, two of the same training, a score that is no share, or samples never in that
            ratio.
    """
    if not rows:
        raise InputError("no rows to summarise: the study has no finished cell")
    for number, row in enumerate(rows, 1):
        check(row, number)
    ran = sorted({ratio_of(row) for row in rows if row["arm"] in PAIRS})
    if ran and ratio not in ran:
        raise InputError(f"ratio {ratio:g} was not run: choose from {', '.join(f'{r:g}' for r in ran)}")
    order = sorted({setting_of(row) for row in rows}, key=lambda s: (s[0], math.inf if s[1] is None else s[1]))
    selection = selection or selection_of(rows)
    shifts = sorted({key for row in rows for key in row if key.startswith(SHIFT)})
    metrics = METRICS | {shift: f"shift {shift.removeprefix(SHIFT)}" for shift in shifts}
    arms = {row["arm"] for row in rows}
    settings = [
        _setting(
            own := Trainings(rows, key, selection), ratio, list(metrics), arms, own.seeds[:first] if first else None
        )
        for key in order
    ]
    headlines = [s["headline"] for s in settings if s["headline"]]
    family = _corrected(headlines)
    for headline in family:
        headline["detectable"] = detectable(headline.pop("sd"), headline["n"], len(family), headline.pop("staged"))
    _keep_rising(settings)
    shifted = _corrected([found for headline in headlines for found in headline["shifts"].values()])
    return {
        "ratio": ratio,
        "selection": selection,
        "metrics": metrics,
        "comparisons": len(family),
        "shifts": len(shifted),
        "first": first,
        "until": until,
        "settings": settings,
        "failed": dict(failed or {}),
    }


def _corrected(differences: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the differences that have a p, corrected for each other by Holm."""
    family = [found for found in differences if found["p"] is not None]
    for found, adjusted in zip(family, holm([found["p"] for found in family]).tolist(), strict=True):
        found["holm"] = adjusted
        if found["outcome"] in ("gain", "harm") and adjusted >= ALPHA:
            found["outcome"] = "before holm"
    return family


def _setting(
    trainings: Trainings,
    ratio: float,
    metrics: Sequence[str],
    run: set[str],
    stage: Stage,
) -> dict[str, Any]:
    arms, best = _arms(trainings, ratio)
    every = [row for rows in arms.values() for row in rows.values()]
    setting: dict[str, Any] = {
        "name": name({"per_class": trainings.per_class, "imbalance": trainings.imbalance}),
        "per_class": trainings.per_class,
        "imbalance": trainings.imbalance,
        "metric": trainings.metric,
        "seeds": sorted({row["seed"] for row in every}),
        "rarest": sorted({str(row["rarest"]) for row in every if row.get("rarest") not in (None, "")}),
        "best": best,
        "blind": _blind(trainings),
        "arms": {arm: _arm(arm, arms, metrics, stage) for arm in arms},
        "untrained": _rises(trainings),
    }
    return {**setting, "headline": _headline(trainings, arms, metrics, run, stage)}


def _blind(trainings: Trainings) -> list[int] | None:
    """How many held-out folds have no row of the rarest class, and of how many; None where each has one."""
    folds = {
        where: row
        for arm in WITHOUT
        for where, row in trainings.found.get((arm, 0.0, 1), {}).items()
        if where[1] is not None and row.get("rarest")
    }
    lacking = sum(value_of(row, "rare_recall") is None for row in folds.values())
    return [lacking, len(folds)] if trainings.imbalance and lacking else None


def _arms(trainings: Trainings, ratio: float) -> tuple[dict[str, dict[int, Row]], dict[str, str]]:
    """Rows of every arm by seed, as they stand beside each other; and what the best arm without samples was."""

    def pick(options: list[tuple[str, float]]) -> dict[int, Row]:
        chosen = trainings.chosen(options)
        return {seed: row for seed, option in chosen.items() if (row := trainings.whole(*option).get(seed))}

    arms: dict[str, dict[int, Row]] = {}
    for arm in dict.fromkeys(arm for arm, _, steps in trainings.found if steps == 1):
        ratios = trainings.ratios(arm)
        if arm in PAIRS:
            arms[f"{arm}, always"] = trainings.whole(arm, ratio)
            arms[f"{arm}, chosen"] = pick([(PAIRS[arm], 0.0), *((arm, r) for r in ratios)])
        else:
            arms[arm] = trainings.whole(arm, ratio if ratio in ratios else ratios[-1])
    rivals = [(arm, 0.0) for arm in WITHOUT if arms.get(arm)]
    if len(rivals) > 1:
        arms[BEST] = pick(rivals)
    arms = {arm: rows for arm, rows in arms.items() if rows}
    return arms, {str(seed): row["arm"] for seed, row in arms.get(BEST, {}).items()}


def _others(arm: str) -> list[str]:
    """What an arm is held against: what has all but one thing of it, and the best without that thing."""
    plain, _, mode = arm.partition(", ")
    placebo = [PLACEBO[plain]] if mode == "always" and plain in PLACEBO else []
    if plain in PAIRS:
        return [PAIRS[plain], BEST, *placebo]
    bases = {PLACEBO[samples]: PAIRS[samples] for samples in PLACEBO}
    # Of trts the score is on samples: no difference to it means much.
    return [bases.get(plain, "real")] if plain not in ("real", "trts", BEST) else []


def _arm(arm: str, arms: dict[str, dict[int, Row]], metrics: Sequence[str], stage: Stage) -> dict[str, Any]:
    rows = arms[arm]
    scores = {metric: [v for row in rows.values() if (v := value_of(row, metric)) is not None] for metric in metrics}
    return {
        "seeds": len(rows),
        "ratios": [ratio_of(rows[seed]) for seed in sorted(rows)],
        **{
            metric: {
                "mean": float(np.mean(values)) if values else None,
                "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "n": len(values),
            }
            for metric, values in scores.items()
        },
        "to": {
            other: {metric: _difference(rows, arms[other], metric, stage) for metric in metrics}
            for other in _others(arm)
            if other in arms
        },
    }


def _difference(rows: dict[int, Row], others: dict[int, Row], metric: str, stage: Stage) -> dict[str, Any]:
    """How far rows are above others of the same seed; of two stages the spread is that of the first."""
    each = paired(rows, others, metric)
    if not each:
        return {"n": 0, "mean": None, "interval": None, "p": None, "outcome": "missing"}
    mean, half, p = map(float, student(list(each.values()), _staged(each, stage)))
    interval = None if math.isnan(half) else [mean - half, mean + half]
    unused = all(rows[seed] is others[seed] for seed in rows if seed in others)
    return {
        "n": len(each),
        "mean": mean,
        "interval": interval,
        "p": None if math.isnan(p) else p,
        "outcome": outcome(len(each), interval, unused),
    }


def _staged(each: Mapping[int, float], stage: Stage) -> int | None:
    """How many of the seeds, the first ones, are of the first stage; None where there is but one."""
    return None if stage is None else sum(seed in stage for seed in each)


def outcome(n: int, interval: Sequence[float] | None, unused: bool = False) -> str:
    """What can be said of a difference.

    Args:
        n: number of seeds.
        interval: low and high, or None.
        unused: whether both are the same trainings in every seed.

    Returns:
        ``missing`` (no seed ran both), ``one seed``, ``unused``, ``equal`` (the same difference in every seed, so no
        interval), ``gain``, ``harm``, or ``none`` for an interval that holds zero.
    """
    if n < 2:
        return "one seed" if n else "missing"
    if unused:
        return "unused"
    if interval is None:
        return "equal"
    return "gain" if interval[0] > 0 else "harm" if interval[1] < 0 else "none"


def _headline(
    trainings: Trainings,
    arms: dict[str, dict[int, Row]],
    metrics: Sequence[str],
    run: set[str],
    stage: Stage,
) -> dict[str, Any] | None:
    """The comparison that was fixed in advance; None where the study ran no pair."""
    samples = headline_of(trainings.imbalance, run)
    if samples is None:
        return None
    pair = (f"{samples}, always", PAIRS[samples])
    rows, others = (arms.get(arm, {}) for arm in pair)
    each = paired(rows, others, trainings.metric)
    count = _staged(each, stage)
    staged = list(each.values())[:count]
    found = _difference(rows, others, trainings.metric, stage)
    headline: dict[str, Any] = {"arm": pair[0], "other": pair[1], **found, "holm": None, "detectable": None}
    made = sum(row.get("synthetic_rows") or 0 for row in rows.values())
    lacking = sum(row.get("lacking_rows") or 0 for row in rows.values())
    headline["lacking"] = lacking / (made + lacking) if made + lacking else 0.0
    if lacking and not made:
        headline["outcome"] = "no samples"
    shifted = {m.removeprefix(SHIFT): _difference(rows, others, m, stage) for m in metrics if m.startswith(SHIFT)}
    headline["shifts"] = {name: {**found, "holm": None} for name, found in shifted.items()}
    told = found["p"] is not None
    headline["seeds_for_one_point"] = seeds_wanted(staged, 0.01) if told else None
    spread = {"sd": float(np.std(staged, ddof=1)), "staged": count} if told else {}
    return {**headline, **spread}


def _rises(trainings: Trainings) -> list[dict[str, Any]]:
    """How much more arms without samples score with twice the steps, where that differs between seeds or is nothing."""
    found, known = [], []
    for arm in WITHOUT:
        rises = [rise for rise in trainings.gains((arm, 0.0), (arm, 0.0), (2, 1)) if not math.isnan(rise)]
        if rises in known:  # where classes are level, to repeat the rare ones changes nothing
            continue
        known.append(rises)
        mean, _, p = map(float, student(rises)) if rises else (0.0, 0.0, math.nan)
        if not math.isnan(p):
            found.append({"arm": arm, "mean": mean, "n": len(rises), "holm": p / 2 if mean > 0 else 1 - p / 2})
    return found


def _keep_rising(settings: Sequence[dict[str, Any]]) -> None:
    """Of the rises of all settings leave those that stand after correction for their number."""
    rises = [rise for setting in settings for rise in setting["untrained"]]
    for rise, adjusted in zip(rises, holm([rise["holm"] for rise in rises]).tolist(), strict=True):
        rise["holm"] = adjusted
    for setting in settings:
        setting["untrained"] = [rise for rise in setting["untrained"] if rise["holm"] < ALPHA]


def difference(setting: Mapping[str, Any], arm: str, other: str, metric: str | None = None) -> dict[str, Any] | None:
    """The difference of an arm to another in a setting, by default in the setting's metric; None where either lacks."""
    found = setting["arms"].get(arm, {}).get("to", {}).get(other)
    return found[metric or setting["metric"]] if found else None
