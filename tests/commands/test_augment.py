"""``ganaug augment``: what a cell trains on, what is chosen by what, going on after a stop, and who may take part."""

import csv
import itertools
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from lightning.pytorch import LightningModule
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from torch import nn

from datamodules import Digits, Grammar, ImageArrays, InputError, Schema
from ganaug import DCGAN, GAN, R3GAN, SeqGAN
from ganaug.callbacks import LastCheckpoint
from ganaug.classifiers.image import ImageClassifier
from ganaug.commands.augment import augment
from ganaug.gans.recipe import Recipe
from ganaug.runtime.stopping import Stopped
from ganaug.study import arms as arms_module
from ganaug.study import cell as cell_module
from ganaug.study import learners, stages
from ganaug.study.arms import ArmTrainer
from ganaug.study.cell import run_cell, summed_reports
from ganaug.study.learners import Estimator, Module, Network
from ganaug.study.plan import open_folder
from ganaug.study.workers import TimeLeft, gpus, starting
from tests.gan_contract import trainer

ROOT = Path(__file__).parents[2]
GENERATOR = partial(DCGAN, width=8, latent_dim=8)
QUICK = {
    "per_class": [4],
    "seeds": [0, 1],
    "gan_steps": 4,
    "classifier_steps": 3,
    "ratios": [1.0, 0.5],
    "filters": [],
    "shift": [],
    "accelerator": "cpu",
    "threads": 1,
    "progress": False,
}
SHORT = {"arms": ["gan"], "ratios": [1.0], "seeds": [0]}  # a whole cell of two trainings, and a fold of three


def digits(**options) -> Digits:
    return Digits(image_size=8, **{"batch_size": 8} | options)


def study(out: Path, data=None, model: Callable[[Schema], GAN] = GENERATOR, **options) -> dict:
    return augment(data or digits(), model, out, **QUICK | options)


def timeless(rows: Iterable[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def whole(rows: list[dict], seed: int = 0) -> dict[str, dict]:
    """Of the whole cell of a seed the rows by arm; of several ratios the largest."""
    return {row["arm"]: row for row in rows if row["fold"] is None and row["seed"] == seed and row["steps"] == 1}


def facts(out: Path, name: str) -> dict:
    return json.loads((out / "cells" / name / "cell.json").read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("study") / "out"
    return out, study(out)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Rows of a study of two arms."""
    return timeless(study(tmp_path_factory.mktemp("study"), **SHORT)["rows"])


@pytest.fixture(autouse=True)
def without_report(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Its plots take longer than all the rest; ``done`` and the command line write it."""
    if request.function is not test_the_command_line:
        monkeypatch.setattr(sys.modules["ganaug.commands.augment"], "write_report", lambda *_: None)


# ---- where GANs begin ----


def test_each_gan_begins_from_the_weights_that_are_given(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = digits(per_class=8, seed=7)
    model = R3GAN(replace(plain.schema, classes=()), widths=[8], latent_dim=8)  # which is told no classes
    run = trainer(2)
    run.fit(model, plain)
    run.save_checkpoint(tmp_path / "plain.ckpt")
    began: list[torch.Tensor] = []
    start = R3GAN.on_train_start

    def watched(self) -> None:
        began.append(self.generator.project.weight[:, :8].clone())
        start(self)

    monkeypatch.setattr(R3GAN, "on_train_start", watched)
    options = {**SHORT, "model": partial(R3GAN, widths=[8], latent_dim=8)}
    with caplog.at_level("INFO"):
        study(tmp_path / "out", init_from=tmp_path / "plain.ckpt", **options)
    assert len(began) == 2  # of the cell and of its fold
    for weight in began:
        assert torch.equal(weight, model.generator.project.weight)
    assert f"each GAN: begun from {tmp_path / 'plain.ckpt'}" in caplog.text
    with pytest.raises(InputError, match=r"holds another study: .*init_from"):
        study(tmp_path / "out", **options)
    with pytest.raises(InputError, match="holds a R3GAN, this run trains a DCGAN"):
        study(tmp_path / "other", init_from=tmp_path / "plain.ckpt", **SHORT)


# ---- what comes of it ----


def test_every_training_has_a_row(done: tuple[Path, dict]) -> None:
    out, result = done
    rows = result["rows"]
    with_samples = [(arm, ratio, 1) for arm in ("gan", "classical_gan") for ratio in (0.5, 1)]
    in_whole = [("real", 0, 1), ("classical", 0, 1), *with_samples, ("gan_only", 1, 1), ("trts", 0, 1)]
    in_fold = [(arm, 0, steps) for arm in ("real", "classical") for steps in (1, 2)] + with_samples
    for seed in (0, 1):  # equal classes: nothing is rare
        for fold, every in ((None, in_whole), (0, in_fold)):
            those = [row for row in rows if (row["seed"], row["fold"]) == (seed, fold)]
            assert [(row["arm"], row["ratio"], row["steps"]) for row in those] == every
            assert {row["cell"] for row in those} == {f"n=4,seed={seed}" + (",fold=0" if fold == 0 else "")}
    assert list(rows[0]) == [
        "cell", "per_class", "imbalance", "seed", "fold", "arm", "ratio", "steps", "accuracy", "macro_f1",
        "rare_recall", "rarest", "loss", "validation", "validation_loss", "train_rows", "synthetic_rows",
        "lacking_rows", "seconds",
    ]  # fmt: skip
    with (out / "results.csv").open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in written] == [row["accuracy"] for row in rows]
    assert {row["fold"] for row in written} == {"", "0"}
    by = whole(rows)
    assert (by["real"]["train_rows"], by["real"]["synthetic_rows"]) == (40, 0)
    assert (by["gan"]["train_rows"], by["gan"]["synthetic_rows"]) == (40, 40)
    assert (by["gan_only"]["train_rows"], by["gan_only"]["synthetic_rows"]) == (0, 40)
    assert by["trts"]["macro_f1"] is by["trts"]["loss"] is None
    assert {row["rarest"] for row in rows} == {""}, "no class is rare, not even in a fold"
    assert {row["rare_recall"] for row in rows} == {None}
    for row in rows:  # that they are written down chooses nothing
        assert (row["validation"] is None) == (row["fold"] is not None or row["arm"] == "trts")
    assert json.loads((out / "summary.json").read_text())["verdict"] == result["verdict"]
    assert "</html>" in (out / "report.html").read_text(encoding="utf-8")


def test_a_fold_is_trained_without_what_it_is_examined_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def numbered(rows) -> set[bytes]:
        return {row.numpy().tobytes() for row in rows["x"]}

    shown: dict[str, set[bytes]] = {}

    def watching(owner, name: str, position: int) -> None:
        function = getattr(owner, name)

        def watched(*given, **options):
            shown.setdefault(name, set()).update(numbered(given[position]))
            return function(*given, **options)

        monkeypatch.setattr(owner, name, watched)

    watching(Network, "learn", 2)
    watching(cell_module, "fit_features", 1)
    fit = cell_module.trained
    monkeypatch.setattr(cell_module, "trained", lambda *a: shown.update(gan=numbered(a[2].train.fields)) or fit(*a))
    study(tmp_path, seeds=[3], per_class=[6], arms=["real", "gan"], ratios=[1.0], cell=1, folds=2)
    data = digits(seed=3, per_class=6).again(fold=(0, 2))
    data.setup()
    kept, held, tested = (numbered(table.fields) for table in (data.train, data.val, data.test))
    assert shown["gan"] == shown["fit_features"] == kept
    assert shown["learn"] >= kept
    assert not shown["learn"] & (held | tested)
    assert len(held) == 30


def test_what_a_fold_is_examined_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    examined = ArmTrainer.examined
    monkeypatch.setattr(
        ArmTrainer,
        "examined",
        lambda self, p, rows: asked.append((self.cell.fold, len(rows["y"]))) or examined(self, p, rows),
    )
    rows = study(tmp_path, arms=["gan"], ratios=[1.0], seeds=[0], repeats=3)["rows"]
    assert {fold for fold, _ in asked} == {None, 0, 1, 2}
    assert sum({fold: n for fold, n in asked if fold is not None}.values()) == 40, "each training row in one fold"
    assert {n for fold, n in asked if fold is None} == {359, 143}, "test and validation rows of the data"
    assert {row["fold"]: row["train_rows"] for row in rows if row["arm"] == "real"} == {None: 40, 0: 26, 1: 27, 2: 27}


def test_whole_cells_are_tested_under_shift_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["ganaug.study.arms"], "SHIFTED", 200)
    options = {"arms": ["gan", "trts"], "ratios": [1.0], "shift": None}
    seen: list[torch.Tensor] = []
    examined = ArmTrainer.examined
    monkeypatch.setattr(ArmTrainer, "examined", lambda self, p, r: seen.append(r["x"]) or examined(self, p, r))
    rows = study(tmp_path / "a", **options | {"seeds": [0]})["rows"]
    changed = [x for x in seen if len(x) == 200]
    assert len(changed) == 2 * 5
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(changed[:5], 2)), "each by its own change"
    assert all(torch.equal(a, b) for a, b in zip(changed[:5], changed[5:], strict=True)), "the same in every arm"
    names = [f"shift:{name}" for name in ("noise", "blur", "contrast", "translate", "rotate")]
    assert [name for name in rows[0] if name.startswith("shift:")] == names
    for row in rows:
        tested = row["fold"] is None and row["arm"] != "trts"
        for name in names:
            share = row[name]
            assert (share * 200 == pytest.approx(round(share * 200))) if tested else share is None
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())["summary"]
    assert list(summary["settings"][0]["headline"]["shifts"]) == sorted(name[6:] for name in names)
    few = study(tmp_path / "b", **options | {"seeds": [0], "shift": ["blur"]})["rows"]
    assert [row["shift:blur"] for row in few] == [row["shift:blur"] for row in rows], "each by itself"


