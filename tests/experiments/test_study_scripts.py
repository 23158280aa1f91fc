"""The scripts that read finished studies again."""

from __future__ import annotations

import functools
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from datamodules import Digits
from ganaug import DCGAN, R3GAN, augment
from ganaug.classifiers import ImageClassifier

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a rare digit, hardly trained."""
    out = tmp_path_factory.mktemp("study") / "rare"
    augment(
        Digits(image_size=8),
        functools.partial(DCGAN, width=4),
        out,
        per_class=[12],
        imbalance=[{8: 0.5}],
        seeds=[0, 1],
        gan_steps=4,
        ratios=[0.5],
        arms=["classical_oversampled_gan"],
        filters=["duplicates"],
        shift=[],
        classifier=functools.partial(ImageClassifier, width=4),
        classifier_steps=3,
        threads=1,
        progress=False,
    )
    return out


def printed(
    script: str, study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str
) -> list[str]:
    monkeypatch.setattr(sys, "argv", [script, str(study), *options])
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    runpy.run_path(str(EXPERIMENTS / script), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_the_same_rows_by_two_rules(study, capsys, monkeypatch):
    head, _, line = printed("study_rules.py", study, capsys, monkeypatch)
    said = dict(zip(head.strip("| ").split(" | "), line.strip("| ").split(" | "), strict=True))
    assert said["setting"] == "12 a class, imbalance 8:0.5"
    assert said["never"].endswith("(classical_oversampled)")
    assert all(said[rule] for rule in ("always", "by folds", "by validation"))


def test_of_two_stages_the_spread_is_the_first_s(study, capsys, monkeypatch, tmp_path):
    asked = json.loads((study / "study.json").read_text(encoding="utf-8"))
    names = [f"n=12,8:0.5,seed={seed}" for seed in (8, 9, 10)]
    gains = [0.1, 0.2, 0.3]
    for name, gain in zip(names, gains, strict=True):
        cell = json.loads((study / "cells" / "n=12,8%3A0.5,seed=0" / "cell.json").read_text(encoding="utf-8"))
        for row in cell["rows"]:
            row |= {"cell": name, "seed": int(name.rpartition("=")[2]), "fold": None, "macro_f1": 0.5}
            row["macro_f1"] += gain if row["ratio"] else 0.0
        (tmp_path / "cells" / name).mkdir(parents=True)
        (tmp_path / "cells" / name / "cell.json").write_text(json.dumps(cell), encoding="utf-8")

    def always(until: float | None) -> str:
        both = {"cells": names[:2], "until": until}
        (tmp_path / "study.json").write_text(json.dumps(asked | both), encoding="utf-8")
        return printed("study_rules.py", tmp_path, capsys, monkeypatch)[2].split(" | ")[5]

    for until, count in ((None, 3), (1.0, 2)):
        half = stats.t.ppf(0.975, count - 1) * np.std(gains[:count], ddof=1) / np.sqrt(3)
        assert (
            always(until)
            == f"+20.0 ({'−' if half > 0.2 else ''}{100 * abs(0.2 - half):.1f} to {100 * (0.2 + half):.1f})"
        )


def test_other_uses_of_the_samples_of_a_study(study, capsys, monkeypatch):
    lines = printed("uses_of_samples.py", study, capsys, monkeypatch)
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")][2:]
    assert [line[0] for line in table] == [
        "never", "mixed", "never, two averaged", "mixed and never averaged", "samples first", "fresh", "apart",
        "fresh, wide", "by density", "boundary", "relabelled", "D's features",
    ]  # fmt: skip
    assert {line[1] for line in table} == {"2"}
    cells = (study / "results.csv").read_text(encoding="utf-8")
    for seed in (0, 1):  # these two are what the study trained, to the bit
        for use, arm in (("never", "classical_oversampled,0.0"), ("mixed", "classical_oversampled_gan,0.5")):
            score = next(line for line in lines if line.startswith(f"n=12,8:0.5,seed={seed}: {use} ")).split()[-1]
            (row,) = [row for row in cells.splitlines() if f'seed={seed}",12,8:0.5,{seed},,{arm},1,' in row]
            assert f"{100 * float(row.split(arm)[1].split(',')[3]):.1f}" == score


def test_some_uses_alone(study, capsys, monkeypatch):
    lines = printed("uses_of_samples.py", study, capsys, monkeypatch, "--only", "samples first; boundary")
    assert [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("|")][2:] == [
        "never", "mixed", "samples first", "boundary",
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="no use is called 'Boundary'; there are never, two averaged, mixed and never"):
        printed("uses_of_samples.py", study, capsys, monkeypatch, "--only", "Boundary")


@pytest.mark.parametrize("model", [DCGAN, R3GAN])
def test_features_of_a_discriminator_tell_rows_apart_that_it_is_told_one_class_for(model, monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    from uses_of_samples import CellUses

    data = Digits()
    data.setup()
    rows = {name: field[:32] for name, field in data.load()[0].fields.items()}
    cell = SimpleNamespace(model=model(data.schema).eval(), schema=data.schema)
    features = CellUses.seen(cell, rows)
    assert len(features) == 32
    assert len(np.unique(features, axis=0)) > 30
