"""The findings of a study as markup: the verdict, differences and scores, with every term explained where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganaug.evaluation.markup import Html, escaped, folded, plotted, table_of, tag
from ganaug.study.arms import GROUP
from ganaug.study.plan import ARMS
from ganaug.study.plots import bars, curves, difference_figure, in_order, ratio_figure, score_figure
from ganaug.study.statistics import verdict
from ganaug.study.statistics.intervals import ALPHA
from ganaug.study.statistics.summary import BEST, difference
from ganaug.study.statistics.trainings import METRICS, PAIRS, PLACEBO, SHIFT, WITHOUT, Row, Trainings
from ganaug.study.statistics.words import amount, lacking, points, size_of

Setting = Mapping[str, Any]
WORDS = {
    "gain": "▲ gain",
    "harm": "▼ harm",
    "before holm": "not after correction",
    "none": "no difference seen",
    "equal": "no interval",
    "unused": "not used",
    "no samples": "no sample left by filters",
}
ALL_RUN = "all seeds that were allowed have run."
BRIEF = WORDS | {"gain": "▲", "harm": "▼", "none": ""}
CHOICES = {
    "alone": "at the ratio, 0 among them, that is best on this seed's own held-out rows, as there is no other seed",
    "folds": "for each seed at the ratio, 0 among them, that is best on the held-out folds of all other seeds, so that"
    " no score has a part in its own choice; where the data have no test split of their own, other seeds' folds share"
    " rows with a seed's test rows, which flatters a little: “always” is free of that",
    "validation": "for each seed at the ratio, 0 among them, that is best on its validation rows, judged by the same"
    " trainings: the best of several is held against one, which by chance alone looks like a gain (in simulated studies"
    " without any effect, in half of those with 10 seeds); go by “always”",
    None: "",
}


def headline(rows: Sequence[Row], summary: Mapping[str, Any]) -> Html:
    """The verdict, and how to read the rest."""
    settings, failed = summary["settings"], summary["failed"]
    cells, seeds = len({row["cell"] for row in rows}), len({row["seed"] for row in rows})
    counts = [_count(n, what) for n, what in ((len(settings), "setting"), (seeds, "seed"), (cells, "cell"))]
    lost = f", but for {_count(len(failed), 'cell')} that failed" if failed else ""
    rises = [
        f"{found['arm']} in “{setting['name']}” ({points(found['mean'])}, p {_chance(found['holm'])})"
        for setting in settings
        for found in setting["untrained"]
    ]
    notes = [
        "Opponents that seem not trained to the end, by the points that twice the steps add on held-out rows (one-sided"
        f" p, by Holm, below 0.05): {', '.join(rises)}. A gain over them may be gone when all arms are trained for"
        " longer. Of opponents that are not named here, small rises may have gone unseen."
    ] * bool(rises)
    for setting in settings:
        found = setting["headline"] or {"lacking": 0.0, "interval": None, "outcome": ""}
        notes += [f"In “{setting['name']}” {said}: see “Samples left out”." for said in lacking(found["lacking"])]
        ends, wanted = found["interval"], summary["until"]
        if wanted and ends and 50 * (ends[1] - ends[0]) > wanted + 1e-9:
            notes.append(
                f"In “{setting['name']}” the interval reaches {50 * (ends[1] - ends[0]):.2f} points to each side, where"
                f" {wanted:g} were asked for: "
                + ("once the cells that failed are done, further seeds may follow." if failed else ALL_RUN)
            )
        if wanted and found["outcome"] in ("equal", "unused"):
            notes.append(f"In “{setting['name']}” all seeds say the same, which leaves no interval to narrow.")
        if blind := setting["blind"]:
            notes.append(
                f"In “{setting['name']}” {blind[0]} of {blind[1]} held-out folds have no row of the rarest class, so"
                f" that what is “chosen”, and the {BEST}, may not suit it: go by “always”, or give it more rows."
            )
    notes += [f"The cell {cell} failed: {reason}." for cell, reason in failed.items()]
    return Html(
        tag("p", f"{', '.join(counts)}, {_count(len(rows), 'training')}: all are in here{lost}.", class_="eyebrow")
        + tag("h1", verdict(summary))
        + (tag("ul", *(tag("li", "⚠ ", note) for note in notes)) if notes else "")
    )


def _chance(p: float) -> str:
    """A p-value, by as many digits as tell it from the level that it is held against."""
    return next(text for digits in range(2, 18) if (float(text := f"{p:.{digits}g}") < ALPHA) == (p < ALPHA))


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


# ---- differences -----------------------------------------------------------------------------------------------------


def differences(summary: Mapping[str, Any]) -> Html:
    """The comparison that was fixed in advance, in every setting: the plot and the numbers."""
    lines, body = [], []
    for setting in summary["settings"]:
        found = setting["headline"]
        if not found or found["mean"] is None:
            continue
        plain = found["arm"].partition(",")[0]
        told = [
            escaped(setting["name"]),
            tag("span", _spoken(found), class_=found["outcome"].split()[0]),
            tag("small", f"{plain} − {found['other']}"),
        ]
        holm, size = found["holm"], found["detectable"]
        seen = [None if holm is None else _chance(holm), None if size is None else size_of(size)]
        body.append([Html("<br>".join(told)), *seen, found["seeds_for_one_point"]])
        for mode in ("always", "chosen"):
            arm = f"{plain}, {mode}"
            if (compared := difference(setting, arm, found["other"])) and compared["mean"] is not None:
                if mode == "always":  # as the table has it, after correction
                    compared = compared | {"outcome": found["outcome"]}
                lines.append((f"{setting['name']}, {METRICS[setting['metric']]}: {arm}", compared, arm))
    if not lines:
        return Html("")
    alt = "; ".join(f"{label} {_spoken(compared)}" for label, compared, _ in lines)
    head = ["points (95 % interval)", "p (Holm)", "could see", "seeds for ±1"]
    stage = summary["first"]
    interval = f"by the spread of the first {stage} seeds (Stein)" if stage else "Student's over seeds"
    terms = f"Comparison and ratio ({amount(summary['ratio'])}, “always”) were fixed in advance. "
    terms += (
        f"Differences are within a seed, on test rows; their 95 % interval is {interval}, and holds for these test"
        f" rows. “p (Holm)” is corrected for {_count(summary['comparisons'], 'comparison')}: gain or harm where it is"
        f" below {ALPHA:g}. “Could see” is the true gain, in points, that {'at least ' * bool(stage)}4 of 5 such"
        " studies would find. “Seeds for ±1” is how many, these among them, make the interval one point wide each way,"
        " by Stein's two-stage procedure."
        if summary["comparisons"]
        else "One seed, or several without a difference between them, leaves no interval: give more seeds."
    )
    terms += (
        " Seeds draw from the same rows: where each takes a third of them or more, as it does without a number of rows"
        " a class, intervals are too narrow (Nadeau and Bengio 2003), and further seeds make that worse."
    )
    return Html(
        tag("h2", "What GAN samples add")
        + plotted(difference_figure(lines), f"Differences with their 95 % intervals: {alt}.")
        + table_of([title.replace(" ", "\N{NO-BREAK SPACE}") for title in head], body)
        + tag("p", terms)
    )


def _spoken(compared: Mapping[str, Any], words: Mapping[str, str] = WORDS) -> str:
    """A difference in words: ``+1.9 (0.4 to 3.4) ▲ gain``."""
    if compared["mean"] is None:
        return "–"
    ends = [points(end, sign=False) for end in compared["interval"] or ()]
    inside = " ({} to {})".format(*ends) if ends else ""
    return f"{points(compared['mean'])}{inside} {words.get(compared['outcome'], compared['outcome'])}".rstrip()


# ---- scores ----------------------------------------------------------------------------------------------------------


def scores(summary: Mapping[str, Any]) -> Html:
    """Plots, and a table for each setting."""
    settings = summary["settings"]
    parts = [tag("h2", "Scores")]
    curve = [s for s in settings if s["per_class"] is not None and not s["imbalance"]]
    curve = curve if len(curve) > 1 else []
    for drawn, draw in (
        (curve, curves),
        ([s for s in settings if not s["imbalance"] and s not in curve], bars),
        ([s for s in settings if s["imbalance"]], bars),
    ):
        every = in_order(arm for s in drawn for arm in s["arms"])
        arms = [arm for arm in every if arm in WITHOUT or arm.endswith(", always")]
        if arms:
            metric = drawn[0]["metric"]
            over = ", ".join(s["name"] for s in drawn)
            alt = f"{METRICS[metric]} of {', '.join(arms)} with {over}; the numbers are in the tables."
            parts.append(plotted(score_figure(drawn, arms, metric, draw), alt))
    names = {arm for s in settings for arm in s["arms"]}
    terms = [("never", "without samples")]
    if any(arm.endswith(", always") for arm in names):
        terms += [("always", f"with {amount(summary['ratio'])}")]
    if any(arm.endswith(", chosen") for arm in names):
        several = any(len(setting["seeds"]) > 1 for setting in settings)
        terms += [("chosen", CHOICES[summary["selection"]] if several else CHOICES["alone"])]
    if names & set(PLACEBO.values()):
        terms += [
            ("placebo", "real rows drawn again in the place of samples, as many: what more rows do by themselves")
        ]
    if any(metric.startswith(SHIFT) for metric in summary["metrics"]):
        terms += [("shift", "on test rows that something has befallen, a third at each of three strengths")]
    if f"{SHIFT}{GROUP}" in summary["metrics"]:
        terms += [("shift group", "on rows of groups that no arm was trained on, whole, drawn anew for each seed")]
    if BEST in names:
        terms += [(BEST, "the strongest opponent, for each seed the arm that is chosen as ratios are")]
    terms += [("±", "standard deviation over seeds"), ("▲ ▼", "the 95 % interval, in brackets, leaves out 0")]
    told = [Html(tag("b", term) + f" {meaning}{'.' if k == len(terms) - 1 else '; '}")
            for k, (term, meaning) in enumerate(terms)]  # fmt: skip
    return Html("".join([*parts, tag("p", *told), *(_setting(setting, summary["metrics"]) for setting in settings)]))


def _setting(setting: Setting, names: Mapping[str, str]) -> Html:
    """Never, always and chosen side by side, a column for each arm without samples; all else folded away."""
    arms = setting["arms"]
    rare = {"rare_recall": "rarest"} if setting["imbalance"] else {}
    shown = {setting["metric"]: "", **rare, **{m: names[m] for m in names if m.startswith(SHIFT)}}
    first = setting["headline"]["other"] if setting["headline"] else ""
    paired = [base for samples, base in PAIRS.items() if f"{samples}, always" in arms]
    order = dict.fromkeys([first, BEST, *paired, *in_order(arms)])
    bases = [arm for arm in order if arm in arms and arm in (*WITHOUT, BEST)]
    lines: dict[str, list[Html]] = {}
    for base in bases:
        samples = next((arm for arm in PAIRS if PAIRS[arm] == base), "")
        always, chosen, placebo = f"{samples}, always", f"{samples}, chosen", PLACEBO.get(samples, "")
        for title, cell in {
            "never": _score(arms.get(base), shown),
            "always": _score(arms.get(always), shown),
            "chosen": _score(arms.get(chosen), shown),
            "placebo": _score(arms.get(placebo), shown),
            "always − never": _compared(setting, always, base, shown),
            "chosen − never": _compared(setting, chosen, base, shown),
            "always − placebo": _compared(setting, always, placebo, shown),
            f"always − {BEST}": _compared(setting, always, BEST, shown),
            "never − real": _compared(setting, base, "real", shown),
        }.items():
            lines.setdefault(title, []).append(cell)
    head = [Html(tag("b", arm) + "<br>" + tag("small", _meaning(arm, setting))) for arm in bases]
    untold = (
        "" if any(arm["rare_recall"]["n"] for arm in arms.values()) else "; without test rows, macro-F1 leaves it out"
    )
    rarest = f" (rarest class: {', '.join(setting['rarest'])}{untold})" if setting["rarest"] else ""
    every = [metric for metric in names if any(given[metric]["n"] for given in arms.values())]
    rest = [
        [
            arm,
            ", ".join(f"{ratio:g}" for ratio in arms[arm]["ratios"]),
            _scored(arms[arm], every),
            *(_score(arms[arm], {metric: ""}) for metric in every),
        ]
        for arm in in_order(arms)
    ]
    return Html(
        tag("h3", f"{setting['name']}, {METRICS[setting['metric']]} in %", rarest)
        + table_of(["", *head], ([tag("b", title), *cells] for title, cells in lines.items() if any(cells)))
        + folded("Every arm and score", table_of(["arm", "ratio, by seed", "seeds", *(names[m] for m in every)], rest))
    )


def _scored(arm: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """How many seeds there are, and of how many there is a score."""
    scored = max((arm[metric]["n"] for metric in metrics), default=0)
    return f"{scored}" if scored == arm["seeds"] else f"{scored} of {arm['seeds']}"


def _meaning(arm: str, setting: Setting) -> str:
    return ", ".join(dict.fromkeys(setting["best"].values())) if arm == BEST else ARMS.get(arm, "")


def _lines(lines: Mapping[str, Any]) -> Html:
    """The first by itself, the others small and named."""
    first, *rest = lines.items()
    return Html(
        "<br>".join(
            [
                first[1] if isinstance(first[1], Html) else tag("span", first[1]),
                *(tag("small", f"{name}: ", told) for name, told in rest),
            ]
        )
    )


def _score(given: Mapping[str, Any] | None, shown: Mapping[str, str]) -> Html:
    if given is None:
        return Html("")
    return _lines({label: _spread(given[metric]) for metric, label in shown.items()})


def _spread(score: Mapping[str, Any]) -> str:
    if score["mean"] is None:
        return "–"
    return f"{100 * score['mean']:.1f}" + ("" if score["sd"] is None else f" ± {100 * score['sd']:.1f}")


def _compared(setting: Setting, arm: str, other: str, shown: Mapping[str, str]) -> Html:
    found = {label: difference(setting, arm, other, metric) for metric, label in shown.items()}
    told = {label: tag("span", _spoken(d, BRIEF), class_=d["outcome"]) for label, d in found.items() if d}
    return _lines(told) if told else Html("")


# ---- how many samples ------------------------------------------------------------------------------------------------


def ratios(rows: Sequence[Row], summary: Mapping[str, Any]) -> Html:
    """What was chosen, and the gain of every ratio, on held-out rows and on test rows."""
    lines, body = [], []
    for setting in summary["settings"]:
        trainings = Trainings(rows, (setting["imbalance"], setting["per_class"]), summary["selection"])
        for arm, base in PAIRS.items():
            judged, tested = [], []
            for ratio in trainings.ratios(arm):
                held = np.array(trainings.gains((arm, ratio), (base, 0.0)))
                held = 100 * held[~np.isnan(held)]
                test = 100 * np.array(trainings.test_gains((arm, ratio), (base, 0.0)))
                judged += [(ratio, float(held.mean()))] if len(held) else []
                tested += [(ratio, float(test.mean()))] if len(test) else []
                shown = [points(gains.mean() / 100) if len(gains) else None for gains in (held, test)]
                chosen = setting["arms"].get(f"{arm}, chosen", {}).get("ratios", [])
                body.append([setting["name"], arm, f"{ratio:g}", *shown, f"{chosen.count(ratio)} of {len(chosen)}"])
            lines += [(setting["name"], arm, judged, tested)] if judged or tested else []
    if not lines:
        return Html("")
    held_out = {"folds": "held-out fold", "validation": "validation"}.get(summary["selection"], "held out")
    head = ["setting", "arm", "samples to a real row", f"{held_out}, points", "test, points", "chosen"]
    return Html(
        tag("h2", "How many samples")
        + tag("p", "Mean gain over the same arm without samples. Test rows chose nothing.")
        + plotted(ratio_figure(lines), "Gain over the ratio of samples to real rows; the numbers are in the table.")
        + folded("Every ratio", table_of(head, body))
    )
