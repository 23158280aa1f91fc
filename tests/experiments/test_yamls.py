"""The YAML files, the README's commands and the package's metadata: what a stranger tries first."""

import html
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import datamodules
from datamodules import ImageSchema
from ganaug.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = [
    "--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.max_steps", "3", "--data.batch_size", "8",
    "--trainer.val_check_interval", "2", "--trainer.limit_val_batches", "2", "--scores.steps", "5",
]  # fmt: skip


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
        test = ["--data.test_path", "text.jsonl"] if "test_path" in path.read_text() else []
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


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands one after the other, cut short, in a folder that has what they name; then its Python."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (20, 16, 3), dtype=np.uint8)).save(f"photos/{name}/{i}.png")
    np.savez("arrays.npz", x=rng.integers(0, 255, (400, 8, 8), dtype=np.uint8), y=np.arange(400) % 5)
    rows = [{"text": f"how many legs has animal {i} ?", "label": "ab"[i % 2]} for i in range(200)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = "".join(f"{hour},{hour % 7},{hour % 5 / 2}\n" for hour in range(600))
    (tmp_path / "sensors.csv").write_text("time,heat,load\n" + rows)
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("ganaug ")]
    assert {shlex.split(c)[1] for c in commands} == {"fit", "generate", "evaluate", "augment"}
    ran = 0
    for command in commands:
        _, verb, *rest = shlex.split(command)
        if "MNIST" in rest:  # would download
            continue
        if verb == "fit":
            rest += SMALL
            if "last" in rest:
                rest[rest.index("--trainer.max_steps") + 1] = "5"
        if verb == "generate":
            rest[rest.index("--per_class") + 1] = "2"
        if verb == "evaluate":
            rest += ["--classifier_steps", "5", "--repeats", "0"]
        if verb == "augment":
            rest += ["--per_class", "[2]", "--seeds", "[0,1]", "--gan_steps", "2", "--classifier_steps", "2",
                     "--filters", "[]", "--arms", "[real,gan]", "--accelerator", "cpu", "--threads", "1"]  # fmt: skip
        main([verb, *rest])
        ran += 1
    assert ran == len(commands) - 1
    assert (tmp_path / "samples" / "grid.png").is_file()
    assert (tmp_path / "scores.json").is_file()
    assert (tmp_path / "sentences" / "samples.jsonl").is_file()
    assert (tmp_path / "sentences.json").is_file()
    assert (tmp_path / "series" / "samples.csv").is_file()
    assert (tmp_path / "series_comparison.png").is_file()
    assert (tmp_path / "study" / "report.html").is_file()
    space: dict = {}
    for block in blocks("python"):
        exec(block, space)
    assert space["pictures"].shape == (10, 8, 8, 1)


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
