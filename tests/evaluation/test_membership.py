"""Who may see samples of pictures, sentences and series; what is said where rows are few or splits differ."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import Digits, GANDataModule, TextFile
from datamodules.rows import joined, stored_rows
from datamodules.schema import Batch
from datamodules.text.schema import UNKNOWN
from ganaug import DCGAN, load
from ganaug.commands.evaluate import table
from ganaug.evaluation.membership import logits, membership, pairs, plain_features
from ganaug.gans.base import GAN
from ganaug.metrics.membership import auc_interval
from ganaug.sampling.drawing import draw_samples
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares
from tests.gans.timegan.test_model import Waves
from tests.test_callbacks import Letters


def splits(data: GANDataModule) -> dict[str, Batch]:
    data.setup()
    return {name: stored_rows(data.schema, getattr(data, name)) for name in ("train", "val", "test")}


def sentences(tmp_path: Path) -> TextFile:
    """Of words some of which are rare, so that most sentences that nobody was trained on have an unknown one."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 5)) for _ in range(3000)]
    chance = np.arange(1, len(words) + 1) ** -0.9
    rows = [" ".join(rng.choice(words, 8, p=chance / chance.sum())) for _ in range(400)]
    (tmp_path / "train.txt").write_text("\n".join(rows[:240]), encoding="utf-8")
    (tmp_path / "test.txt").write_text("\n".join(rows[240:]), encoding="utf-8")
    return TextFile(tmp_path / "train.txt", test_path=tmp_path / "test.txt", val_fraction=0.4)


def noisy(rows: Batch) -> Batch:
    """Digits a little changed."""
    noise = torch.randn(rows["x"].shape, generator=torch.Generator().manual_seed(0)) * 4
    return {**rows, "x": (rows["x"].float() + noise).round().clamp(0, 255).to(rows["x"].dtype)}


def halves(rows: Batch) -> tuple[Batch, Batch]:
    count = len(rows["y"]) // 2
    order = torch.randperm(2 * count, generator=torch.Generator().manual_seed(0))
    first, second = ({name: field[index] for name, field in rows.items()} for index in order.split(count))
    return first, second


def test_unknown_words_do_not_tell_who_was_trained_on(tmp_path: Path) -> None:
    """By samples of frequent words, which know nothing of any sentence; by copies it is told as before."""
    data = sentences(tmp_path)
    rows = splits(data)
    unknown = {name: (part["x"] == UNKNOWN).any(1).float().mean() for name, part in rows.items()}
    assert unknown["test"] > unknown["train"]
    rng = np.random.default_rng(1)
    counts = rows["train"]["x"].flatten().bincount(minlength=len(data.schema.vocabulary))
    frequent = [data.schema.vocabulary[k] for k in range(2, len(counts)) if counts[k] >= 4]
    x, length = data.schema.encode([" ".join(rng.choice(frequent, 8)) for _ in range(200)])
    ignorant = {"x": x, "length": length, "y": torch.zeros(len(x), dtype=torch.long)}
    for attack in membership(data.schema, **rows, synthetic=ignorant)["attacks"].values():
        assert attack["auc"] < 0.6  # unknown words would make it .73
    for attack in membership(data.schema, **rows, synthetic=rows["train"])["attacks"].values():
        assert attack["auc"] > 0.95


def some(count: int, rows: Batch) -> Batch:
    return {name: field[:count] for name, field in rows.items()}


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(per_class=10)


def test_pictures_learnt_by_heart_and_fresh_ones(digits: Digits) -> None:
    rows = splits(digits)
    found = membership(digits.schema, **rows, synthetic=noisy(rows["train"]))
    assert found["rows"] == 100
    assert found["reference"] == len(rows["val"]["y"])
    assert found["attacks"].keys() == {"nearest_sample", "density_ratio"}
    for attack in found["attacks"].values():
        assert attack["auc"] > 0.99
        assert attack["tpr"] > 0.9
        assert attack["control"]["interval"][0] < 0.5 < attack["control"]["interval"][1]
    assert "who has the samples can guess which rows were trained on, AUC 1.00" in found["sentence"]
    assert "checkpoint" not in found["sentence"]

    rows["test"], fresh = halves(rows["test"])
    found = membership(digits.schema, **rows, synthetic=fresh)
    for attack in found["attacks"].values():
        assert attack["interval"][0] < 0.5 < attack["interval"][1]
    assert "no sign that who has the samples can guess" in found["sentence"]
    assert "AUC 0.5 is guessing; the strongest of 2 attacks, intervals corrected for that" in found["sentence"]
    assert found["sentence"].endswith("No proof of privacy: other attacks may do better.")


@pytest.mark.parametrize("data", [Letters(rows=240), Waves(rows=200), Waves(rows=200, static=False, fixed=True)])
def test_sentences_and_series(data: GANDataModule) -> None:
    rows = splits(data)
    found = membership(data.schema, **rows, synthetic=rows["train"])
    assert found["attacks"]["density_ratio"]["auc"] > 0.9
    rows["test"], fresh = halves(rows["test"])
    found = membership(data.schema, **rows, synthetic=fresh)
    assert found["attacks"]["density_ratio"]["interval"][0] < 0.5


def test_attributes_and_what_was_observed_are_seen() -> None:
    data = Waves(rows=30)
    rows = splits(data)["train"]
    holes = {**rows, "observed": torch.ones_like(rows["x"])}
    plain = rows["x"][0].numel()
    assert plain_features(data.schema, holes)[0].shape[1] == 2 * plain + rows["static"].shape[1]
    assert plain_features(data.schema, rows, holes)[1].shape[1] == plain + rows["static"].shape[1]


