"""Statistics against scipy's own tests, and that no seed has a part in its own choice."""

import json
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from datamodules.errors import InputError
from ganaug.study.plan import ARMS, SAMPLED
from ganaug.study.statistics import summarise
from ganaug.study.statistics.choice import choose
from ganaug.study.statistics.intervals import detectable, holm, student
from ganaug.study.statistics.stein import seeds_wanted
from ganaug.study.statistics.summary import BEST, difference
from ganaug.study.statistics.trainings import METRICS, PAIRS, PLACEBO, WITHOUT
from ganaug.study.statistics.words import points
from tests.study.made_rows import BASE, DOWN, SAME, UP, compared, folds, rows

ALWAYS, CHOSEN = "classical_gan, always", "classical_gan, chosen"


def only(table: list[dict], **options) -> dict:
    (setting,) = summarise(table, **options)["settings"]
    return setting


# ---- differences -----------------------------------------------------------------------------------------------------


def test_as_scipy():
    rng = np.random.default_rng(0)
    metrics = [*METRICS, "shift:turned"]
    scores = {arm: {m: rng.uniform(0.3, 0.9, 6) for m in metrics} for arm in ("real", "classical", "classical_gan")}
    table = [r for arm, s in scores.items() for r in rows(arm, ratio=float("gan" in arm), **s)]
    rng.shuffle(table)  # pairs are by seed, not by order
    setting = only(table)
    for metric in metrics:
        for arm, name in (("real", "real"), ("classical", "classical"), ("classical_gan", ALWAYS)):
            found = setting["arms"][name][metric]
            assert found["n"] == setting["arms"][name]["seeds"] == 6
            assert found["mean"] == pytest.approx(scores[arm][metric].mean())
            assert found["sd"] == pytest.approx(scores[arm][metric].std(ddof=1))
        for arm, name, other in (("classical", "classical", "real"), ("classical_gan", ALWAYS, "classical")):
            test = stats.ttest_rel(scores[arm][metric], scores[other][metric])
            expected = test.confidence_interval(0.95)
            found = difference(setting, name, other, metric)
            assert found["mean"] == pytest.approx((scores[arm][metric] - scores[other][metric]).mean())
            assert found["interval"] == pytest.approx([expected.low, expected.high])
            assert found["p"] == pytest.approx(test.pvalue)
            assert (found["outcome"] == "gain") == (expected.low > 0)
    assert setting["arms"]["real"]["to"] == {}
    assert CHOSEN not in setting["arms"], "nothing to choose by"


def test_only_seeds_of_both_are_paired():
    table = rows("real", [0.5, 0.6, 0.7, 0.8]) + rows("gan", [0.6, 0.65, math.nan], 1.0)
    setting = only(table)
    found = difference(setting, "gan, always", "real")
    expected = stats.ttest_rel([0.6, 0.65], [0.5, 0.6]).confidence_interval()
    assert (found["n"], found["mean"]) == (2, pytest.approx(0.075))
    assert found["interval"] == pytest.approx(list(expected))
    assert setting["arms"]["gan, always"]["accuracy"]["n"] == 2
    assert setting["seeds"] == [0, 1, 2, 3]


def test_plain_values_and_order():
    table = [row for n in (100, 5, None) for row in compared(UP, n)] + compared(UP, 20, imbalance="8:0.05")
    table += rows("trts", BASE, per_class=5)
    summary = summarise(table)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    names = ["5 a class", "100 a class", "all rows", "20 a class, imbalance 8:0.05"]
    assert [s["name"] for s in summary["settings"]] == names
    assert [s["metric"] for s in summary["settings"]] == ["accuracy"] * 3 + ["macro_f1"]
    assert summary["comparisons"] == 4
    assert summary["settings"][0]["arms"]["trts"]["to"] == {}  # measured on samples: no difference to real means much
    assert summary["settings"][0]["arms"]["trts"]["macro_f1"] == {"mean": None, "sd": None, "n": 0}


