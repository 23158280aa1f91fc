"""Every sentence that a study can end in."""

import numpy as np
import pytest
from scipy import stats

from ganaug.study.statistics import summarise, verdict
from tests.study.made_rows import BASE, DOWN, SAME, UP, compared, folds, rows


def said(*parts: list[dict], **options) -> str:
    sentence = verdict(summarise([row for part in parts for row in part], **options))
    assert sentence.endswith(".")
    assert sentence.count(". ") == 0, "one sentence"
    return sentence


def interval(change) -> str:
    low, high = (100 * x for x in stats.ttest_rel(np.add(BASE, change), BASE).confidence_interval())
    return f"{low:.1f} to {high:.1f}".replace("-", "−")


def test_helped_and_not_seen():
    sentence = said(compared(UP), compared(SAME, 10), compared(SAME, 50))
    assert sentence.startswith(
        f"Beside classical augmentation, GAN samples, 1 to a real row, helped with 20 a class (+2.1 points accuracy, 95"
        f" % interval {interval(UP)}); they made no difference that could be seen with 10 and 50 a class (95 %"
        f" intervals within {interval(SAME)} points accuracy; a true gain of "
    )
    assert sentence.endswith(" would be found in 4 of 5 such studies).")


def test_hurt():
    sentence = said(compared(DOWN, ratio=3.0), compared(UP, 50, ratio=3.0), ratio=3.0)
    assert "GAN samples, 3 to a real row, helped with 50 a class (+2.1" in sentence
    assert "; they hurt with 20 a class (−3.1 points accuracy, 95 % interval −3.3 to −2.9)." in sentence


def test_one_setting_not_seen_shows_its_interval_and_what_would_have_been_seen():
    assert said(compared(SAME)) == (
        "Beside classical augmentation, GAN samples, 1 to a real row, made no difference that could be seen with 20 a"
        " class (−0.03 points accuracy, 95 % interval −2.8 to 2.7; a true gain of 5.6 would be found in 4 of 5 such"
        " studies)."
    )


def test_nothing_could_have_been_seen_by_two_seeds():
    assert "; a true gain of over 100 would be found in 4 of 5" in said(compared([0.15, -0.15]))
    assert "; a true gain of 8.0 to over 100 would be" in said(compared([0.15, -0.15], 5), compared(SAME))


def test_of_equal_scores_nothing_is_concluded():
    assert "gave 0.0 points accuracy with 20 a class (the same in every seed: no interval, noth" in said(
        compared([0.0] * 3)
    )


def left(table: list[dict], made: int, lacking: int) -> list[dict]:
    """With so many samples, and so many that filters did not leave."""
    counts = {"synthetic_rows": made, "lacking_rows": lacking}
    return [row | counts if row["arm"] == "classical_gan" else row for row in table]


def test_what_filters_left_is_told():
    assert "filters" not in said(left(compared(UP), 95, 5))
    assert "; filters left 60 % of the samples asked for)" in said(left(compared(UP), 60, 40))
    assert "filters left less than 1 % of the samples" in said(left(compared(UP), 1, 999))
    two = said(left(compared(SAME), 60, 40), compared(SAME, 50))
    assert "; with 20 a class filters left 60 % of the samples asked for; a true gain" in two
    assert said(left(compared([0.0] * 3), 0, 40)).endswith(
        "cannot be judged with 20 a class, where filters left no sample."
    )


def test_what_does_not_survive_the_correction_is_no_gain():
    sentence = said(compared([0.02, 0.026, 0.012]), compared(SAME, 50))
    assert "helped" not in sentence
    assert "made a difference that does not stand after correction for 2 comparisons with 20 a class (+1.9" in sentence


def test_one_seed():
    assert said(compared(UP[:1]), compared(DOWN[:1], 50)) == (
        "Beside classical augmentation, GAN samples, 1 to a real row, gave +2.0 points accuracy with 20 a class and"
        " −3.0 points accuracy with 50 a class (one seed: no interval, nothing can be concluded)."
    )


def test_the_same_in_every_seed():
    assert "gave +1.0 points accuracy with 20 a class (the same in every seed: no interval, nothing can" in said(
        compared([0.01] * 3)
    )


def test_no_seed_in_common():
    apart = [{**row, "seed": row["seed"] + (9 if row["arm"] == "classical" else 0)} for row in compared(UP, 10)]
    assert said(compared(UP), apart).endswith("; they cannot be judged with 10 a class, where no seed ran both arms.")
    alone = said(compared(UP), rows("real", BASE, per_class=5))
    assert alone.endswith("cannot be judged with 5 a class, where no seed ran both arms.")


