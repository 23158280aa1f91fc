"""What a study found, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ganaug.study.statistics.summary import BEST, difference
from ganaug.study.statistics.trainings import METRICS, PLACEBO

Setting = Mapping[str, Any]
UNSEEN = ("none", "before holm", "unused")
ALONE = "no comparison with classical augmentation was run"
OPPONENTS = {
    "classical_oversampled": "classical augmentation with rare classes repeated",
    "classical": "classical augmentation",
    "oversampled": f"real rows with rare classes repeated ({ALONE})",
    "real": f"the real rows alone ({ALONE})",
}


def verdict(summary: Mapping[str, Any]) -> str:
    """One sentence: whether GAN samples help, by how much, and where; and what speaks against it.

    It tells the headline of every setting, after Holm's correction for all of them; see
    :func:`~ganaug.study.statistics.summarise`. A gain is held against the best arm without samples and against the
    placebo too. Where it is another under shift, that is said, and so are opponents that seem not trained to the end,
    and cells that failed.
    """
    opponents: dict[str, list[Setting]] = {}
    for setting in summary["settings"]:
        if setting["headline"]:
            opponents.setdefault(setting["headline"]["other"], []).append(setting)
    if not opponents:
        return f"GAN samples were not compared with anything, so nothing can be said of them{_missed(summary)}."
    parts: list[str] = []
    for other, settings in opponents.items():
        subject = "they" if parts else f"GAN samples, {summary['ratio']:g} to a real row,"
        parts.append(f"{'b' if parts else 'B'}eside {OPPONENTS[other]}, {subject} {_found(summary, settings)}")
        untrained = [s for s in settings if rise_of(s, other)]
        if untrained:
            rises = _listed([f"{points(rise_of(untrained[k], other) or 0)} points {where([untrained[k]])}"
                             for k in range(len(untrained))])  # fmt: skip
            parts.append(f"but that opponent seems not trained to the end: twice the steps give it {rises}")
        if under := [said for s in settings if (said := under_shift(s))]:
            count = summary["shifts"]
            corrected = f", corrected for {count} comparisons" if count > 1 else ""
            parts.append(f"under shift{corrected}, {_listed(under)}")
    return f"{'; '.join(parts)}{_missed(summary)}."


def rise_of(setting: Setting, arm: str) -> float | None:
    """What twice the steps add to the arm's score on held-out rows, where that is beyond chance; else None."""
    return next((found["mean"] for found in setting["untrained"] if found["arm"] == arm), None)


def under_shift(setting: Setting) -> str:
    """What samples add where something has befallen test rows, as far as it is not as on test rows as they are."""
    headline = setting["headline"]
    found = headline["shifts"].items()
    parts = [f"{points(shift['mean'])} points ({name})" for name, shift in found
             if shift["outcome"] in ("gain", "harm") and shift["outcome"] != headline["outcome"]]  # fmt: skip
    unseen = [name for name, shift in found if headline["outcome"] == "gain" and shift["outcome"] in UNSEEN]
    parts += [f"no gain shown ({', '.join(unseen)})"] if unseen else []
    return f"{_listed(parts)} {where([setting])}" if parts else ""


def _missed(summary: Mapping[str, Any]) -> str:
    count = len(summary["failed"])
    return f"; {count} cell{'s' * (count > 1)} failed and {'are' if count > 1 else 'is'} not in this" if count else ""


def _found(summary: Mapping[str, Any], settings: Sequence[Setting]) -> str:
    sorts: dict[str, list[Setting]] = {}
    for setting in settings:
        sorts.setdefault(setting["headline"]["outcome"], []).append(setting)
    return "; they ".join(clause(sorts[sort], summary) for sort, clause in CLAUSES.items() if sort in sorts)


def _each(verb: str) -> Callable[[list[Setting], Mapping[str, Any]], str]:
    """A clause that gives every setting its own numbers; ``{}`` is the number of comparisons."""

    def clause(settings: list[Setting], summary: Mapping[str, Any]) -> str:
        items = [f"{where([setting])} ({_numbers(setting)})" for setting in settings]
        return f"{verb.format(summary['comparisons'])} {_listed(items)}"

    return clause


