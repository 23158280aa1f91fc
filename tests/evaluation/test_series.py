"""Scores of series: what is compared with what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules.rows import stored_rows
from datamodules.schema import Batch
from ganaug.classifiers.training import ClassifierFeatures
from ganaug.evaluation import series
from tests.gans.timegan.test_model import Waves


def rows() -> tuple[Waves, dict[str, Batch]]:
    data = Waves(rows=60, fixed=True, static=False, test_fraction=0.3)
    data.setup()
    parts = {name: stored_rows(data.schema, getattr(data, name)) for name in ("train", "test")}
    return data, parts | {"synthetic": {name: field.clone() for name, field in parts["train"].items()}}


def test_every_score_compares_samples_with_training_rows_and_has_a_floor_of_test_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, parts = rows()
    for number, part in enumerate(parts.values(), 1):
        part["x"] = torch.full_like(part["x"], number / 10)
    names = {1: "train", 2: "test", 3: "synthetic"}
    asked: list[tuple[str, list[str]]] = []

    def noted(name: str, answer: object):
        def called(*given: Tensor, **_: object) -> object:
            shown = [one for one in given if isinstance(one, Tensor) and one.is_floating_point()]
            asked.append((name, [names[round(10 * float(one.mean()))] for one in shown]))
            return answer

        return called

    monkeypatch.setattr(series, "discriminative_score", noted("discriminative", torch.zeros(2)))
    monkeypatch.setattr(series, "predictive_score", noted("predictive", torch.zeros(2)))
    monkeypatch.setattr(series, "frechet_distance", noted("context", 0.0))
    monkeypatch.setattr(series, "DISTANCES", {"correlation_distance": noted("distance", 0.0)})
    monkeypatch.setattr(ClassifierFeatures, "__call__", lambda self, part: part["x"].flatten(1))
    series.series_scores(data=data, **parts, seed=0, repeats=2, steps=1)
    of, floor = ["train", "synthetic"], ["train", "test"]
    assert asked == [
        *[("discriminative", of), ("discriminative", floor)] * 2,  # by a GRU and by convolutions
        ("predictive", ["synthetic", "test"]),  # taught by samples, asked about test rows
        ("predictive", ["train", "test"]),
        ("distance", of),
        ("distance", floor),
        ("context", of),
        ("context", floor),
    ]


def test_training_rows_are_at_no_distance_from_themselves_and_noise_lies_further_than_unseen_rows() -> None:
    data, parts = rows()
    few = {"data": data, "seed": 0, "repeats": 0, "steps": 2}
    same = series.series_scores(**few, train=parts["train"], test=parts["train"], synthetic=parts["train"])
    rng = np.random.default_rng(0)
    shape = (*parts["train"]["x"].shape[:2], 1)  # the same for both columns, which are two curves in the data
    drawn = torch.from_numpy(rng.random(shape, dtype=np.float32)).expand_as(parts["train"]["x"]).clone()
    noise = {**parts["train"], "x": drawn}
    other = series.series_scores(**few, train=parts["train"], test=parts["test"], synthetic=noise)
    for name in (*series.DISTANCES, "context_frechet_distance"):
        assert same[name]["synthetic"] == pytest.approx(0, abs=1e-3)
        assert other[name]["synthetic"] > other[name]["floor"], name
