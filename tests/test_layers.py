"""Imports run one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A file may import from files of lower rank, and within ``datamodules`` from its own package.
RANK = {
    "datamodules": -1,
    "ganaug.series_classifier": 0,
    "ganaug.imageaug": 0,
    "ganaug.seriesaug": 0,
    "ganaug.textaug": 0,
    "ganaug.losses": 0,
    "ganaug.conv": 1,
    "ganaug.containers": 0,
    "ganaug.checkpoint": 0,
    "ganaug.ema": 1,
    "ganaug.diffaug": 1,
    "ganaug.metrics": 1,
    "ganaug.critic": 1,
    "ganaug.decoder": 1,
    "ganaug.classifiers": 1,
    "ganaug.devices": 0,
    "ganaug.gru": 0,
    "ganaug.metrics.series": 0,
    "ganaug.recurrent": 1,
    "ganaug.convnets": 2,
    "ganaug.moments": 1,
    "ganaug.frames": 1,
    "ganaug.figures": 1,
    "ganaug.loggers": 2,
    "ganaug.seriesplots": 2,
    "ganaug.randomness": 0,
    "ganaug.gan": 2,
    "ganaug.loading": 3,
    "ganaug.resume": 1,
    "ganaug.recipe": 1,
    "ganaug.outside": 0,
    "ganaug.typed": 0,
    "ganaug.finetune": 3,
    "ganaug.rollout": 2,
    "ganaug.reinforce": 3,
    "ganaug.downstream": 2,
    "ganaug.textscores": 3,
    "ganaug.seriesscores": 3,
    "ganaug.timegan": 3,
    "ganaug.dcgan": 3,
    "ganaug.seqgan": 4,
    "ganaug.callbacks": 3,
    "ganaug.filters": 3,
    "ganaug.smote": 3,
    "ganaug.leak": 3,
    "ganaug.temperatures": 4,
    "ganaug.learners": 4,
    "ganaug.paired": 4,
    "ganaug.commands.generate": 5,
    "ganaug.commands.evaluate": 5,
    "ganaug.commands.export": 5,
    "ganaug.commands.inspect": 5,
    "ganaug.facts": 0,
    "ganaug.synthetic": 6,
    "ganaug.resample": 7,
    "ganaug.markup": 4,
    "ganaug.gallery": 5,
    "ganaug.studyplots": 6,
    "ganaug.report": 7,
    "ganaug.study": 5,
    "ganaug.arms": 6,
    "ganaug.commands.augment": 8,
    "ganaug.public": 9,
    "ganaug": 10,
    "ganaug.signals": 0,
    "ganaug.distributed": 0,
    "ganaug.parsing": 11,
    "ganaug.cli": 12,
}
FILES = sorted(p for package in ("datamodules", "ganaug") for p in (ROOT / package).rglob("*.py"))


def rank(module: str) -> int:
    while module and module not in RANK:
        module = module.rpartition(".")[0]
    return RANK[module]


def name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            found.add(node.module)
    return {module for module in found if module.split(".")[0] in ("ganaug", "datamodules", "experiments", "tests")}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_one_way(path: Path) -> None:
    me = name(path)
    for module in imported(path):
        same_package = me.split(".")[0] == module.split(".")[0] == "datamodules"
        assert same_package or rank(module) < rank(me), f"{me} must not import {module}"


def test_no_drawers_for_odds_and_ends() -> None:
    assert not {path.stem for path in FILES} & {"utils", "helpers", "manager", "common", "misc"}