def test_too_few_seeds():
    one = only(compared(UP[:1]))
    assert one["arms"]["classical"]["accuracy"] == {"mean": 0.8, "sd": None, "n": 1}
    assert difference(one, ALWAYS, "classical") == {
        "n": 1, "mean": pytest.approx(0.02), "interval": None, "p": None, "outcome": "one seed",
    }  # fmt: skip
    apart = rows("real", [0.5]) + [{**row, "seed": 7} for row in rows("gan", [0.6], 1.0)]
    assert only(apart)["headline"]["outcome"] == "missing"


def test_equal_differences_have_no_interval():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (0.01, 0.0):
            headline = only(compared([x] * 3))["headline"]
            assert (headline["interval"], headline["detectable"], headline["outcome"]) == (None, None, "equal")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "no rows to summarise"),
        (rows("gan", [0.5], 1.0) * 2, "two rows of 20 a class, seed 0, arm gan, ratio 1$"),
        (folds("gan", [0.5], 1.0) * 2, "two rows of 20 a class, seed 0, fold 0, arm gan, ratio 1$"),
        (rows("gan", [0.5, 93.0]), "row 2: accuracy is 93, where a share from 0 to 1 is wanted"),
        (rows("gan", [0.5], macro_f1=-0.1), "row 1: macro_f1 is -0.1, where a share"),
        (rows("gan", [0.5], **{"shift:dark": 2.0}), "row 1: shift:dark is 2, where a share"),
        ([{"arm": "gan", "accuracy": 0.5}], "row 1 has no seed"),
        (rows("gan", [0.5], 3.0) + rows("gan", [0.5], 0.5), "ratio 1 was not run: choose from 0.5, 3"),
    ],
)
def test_bad_rows(table, message):
    with pytest.raises(InputError, match=message):
        summarise(table)


def test_points():
    shown = [points(x) for x in (0.019, -0.0144, 0.0, 1e-17, -0.0003, 0.5)]
    assert shown == ["+1.9", "−1.4", "0.0", "0.0", "−0.03", "+50.0"]
    assert [points(x, sign=False) for x in (0.019, -0.019)] == ["1.9", "−1.9"]


# ---- the headline ----------------------------------------------------------------------------------------------------


def test_the_headline_is_fixed_in_advance():
    arms = ["real", "gan", "oversampled", "oversampled_gan", "classical", "classical_gan"]
    arms += ["classical_oversampled", "classical_oversampled_gan"]
    table = [r for n in ("", "8:0.05") for arm in arms for r in rows(arm, BASE, float("gan" in arm), imbalance=n)]

    def headlines(*left_out: str) -> list[str]:
        left = [row for row in table if row["arm"] not in left_out]
        return [s["headline"]["arm"].partition(",")[0] for s in summarise(left)["settings"]]

    assert headlines() == ["classical_gan", "classical_oversampled_gan"]
    assert headlines("classical_oversampled") == ["classical_gan"] * 2
    assert headlines("classical_oversampled", "classical") == ["gan", "oversampled_gan"]
    assert headlines("classical_oversampled", "classical", "real") == ["oversampled_gan"] * 2
    assert only(rows("real", BASE))["headline"] is None


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).shape == (0,)
    assert holm([[0.01, 0.02], [0.02, 0.01]]) == pytest.approx(np.array([[0.02, 0.02], [0.02, 0.02]]))


def test_outcomes_of_many_settings_are_corrected():
    change = [0.02, 0.026, 0.012]
    p = float(student(change)[2])
    assert 0.025 < p < 0.05
    assert only(compared(change))["headline"]["outcome"] == "gain"
    two = summarise(compared(change) + compared(SAME, 50))["settings"]
    assert two[0]["headline"]["holm"] == pytest.approx(2 * p)
    assert two[0]["headline"]["outcome"] == "before holm"
    assert difference(two[0], ALWAYS, "classical")["outcome"] == "gain", "the interval itself is as it was"
    strong = summarise(compared(UP) + compared(SAME, 50))["settings"]
    assert strong[0]["headline"]["outcome"] == "gain"


