"""What a study found: arms beside each other over seeds, as plain numbers and in one sentence.

A seed draws the split, the subset, the GAN and the classifier anew, and all arms share what it draws. So differences
are taken within a seed, and their interval is Student's t over seeds: Student 1908, "The Probable Error of a Mean",
section VIII; Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", section 3.1.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from datamodules.errors import InputError

Row = dict[str, Any]
METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "rare_recall": "recall of the rarest class"}
PAIRS = (("classical_gan", "classical"), ("gan", "real"))  # what the question is about; the first is the harder
# Samples go to rare classes first, and to repeat their rows levels the classes as well: what is left is the samples'.
LEVELLED = {"classical_gan": "classical_oversampled", "gan": "oversampled"}
LEVEL = 0.95
MANY = 5  # comparisons beyond which the sentence warns of chance

# ---- numbers ---------------------------------------------------------------------------------------------------------


def summarise(rows: Sequence[Row], failed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Means, deviations and paired differences of every arm, in every setting: a number of rows a class, an imbalance.

    Args:
        rows: one for each cell and arm: ``arm``, ``seed``, ``accuracy`` in [0, 1]; and, or None, ``per_class``,
            ``imbalance``, ``macro_f1``, ``rare_recall``, ``rarest``, ``ratio``. NaN counts as None.
        failed: cells without rows, and why.

    Returns:
        Plain values, fit for JSON. ``comparisons``: how many intervals there are of what :data:`PAIRS` names.
        ``failed``, as it was given.
        ``settings``, a list of: ``name``, ``per_class``, ``imbalance``, ``seeds``, ``rarest``; ``metric``, accuracy or,
        under imbalance, macro-F1; and ``arms``, by name:

        - ``seeds``: how many rows; and of each metric ``mean``, ``sd`` (n - 1) and ``n``, None for what there is not;
        - ``ratios``: of those arms whose ratio of samples to real rows was chosen, by seed; else None;
        - ``unused``: share of seeds in which validation chose 0; else None;
        - ``to``: by the other arm, by metric: ``n`` seeds of both, ``mean`` difference, its 95 % ``interval`` [low,
          high] or None, and ``outcome``, as :func:`outcome` calls it.

    Raises:
        InputError: there are no rows, two of the same cell and arm, or a score that is no share.
    """
    if not rows:
        raise InputError("no rows to summarise: the study has no finished cell")
    settings: dict[tuple[str, int | None], dict[str, dict[int, Row]]] = {}
    for number, row in enumerate(rows, 1):
        _check(row, number)
        seeds = settings.setdefault((row.get("imbalance") or "", row.get("per_class")), {}).setdefault(row["arm"], {})
        if row["seed"] in seeds:
            raise InputError(f"row {number}: a second row of {name(row)}, seed {row['seed']}, arm {row['arm']}")
        seeds[row["seed"]] = row
    order = sorted(settings, key=lambda key: (key[0], math.inf if key[1] is None else key[1]))
    summary = {"settings": [_setting(*key, settings[key]) for key in order]}
    pairs = [difference(setting, *pair) for setting in summary["settings"] for pair in (*PAIRS, *LEVELLED.items())]
    counted = sum(1 for pair in pairs if pair and pair["interval"] and pair["outcome"] != "unused")
    return {**summary, "comparisons": counted, "failed": dict(failed or {})}


def _check(row: Row, number: int) -> None:
    for field in ("arm", "seed", "accuracy"):
        if field not in row:
            raise InputError(f"row {number} has no {field}")
    for metric in METRICS:
        value = row.get(metric)
        if value is not None and not math.isnan(value) and not 0 <= value <= 1:
            raise InputError(f"row {number}: {metric} is {value:g}, where a share from 0 to 1 is wanted")


def _setting(imbalance: str, per_class: int | None, arms: dict[str, dict[int, Row]]) -> dict[str, Any]:
    every = [row for rows in arms.values() for row in rows.values()]
    return {
        "name": name(every[0]),
        "per_class": per_class,
        "imbalance": imbalance,
        "metric": "macro_f1" if imbalance else "accuracy",
        "seeds": sorted({row["seed"] for row in every}),
        "rarest": sorted({str(row["rarest"]) for row in every if row.get("rarest") not in (None, "")}),
        "arms": {arm: _arm(arm, arms) for arm in arms},
    }


def _arm(arm: str, arms: dict[str, dict[int, Row]]) -> dict[str, Any]:
    rows = arms[arm]
    chosen = arm in dict(PAIRS)
    ratios = [float(rows[seed]["ratio"]) for seed in sorted(rows) if rows[seed].get("ratio") is not None]
    without = [dict(PAIRS)[arm], LEVELLED[arm]] if chosen else []  # samples are what the arm has more than these
    # Those that everybody has; but trts is measured on samples, and classical is what others are held against.
    usual = [] if arm in ("real", "trts") else ["real"] if arm == "classical" else ["real", "classical"]
    others = [*usual, *without]
    return {
        "seeds": len(rows),
        **{
            metric: _spread([v for row in rows.values() if (v := _value(row, metric)) is not None])
            for metric in METRICS
        },
        "ratios": ratios if chosen and ratios else None,
        "unused": ratios.count(0.0) / len(ratios) if chosen and ratios else None,
        "to": {
            other: {metric: _difference(rows, arms[other], metric, other in without) for metric in METRICS}
            for other in dict.fromkeys(others)
            if other in arms
        },
    }


