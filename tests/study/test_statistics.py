"""Statistics against scipy's own test, and every sentence that a study can end in."""

import json
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from datamodules.errors import InputError
from ganaug.study.statistics import METRICS, difference, points, summarise, verdict


def rows(arm: str, accuracy, per_class: int | None = 20, imbalance: str = "", ratio=None, **fields) -> list[dict]:
    """A row a seed; ``ratio`` and further fields are one for all seeds or a list."""

    def of(value, seed: int):
        return value[seed] if isinstance(value, list | tuple | np.ndarray) else value

    return [
        {"per_class": per_class, "imbalance": imbalance, "seed": s, "arm": arm, "accuracy": a, "ratio": of(ratio, s)}
        | {name: of(value, s) for name, value in fields.items()}
        for s, a in enumerate(accuracy)
    ]


BASE = [0.80, 0.82, 0.81]
UP, DOWN, SAME = [0.02, 0.021, 0.022], [-0.03, -0.031, -0.032], [0.01, -0.012, 0.001]


def pair(change, per_class: int | None = 20, ratio=3.0, imbalance: str = "", **fields) -> list[dict]:
    """Classical augmentation, and the same with GAN samples, which changes the score by so much a seed."""
    both = []
    for arm, extra, r in (("classical", [0.0] * len(change), 0.0), ("classical_gan", change, ratio)):
        score = [b + e for b, e in zip(BASE, extra, strict=False)]
        both += rows(arm, score, per_class, imbalance, r, **({"macro_f1": score} if imbalance else {}), **fields)
    return both


def said(*parts: list[dict]) -> str:
    sentence = verdict(summarise([row for part in parts for row in part]))
    assert sentence.endswith(".")
    assert sentence.count(". ") == 0, "one sentence"
    return sentence


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_as_scipy():
    rng = np.random.default_rng(0)
    scores = {arm: {m: rng.uniform(0.3, 0.9, 6) for m in METRICS} for arm in ("real", "classical", "classical_gan")}
    table = [r for arm, s in scores.items() for r in rows(arm, **{m: s[m] for m in METRICS})]
    rng.shuffle(table)  # pairs are by seed, not by order
    (setting,) = summarise(table)["settings"]
    for metric in METRICS:
        for arm in scores:
            found = setting["arms"][arm][metric]
            assert found["n"] == setting["arms"][arm]["seeds"] == 6
            assert found["mean"] == pytest.approx(scores[arm][metric].mean())
            assert found["sd"] == pytest.approx(scores[arm][metric].std(ddof=1))
        for arm, other in (("classical", "real"), ("classical_gan", "real"), ("classical_gan", "classical")):
            a, b = scores[arm][metric], scores[other][metric]
            expected = stats.ttest_rel(a, b).confidence_interval(0.95)
            found = setting["arms"][arm]["to"][other][metric]
            assert found["mean"] == pytest.approx((a - b).mean())
            assert found["interval"] == pytest.approx([expected.low, expected.high])
            assert (found["outcome"] == "gain") == (expected.low > 0)
    assert setting["arms"]["real"]["to"] == {}


def test_only_seeds_of_both_are_paired():
    table = rows("real", [0.5, 0.6, 0.7, 0.8]) + rows("gan", [0.6, 0.65, math.nan, 0.9], ratio=[1, 0, 2, 0])[:3]
    (setting,) = summarise(table)["settings"]
    found = difference(setting, "gan", "real")
    expected = stats.ttest_rel([0.6, 0.65], [0.5, 0.6]).confidence_interval()
    assert (found["n"], found["mean"]) == (2, pytest.approx(0.075))
    assert found["interval"] == pytest.approx(list(expected))
    assert setting["arms"]["gan"]["accuracy"]["n"] == 2
    assert setting["arms"]["gan"]["ratios"] == [1.0, 0.0, 2.0]
    assert setting["arms"]["gan"]["unused"] == pytest.approx(1 / 3)
    assert setting["arms"]["real"]["ratios"] is setting["arms"]["real"]["unused"] is None
    assert setting["seeds"] == [0, 1, 2, 3]