def test_no_more_of_a_class_than_there_are_of_either() -> None:
    a, b = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([1, 1, 0, 0, 3])
    first, second = pairs(a, b, seed=0)
    assert a[first].tolist() == b[second].tolist() == [0, 0, 1]
    assert len(set(first.tolist())) == 3


def test_a_class_that_is_rare_in_training_alone_is_no_leak() -> None:
    """Samples of the imbalanced classes, drawn from held-out rows, are denser where training rows are."""
    data = Digits(imbalance=dict.fromkeys(range(5), 0.1))
    rows = splits(data)
    rows["test"], fresh = halves(rows["test"])
    kept = (fresh["y"] >= 5) | (torch.arange(len(fresh["y"])) % 10 == 0)
    found = membership(data.schema, **rows, synthetic={name: field[kept] for name, field in fresh.items()})
    for attack in found["attacks"].values():
        assert attack["interval"][0] < 0.5 < attack["interval"][1]


def test_splits_that_differ_are_said_to(digits: Digits) -> None:
    """Test pictures from a darker camera: nobody was trained on validation rows, and they are told apart as well."""
    rows = splits(digits)
    fresh, rows["val"] = halves(joined([rows["val"], rows["test"]]))
    rows["test"] = {**rows["test"], "x": rows["test"]["x"] // 2}
    found = membership(digits.schema, **rows, synthetic=fresh)
    best = max(found["attacks"].values(), key=lambda attack: attack["auc"])
    assert best["auc"] > 0.7
    assert best["control"]["auc"] > 0.7
    assert "validation and test rows differ too, AUC" in found["sentence"]


def test_few_rows(digits: Digits) -> None:
    rows = splits(digits)
    few = membership(digits.schema, **{**rows, "train": some(9, rows["train"])}, synthetic=rows["test"])
    assert few.keys() == {"sentence"}
    assert "attacks need 10 rows of either sort" in few["sentence"]
    none = {**rows, "val": some(0, rows["val"])}
    found = membership(digits.schema, **none, synthetic=rows["test"])
    assert found["attacks"].keys() == {"nearest_sample"}
    assert "control" not in found["attacks"]["nearest_sample"]
    assert "the strongest of 1 attack, " in found["sentence"]
    assert "with too few validation rows, " in found["sentence"]


class KnowsByHeart(DCGAN):
    """Its D takes the rows that it was given, and no others, for real."""

    known: torch.Tensor

    def judged(self, batch: Batch) -> torch.Tensor:
        return (batch["x"].flatten(1)[:, None] == self.known.flatten(1)).all(2).any(1).double()


@pytest.mark.parametrize("labelled", [True, False])
def test_who_has_the_checkpoint_asks_d(labelled: bool) -> None:
    data = Squares(rows=300, size=16, labelled=labelled)
    rows = splits(data)
    model = KnowsByHeart(data.schema, width=8, latent_dim=8)
    model.known = data.schema.prepare(rows["train"])["x"]
    rows["test"], fresh = halves(rows["test"])
    found = membership(data.schema, **rows, synthetic=fresh, model=model)
    assert found["attacks"]["discriminator"]["auc"] == 1
    assert "who has the checkpoint can guess which rows were trained on, AUC 1.00" in found["sentence"]
    assert logits(model, some(0, rows["val"])).shape == (0,)


del GAN.models["KnowsByHeart"]  # no model of the command line


def test_the_table_shows_it(digits: Digits) -> None:
    rows = splits(digits)
    found = membership(digits.schema, **rows, synthetic=rows["train"])
    pair = {"to_test": 1.0, "to_train": 1.0, "floor": 1.0}
    names = ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage")
    scores = {
        **dict.fromkeys(names, pair),
        "memorisation": {"in_features": {"closer": 0.5, "closer_floor": 0.012}},
        "membership": found,
    }
    counts = dict.fromkeys(("synthetic", "train", "test"), 3)
    lines = table({"counts": counts, "extractor": "", "scores": scores}).splitlines()
    assert lines[-1] == found["sentence"]
    assert any(line.startswith("AUC density ratio") and "1.0000" in line for line in lines)


@pytest.mark.slow
def test_a_gan_that_knows_few_digits_by_heart(tmp_path: Path) -> None:
    """50 pictures, 2,000 steps without augmentation: D knows them; real pictures in place of samples tell nothing."""
    data = Digits(per_class=5)
    model, run = DCGAN(data.schema, width=16, augment="", lr_g=4e-4, lr_d=4e-4), trainer(2000)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    rows, model = splits(data), load(tmp_path / "last.ckpt")
    drawn = {**draw_samples(model, torch.arange(50), rows["train"]["y"], 0), "y": rows["train"]["y"]}
    found = membership(data.schema, **rows, synthetic=drawn, model=model)
    assert found["attacks"]["discriminator"]["interval"][0] > 0.6
    assert "who has the checkpoint can guess" in found["sentence"]
    rows["test"], fresh = halves(rows["test"])
    found = membership(data.schema, **rows, synthetic=fresh)
    assert "no sign that who has the samples can guess" in found["sentence"]


def test_intervals_hold_for_all_attacks_together() -> None:
    data = Squares(rows=200, val_fraction=0.2, test_fraction=0.4)
    rows = splits(data)
    model = DCGAN(data.schema, width=8, latent_dim=8)
    found = membership(data.schema, **rows, synthetic=rows["val"], model=model, seed=0)
    assert len(found["attacks"]) == 3
    for attack in found["attacks"].values():
        low, high = auc_interval(attack["auc"], found["rows"], found["rows"], 1 - 0.05 / 3)
        assert attack["interval"] == pytest.approx([low, high])