def _value(row: Row, metric: str) -> float | None:
    value = row.get(metric)
    return None if value is None or math.isnan(value) else float(value)


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": float(np.mean(values)) if values else None,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
    }


def _difference(rows: dict[int, Row], others: dict[int, Row], metric: str, samples: bool) -> dict[str, Any]:
    """How far rows are above others of the same seed, with Student's interval; ``samples`` are all that differs."""
    both = [seed for seed in sorted(rows) if seed in others]
    pairs = [(rows[seed], _value(rows[seed], metric), _value(others[seed], metric)) for seed in both]
    whole = [(row, a - b) for row, a, b in pairs if a is not None and b is not None]
    each = np.array([difference for _, difference in whole])
    n, mean = len(each), float(each.mean()) if len(each) else None
    interval = None
    if n > 1:
        spread = float(each.std(ddof=1))
        # Equal differences leave nothing to estimate chance from, unless nothing at all has changed.
        if spread > 1e-12 or np.abs(each).max() <= 1e-12:
            half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * spread / math.sqrt(n)
            interval = [float(each.mean()) - half, float(each.mean()) + half]
    unused = samples and n > 0 and all(row.get("ratio") == 0 for row, _ in whole)
    return {"n": n, "mean": mean, "interval": interval, "outcome": outcome(n, interval, unused)}


def outcome(n: int, interval: Sequence[float] | None, unused: bool = False) -> str:
    """What can be said of a difference.

    Args:
        n: number of seeds.
        interval: low and high, or None.
        unused: whether the arm had no samples in any of the seeds.

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


def difference(setting: Mapping[str, Any], arm: str, other: str, metric: str | None = None) -> dict[str, Any] | None:
    """The difference of an arm to another in a setting, by default in the setting's metric; None where either lacks."""
    found = setting["arms"].get(arm, {}).get("to", {}).get(other)
    return found[metric or setting["metric"]] if found else None


# ---- words -----------------------------------------------------------------------------------------------------------


def verdict(summary: Mapping[str, Any]) -> str:
    """One sentence: whether GAN samples help, by how much, how many of them, and where.

    The opponent is classical augmentation, where the study has it with and without GAN samples; otherwise the real
    rows alone, and the sentence says so. Where the opponent was also run with rare classes repeated, it goes on with
    that.
    """
    for arm, other in PAIRS:
        if any(difference(setting, arm, other) for setting in summary["settings"]):
            break
    else:
        return f"GAN samples were not compared with anything, so nothing can be said of them{_missed(summary)}."
    beside = "classical augmentation"
    if other == "real":
        beside = "the real rows alone (no comparison with classical augmentation was run)"
    sentence = f"Beside {beside}, GAN samples {found(summary, arm, other)}"
    levelled = [
        _briefly(setting, arm, LEVELLED[arm])
        for setting in summary["settings"]
        if difference(setting, arm, LEVELLED[arm])
    ]
    if levelled:
        more = found({"settings": levelled}, arm, LEVELLED[arm])
        sentence += f"; and beside the same with rare classes repeated, they {more}"
    if summary["comparisons"] > MANY:
        sentence += (
            f"; {summary['comparisons']} comparisons were made, and by chance alone one 95 % interval in 20 leaves out"
            " zero"
        )
    return f"{sentence}{_missed(summary)}."


def _missed(summary: Mapping[str, Any]) -> str:
    count = len(summary["failed"])
    return f"; {count} cell{'s' * (count > 1)} failed and {'are' if count > 1 else 'is'} not in this" if count else ""


def _briefly(setting: Mapping[str, Any], arm: str, other: str) -> dict[str, Any]:
    """A setting as if nothing were known of it but how the arm's main score differs from the other's."""
    main = {**setting["arms"][arm]["to"][other], "rare_recall": {"mean": None, "interval": None}}
    return {**setting, "arms": {arm: {"ratios": None, "to": {other: main}}}}


def found(summary: Mapping[str, Any], arm: str, other: str, pronoun: str = "they") -> str:
    """What ``arm`` has more than ``other`` did, as the rest of a sentence whose subject is what it has more."""
    sorts: dict[str, list[Mapping[str, Any]]] = {}
    for setting in summary["settings"]:
        compared = difference(setting, arm, other)
        sorts.setdefault(compared["outcome"] if compared else "missing", []).append(setting)
    clauses = [clause(sorts[sort], arm, other) for sort, clause in CLAUSES.items() if sort in sorts]
    return f"; {pronoun} ".join(clauses)


def _each(verb: str) -> Callable[[list[Mapping[str, Any]], str, str], str]:
    """A clause that gives every setting its own numbers."""

    def clause(settings: list[Mapping[str, Any]], arm: str, other: str) -> str:
        items = [f"{where([setting])} ({_numbers(setting, arm, other)})" for setting in settings]
        return f"{verb} {_listed(items)}"

    return clause