def test_plain_values_and_order():
    table = [row for n in (100, 5, None) for row in pair(UP, n)] + pair(UP, 20, imbalance="8:0.05")
    table += rows("trts", BASE, 5)
    summary = summarise(table)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    names = ["5 a class", "100 a class", "all rows", "20 a class, imbalance 8:0.05"]
    assert [s["name"] for s in summary["settings"]] == names
    assert [s["metric"] for s in summary["settings"]] == ["accuracy"] * 3 + ["macro_f1"]
    assert summary["comparisons"] == 4
    assert summary["settings"][0]["arms"]["trts"]["to"] == {}  # measured on samples: no difference to real means much
    assert summary["settings"][0]["arms"]["trts"]["macro_f1"] == {"mean": None, "sd": None, "n": 0}


def test_too_few_seeds():
    (one,) = summarise(pair(UP[:1]))["settings"]
    assert one["arms"]["classical"]["accuracy"] == {"mean": 0.8, "sd": None, "n": 1}
    found = difference(one, "classical_gan", "classical")
    assert found == {"n": 1, "mean": pytest.approx(0.02), "interval": None, "outcome": "one seed"}
    apart = rows("real", [0.5]) + [{**row, "seed": 7} for row in rows("gan", [0.6])]
    assert difference(summarise(apart)["settings"][0], "gan", "real") == {
        "n": 0,
        "mean": None,
        "interval": None,
        "outcome": "missing",
    }


def test_equal_differences_have_no_interval_but_nothing_changed_has():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (equal,) = summarise(pair([0.01, 0.01, 0.01]))["settings"]
        (still,) = summarise(pair([0.0, 0.0, 0.0]))["settings"]
    assert difference(equal, "classical_gan", "classical")["interval"] is None
    assert difference(still, "classical_gan", "classical")["interval"] == [0, 0]
    assert difference(still, "classical_gan", "classical")["outcome"] == "none"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "no rows to summarise"),
        (rows("gan", [0.5]) * 2, "row 2: a second row of 20 a class, seed 0, arm gan"),
        (rows("gan", [0.5, 93.0]), "row 2: accuracy is 93, where a share from 0 to 1 is wanted"),
        (rows("gan", [0.5], macro_f1=-0.1), "row 1: macro_f1 is -0.1, where a share"),
        ([{"arm": "gan", "accuracy": 0.5}], "row 1 has no seed"),
    ],
)
def test_bad_rows(table, message):
    with pytest.raises(InputError, match=message):
        summarise(table)


def test_points():
    shown = [points(x) for x in (0.019, -0.0144, 0.0, 1e-17, -0.0003, 0.5)]
    assert shown == ["+1.9", "−1.4", "0.0", "0.0", "−0.03", "+50.0"]
    assert [points(x, sign=False) for x in (0.019, -0.019)] == ["1.9", "−1.9"]


# ---- words -----------------------------------------------------------------------------------------------------------


def test_helped_and_not_seen():
    low, high = (100 * x for x in stats.ttest_rel(np.add(BASE, UP), BASE).confidence_interval())
    wide = [100 * x for x in stats.ttest_rel(np.add(BASE, SAME), BASE).confidence_interval()]
    assert said(pair(UP), pair(SAME, 10), pair(SAME, 50, ratio=[0.0, 1.0, 4.0])) == (
        f"Beside classical augmentation, GAN samples helped with 20 a class (+2.1 points accuracy, 95 % interval"
        f" {low:.1f} to {high:.1f}; 3 samples to a real row); they made no difference that could be seen"
        f" with 10 and 50 a class (95 % intervals within −{-wide[0]:.1f} to {wide[1]:.1f} points accuracy; 1 to 4"
        f" samples to a real row, none in 1 of 6 cells)."
    )


def test_hurt():
    sentence = said(pair(DOWN, ratio=1.0), pair(UP, 50))
    assert "GAN samples helped with 50 a class (+2.1" in sentence
    assert "; they hurt with 20 a class (−3.1 points accuracy, 95 % interval −3.3 to −2.9; 1 sample to" in sentence


def test_one_setting_not_seen_shows_its_interval():
    assert said(pair(SAME)).startswith(
        "Beside classical augmentation, GAN samples made no difference that could be seen with 20 a class (−0.03 points"
        " accuracy, 95 % interval −2.8 to 2.7; 3 samples"
    )


def test_an_interval_that_touches_zero_is_no_gain():
    still = said(pair([0.0, 0.0, 0.0], ratio=1.0))
    assert "made no difference that could be seen with 20 a class (0.0 points accuracy, 95 % interval 0.0 to" in still