def test_whole_cells_are_tested_on_groups_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Digits(image_size=8)
    data.setup()
    x, y = data.train.fields["x"].numpy(), data.train.fields["y"].numpy()
    np.savez(tmp_path / "sites.npz", x=np.moveaxis(x, 1, 3), y=y, site=np.arange(len(y)) % 12)
    examined: list[int] = []
    real = ArmTrainer.examined

    def counted(self: ArmTrainer, predict: Callable, rows: dict) -> dict:
        examined.append(len(rows["y"]))
        return real(self, predict, rows)

    monkeypatch.setattr(ArmTrainer, "examined", counted)
    sites = ImageArrays(tmp_path / "sites.npz", group="site", batch_size=8)
    found = study(tmp_path / "a", sites, **SHORT | {"shift": None})
    assert {"shift:blur", "shift:group"} < set(found["rows"][0])
    tested = [row["shift:group"] for row in found["rows"] if row["fold"] is None]
    assert len(tested) == 2
    assert all(0 <= share <= 1 for share in tested)
    away = sites.again(seed=0)
    away.setup()
    assert examined.count(len(away.elsewhere)) == 2, "each arm of the whole cell, once"
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())["summary"]
    assert "group" in summary["settings"][0]["headline"]["shifts"]
    with pytest.raises(InputError, match="shift: group needs data that say which rows belong together"):
        study(tmp_path / "b", shift=["group"])


def test_what_the_cells_keep(done: tuple[Path, dict]) -> None:
    out, _ = done
    cell, fold = facts(out, "n=4,seed=1"), facts(out, "n=4,seed=1,fold=0")
    assert cell["samples"]["kept"] == dict.fromkeys("0123456789", 4)
    assert cell["memorisation"].keys() == {"ratio", "closer", "closer_floor", "copies", "rows"}
    assert cell["leakage"].keys() == {"val", "test"}
    assert "Membership: " in cell["membership"]["sentence"]
    assert cell["class_spread"]["to_train"] > 0
    assert not {"memorisation", "leakage", "augmentation_leak", "membership", "class_spread"} & fold.keys(), (
        "a fold is there to choose by"
    )
    found = {path.parent.name for path in out.glob("cells/*/gallery.pt")}
    assert found == {"n=4,seed=0"}
    gallery = torch.load(out / "cells" / "n=4,seed=0" / "gallery.pt", weights_only=True)
    assert gallery["synthetic"]["x"].shape == gallery["nearest"]["x"].shape == (40, 1, 8, 8)


def test_validation_rows_may_choose(tmp_path: Path) -> None:
    """No test row is asked what twice the steps would do."""
    rows = study(tmp_path, seeds=[0], selection="validation", arms=["real", "gan"], ratios=[1.0])["rows"]
    assert [(row["arm"], row["ratio"], row["steps"], row["fold"]) for row in rows] == [
        ("real", 0, 1, None), ("real", 0, 2, None), ("gan", 1, 1, None)
    ]  # fmt: skip
    assert all(0 <= row["validation"] <= 1 < row["validation_loss"] for row in rows)
    twice = rows[1]
    assert twice["accuracy"] is twice["macro_f1"] is twice["loss"] is None
    assert "validation_loss" in (tmp_path / "results.csv").read_text()
    imbalanced = {"per_class": None, "imbalance": [{8: 0.1}], "arms": ["real"], "selection": "validation"}
    for row in study(tmp_path / "rare", seeds=[0], **imbalanced)["rows"]:  # macro-F1 decides
        assert row["validation"] != row["accuracy"]