def _numbers(setting: Mapping[str, Any], arm: str, other: str) -> str:
    compared = difference(setting, arm, other)
    assert compared is not None
    parts = [f"{points(compared['mean'])} points {METRICS[setting['metric']]}, {_interval(compared)}"]
    rare = difference(setting, arm, other, "rare_recall")
    if setting["imbalance"] and rare and rare["mean"] is not None:
        parts.append(f"{METRICS['rare_recall']} {points(rare['mean'])}, {_interval(rare)}")
    return "; ".join([*parts, *_amount([setting], arm)])


def _interval(compared: Mapping[str, Any]) -> str:
    if compared["interval"] is None:
        return "no interval"
    return "95 % interval " + " to ".join(points(bound, sign=False) for bound in compared["interval"])


def _unseen(settings: list[Mapping[str, Any]], arm: str, other: str) -> str:
    """Settings without a difference that could be seen: one with its numbers, several with what spans them."""
    verb = "made no difference that could be seen"
    if len(settings) == 1:
        return _each(verb)(settings, arm, other)
    parts = []
    for metric in METRICS:
        those = [s for s in settings if s["metric"] == metric or (metric == "rare_recall" and s["imbalance"])]
        bounds = [d["interval"] for s in those if (d := difference(s, arm, other, metric)) and d["interval"]]
        if bounds:
            low, high = (points(end, sign=False) for end in (min(b[0] for b in bounds), max(b[1] for b in bounds)))
            parts.append(f"95 % intervals within {low} to {high} points {METRICS[metric]}")
    return f"{verb} {where(settings)} ({'; '.join([*parts, *_amount(settings, arm)])})"


def _unused(settings: list[Mapping[str, Any]], *_: str) -> str:
    return f"were not used {where(settings)}, where validation chose none of them in any seed"


def _inconclusive(why: str) -> Callable[[list[Mapping[str, Any]], str, str], str]:
    def clause(settings: list[Mapping[str, Any]], arm: str, other: str) -> str:
        items = []
        for setting in settings:
            compared = difference(setting, arm, other)
            assert compared is not None
            items.append(f"{points(compared['mean'])} points {METRICS[setting['metric']]} {where([setting])}")
        return f"gave {_listed(items)} ({why}: no interval, nothing can be concluded)"

    return clause


def _missing(settings: list[Mapping[str, Any]], *_: str) -> str:
    return f"cannot be judged {where(settings)}, where no seed ran both arms"


CLAUSES = {
    "gain": _each("helped"),
    "harm": _each("hurt"),
    "none": _unseen,
    "unused": _unused,
    "one seed": _inconclusive("one seed"),
    "equal": _inconclusive("the same in every seed"),
    "missing": _missing,
}


def _amount(settings: Sequence[Mapping[str, Any]], arm: str) -> list[str]:
    """How many samples there were to a real row, as a phrase; none where it is not known."""
    ratios = [ratio for setting in settings for ratio in setting["arms"][arm]["ratios"] or ()]
    used = sorted({ratio for ratio in ratios if ratio})
    if not used:
        return []
    phrase = f"{used[0]:g}" if len(used) == 1 else f"{used[0]:g} to {used[-1]:g}"
    none = ratios.count(0.0)
    phrase += f" sample{'' if phrase == '1' else 's'} to a real row"
    return [phrase + (f", none in {none} of {len(ratios)} cells" if none else "")]


def name(setting: Mapping[str, Any]) -> str:
    """A setting's name: ``20 a class``, ``imbalance 8:0.05``, both, or ``all rows``."""
    parts = [] if setting.get("per_class") is None else [f"{setting['per_class']} a class"]
    parts += [f"imbalance {setting['imbalance']}"] if setting.get("imbalance") else []
    return ", ".join(parts) or "all rows"


def where(settings: Sequence[Mapping[str, Any]]) -> str:
    """Settings as a phrase: ``with 10, 20 and 50 a class``, ``under imbalance 8:0.05``, ``on all rows``."""
    plain = [str(s["per_class"]) for s in settings if s["per_class"] is not None and not s["imbalance"]]
    phrases = [f"with {_listed(plain)} a class"] if plain else []
    for setting in settings:
        if setting["imbalance"]:
            few = f"with {setting['per_class']} a class " if setting["per_class"] is not None else ""
            phrases.append(f"{few}under imbalance {setting['imbalance']}")
        elif setting["per_class"] is None:
            phrases.append("on all rows")
    return _listed(phrases)


def points(share: float, sign: bool = True) -> str:
    """A share in percentage points, to a tenth, or to one digit where it is less: ``+1.9``, ``−0.03``, ``0.0``."""
    value = round(100 * share, 6)
    digits = f"{abs(value):.1f}" if abs(value) >= 0.05 or not value else f"{abs(value):.1g}"
    return ("−" if value < 0 else "+" if sign and value > 0 else "") + digits


def _listed(items: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