def test_imbalance_is_macro_f1_and_the_rarest_class():
    rare = [{**row, "rare_recall": 0.5 + (0.1 + row["seed"] / 50) * (row["arm"] != "classical"), "rarest": "猫"}
            for row in compared(UP, None, imbalance="8:0.05")]  # fmt: skip
    sentence = said(rare)
    assert "helped under imbalance 8:0.05 (+2.1 points macro-F1, 95 % interval" in sentence
    assert "; recall of the rarest class +12.0 (7.0 to 17.0))" in sentence
    assert summarise(rare)["settings"][0]["rarest"] == ["猫"]
    none = [row for n in (10, None) for row in compared(SAME, n, imbalance="8:0.05")]
    assert "seen with 10 a class under imbalance 8:0.05 and under imbalance 8:0.05 (95 % intervals" in said(none)


def test_settings_with_other_opponents_are_told_apart():
    rare = {"per_class": None, "imbalance": "8:0.05"}
    repeated = rows("classical_oversampled", BASE, **rare, macro_f1=BASE)
    repeated += rows("classical_oversampled_gan", np.add(BASE, DOWN), 1.0, **rare, macro_f1=np.add(BASE, DOWN))
    assert said(compared(UP), repeated).startswith(
        "Beside classical augmentation, GAN samples, 1 to a real row, helped"
    )
    assert (
        "; beside classical augmentation with rare classes repeated, they hurt under imbalance 8:0.05 (−3.1 points"
    ) in said(compared(UP), repeated)


def test_a_gain_is_held_against_the_best_and_the_placebo():
    real = rows("real", np.add(BASE, 0.05)) + folds("real", np.add(BASE, 0.05)) + folds("classical", BASE)
    placebo = rows("classical_placebo", np.add(BASE, UP), 1.0)
    sentence = said(compared(UP), real, placebo)
    assert "helped with 20 a class (+2.1 points accuracy" in sentence
    assert "; worse than the best arm without samples: −2.9 (−3.1 to" in sentence
    assert "; not shown beside real rows drawn again in their place: 0.0 (no interval)" in sentence
    assert "not shown" not in said(compared(UP), rows("classical_placebo", np.add(BASE, -0.01), 1.0))


def test_an_opponent_that_was_not_trained_to_the_end():
    short = folds("classical", BASE) + folds("classical", np.add(BASE, [0.05, 0.04, 0.06]), steps=2)
    assert said(compared(UP), short).endswith(
        "; but that opponent seems not trained to the end: twice the steps give it +5.0 points with 20 a class."
    )
    other = [row | {"arm": "real"} for row in short]
    assert "trained to the end" not in said(compared(UP), other), "that is no part of the headline"


def shifted(**changes) -> list[dict]:
    """A study whose accuracy gains nothing, with scores under shifts of which each gains something else."""
    table = compared(SAME)
    for name, change in changes.items():
        for row in table:
            extra = change[row["seed"]] if row["arm"] == "classical_gan" else 0.0
            row[f"shift:{name}"] = BASE[row["seed"]] - 0.1 + extra
    return table


def test_what_is_another_thing_under_shift():
    sentence = said(shifted(blur=UP, noise=SAME, rotate=DOWN))
    assert "made no difference that could be seen" in sentence
    assert sentence.endswith(
        "; under shift, corrected for 3 comparisons, +2.1 points (blur) and −3.1 points (rotate) with 20 a class."
    )
    assert "shift" not in said(shifted(noise=SAME, blur=[0.02, 0.026, 0.012])), "not after Holm's correction"
    table = shifted(blur=UP, noise=SAME)
    for row in table:
        row["accuracy"] = row["shift:blur"]
    assert said(table).endswith("; under shift, corrected for 2 comparisons, no gain shown (noise) with 20 a class.")


def test_without_classical_augmentation_it_says_so():
    assert said(rows("real", BASE) + rows("gan", np.add(BASE, UP), 1.0)).startswith(
        "Beside the real rows alone (no comparison with classical augmentation was run), GAN samples, 1 to a real row,"
        " helped with 20"
    )


@pytest.mark.parametrize("count", [1, 2])
def test_failed_cells(count):
    failed = dict.fromkeys("ab"[:count], "out of memory")
    assert said(compared(UP), failed=failed).endswith(
        ["; 1 cell failed and is not in this.", "; 2 cells failed and are not in this."][count - 1]
    )


def test_nothing_to_compare():
    assert said(rows("real", BASE)) == "GAN samples were not compared with anything, so nothing can be said of them."