def test_a_second_stage_leaves_the_spread_to_the_first():
    change = [0.01, 0.02, 0.03, 0.5, -0.4, 0.02]
    scores = np.linspace(0.4, 0.45, 6)
    table = rows("real", scores) + rows("gan", scores + change, 1.0)
    found = only(table, first=3)["headline"]
    error = 0.01 / math.sqrt(6)  # by the deviation of the first three
    assert found["interval"] == pytest.approx(stats.t.interval(0.95, 2, 0.03, error))
    assert found["p"] == pytest.approx(2 * stats.t.sf(0.03 / error, 2))
    assert found["detectable"] == pytest.approx(detectable(0.01, 6, first=3))
    assert found["seeds_for_one_point"] == seeds_wanted(change[:3], 0.01)
    assert only(table)["headline"]["interval"][0] < found["interval"][0]


def test_a_seed_of_the_second_stage_never_stands_in_for_one_of_the_first():
    change = [0.01, 0.02, 0.03, 0.5, -0.4, 0.02]
    scores = np.linspace(0.4, 0.45, 6)
    table = rows("real", scores) + rows("gan", [math.nan, *(scores + change)[1:]], 1.0)
    found = difference(only(table, first=3), "gan, always", "real")
    mean, error = np.mean(change[1:]), np.std(change[1:3], ddof=1) / math.sqrt(5)
    assert found["interval"] == pytest.approx(stats.t.interval(0.95, 1, mean, error))
    table = rows("real", scores) + rows("gan", [math.nan, math.nan, *(scores + change)[2:]], 1.0)
    assert difference(only(table, first=3), "gan, always", "real")["interval"] is None


def test_the_detectable_gain_has_the_power_it_promises():
    sizes = {n: detectable(1.0, n) for n in (2, 3, 5, 10, 30)}
    assert detectable(1.0, 1000) == pytest.approx(2.8016 / math.sqrt(1000), rel=0.01)  # of the normal distribution
    for n, size in sizes.items():
        ratios = np.sqrt(stats.chi2.ppf((np.arange(1000) + 0.5) / 1000, n - 1) / (n - 1))  # estimated to true deviation
        power = stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, size * math.sqrt(n) * ratios)
        assert power.mean() == pytest.approx(0.8, abs=1e-3)
    assert detectable(2.0, 5) == pytest.approx(2 * sizes[5])
    assert detectable(1.0, 2, comparisons=20) > detectable(1.0, 2, comparisons=5) > sizes[2]
    headline = only(compared(SAME))["headline"]
    assert headline["detectable"] == pytest.approx(detectable(float(np.std(SAME, ddof=1)), 3))


def test_arms_of_the_plan_are_sorted_out():
    assert set(ARMS) == {*WITHOUT, *SAMPLED, *PLACEBO.values()}
    assert set(PAIRS.values()) <= set(WITHOUT)


# ---- never, always, chosen -------------------------------------------------------------------------------------------


def study(fold_gains: dict[float, list[float]]) -> list[dict]:
    """Three seeds; the test gain of ratio r in seed s is r + s tenths of a point, the folds' as given."""
    table = rows("classical", [0.5] * 3) + folds("classical", [0.4, 0.5, 0.6])
    for ratio, gains in fold_gains.items():
        table += rows("classical_gan", [0.5 + (ratio + s) / 1000 for s in range(3)], ratio)
        table += folds("classical_gan", np.add([0.4, 0.5, 0.6], gains), ratio)
    return table


def test_each_seed_goes_by_the_folds_of_the_others():
    setting = only(study({1.0: [0.0, 0.0, 0.09], 3.0: [0.0, 0.06, 0.0]}))
    # Seed 0 sees 1: 0.045, 3: 0.03; seed 1 sees 1: 0.045, 3: 0; seed 2 sees 1: 0, 3: 0.03.
    assert setting["arms"][CHOSEN]["ratios"] == [1.0, 1.0, 3.0]
    assert setting["arms"][CHOSEN]["accuracy"]["mean"] == pytest.approx(0.5 + (1 + 2 + 5) / 3000)
    assert setting["arms"][ALWAYS]["ratios"] == [1.0] * 3


