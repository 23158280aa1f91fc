"""Imports run one way, from room to room, and no room is crowded."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the ground up. A room may import from those below it, and from the files of its own.
LEVELS = (
    ("datamodules.errors", "datamodules.lightning_internals"),
    ("datamodules.options", "datamodules.labels", "datamodules.splits"),
    ("datamodules.schema",),
    ("datamodules.files", "datamodules.rows"),
    ("datamodules.base", "datamodules.store"),
    ("datamodules.images", "datamodules.text", "datamodules.series"),
    ("datamodules.augmented",),
    ("datamodules.public",),
    ("datamodules",),
    ("ganaug.kind", "ganaug.runtime", "ganaug.networks"),
    ("ganaug.metrics", "ganaug.gans", "ganaug.classifiers"),
    ("ganaug.evaluation", "ganaug.shifts"),
    ("ganaug.kinds", "ganaug.loggers", "ganaug.sampling"),
    ("ganaug.callbacks",),
    ("ganaug.study",),
    ("ganaug.commands",),
    ("ganaug.public",),
    ("ganaug",),
    ("ganaug.typed", "ganaug.refusals"),
    ("ganaug.help",),
    ("ganaug.parsing",),
    ("ganaug.cli",),
)
RANK = {room: rank for rank, rooms in enumerate(LEVELS) for room in rooms}
FILES = sorted(p for package in ("datamodules", "ganaug") for p in (ROOT / package).rglob("*.py"))


def room(module: str) -> str:
    """The longest name of ``RANK`` that the module's begins with, as a package does."""
    while module not in RANK:
        module = module.rpartition(".")[0]
    return module


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
        mine, its = room(me), room(module)
        assert mine == its or RANK[its] < RANK[mine], f"{me} must not import {module}"


def test_no_circle() -> None:
    """Nor within a room: Python would find half a module."""
    arrows = {name(path): imported(path) for path in FILES}
    above: list[str] = []

    def visit(module: str) -> None:
        assert module not in above, " imports ".join([*above[above.index(module) :], module])
        above.append(module)
        for other in arrows.get(module, ()):
            visit(other)
        above.pop()
        arrows.pop(module, None)

    for module in list(arrows):
        visit(module)


def test_a_room_is_seen_at_a_glance() -> None:
    for folder in {path.parent for path in FILES}:
        assert len(list(folder.glob("*.py"))) <= 12, f"{folder} holds too many files"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_read_at_a_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_drawers_for_odds_and_ends() -> None:
    assert not {path.stem for path in FILES} & {"utils", "helpers", "manager", "common", "misc"}
