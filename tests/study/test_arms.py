"""What an arm of a study trains on: how many samples of which class, rows in their place, and what is examined."""

from types import SimpleNamespace

import pytest
import torch

from datamodules import Digits, InputError
from ganaug.study.arms import (
    ArmTrainer,
    first,
    oversampled,
    redrawn,
    samples_beside_real,
    samples_in_place_of_real,
    samples_of,
)
from ganaug.study.learners import Network
from ganaug.study.plan import ARMS, Cell

SCHEMA = Digits(image_size=8).schema


def test_samples_in_the_shares_of_the_rows() -> None:
    y = torch.tensor([0] * 5 + [1] * 2 + [2])
    assert samples_beside_real(y, 3, 1.0, level=False).tolist() == [5, 2, 1]
    assert samples_beside_real(y, 3, 0.5, level=False).tolist() == [3, 1, 1]
    assert samples_in_place_of_real(y, 3, 1.0, level=True).tolist() == [3, 3, 3]


def test_rare_classes_come_first() -> None:
    y = torch.tensor([0] * 10 + [1] * 4 + [2] * 2)
    for ratio, counts in (
        (1 / 16, [0, 0, 1]),
        (4 / 16, [0, 1, 3]),
        (14 / 16, [0, 6, 8]),
        (1.0, [1, 7, 8]),
        (2.0, [6, 12, 14]),
    ):
        found = samples_beside_real(y, 3, ratio, level=True)
        assert found.tolist() == counts
        assert int(found.sum()) == round(16 * ratio)
    assert oversampled({"y": y, "x": torch.arange(16)})["y"].bincount().tolist() == [10, 10, 10]
    assert set(oversampled({"y": y, "x": torch.arange(16)})["x"].tolist()) == set(range(16))


@pytest.mark.parametrize("level", [False, True])
def test_beside_repeated_rows_every_class_has_as_many_samples(level: bool) -> None:
    y = torch.tensor([0] * 10 + [1] * 4 + [2] * 1)
    for arm in ("oversampled_gan", "classical_oversampled_gan"):
        assert samples_of(arm, y, 3, 1.0, level).tolist() == [5, 5, 5]
    assert torch.equal(samples_of("classical_gan", y, 3, 1.0, level), samples_of("classical_placebo", y, 3, 1.0, level))


def test_the_first_rows_of_each_class() -> None:
    taken = first({"y": torch.tensor([0, 0, 1, 1]), "x": torch.arange(4)}, torch.tensor([1, 5]))
    assert taken["x"].tolist() == [0, 2, 3]


def test_rows_are_drawn_again_with_replacement() -> None:
    rows = {"y": torch.tensor([0, 1] * 10), "x": torch.arange(20)}
    drawn = redrawn(rows, torch.tensor([30, 4, 3]), seed=5)
    assert drawn["y"].tolist() == [0] * 30 + [1] * 4  # of class 2 there is no row
    assert torch.equal(drawn["y"], rows["y"][drawn["x"]])
    assert 5 < len(set(drawn["x"][:30].tolist())) < 11
    assert torch.equal(drawn["x"], redrawn(rows, torch.tensor([30, 4, 3]), seed=5)["x"])
    assert not torch.equal(drawn["x"], redrawn(rows, torch.tensor([30, 4, 3]), seed=6)["x"])


def trainer(train: torch.Tensor, samples=None, cell: Cell | None = None, **study) -> ArmTrainer:
    rows = {"x": torch.zeros(len(train), 1, 8, 8, dtype=torch.uint8), "y": train, "row": torch.arange(len(train))}
    asked = SimpleNamespace(**{"ratios": (0.5, 1.0), "arms": tuple(ARMS), "learner": Network(), **study})
    return ArmTrainer(asked, cell or Cell(None, "", 0), SCHEMA, {"train": rows, "val": rows}, samples)


def test_a_placebo_has_what_the_arm_with_samples_has_but_for_the_samples() -> None:
    y = torch.arange(40) % 10
    made = {"x": torch.full((40, 1, 8, 8), 9, dtype=torch.uint8), "y": y.sort()[0]}
    arms = trainer(y, made)
    for ratio in (0.5, 1.0):
        for arm, placebo in (("gan", "placebo"), ("classical_gan", "classical_placebo")):
            (ours, count), (theirs, as_many) = arms.table(arm, ratio), arms.table(placebo, ratio)
            assert count == as_many == 40 * ratio
            assert torch.equal(ours["y"].sort()[0], theirs["y"].sort()[0])
            assert torch.equal(ours["synthetic"], theirs["synthetic"])
            assert bool(ours["x"].any())
            assert not bool(theirs["x"].any()), "real rows alone"
    some, more = (arms.made("placebo", ratio)["row"].tolist() for ratio in (0.5, 1.0))
    assert set(some) < set(more), "more samples are the same and others, as of a GAN"


