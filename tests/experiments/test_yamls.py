"""The YAML files, and what the README names."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import datamodules
from datamodules import ImageSchema
from ganaug.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def stand_in(path: Path, config: dict) -> list[str]:
    """Options that put small made-up data in the place of what a YAML names, where that is not at hand."""
    kind = config["data"]["class_path"]
    labels = ["a", *(label for shares in config.get("imbalance", [{"b": 1}]) for label in shares)]
    count = 160 * len(labels) if "imbalance" in config else 40
    if kind in ("MNIST", "FashionMNIST", "CIFAR10", "ImageArrays"):
        shape = {"CIFAR10": (32, 32, 3), "ImageArrays": (64, 64, 3)}.get(kind, (28, 28))
        pictures = 160 if "imbalance" in config else 60
        arrays = {"x": np.random.default_rng(0).integers(0, 255, (pictures, *shape), dtype=np.uint8)}
        np.savez("arrays.npz", **arrays, **({} if "faces" in path.stem else {"y": np.arange(pictures) % 10}))
        few = ["--data.per_class", "2"] if "per_class" in path.read_text() else []
        return ["--data", "ImageArrays", "--data.path", "arrays.npz", *few]
    if kind == "TextFile":
        rows = [{"text": f"animal {i % 7} ?", "label": labels[i % len(labels)]} for i in range(count)]
        Path("text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        Path("test.jsonl").write_bytes(Path("text.jsonl").read_bytes())
        test = ["--data.test_path", "test.jsonl"] if "test_path" in path.read_text() else []
        return ["--data.path", "text.jsonl", *test, "--data.max_length", "40"]
    if kind == "SeriesArrays":
        y = {name: np.array(labels)[np.arange(n) % len(labels)] for name, n in (("y_train", count), ("y_test", 20))}
        x = {name: np.random.default_rng(0).random((len(labels), 12, 2)) for name, labels in y.items()}
        np.savez("series.npz", x_train=x["y_train"], x_test=x["y_test"], layout="NTF", **y)
        return ["--data.path", "series.npz", *(["--data.layout", "NTF"] if "layout" in path.read_text() else [])]
    return []


YAMLS = sorted((ROOT / "experiments").glob("*.yaml"))
STUDIES = [path for path in YAMLS if path.stem.startswith("augment_")]
RUNS = [path for path in YAMLS if path not in STUDIES]
PHASES = {"SeqGAN": ["mle_steps", "discriminator_steps"], "TimeGAN": ["autoencoder_steps", "supervisor_steps"]}


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_study_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load(path.read_text())
    phases = PHASES.get(config["model"]["class_path"], [])
    few = ["--per_class", "[2]"] if "per_class" in config else []
    main([
        "augment", "--config", str(path), *stand_in(path, config), "--out", "study", *few,
        "--seeds", "[0]", "--gan_steps", str(len(phases) + 1), "--classifier_steps", "2", "--ratios", "[1]",
        "--arms", "[real,gan]", "--filters", "[]", "--accelerator", "cpu", "--threads", "1", "--progress", "false",
        *(word for name in phases for word in (f"--model.{name}", "1")),
    ])  # fmt: skip
    summary = json.loads((tmp_path / "study" / "summary.json").read_text())
    assert html.escape(summary["verdict"]) in (tmp_path / "study" / "report.html").read_text()


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.stem)
def test_every_yaml_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load(path.read_text())
    phases = PHASES.get(config["model"]["class_path"], [])
    main([
        "fit", "--config", str(path), *stand_in(path, config),
        "--trainer.fast_dev_run", str(len(phases) + 2), "--trainer.accelerator", "cpu", "--scores.steps", "5",
        "--data.batch_size", "4", *(word for name in phases for word in (f"--model.{name}", "1")),
    ])  # fmt: skip


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_yaml_holds_no_defaults(path: Path) -> None:
    import inspect

    import ganaug

    config = yaml.safe_load(path.read_text())
    for key, module in (("model", ganaug), ("data", datamodules)):
        kind = getattr(module, config[key]["class_path"])
        parameters = {n: p.default for k in reversed(kind.__mro__) for n, p in _signature(inspect, k).items()}
        for name, value in config[key].get("init_args", {}).items():
            assert parameters[name] != value, f"{key}.{name} is the default"


def _signature(inspect, kind: type) -> dict:
    return dict(inspect.signature(kind.__init__).parameters) if "__init__" in vars(kind) else {}


def test_readme_names_files_that_are_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for path in re.findall(r"experiments/\w+\.yaml", README):
        assert (ROOT / path).exists(), path


def test_make_targets_of_the_readme_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", README, re.MULTILINE)) <= set(targets)


def test_documented_names_are_importable() -> None:
    assert all(hasattr(datamodules, name) for name in datamodules.__all__)
    assert ImageSchema.kind == "image"