def test_not_used():
    assert said(pair([0.0] * 3, ratio=0.0), pair([0.0] * 3, None, ratio=0.0)) == (
        "Beside classical augmentation, GAN samples were not used with 20 a class and on all rows, where validation"
        " chose none of them in any seed."
    )


def test_not_used_is_said_of_the_samples_alone():
    table = rows("real", BASE) + [
        {**r, "accuracy": r["accuracy"] + 0.05 + r["seed"] / 99} for r in pair([0] * 3, ratio=0.0)
    ]
    (setting,) = summarise(table)["settings"]
    assert difference(setting, "classical_gan", "classical")["outcome"] == "unused"
    assert difference(setting, "classical_gan", "real")["outcome"] == "gain"  # by classical augmentation


def test_one_seed():
    assert said(pair(UP[:1]), pair(DOWN[:1], 50)) == (
        "Beside classical augmentation, GAN samples gave +2.0 points accuracy with 20 a class and −3.0 points accuracy"
        " with 50 a class (one seed: no interval, nothing can be concluded)."
    )


def test_the_same_in_every_seed():
    assert "gave +1.0 points accuracy with 20 a class (the same in every seed: no interval, nothing can" in said(
        pair([0.01] * 3)
    )


def test_no_seed_in_common():
    apart = [{**row, "seed": row["seed"] + (9 if row["arm"] == "classical" else 0)} for row in pair(UP, 10)]
    assert said(pair(UP), apart).endswith("; they cannot be judged with 10 a class, where no seed ran both arms.")
    assert said(pair(UP), rows("real", BASE, 5)).endswith(
        "cannot be judged with 5 a class, where no seed ran both arms."
    )


def test_imbalance_is_macro_f1_and_the_rarest_class():
    rare = [{**row, "rare_recall": 0.5 + (0.1 + row["seed"] / 50) * (row["arm"] != "classical"), "rarest": "猫"}
            for row in pair(UP, None, imbalance="8:0.05")]  # fmt: skip
    sentence = said(rare)
    assert "helped under imbalance 8:0.05 (+2.1 points macro-F1, 95 % interval" in sentence
    assert "; recall of the rarest class +12.0, 95 % interval 7.0 to 17.0; 3 samples" in sentence
    assert summarise(rare)["settings"][0]["rarest"] == ["猫"]
    none = [{**row, "rare_recall": 0.5} for n in (10, None) for row in pair(SAME, n, imbalance="8:0.05")]
    assert (
        "seen with 10 a class under imbalance 8:0.05 and under imbalance 8:0.05 (95 % intervals within −2.8 to 2.7"
        " points macro-F1; 95 % intervals within 0.0 to 0.0 points recall of the rarest class; 3 samples"
    ) in said(none)


def test_rare_classes_repeated_are_an_opponent_too():
    rare = {"per_class": None, "imbalance": "8:0.05"}
    repeated = rows("classical_oversampled", np.add(BASE, 0.05), **rare, macro_f1=np.add(BASE, [0.05, 0.052, 0.051]))
    sentence = said(pair(UP, None, imbalance="8:0.05"), repeated)
    assert sentence.startswith("Beside classical augmentation, GAN samples helped under imbalance 8:0.05 (+2.1")
    assert "; and beside the same with rare classes repeated, they hurt under imbalance 8:0.05 (−3.0 points" in sentence
    unused = said(pair([0.0] * 3, None, ratio=0.0, imbalance="8:0.05"), repeated)
    assert "with rare classes repeated, they were not used" in unused, "without samples there is nothing to compare"


def test_without_classical_augmentation_it_says_so():
    assert said(rows("real", BASE) + rows("gan", np.add(BASE, UP), ratio=2.0)).startswith(
        "Beside the real rows alone (no comparison with classical augmentation was run), GAN samples helped with 20"
    )


def test_nothing_to_compare():
    assert said(rows("real", BASE)) == "GAN samples were not compared with anything, so nothing can be said of them."


def test_many_comparisons():
    six = [pair(UP, n) for n in (1, 2, 3, 4, 5, 6)]
    warning = "; 6 comparisons were made, and by chance alone one 95 % interval in 20 leaves out zero."
    assert said(*six).endswith(warning)
    assert "by chance" not in said(*six[:5])
    assert "by chance" not in said(*six[:5], pair([0.0] * 3, 6, ratio=0.0))  # nothing was compared there