def test_a_placebo_has_no_more_rows_than_the_filters_left_samples() -> None:
    y = torch.arange(40) % 10
    for left in (torch.tensor([0, 0, 0, 1, 3, 3, 3, 3, 3]), y[:0]):
        arms = trainer(y, {"x": torch.zeros(len(left), 1, 8, 8, dtype=torch.uint8), "y": left})
        for ratio in (0.5, 1.0):
            (ours, count), (theirs, as_many) = arms.table("gan", ratio), arms.table("placebo", ratio)
            assert count == as_many
            assert torch.equal(ours["y"].bincount(), theirs["y"].bincount())


def test_repeated_rows_and_samples_beside_them() -> None:
    y = torch.tensor([0] * 12 + [1] * 3)
    made = {"x": torch.full((16, 1, 8, 8), 9, dtype=torch.uint8), "y": torch.tensor([0] * 8 + [1] * 8)}
    schema_of_two = trainer(y, made, Cell(None, "1:0.2", 0))
    schema_of_two.schema = SimpleNamespace(num_classes=2)
    rows, count = schema_of_two.table("oversampled_gan", 1.0)
    assert count == 16
    assert rows["y"][rows["synthetic"]].bincount().tolist() == [8, 8]
    assert rows["y"][~rows["synthetic"]].bincount().tolist() == [12, 12]


def test_a_class_is_as_rare_in_a_fold_as_in_the_whole() -> None:
    assert trainer(torch.arange(40) % 10).rarest is None
    fold = trainer(torch.tensor([0, 0, 1]), cell=Cell(None, "", 0, 0))
    fold.schema = SimpleNamespace(num_classes=2)
    rows = {"train": {"y": torch.tensor([0, 0, 1])}, "val": {"y": torch.tensor([1])}}
    assert ArmTrainer(fold.study, fold.cell, fold.schema, rows).rarest is None
    assert ArmTrainer(fold.study, Cell(None, "", 0), fold.schema, rows).rarest == 1


def test_samples_of_one_class_alone_teach_nothing() -> None:
    made = {"x": torch.zeros(5, 1, 8, 8), "y": torch.full((5,), 2)}
    (run,) = trainer(torch.arange(20) % 10, made).run("gan_only", 1.0).values()
    assert run == {
        "arm": "gan_only", "ratio": 1.0, "steps": 1, "accuracy": None, "train_rows": 0, "synthetic_rows": 2,
        "lacking_rows": 18, "seconds": 0.0,
    }  # fmt: skip


def test_a_classifier_that_has_diverged_has_no_score() -> None:
    rows = {"y": torch.arange(20) % 10}
    with pytest.raises(InputError, match="it has diverged: lower its learning rate"):
        trainer(rows["y"]).examined(lambda asked: torch.full((20, 10), torch.nan), rows)


def test_labels_of_real_rows_are_marked_as_such_in_every_arm() -> None:
    y = torch.tensor([0, 1] * 10 + [2])
    made = {"x": torch.zeros(30, 1, 8, 8, dtype=torch.uint8), "y": (torch.arange(30) % 3).sort()[0]}
    arms = trainer(y, made)
    arms.schema = SimpleNamespace(num_classes=3)
    for arm in ("real", "oversampled", "classical", "classical_oversampled", "gan", "placebo"):
        rows, count = arms.table(arm, 1.0)
        assert int(rows["synthetic"].sum()) == count


def test_classes_without_rows_do_not_count_in_macro_f1() -> None:
    held = {"y": torch.tensor([0] * 10 + [1] * 10)}
    scores = []
    for wrong in (1, 9):  # of class 0; there is no row of class 9
        answers = torch.eye(10)[held["y"]]
        answers[0] = torch.eye(10)[wrong]
        scores.append(trainer(torch.arange(30) % 10).examined(lambda _, answers=answers: answers, held)["macro_f1"])
    assert scores[1] == pytest.approx((18 / 19 + 1) / 2)
    assert scores[0] == pytest.approx((18 / 19 + 20 / 21) / 2)