def test_filters_ask_no_row_that_is_examined_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        cell_module, "filter_samples", lambda names, new, **given: seen.append(given["held_out"]) or (new, {})
    )
    options = {**SHORT, "filters": ["agreement"]}
    study(tmp_path / "folds", **options)
    assert seen == [None, None]
    study(tmp_path / "validation", **options, selection="validation")
    assert len(seen[2]["y"]) > 100


def test_without_arms_that_need_samples_there_is_no_gan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog
) -> None:
    monkeypatch.setattr(DCGAN, "training_step", killing(DCGAN.training_step, 0))
    with caplog.at_level("INFO"):
        rows = study(tmp_path, seeds=[0], arms=["real", "classical", "classical_placebo"])["rows"]
    said = "2 cells, 1 of them a fold to choose by: 0 GANs of 4 steps and 10 classifiers, 2 of them for twice the steps"
    assert said in caplog.text
    by = whole(rows)
    assert (by["classical_placebo"]["train_rows"], by["classical_placebo"]["synthetic_rows"]) == (40, 40)
    assert not list(tmp_path.glob("cells/*/*.ckpt"))


def test_all_arms_learn_for_the_same_steps_from_the_same_seed(tmp_path: Path, monkeypatch) -> None:
    seen = []
    learn = Network.learn

    def watched(self, schema, rows, steps, seed, augment):
        seen.append((len(rows["y"]), steps, seed, augment))
        return learn(self, schema, rows, steps, seed, augment)

    monkeypatch.setattr(Network, "learn", watched)
    study(tmp_path, seeds=[3])
    in_whole = [(40, False), (40, True), (60, False), (80, False), (60, True), (80, True), (40, False)]
    in_fold = [(27, False), (27, False), (27, True), (27, True), (44, False), (54, False), (44, True), (54, True)]
    assert [(n, augment) for n, _, _, augment in seen] == in_whole + in_fold
    assert [steps for _, steps, _, _ in seen] == [3] * 7 + [3, 6, 3, 6, 3, 3, 3, 3]
    assert len({seed for _, _, seed, _ in seen}) == 1


# ---- how many samples ----


def test_what_filters_said_is_added_up() -> None:
    assert summed_reports([{"a": {"in": 3, "mean": 0.5}}, {"a": {"in": 2, "mean": 0.7}}]) == {
        "a": {"in": 5, "mean": 0.5}
    }
    again = [{"a": {"in": 3, "dropped": 1, "repeats": 1}}, {"a": {"dropped": 2, "repeats": 2}}]  # of earlier rounds
    assert summed_reports(again) == {"a": {"in": 3, "dropped": 3, "repeats": 3}}


def test_imbalance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged, fit = [], cell_module.fit_features
    monkeypatch.setattr(
        cell_module,
        "fit_features",
        lambda schema, rows, *a, **o: judged.append(rows["y"]) or fit(schema, rows, *a, **o),
    )
    options = {"per_class": None, "seeds": [0], "ratios": [0.2], "imbalance": [{"9": 0.1, 8: 0.05}]}
    arms = ["classical_oversampled", "smote", "gan", "oversampled_gan"]
    rows = whole(study(tmp_path, **options, arms=arms, repeats=1)["rows"])
    every = ["real", "oversampled", "smote", "classical_oversampled", "gan", "oversampled_gan"]
    assert list(rows) == every  # real and oversampled, to compare with
    row = rows["real"]
    assert (row["imbalance"], row["rarest"], row["per_class"]) == ("8:0.05,9:0.1", "8", None)
    n = row["train_rows"]
    largest = rows["oversampled"]["train_rows"] // 10
    assert rows["classical_oversampled"]["train_rows"] == rows["oversampled"]["train_rows"]
    assert rows["classical_oversampled"]["accuracy"] != rows["oversampled"]["accuracy"]  # augmented
    assert judged[0].bincount().tolist() == [largest] * 10, "it knows rare classes as well as the others"
    assert rows["smote"]["train_rows"] == n
    assert rows["smote"]["synthetic_rows"] == 10 * largest - n
    cell = facts(tmp_path, "8%3A0.05,9%3A0.1,seed=0")
    assert cell["samples"]["kept"]["8"] > cell["samples"]["kept"]["9"] > cell["samples"]["kept"]["0"]
    assert rows["oversampled_gan"]["train_rows"] == 10 * largest
    assert rows["oversampled_gan"]["synthetic_rows"] == 10 * int(0.2 * n / 10 + 0.5), "as many of each class"


def test_the_kinds_own_classifier_with_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By class path it keeps the arms of classical augmentation, and what is trained has the options."""
    trained: list[tuple[int, tuple[str, ...]]] = []
    loss = ImageClassifier.loss
    monkeypatch.setattr(
        ImageClassifier, "loss", lambda self, b: trained.append((self.hparams["width"], self.chosen)) or loss(self, b)
    )
    narrow = partial(ImageClassifier, width=3, steps=1000)  # the default of steps, as the command line hands it over
    rows = study(tmp_path, classifier=narrow, seeds=[0], arms=["real", "classical"])["rows"]
    assert {row["arm"] for row in rows} == {"real", "classical"}
    assert {(3, ()), (3, ("shift", "rotate", "trivialaugment"))} <= set(trained)
    asked = json.loads((tmp_path / "study.json").read_text())
    assert asked["classifier.width"] == 3
    assert "classifier.steps" not in asked


def test_samples_are_marked_for_the_classifier(tmp_path: Path, monkeypatch) -> None:
    seen = {}
    learn = Network.learn

    def watched(self, schema, rows, *rest):
        seen[len(seen)] = int(rows["synthetic"].sum())
        return learn(self, schema, rows, *rest)

    monkeypatch.setattr(Network, "learn", watched)
    fit, given = learners.fit_classifier, []
    monkeypatch.setattr(learners, "fit_classifier", lambda *a, **options: given.append(options) or fit(*a, **options))
    study(tmp_path, seeds=[0], arms=["gan", "gan_only"], ratios=[0.5], curriculum=0.5, label_smoothing=0.1)
    assert list(seen.values()) == [0, 20, 20, 0, 0, 16]
    assert {(options["curriculum"], options["label_smoothing"]) for options in given} == {(0.5, 0.1)}


def test_filters_are_refilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, asked = cell_module.draw_samples, []
    monkeypatch.setattr(cell_module, "draw_samples", lambda m, i, *rest: asked.extend(i.tolist()) or draw(m, i, *rest))
    study(tmp_path, seeds=[0], filters=["agreement"], arms=["gan"])
    cell = facts(tmp_path, "n=4,seed=0")
    kept, missing = cell["samples"]["kept"], cell["samples"]["missing"]
    assert 40 < cell["samples"]["drawn"] <= 5 * 40
    whole = asked[: cell["samples"]["drawn"]]  # the fold's follow
    assert whole == list(range(len(whole))), "none is drawn twice"
    assert cell["filters"]["agreement"]["in"] == cell["samples"]["drawn"]
    assert all(kept[name] + missing.get(name, 0) == 4 for name in kept)
    assert sum(kept.values()) <= cell["samples"]["drawn"] - cell["filters"]["agreement"]["dropped"]


def test_a_collapsed_gan_is_counted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws the same for every latent: whatever is not kept of all rounds, somebody has dropped."""
    sample = DCGAN.sample
    monkeypatch.setattr(DCGAN, "sample", lambda self, latent, labels: sample(self, latent * 0, labels))
    study(tmp_path, seeds=[0], filters=["duplicates"], arms=["gan"])
    cell = facts(tmp_path, "n=4,seed=0")
    found, kept = cell["filters"]["duplicates"], sum(cell["samples"]["kept"].values())
    assert 0 < kept <= 10
    assert (cell["samples"]["drawn"], found["in"], found["dropped"]) == (200, 200, 200 - kept)
    assert (found["copies"], found["near"], found["repeats"]) == (0, 0, 200 - kept)


