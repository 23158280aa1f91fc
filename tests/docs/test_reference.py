"""What is public has a docstring, a place in the reference, and a word on every option."""

import inspect
import re

import pytest

import datamodules
import ganaug
from tests.docs.pages import ROOT

REFERENCE = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
PUBLIC = [(package, name) for package in (ganaug, datamodules) for name in package.__all__]


@pytest.mark.parametrize(("package", "name"), PUBLIC, ids=lambda one: one if isinstance(one, str) else "")
def test_public_names(package, name: str) -> None:
    thing = getattr(package, name)
    assert re.search(rf":: {package.__name__}\.{name}$", REFERENCE, re.MULTILINE), "on no page of the reference"
    assert inspect.getdoc(thing)
    if not inspect.isclass(thing):
        assert options(thing) <= said(thing)
        return
    for member, value in vars(thing).items():
        if not member.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(getattr(thing, member)), member
    if "__init__" in vars(thing):
        assert options(thing.__init__) <= said(thing)


def options(function) -> set[str]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        n
        for n, p in inspect.signature(function).parameters.items()
        if n != "self" and not n.startswith("_") and p.kind not in kinds
    }


def said(thing) -> set[str]:
    """Names that stand before a colon in the docstring's list of arguments or fields."""
    texts = [inspect.getdoc(one) or "" for one in (inspect.getmro(thing) if inspect.isclass(thing) else (thing,))]
    listed = re.findall(r"^ +\**(\w+(?:, \w+)*): ", "\n".join(texts), re.MULTILINE)
    return {name for names in listed for name in names.split(", ")}