def _numbers(setting: Setting) -> str:
    headline = setting["headline"]
    parts = [f"{points(headline['mean'])} points {METRICS[setting['metric']]}, 95 % interval {_ends(headline)}"]
    rare = difference(setting, headline["arm"], headline["other"], "rare_recall")
    if setting["imbalance"] and rare and rare["mean"] is not None:
        parts.append(f"{METRICS['rare_recall']} {points(rare['mean'])} ({_ends(rare)})")
    if headline["outcome"] == "gain":
        placebo = PLACEBO.get(headline["arm"].partition(",")[0], "")
        for other, words in ((BEST, "the best arm without samples"), (placebo, "real rows drawn again in their place")):
            compared = difference(setting, headline["arm"], other)
            if compared and compared["outcome"] != "gain":
                beside = "worse than" if compared["outcome"] == "harm" else "not shown beside"
                parts.append(f"{beside} {words}: {points(compared['mean'])} ({_ends(compared)})")
    elif headline["outcome"] == "none":
        parts.append(_detectable([setting]))
    return "; ".join([*parts, *lacking(headline["lacking"])])


def lacking(share: float) -> list[str]:
    """What filters have left of the samples, where a tenth of them or more is missing."""
    left = "less than 1" if 0 < 1 - share < 0.01 else f"{100 * (1 - share):.0f}"
    return [f"filters left {left} % of the samples asked for"] if share >= 0.1 else []


def _ends(compared: Mapping[str, Any]) -> str:
    """The 95 % interval."""
    return " to ".join(points(bound, sign=False) for bound in compared["interval"] or ()) or "no interval"


def _detectable(settings: Sequence[Setting]) -> str:
    sizes = sorted({s["headline"]["detectable"] for s in settings})
    ends = dict.fromkeys(size_of(size) for size in (sizes[0], sizes[-1]))
    return f"a true gain of {' to '.join(ends)} would be found in 4 of 5 such studies"


def size_of(gain: float) -> str:
    """A detectable gain in points; what no score can gain is ``over 100``."""
    return "over 100" if gain > 1 else points(gain, sign=False)


def _unseen(settings: list[Setting], summary: Mapping[str, Any]) -> str:
    """Settings without a difference that could be seen: one with its numbers, several with what spans them."""
    verb = "made no difference that could be seen"
    if len(settings) == 1:
        return _each(verb)(settings, summary)
    parts = []
    for metric in METRICS:
        bounds = [s["headline"]["interval"] for s in settings if s["metric"] == metric]
        if bounds:
            low, high = (points(end, sign=False) for end in (min(b[0] for b in bounds), max(b[1] for b in bounds)))
            parts.append(f"95 % intervals within {low} to {high} points {METRICS[metric]}")
    parts += [f"{where([s])} {told}" for s in settings for told in lacking(s["headline"]["lacking"])]
    return f"{verb} {where(settings)} ({'; '.join([*parts, _detectable(settings)])})"


def _inconclusive(why: str) -> Callable[[list[Setting], Mapping[str, Any]], str]:
    def clause(settings: list[Setting], _: Mapping[str, Any]) -> str:
        items = [f"{points(s['headline']['mean'])} points {METRICS[s['metric']]} {where([s])}" for s in settings]
        return f"gave {_listed(items)} ({why}: no interval, nothing can be concluded)"

    return clause


def _missing(settings: list[Setting], _: Mapping[str, Any]) -> str:
    return f"cannot be judged {where(settings)}, where no seed ran both arms"


def _none_left(settings: list[Setting], _: Mapping[str, Any]) -> str:
    return f"cannot be judged {where(settings)}, where filters left no sample"


CLAUSES = {
    "gain": _each("helped"),
    "harm": _each("hurt"),
    "before holm": _each("made a difference that does not stand after correction for {} comparisons"),
    "none": _unseen,
    "one seed": _inconclusive("one seed"),
    "equal": _inconclusive("the same in every seed"),
    "missing": _missing,
    "no samples": _none_left,
}


def where(settings: Sequence[Setting]) -> str:
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


def amount(ratio: float) -> str:
    """``1 sample to a real row``, ``3 samples to a real row``."""
    return f"{ratio:g} sample{'' if ratio == 1 else 's'} to a real row"


def points(share: float, sign: bool = True) -> str:
    """A share in percentage points, to a tenth, or to one digit where it is less: ``+1.9``, ``−0.03``, ``0.0``."""
    value = round(100 * share, 6)
    digits = f"{abs(value):.1f}" if abs(value) >= 0.05 or not value else f"{abs(value):.1g}"
    return ("−" if value < 0 else "+" if sign and value > 0 else "") + digits


def _listed(items: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
