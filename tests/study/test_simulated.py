"""What statistics promise, in simulated studies whose truth is known."""

import math

import numpy as np
import pytest

from ganaug.study.statistics import summarise
from ganaug.study.statistics.intervals import ALPHA, detectable, holm, student
from ganaug.study.statistics.stein import seeds_wanted
from tests.study.made_rows import folds, rows
from tests.study.simulated import RATIOS, RULES, Simulation, always, at, by_mean, lost, simulate

NOTHING = {"gain": 0.0, "between": 0.0}  # no ratio has an effect, though cells differ


def differences(study: Simulation, choice) -> np.ndarray:
    """(studies, seeds) on test rows."""
    return at(study.test, choice(study)) - study.test[..., 0]


def helped(each: np.ndarray, settings: int = 1) -> np.ndarray:
    """(studies // settings,): whether a gain is claimed of any setting."""
    mean, _, p = (x.reshape(-1, settings) for x in student(each))
    return ((holm(np.nan_to_num(p, nan=1.0)) < ALPHA) & (mean > 0)).any(1)


def above(share: float, studies: int) -> float:
    """What a share that is no larger stays below in all but 1 of 1,000 simulations."""
    return share + 3.1 * math.sqrt(share * (1 - share) / studies)


# ---- no effect -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [1, 5, 20])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_of_studies_without_effect_one_in_40_says_helped(seeds, settings):
    studies = 4000
    study = simulate(np.random.default_rng(0), studies * settings, seeds, **NOTHING)
    found = helped(differences(study, always), settings)
    assert len(found) == studies
    assert found.mean() < above(1 / 40, studies)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("held_out", [30, 300])
def test_so_does_one_in_40_whose_ratio_was_chosen_by_folds(seeds, held_out):
    studies = 4000
    study = simulate(np.random.default_rng(0), studies, seeds, held_out=held_out, **NOTHING)
    each = differences(study, by_mean)
    assert abs(each.mean()) < 4 * each.mean(1).std() / math.sqrt(studies), "no bias"
    assert helped(each).mean() < above(1 / 40, studies)


def test_the_best_of_several_trainings_by_their_own_validation_is_biased():
    """Why ratios are chosen by folds of other seeds: more seeds make it worse, since the bias does not shrink."""
    rates = {}
    for seeds in (3, 5, 10):
        study = simulate(np.random.default_rng(0), 4000, seeds, spread=0.0, **NOTHING)
        biased = differences(study, lambda study: study.validation.argmax(-1))
        assert 0.2 < biased.mean() < 0.6, "points, where the truth is none"
        rates[seeds] = helped(biased).mean()
        assert helped(differences(study, by_mean)).mean() < above(1 / 40, 4000)
    assert rates[10] > rates[5] > rates[3]
    assert rates[5] > 0.08
    assert rates[10] > 0.3


@pytest.mark.parametrize("settings", [1, 3])
def test_of_studies_trained_to_the_end_one_in_20_is_said_not_to_be(settings):
    rng, studies, warned = np.random.default_rng(0), 300, 0
    for _ in range(studies):
        table = []
        for n in range(settings):
            for arm in ("real", "classical"):
                for steps in (1, 2):
                    table += folds(arm, 0.5 + 0.02 * rng.normal(size=5), per_class=n, steps=steps)
        warned += any(setting["untrained"] for setting in summarise(table)["settings"])
    assert warned / studies < above(1 / 20, studies)


# ---- an effect -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [1, 5])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_detectable_gain_is_found_in_4_of_5_studies(seeds, settings):
    """What each study says of its own spread, in another like it: neither knows the true one."""
    studies = 4000
    spreads, each = (
        differences(simulate(np.random.default_rng(k), studies * settings, seeds, **NOTHING), always) for k in (0, 1)
    )
    sd = spreads[::settings].std(1, ddof=1)
    each[::settings] += (detectable(1.0, seeds, settings) * sd)[:, None]  # of every study the first setting
    mean, _, p = (x.reshape(-1, settings) for x in student(each))
    found = (holm(p)[:, 0] < ALPHA) & (mean[:, 0] > 0)
    assert 1 - found.mean() < above(0.2, studies)
    assert found.mean() < above(0.8, studies) + 0.01 * (settings > 1)  # Holm asks less of it where others are claimed


def test_the_choice_that_studies_make_loses_least():
    table = {rule: values.mean() for rule, values in lost(5, 100, studies=400).items()}
    assert min(table, key=lambda rule: table[rule]) == "best mean fold score"
    assert set(table) == set(RULES)


# ---- rows and arrays -------------------------------------------------------------------------------------------------


def test_a_summary_of_rows_is_what_was_simulated():
    study = simulate(np.random.default_rng(0), 20, 5)
    for k in range(20):
        table = []
        for option, ratio in enumerate(RATIOS):
            arm = "classical_gan" if ratio else "classical"
            table += rows(arm, 0.5 + study.test[k, :, option] / 100, ratio)
            table += folds(arm, (0.5 + study.fold[k, :, option] / 300), ratio)
        summary = summarise(table)
        (setting,) = summary["settings"]
        assert setting["arms"]["classical_gan, chosen"]["ratios"] == [RATIOS[c] for c in by_mean(study)[k]]
        for mode, choice in (("always", always), ("chosen", by_mean)):
            mean, half, p = student(differences(study, choice)[k])
            found = setting["arms"][f"classical_gan, {mode}"]["to"]["classical"]["accuracy"]
            assert found["mean"] == pytest.approx(mean / 100)
            if found["interval"]:
                assert found["interval"] == pytest.approx([(mean - half) / 100, (mean + half) / 100])
                assert found["p"] == pytest.approx(p)


# ---- Stein -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "half"), [(3, 1.0), (5, 0.6), (10, 0.4)])
def test_steins_interval_is_as_narrow_as_asked_and_holds_the_truth(first, half):
    rng, studies, inside, most = np.random.default_rng(0), 2000, 0, 0
    for _ in range(studies):
        differences = rng.normal(0.7, 1.0, first).tolist()
        wanted = seeds_wanted(differences, half)
        differences += rng.normal(0.7, 1.0, wanted - first).tolist()
        mean, found, _ = map(float, student(differences, first))
        assert found <= half + 1e-9
        inside += abs(mean - 0.7) <= found
        most = max(most, wanted)
    assert most > first
    assert 1 - inside / studies < above(0.05, studies)
