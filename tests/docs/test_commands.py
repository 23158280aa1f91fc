"""Every command of the documentation is one that the command line understands."""

from pathlib import Path
from typing import NoReturn

import pytest

from ganaug import parsing
from ganaug.cli import main
from tests.docs.pages import PAGES, ROOT, commands

OWN = {"CHANGELOG.md"}  # of the past


class Understood(Exception):
    """Where a command would begin its work."""


def stop(*_: object, **__: object) -> NoReturn:
    raise Understood


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in OWN and commands(p)], ids=lambda p: p.stem)
def test_commands_parse(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(parsing.Parser, "instantiate", stop)
    monkeypatch.setattr(parsing.CLI, "before_instantiate_classes", stop)
    for command in commands(page):
        if command[0] in ("{", "--help") or "--help" in command or any(word.endswith(".help") for word in command):
            continue
        with pytest.raises(Understood):
            main(command)


def test_pages_have_commands() -> None:
    assert {command[0] for page in PAGES for command in commands(page)} >= {
        "inspect", "fit", "generate", "evaluate", "augment", "export", "validate",
    }  # fmt: skip