def test_copies_are_counted_before_they_are_filtered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Copier(DCGAN):
        def sample(self, latent, labels):
            x = torch.stack([known[int(y)][int(k)] for y, k in zip(labels, latent[:, 0] > 0, strict=True)])
            return {"x": x, "y": labels}

    data = digits(per_class=4, seed=0)
    data.setup()
    known = {c: data.schema.prepare(data.train.fields)["x"][data.train.fields["y"] == c] for c in range(10)}
    arms_ = ["gan", "gan_only", "trts"]
    rows = study(tmp_path, seeds=[0], model=partial(Copier, width=8), filters=["duplicates"], arms=arms_)["rows"]
    cell = facts(tmp_path, "n=4,seed=0")
    assert cell["memorisation"]["copies"] == 1
    assert cell["samples"]["kept"] == dict.fromkeys("0123456789", 0)
    by = whole(rows)  # with nothing left the arm is that of the real rows
    assert (by["gan"]["synthetic_rows"], by["gan"]["accuracy"]) == (0, by["real"]["accuracy"])
    assert by["gan"]["lacking_rows"] == 40
    assert by["gan_only"]["accuracy"] is None
    assert by["trts"]["accuracy"] > by["real"]["accuracy"], "of samples before filters: all of its training rows"


def test_each_seed_draws_everything_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[Any]] = {}

    def watched(owner: Any, name: str, seed_of: Callable[..., Any]) -> None:
        function = getattr(owner, name)

        def noted(*args, **kwargs):
            drawn.setdefault(name, []).append(seed_of(*args, **kwargs))
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, noted)

    watched(cell_module, "draw_samples", lambda model, latents, y, seed: seed)
    watched(cell_module, "fit_features", lambda schema, rows, seed, **_: seed)
    watched(Network, "learn", lambda self, schema, rows, steps, seed, augment: seed)
    watched(arms_module, "redrawn", lambda rows, counts, seed: seed)
    watched(arms_module, "some_rows", lambda rows, count, seed: seed)
    watched(Recipe, "make", lambda self, schema, seed=None: seed)
    study(tmp_path, selection="validation", arms=["gan", "placebo"], ratios=[1.0], shift=["noise"])
    assert set(drawn) == {"draw_samples", "fit_features", "learn", "redrawn", "some_rows", "make"}
    for name, seeds in drawn.items():
        assert len(set(seeds) - {None}) == 2, f"{name}: one a seed of the study, the same for all arms"


# ---- going on ----


class Killed(BaseException):
    pass


def killing(function: Callable, calls: int) -> Callable:
    left = [calls]

    def dies(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return function(*args, **kwargs)

    return dies


@pytest.mark.parametrize(
    ("owner", "name", "calls", "steps"),
    [
        (DCGAN, "training_step", 3, [2, 3, 0, 1, 2, 3]),  # steps of the GANs that are still to be done
        (DCGAN, "training_step", 6, [2, 3]),
        (cell_module, "load", 0, [0, 1, 2, 3]),
        (cell_module, "draw", 1, []),
        (cell_module, "_write", 0, [0, 1, 2, 3]),
        (cell_module, "_write", 1, [0, 1, 2, 3]),
        (Network, "learn", 1, [0, 1, 2, 3]),
        (Network, "learn", 3, []),
    ],
)
def test_killed_anywhere_it_goes_on_to_the_same_rows(
    owner, name: str, calls: int, steps: list[int], short: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_module, "LastCheckpoint", lambda: LastCheckpoint(every_n_steps=2))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killing(getattr(owner, name), calls))
        with pytest.raises(Killed):
            study(tmp_path, **SHORT)
    assert not (tmp_path / "results.csv").exists()
    went_on = []
    step = DCGAN.training_step
    monkeypatch.setattr(DCGAN, "training_step", lambda self, *a: (went_on.append(self.step), step(self, *a))[1])
    assert timeless(study(tmp_path, **SHORT)["rows"]) == short
    assert went_on == steps