def test_no_seed_has_a_part_in_its_own_choice():
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = study({r: rng.normal(0, 0.02, 3).tolist() for r in (1.0, 3.0)})
        before = only(table)["arms"][CHOSEN]["ratios"]
        own = [r | {"accuracy": float(rng.uniform())} if r["seed"] == 1 else r for r in table]
        assert only(own)["arms"][CHOSEN]["ratios"][1] == before[1]
        tested = [r | {"accuracy": float(rng.uniform())} if r["fold"] is None else r for r in table]
        assert only(tested)["arms"][CHOSEN]["ratios"] == before


def test_last_bits_do_not_decide_between_equals():
    assert 0.1 + 0.2 > 0.3
    assert choose([[0.3, 0.1 + 0.2]] * 3).tolist() == [0, 0, 0]


def test_none_is_a_choice_and_equals_are_few_samples():
    setting = only(study({1.0: [-0.01] * 3, 3.0: [-0.02] * 3}))
    assert setting["arms"][CHOSEN]["ratios"] == [0.0] * 3
    assert difference(setting, CHOSEN, "classical")["outcome"] == "unused"
    assert only(study({1.0: [0.0] * 3, 3.0: [0.0] * 3}))["arms"][CHOSEN]["ratios"] == [0.0] * 3
    assert only(study({1.0: [0.1] * 3, 3.0: [0.1] * 3}))["arms"][CHOSEN]["ratios"] == [1.0] * 3


def test_a_single_seed_goes_by_its_own_folds():
    table = [row for row in study({1.0: [0.01, 0, 0], 3.0: [0.02, 0, 0]}) if row["seed"] == 0]
    assert only(table)["arms"][CHOSEN]["ratios"] == [3.0]


def test_folds_of_a_seed_are_averaged_and_gains_are_within_a_fold():
    table = rows("real", [0.5] * 2) + rows("gan", [0.6] * 2, 1.0)
    table += [{**row, "fold": 1} for row in folds("real", [0.9, 0.9])] + folds("real", [0.5, 0.5])
    table += folds("gan", [0.52, 0.48], 1.0)  # has no fold 1: the easier fold of real must not count
    assert only(table)["arms"]["gan, chosen"]["ratios"] == [0.0, 1.0]


def test_the_best_arm_without_samples_is_chosen_by_others_too():
    table = compared([0.03, 0.031, 0.032])
    for arm, test, fold in (("real", [0.7] * 3, [0.7] * 3), ("classical", None, [0.6, 0.6, 0.9])):
        table += (rows(arm, test) if test else []) + folds(arm, fold)
    setting = only(table)
    assert setting["best"] == {"0": "classical", "1": "classical", "2": "real"}
    assert difference(setting, ALWAYS, BEST)["n"] == 3
    assert difference(setting, ALWAYS, BEST)["mean"] == pytest.approx((0.03 + 0.031 + (BASE[2] + 0.032 - 0.7)) / 3)


def test_validation_chooses_for_each_seed_alone():
    table = rows("real", [0.5] * 3, validation=[0.7, 0.6, 0.5], validation_loss=0.5)
    table += rows("gan", [0.6] * 3, 1.0, validation=[0.6, 0.6, 0.6], validation_loss=[0.1, 0.4, 0.9])
    table += rows("gan", [0.7] * 3, 3.0, validation=[0.5, 0.6, 0.6], validation_loss=[0.1, 0.4, 0.8])
    table += rows("real", [None] * 3, steps=2, validation=[0.8, 0.71, 0.61])
    summary = summarise(table)
    assert summary["selection"] == "validation"
    assert summary["settings"][0]["arms"]["gan, chosen"]["ratios"] == [0.0, 1.0, 3.0]
    (rise,) = summary["settings"][0]["untrained"]
    assert (rise["arm"], rise["mean"]) == ("real", pytest.approx((0.1 + 0.11 + 0.11) / 3))


