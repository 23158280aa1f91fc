"""How far the samples of a class are apart."""

import pytest
import torch

from datamodules import Digits
from datamodules.rows import stored_rows
from ganaug.evaluation.spread import class_spread, spread_lines


@pytest.fixture(scope="module")
def rows() -> dict:
    data = Digits()
    data.setup()
    real = {part: stored_rows(data.schema, getattr(data, part)) for part in ("train", "val", "test")}
    return {"schema": data.schema, **real}


def spread(rows: dict, synthetic: dict, labelled: bool = True) -> dict:
    parts = {name: rows[name] for name in ("schema", "train", "test")}
    return class_spread(**parts, synthetic=synthetic, labelled=labelled)


def test_unseen_rows_are_as_far_apart_as_training_rows(rows: dict) -> None:
    found = spread(rows, rows["val"])
    assert 0.9 < found["to_train"] < 1.1
    assert 0.9 < found["floor"] < 1.1
    assert found["by_class"].keys() == set(rows["schema"].classes)
    assert [line[:12] for line in spread_lines(found)] == ["class spread"], "nothing to point out"


def test_a_class_of_one_picture_is_found_where_a_classifier_is_content(rows: dict) -> None:
    x, y = rows["val"]["x"].clone(), rows["val"]["y"]
    x[y == 3] = x[y == 3][:1]
    found = spread(rows, {"x": x, "y": y})
    assert found["by_class"]["3"] == 0
    assert min(ratio for name, ratio in found["by_class"].items() if name != "3") > 0.8
    assert found["to_train"] == pytest.approx(sum(found["by_class"].values()) / 10)
    assert "less than half as far apart as training rows: 3 0.00 (1 is as far)" in spread_lines(found)[1]


def test_all_classes_collapsed_are_named_five_at_most(rows: dict) -> None:
    y = rows["val"]["y"]
    first = torch.stack([rows["val"]["x"][y == c][0] for c in range(10)])
    (_, said) = spread_lines(spread(rows, {"x": first[y], "y": y}))
    assert "0 0.00, 1 0.00, 2 0.00, 3 0.00, 4 0.00 and 5 more" in said


def test_samples_without_classes_are_one_class(rows: dict) -> None:
    found = spread(rows, {**rows["val"], "y": torch.zeros_like(rows["val"]["y"])}, labelled=False)
    assert found["by_class"].keys() == {"all"}
    assert 0.95 < found["to_train"] < 1.05


def test_classes_that_cannot_be_compared_are_left_out(rows: dict) -> None:
    val = rows["val"]
    one = {name: torch.cat([field[val["y"] == 1], field[val["y"] == 0][:1]]) for name, field in val.items()}
    assert spread(rows, one)["by_class"].keys() == {"1"}
    same = {name: field[:1].repeat(9, *[1] * (field.ndim - 1)) for name, field in rows["train"].items()}
    assert class_spread(rows["schema"], train=same, test=val, synthetic=val, labelled=True) == {}
    assert spread_lines({}) == []