def test_told_while_a_gan_is_saved_for_the_last_time(
    short: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = LastCheckpoint._save

    def told_meanwhile(self, trainer):
        signal.raise_signal(signal.SIGTERM)
        save(self, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(LastCheckpoint, "_save", told_meanwhile)
        with pytest.raises(Stopped, match=str(128 + signal.SIGTERM)):
            study(tmp_path, **SHORT)
    assert "runs" not in facts(tmp_path, "n=4,seed=0")
    assert timeless(study(tmp_path, **SHORT)["rows"]) == short


@pytest.mark.parametrize(("owner", "name"), [(DCGAN, "training_step"), (Network, "learn"), (cell_module, "draw")])
def test_slurm_is_asked_to_go_on(
    owner, name, short: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, asked = getattr(owner, name), []

    def told(*given, **options):
        os.kill(os.getpid(), signal.SIGUSR1)
        return function(*given, **options)

    before = signal.getsignal(signal.SIGUSR1)
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", "7")
        patch.setattr(sys.modules["ganaug.runtime.stopping"].subprocess, "run", lambda words, **_: asked.append(words))
        patch.setattr(owner, name, told)
        with pytest.raises(SystemExit) as end:
            study(tmp_path, **SHORT)
    assert asked == [["scontrol", "requeue", "7"]]
    assert signal.getsignal(signal.SIGUSR1) is before
    assert end.value.code == 128 + signal.SIGUSR1
    assert timeless(study(tmp_path, **SHORT)["rows"]) == short


def test_the_same_command_has_nothing_left_to_do(done: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DCGAN, "training_step", killing(DCGAN.training_step, 0))
    monkeypatch.setattr(Network, "learn", killing(Network.learn, 0))
    assert study(done[0])["rows"] == done[1]["rows"]


def test_another_request_is_refused(done: tuple[Path, dict], tmp_path: Path) -> None:
    for options, message in (
        ({"gan_steps": 5}, "gan_steps 4 there, 5 here"),
        ({"precision": "bf16-mixed"}, "precision 32-true there, bf16-mixed here"),
        ({"seeds": [0]}, "cells"),
        ({"ratio": 0.5}, "ratio 1.0 there, 0.5 here"),
        ({"folds": 4}, "folds 3 there, 4 here"),
        ({"selection": "validation"}, "selection folds there, validation here"),
        ({"until": 2.0}, "until None there, 2.0 here"),
        ({"shift": ["blur"]}, "shift [] there, ['blur'] here"),
        ({"data": digits(val_fraction=0.2)}, "data.val_fraction None there, 0.2 here"),
        ({"model": partial(DCGAN, width=16, latent_dim=8)}, "model.width 8 there, 16 here"),
        ({"label_smoothing": 0.1}, "classifier.label_smoothing 0.0 there, 0.1 here"),
        ({"classical": ["rotate"]}, "classifier.classical ['shift', 'rotate', 'trivialaugment'] there, ['rotate']"),
        ({"arms": ["gan"]}, "arms"),
    ):
        with pytest.raises(InputError, match="another study") as error:
            study(done[0], **options)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "study.json").write_text(json.dumps({"cells": ["n=4,seed=0"], "gan_steps": 4}))
    with pytest.raises(InputError, match=r"old holds a study of an earlier version: choose another folder$"):
        study(tmp_path / "old")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="no study"):
        study(tmp_path)


def test_of_studies_that_begin_at_the_same_time_one_has_the_folder(
    done: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And every task of it takes it for its own."""
    opened = []
    monkeypatch.setattr(sys.modules["ganaug.commands.augment"], "open_folder", lambda *given: opened.append(given))
    study(done[0])
    ours, cells = opened[0][0], opened[0][1]
    both = [replace(ours, out=tmp_path, gan_steps=steps) for steps in (4, 5)]

    def begun(one) -> bool:
        try:
            return open_folder(one, cells) is None
        except InputError as error:
            return "another study" not in str(error)

    with ThreadPoolExecutor(8) as pool, FileLock(tmp_path / ".lock"):
        told = [(k % 2, pool.submit(begun, both[k % 2])) for k in range(8)]
        time.sleep(0.2)
        assert not (tmp_path / "study.json").exists()
    results = {(which, future.result()) for which, future in told}
    assert results in ({(0, True), (1, False)}, {(0, False), (1, True)})


def test_a_study_is_of_the_rows_that_it_began_with(tmp_path: Path, caplog) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 200, (120, 8, 8), dtype=np.uint8), np.arange(120) % 2
    options = {**SHORT, "arms": ["real"], "selection": "validation"}

    def run(x: np.ndarray, y: np.ndarray) -> dict:
        np.savez(tmp_path / "a.npz", x=x, y=y)
        return study(tmp_path / "out", ImageArrays(tmp_path / "a.npz", batch_size=8), **options)

    first = run(x, y)
    assert run(x, y)["rows"] == first["rows"]
    turned = rng.permutation(120)
    for other in ((255 - x, y), (x[turned], y[turned]), (x, y[turned]), (x[:-2], y[:-2])):
        with pytest.raises(InputError, match=r"out holds a study of other rows: has .*a\.npz changed\? Choose another"):
            run(*other)
    asked = json.loads((tmp_path / "out" / "study.json").read_text())
    asked["fingerprint"] = [float(np.float32(one)) for one in asked["fingerprint"]]  # as another machine rounds
    asked["data.seed"] = 7  # no cell heeds it
    (tmp_path / "out" / "study.json").write_text(json.dumps(asked))
    assert run(x, y)["rows"] == first["rows"]
    (cell,) = (tmp_path / "out" / "cells").glob("*/cell.json")
    found = json.loads(cell.read_text())
    assert len(found["made_with"]) == 1
    assert f"torch {version('torch')}, " in found["made_with"][0]
    cell.write_text(json.dumps(found | {"made_with": [*found["made_with"], "ganaug 0.0, on another machine"]}))
    with pytest.warns(UserWarning, match="cells were made with different versions, devices or threads"):
        run(x, y)
    cell.write_text("")
    with pytest.raises(
        InputError, match=r"cell\.json: cannot be read .*: remove it, and the same command runs the cell"
    ):
        run(x, y)
    cell.unlink()
    (tmp_path / "out" / "study.json").write_text('{"x')
    with pytest.raises(InputError, match=r"study\.json: cannot be read .*: choose another folder"):
        run(x, y)


def test_what_two_studies_differ_in_is_shown_without_all_their_cells(tmp_path: Path) -> None:
    options = {**SHORT, "arms": ["real"], "selection": "validation"}
    study(tmp_path, seeds=list(range(30)), cell=0, **{k: v for k, v in options.items() if k != "seeds"})
    with pytest.raises(InputError, match="another study") as error:
        study(tmp_path, **options | {"seeds": [0, 50, 51]})
    assert "cells: 29 there alone, such as n=4,seed=1, 2 here alone, such as n=4,seed=50" in str(error.value)


def test_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (gpus("auto"), gpus("cpu")) == (["0", "1"], [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    assert gpus("cuda") == ["GPU-a", "GPU-b"]
    with starting(1) as start:
        for given, taken in ("", "GPU-a,GPU-b"), ("GPU-b", "GPU-b"):
            pool = start(given)
            pool._initializer(*pool._initargs)  # as its process would
            assert os.environ["CUDA_VISIBLE_DEVICES"] == taken


def test_processes_multiply_as_their_parent_does() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        with starting(1) as start:
            torch.set_float32_matmul_precision("highest")
            pool = start("")
            pool._initializer(*pool._initargs)  # as its process would
            assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_two_processes_do_not_run_the_same_cell(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    study(tmp_path / "out", list_cells=True)
    folder = tmp_path / "out" / "cells" / "n=4,seed=0"

    def busy(*_: object) -> None:
        with pytest.raises(InputError, match="another process is at work on"):
            run_cell(*cells[0])
        raise InputError("seen")

    cells = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["ganaug.study.cell"], "_run", lambda *given: cells.append(given[:2]) or busy())
        with pytest.raises(InputError, match="seen"):
            study(tmp_path / "out", seeds=[0])
    assert folder.is_dir()
    assert study(tmp_path / "out", seeds=[0])["rows"], "and the lock is gone with the process"


def test_a_cell_alone_and_then_all(short: list[dict], tmp_path: Path, capsys) -> None:
    assert study(tmp_path, list_cells=True, **SHORT)["cells"] == ["n=4,seed=0", "n=4,seed=0,fold=0"]
    assert capsys.readouterr().out == "   0 n=4,seed=0\n   1 n=4,seed=0,fold=0\n"
    assert {row["fold"] for row in study(tmp_path, cell=1, **SHORT)["rows"]} == {0}
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == ["cells", "study.json"]
    assert timeless(study(tmp_path, **SHORT)["rows"]) == short


def test_a_second_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """It comes to the rows that its seeds would have come to, and goes on by cells like the first."""
    options = {**SHORT, "seeds": [0, 4], "until": 3.0}
    asked = []
    monkeypatch.setattr(stages, "seeds_wanted", lambda given, half: asked.append((given, half)) or 3)
    names = ["n=4,seed=0", "n=4,seed=0,fold=0", "n=4,seed=4", "n=4,seed=4,fold=0"]
    assert study(tmp_path, list_cells=True, **options)["cells"] == names
    with pytest.raises(InputError, match="cell must be from 0 to 3, not 4"):
        study(tmp_path, cell=4, **options)
    for cell in range(4):
        study(tmp_path, cell=cell, **options)
    assert study(tmp_path, list_cells=True, **options)["cells"] == [*names, "n=4,seed=5", "n=4,seed=5,fold=0"]
    assert {row["seed"] for row in study(tmp_path, cell=5, **options)["rows"]} == {5}
    with caplog.at_level("INFO"):
        result = study(tmp_path, **options)
    assert "a second stage brings each setting to at most 50 seeds" in caplog.text
    assert "all 4 cells are done; the arms are" in caplog.text
    assert "second stage, for 3 points: 1 cell beside 1 that is done: 1 GAN of 4 steps and 2 classif" in caplog.text
    gains = [by["gan"]["accuracy"] - by["real"]["accuracy"] for by in (whole(result["rows"], seed) for seed in (0, 4))]
    assert asked[-1] == (gains, 0.03), "the first stage alone"
    alone = study(tmp_path / "alone", **SHORT | {"seeds": [5]})["rows"]
    assert timeless(row for row in result["rows"] if row["seed"] == 5) == timeless(alone)
    assert result["summary"]["settings"][0]["seeds"] == [0, 4, 5]


def test_workers_come_to_the_same_rows(short: list[dict], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="workers above 1 need"):
        study(tmp_path, workers=2, classifier=lambda schema: Linear(schema))
    assert timeless(study(tmp_path, workers=2, **SHORT)["rows"]) == short


def test_a_cell_that_fails_does_not_take_the_others_along(tmp_path: Path, monkeypatch, caplog) -> None:
    learn, calls = Network.learn, []
    options = {"arms": ["real"], "selection": "validation"}

    def fails(self, schema, rows, steps, seed, augment):
        calls.append(seed)
        if len(set(calls)) == 1:
            raise RuntimeError("no more\nluck")
        return learn(self, schema, rows, steps, seed, augment)

    with monkeypatch.context() as patch:
        patch.setattr(Network, "learn", fails)
        with pytest.raises(InputError, match="1 of 2 cells failed") as error:
            study(tmp_path, **options)
    assert "n=4,seed=0: RuntimeError: no more luck (traceback in " in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / "cells" / "n=4,seed=0" / "error.txt").is_file()
    assert (tmp_path / "results.csv").read_text().count("n=4,seed=1") == 2
    found = json.loads((tmp_path / "summary.json").read_text())
    assert list(found["summary"]["failed"]) == ["n=4,seed=0"]
    assert found["verdict"].endswith("; 1 cell failed and is not in this.")
    with caplog.at_level("INFO"):
        assert [row["seed"] for row in study(tmp_path, **options)["rows"]] == [0, 0, 1, 1]
    assert "1 cell beside 1 that is done: 0 GANs" in caplog.text
    assert not (tmp_path / "cells" / "n=4,seed=0" / "error.txt").exists()


def test_cells_that_fail_alike_are_told_once(tmp_path: Path, monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise InputError("no room")

    monkeypatch.setattr(Network, "learn", fails)
    message = r"^2 of 2 cells failed, the same command tries these again: n=4,seed=0 and 1 more: no room$"
    with pytest.raises(InputError, match=message):
        study(tmp_path, arms=["real"], selection="validation")


def test_what_a_kill_left_beside_a_checkpoint_is_in_nobodys_way(short: list[dict], tmp_path: Path) -> None:
    left = tmp_path / "cells" / "n=4,seed=0" / "checkpoints" / ".last.ckpt.123.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    study(tmp_path / "other", **SHORT)
    (tmp_path / "other" / "study.json").rename(tmp_path / "study.json")
    assert timeless(study(tmp_path, **SHORT)["rows"]) == short
    assert not left.parent.exists()


def test_time_left_is_by_cells_done_in_this_run() -> None:
    task = SimpleNamespace(completed=3, remaining=8, elapsed=605.0, fields={"before": 1})  # two side by side
    assert str(TimeLeft().render(task)) == "0:40:20 left"
    task.fields["before"] = 3
    assert str(TimeLeft().render(task)) == "-:--:-- left"


# ---- who learns ----


class Linear(LightningModule):
    """Somebody's own."""

    def __init__(self, schema: Schema, outputs: int | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(64, outputs or schema.num_classes)

    def forward(self, batch):
        return self.layer(batch["x"].flatten(1))

    def training_step(self, batch, _):
        return nn.functional.cross_entropy(self(batch), batch["y"])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


def test_own_module_learns(tmp_path: Path) -> None:
    data = digits(per_class=20)
    data.setup()
    rows, test = data.train.fields, data.test.fields
    learner = Module(Linear, "cpu")
    state = torch.get_rng_state()
    predict = learner.learn(data.schema, rows, 100, 0, False)
    assert float((predict(test).argmax(1) == test["y"]).float().mean()) > 0.8
    assert torch.allclose(predict(test).sum(1), torch.ones(len(test["y"])))
    assert torch.equal(learner.learn(data.schema, rows, 100, 0, False)(test), predict(test))
    assert torch.equal(state, torch.get_rng_state())
    result = study(tmp_path / "out", classifier=partial(Linear, outputs=10), seeds=[0], classifier_steps=5)
    assert list(whole(result["rows"])) == ["real", "gan", "gan_only", "trts"]
    asked = json.loads((tmp_path / "out" / "study.json").read_text())
    assert (asked["classifier.class"], asked["classifier.outputs"]) == (f"{__name__}.Linear", 10)
    with pytest.raises(InputError, match=r"must give logits \(\d+, 10\) for \d+ rows, not \(\d+, 11\)"):
        study(tmp_path / "wrong", classifier=partial(Linear, outputs=11))
    with pytest.raises(InputError, match="Linear cannot be trained on this data: IndexError: Target"):
        study(tmp_path / "wrong", classifier=partial(Linear, outputs=3))


class Torn(LogisticRegression):
    """Chooses another class than its probabilities do, as SVC may."""

    def predict(self, X):
        return np.full(len(X), 3)


def a_function(x):
    return x


def test_estimators_are_told_apart_by_all_their_options() -> None:
    words = [f"word{k}" for k in range(60)]
    described = [
        json.dumps(Estimator(make_pipeline(CountVectorizer(stop_words=stop), LogisticRegression(C=c))).describe())
        for stop, c in ((words, 1.0), ([*words[:-1], "other"], 1.0), (words, 2.0), (words, 1.0))
    ]
    assert len(set(described[:3])) == 3
    assert described[0] == described[3]
    told = json.dumps(Estimator(FunctionTransformer(a_function, kw_args={"a": np.arange(2)})).describe())
    assert f'"{__name__}.a_function"' in told
    assert '{"a": [0, 1]}' in told
    assert " at 0x" not in told
    assert Module(partial(Linear, outputs=partial(a_function, 3))).describe() == {
        "class": f"{__name__}.Linear", "outputs": {"class": f"{__name__}.a_function", "args": [3]}
    }  # fmt: skip


class Half(LogisticRegression):
    def predict(self, X):
        return np.full(len(X), 0.5)


def test_what_is_no_class_is_refused() -> None:
    data = digits(per_class=4)
    data.setup()
    predict = Estimator(Half()).learn(data.schema, data.train.fields, 0, 0, False)
    with pytest.raises(InputError, match=r"Half must give a class of 0 to 9 for each of \d+ rows, not \[0.5 0.5 0.5\]"):
        predict(data.test.fields)


def test_estimators_learn(tmp_path: Path) -> None:
    data = digits(per_class=20)
    data.setup()
    test = data.test.fields
    predict = Estimator(KNeighborsClassifier(1)).learn(data.schema, data.train.fields, 0, 0, False)
    train, asked = (t["x"].flatten(1).double() for t in (data.train.fields, test))
    nearest = data.train.fields["y"][torch.cdist(asked, train).argmin(1)]
    assert float((predict(test).argmax(1) == nearest).float().mean()) > 0.99  # but for ties
    some = {name: field[data.train.fields["y"] != 0] for name, field in data.train.fields.items()}
    sure = Estimator(LinearSVC()).learn(data.schema, some, 0, 0, False)(test)  # it knows no probabilities
    assert set(sure.unique().tolist()) == {0.0, 1.0}
    vague = Estimator(LogisticRegression()).learn(data.schema, some, 0, 0, False)(test)
    assert vague.shape == sure.shape == (len(test["y"]), 10)
    assert not vague[:, 0].any()  # a class it has never seen
    torn = Estimator(Torn()).learn(data.schema, data.train.fields, 0, 0, False)(test)
    assert torn.argmax(1).unique().tolist() == [3], "what it chooses counts, whatever its probabilities say"
    assert torch.allclose(vague.sum(1), torch.ones(len(vague)))
    assert float((vague.argmax(1) == test["y"]).float().mean()) > 0.6
    result = study(tmp_path, classifier=KNeighborsClassifier(1), seeds=[0])
    assert {row["steps"] for row in result["rows"]} == {1}, "it is trained to its own end"


def test_sentences(tmp_path: Path) -> None:
    small = {"embedding": 4, "hidden": 4, "filters": {1: 4}, "d_embedding": 4, "mle_steps": 2, "discriminator_steps": 1}
    model = partial(SeqGAN, rollouts=1, **small)
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression())
    data, options = Grammar(sentences=150, batch_size=8), {"seeds": [0], "per_class": [6], "filters": ["duplicates"]}
    rows = study(tmp_path / "a", data, model, classifier=pipeline, **options)["rows"]
    assert rows[0]["accuracy"] > 0.6
    rows = study(tmp_path / "b", data, model, **options)["rows"]
    assert set(whole(rows)) == {"real", "classical", "gan", "classical_gan", "gan_only", "trts"}
    with pytest.raises(InputError, match="LogisticRegression cannot learn from sentences") as error:
        study(tmp_path / "c", data, model, classifier=LogisticRegression(), **options)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="the arm smote needs"):
        study(tmp_path / "c", data, model, arms=["smote"], **options)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": [4, 4]}, "per_class: give at least one, and each once"),
        ({"per_class": []}, "per_class: give at least one"),
        ({"per_class": [4, 500]}, "500 rows asked of class"),
        ({"per_class": [0]}, "per_class must be at least 1"),
        ({"per_class": [0, 4]}, "per_class must be at least 1"),
        ({"imbalance": [{"ten": 0.1}]}, "unknown label 'ten'"),
        ({"imbalance": [{"3": 2.0}]}, "the share of class 3 must be above 0"),
        ({"seeds": [-1]}, "seeds must be at least 0"),
        ({"ratios": [0.0]}, "ratios must be above 0, not [0.0]"),
        ({"ratios": []}, "ratios must be numbers above 0"),
        ({"ratios": [1.0, 1.0000001]}, "ratios must be numbers above 0, each once"),
        ({"imbalance": [{"3": 0.5}, {"3": 0.5000001}]}, "imbalance: two of them are 3:0.5: give each once"),
        ({"until": 1.0, "seeds": [0, 2**64 - 1]}, "until goes on after the largest, 18446744073709551615"),
        ({"ratios": [math.nan]}, "ratios must be a list, each a number, not [nan]"),
        ({"ratios": [math.inf]}, "ratios must be a list, each a number, not [inf]"),
        ({"ratios": [0.1, 1.0]}, "ratios: 0.1 of 4 rows of a class is no sample"),
        ({"ratios": [0.13, 1.0]}, "ratios: 0.13 of 3 rows of a class is no sample"),
        ({"ratios": [0.1], "per_class": [2, 50]}, "ratios: 0.1 of 2 rows of a class is no sample"),
        ({"ratio": 2.0}, "ratio must be one of ratios, 0.5, 1, not 2"),
        ({"selection": "test"}, "selection must be folds or validation"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"repeats": 4}, "repeats must be at most 3"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"per_class": [1]}, "of 10 training rows of 10 classes none can be held out"),
        ({"until": 0.0}, "until must be above 0 and at most 100, not 0.0"),
        ({"until": 1.0, "seeds": [0]}, "until needs at least 2 seeds"),
        ({"until": 1.0, "max_seeds": 1}, "max_seeds must be at least 2"),
        ({"until": 1.0, "arms": ["real", "classical_placebo"]}, "until needs an arm that is compared"),
        ({"arms": ["oversampled_gan"]}, "the arm oversampled_gan needs classes of different sizes"),
        ({"classifier": KNeighborsRegressor()}, "KNeighborsRegressor is a regressor, which knows no classes"),
        ({"arms": ["real", "fake"]}, "there is no 'fake'; known are real"),
        ({"arms": ["smote"]}, "the arm smote needs classes of different sizes"),
        ({"arms": ["classical"], "classifier": Linear}, "the arm classical needs the classifier of the data's kind"),
        ({"arms": ["classical_oversampled"]}, "the arm classical_oversampled needs classes of different sizes"),
        ({"classical": []}, "classical: name a change, or leave it out"),
        ({"filters": ["density"]}, "filters: density needs validation rows"),
        ({"filters": ["magic"]}, "there is no 'magic'; known are discriminator"),
        ({"gan_steps": 0}, "gan_steps must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"cell": 4}, "cell must be from 0 to 3, not 4"),
        ({"classifier": 3}, "classifier must be a class or function or a Classifies or null, not 3"),
        ({"classifier": partial(ImageClassifier, steps=3)}, "classifier: steps is not its own here: classifier_steps"),
        ({"classifier": partial(ImageClassifier, augment=True)}, "classifier: augment is not its own here: classical"),
        ({"classifier": partial(ImageClassifier, label_smoothing=0.1)}, "classifier: label_smoothing is the study's"),
        ({"classifier": partial(ImageClassifier, breadth=3)}, "classifier: ImageClassifier has no breadth; it has"),
        ({"classifier": Linear, "label_smoothing": 0.1}, "label_smoothing is an option of the classifier"),
        ({"classifier": Linear, "classical": ["shift"]}, "classical is an option of the classifier"),
        ({"curriculum": 1.0}, "curriculum must be at least 0 and below 1, not 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0"),
        ({"shift": ["typos"]}, "shift: there is no 'typos'; known are noise, blur, contrast"),
        ({"classical": ["eda"]}, "classical: there is no 'eda'; known are shift, rotate, flip, randaugment"),
        ({"data": digits(val_fraction=0.0), "selection": "validation"}, "no val rows are left"),
        ({"data": Grammar(sentences=60)}, "model learns from image data, data gives text data"),
        ({"model": partial(DCGAN, width=8, conditional=False)}, "no labels to learn from"),
        ({"model": lambda schema: nn.Linear(1, 1)}, "model must make a GAN"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, dict) else "",
)  # fmt: skip
def test_bad_options_get_one_line_before_anything_is_made(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        study(tmp_path / "out", **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_command_line(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganaug.cli import main

    monkeypatch.chdir(tmp_path)
    command = ["augment", "--config", str(ROOT / "experiments" / "augment_digits.yaml"), "--out", "out"]
    quick = [
        "--per_class",
        "[3]",
        "--seeds",
        "[5]",
        "--gan_steps",
        "3",
        "--classifier_steps",
        "2",
        "--model.width",
        "8",
    ]
    main([*command, "--list_cells"])
    assert capsys.readouterr().out.splitlines()[-1] == "  29 n=50,seed=4,fold=0"
    main([*command, *quick, "--filters", "[]", "--accelerator", "cpu", "--progress", "false", "--arms", "[gan]"])
    asked = json.loads(Path("out", "study.json").read_text())
    assert (asked["model.width"], asked["model.augment"], asked["gan_steps"]) == (8, "translation", 3)
    assert Path("out", "report.html").is_file()
    for wrong, message in (
        (["--model.wdith", "3"], "--model: Option 'wdith' is not accepted"),
        (["--model", "Nope"], "no class 'Nope'; known are DCGAN"),
        (["--classifier", "sklearn.svm.SVC", "--classifier.D", "1"], "--classifier: Option 'D' is not accepted"),
        (["--ratios", "[a]"], "--ratios"),
        (["--config", "nothing.yaml"], "nothing.yaml"),
    ):
        with pytest.raises(SystemExit):
            main([*command, *wrong])
        error = capsys.readouterr().err.splitlines()
        assert error[-1].startswith("ganaug augment: error: ")
        assert message in error[-1]
    assert json.loads(Path("out", "summary.json").read_text())["summary"]["settings"][0]["seeds"] == [5]


def test_what_is_said_of_the_data_is_said_once(tmp_path: Path, caplog) -> None:
    from ganaug.cli import main

    x, y = np.zeros((90, 8, 8), np.uint8), np.arange(90) % 3
    np.savez(tmp_path / "own.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    data = ["--data", "ImageArrays", "--data.path", str(tmp_path / "own.npz"), "--model", "DCGAN"]
    with caplog.at_level("INFO", "lightning.pytorch"):
        main(["augment", *data, "--out", str(tmp_path / "out"), "--list_cells"])
    said = [message for message in caplog.messages if "splits of its own" in message]
    assert len(said) == 1


def test_output_that_nobody_reads_any_more(tmp_path: Path, monkeypatch, capsys) -> None:
    from ganaug.cli import main

    def gone(*_) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("ganaug.parsing.run_verb", gone)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as stop:
            main(["augment"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "ganaug augment: error: whatever read the output has closed it\n"


def test_smote_without_its_library_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganaug.study.plan.find_spec", lambda name: None)
    options = {"per_class": None, "seeds": [0], "ratios": [0.2], "imbalance": [{"9": 0.1, "8": 0.05}]}
    with pytest.raises(InputError, match=r"the arm smote needs imbalanced-learn \(pip install"):
        study(tmp_path, **options, arms=["real", "smote"])
    assert not list((tmp_path).glob("*/cells/*"))