def test_arms_that_are_the_same_rise_once():
    def rising(*arms):
        return [row for arm in arms for steps, accuracy in ((1, BASE), (2, np.add(BASE, [0.05, 0.04, 0.06])))
                for row in folds(arm, accuracy, steps=steps)]  # fmt: skip

    once = only(compared(UP) + rising("classical"))["untrained"]
    twice = only(compared(UP) + rising("classical", "classical_oversampled"))["untrained"]
    assert once == twice
    assert len(once) == 1


def test_validation_chooses_only_where_it_is_asked_to():
    table = rows("real", [0.5] * 3, validation=[0.5, 0.9, 0.5]) + folds("real", [0.5, 0.5, 0.6])
    table += rows("gan", [0.6] * 3, 1.0, validation=[0.9, 0.5, 0.9]) + folds("gan", [0.4, 0.4, 0.9], 1.0)

    def chosen(**options):
        return only(table, **options)["arms"]["gan, chosen"]["ratios"]

    assert chosen() == chosen(selection="folds") == [1.0, 1.0, 0.0]
    assert chosen(selection="validation") == [1.0, 0.0, 1.0]
    whole = [row for row in table if row.get("fold") is None]
    assert "gan, chosen" not in only(whole, selection="folds")["arms"]  # all folds failed


# ---- what speaks against a study -------------------------------------------------------------------------------------


def longer(rise, arm: str = "classical", **fields) -> list[dict]:
    """Folds of an arm, and of twice its steps, which add so much in each seed."""
    short = np.full(len(rise), 0.5)
    return folds(arm, short, **fields) + folds(arm, short + rise, steps=2, **fields)


@pytest.mark.parametrize(
    ("rise", "warned"),
    [
        ([0.05, 0.03, 0.04], True),
        ([0.05, -0.06, 0.02], False),
        ([0.05, 0.0, 0.04], False),  # more than its standard error
        ([-0.05, -0.03, -0.04], False),
        ([0.04] * 3, False),
        ([0.04], False),
        ([0] * 3, False),
    ],
)
def test_opponents_that_were_not_trained_to_the_end(rise, warned):
    setting = only(compared(UP) + longer(rise))
    assert [found["arm"] for found in setting["untrained"]] == ["classical"] * warned
    assert setting["arms"]["classical"]["accuracy"]["mean"] == pytest.approx(np.mean(BASE))
    if warned:
        (found,) = setting["untrained"]
        assert (found["mean"], found["n"]) == (pytest.approx(0.04), 3)
        assert found["holm"] == pytest.approx(stats.ttest_1samp(rise, 0, alternative="greater").pvalue)


def test_rises_of_many_arms_are_corrected():
    rise, still = [0.05, 0.03, 0.04], [0.01, -0.01, 0.005]
    p = float(stats.ttest_1samp(rise, 0, alternative="greater").pvalue)
    table = compared(UP) + longer(rise) + longer(still, "real") + longer(still, per_class=50)
    first, second = summarise(table)["settings"]
    assert [found["holm"] for found in first["untrained"]] == [pytest.approx(3 * p)]
    assert second["untrained"] == []
    many = [row for n in range(51, 60) for row in longer(still, per_class=n)]
    assert summarise(table + many)["settings"][0]["untrained"] == []


def test_the_placebo_stands_beside_samples():
    table = compared(UP) + rows("classical_placebo", np.add(BASE, 0.03), 1.0)
    table += rows("classical_placebo", np.add(BASE, 0.1), 3.0)
    setting = only(table)
    assert difference(setting, ALWAYS, "classical_placebo")["outcome"] == "harm"
    assert difference(setting, "classical_placebo", "classical")["mean"] == pytest.approx(0.03)
    assert difference(only(compared(DOWN)), ALWAYS, "classical_placebo") is None
