"""What a user sees of each verb's help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest

from datamodules import Digits, GANDataModule, Schema
from datamodules.options import Count, File, Positive, Share, Within, hints
from ganaug import DCGAN, GAN
from ganaug.cli import main
from ganaug.help import in_words, plainly
from ganaug.parsing import VERBS

TRAINING = ["fit", "validate", "test", "predict"]
CLASSES = ["--model.help=DCGAN", "--model.help=SeqGAN", "--data.help=SeriesFile", "--data.help=Signals"]
NOISE = re.compile(r"Union|Optional|typing|class_path|<class|NoneType|Literal|null|Sequence|``|:\w+:`|\bint\b|\bbool\b")


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command prints, 100 columns wide, if it ends well."""
    monkeypatch.setenv("COLUMNS", "100")

    def printed(*command: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(command)
        assert end.value.code == 0
        return capsys.readouterr().out

    return printed


def options(text: str) -> list[str]:
    """The options of a page, in its order, but for those that lead to other pages."""
    return re.findall(r"^  --([\w.]+)", text.partition("\nMore:")[0], re.MULTILINE)


@pytest.mark.parametrize(
    "command", [*([verb, "--help"] for verb in [*VERBS, *TRAINING]), *(["fit", c] for c in CLASSES)]
)
def test_a_page_is_in_words_and_fits_the_terminal(command: list[str], page: Callable[..., str]) -> None:
    text = page(*command)
    assert not NOISE.search(text), NOISE.search(text)
    assert max(map(len, text.splitlines())) <= 100
    assert len(set(options(text))) == len(options(text))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_page_has_all_its_options_and_what_is_needed_first(verb: str, page: Callable[..., str]) -> None:
    parameters = inspect.signature(VERBS[verb]).parameters
    found = options(page(verb, "--help"))
    assert sorted(found) == sorted([*parameters, "config"])
    needed = [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    assert found[: len(needed)] == needed


def test_fit_is_short_and_leads_to_the_rest(page: Callable[..., str]) -> None:
    text, everything = page("fit", "--help"), page("fit", "--help_all")
    assert len(text.splitlines()) <= 60
    assert options(text)[:3] == ["config", "model", "data"]
    assert text.index("--trainer.max_steps") < text.index("--trainer.precision") < text.index("--best.mode")
    assert all(way in text for way in ("--help_all", "--model.help DCGAN", "--data.help ImageFolder"))
    usual = options(text)
    assert options(everything)[: len(usual)] == usual
    rare = {"trainer.strategy", "trainer.plugins", "best.save_top_k", "weights_only"}
    assert rare <= set(options(everything)) - set(usual)
    assert not re.search(r"Union\[|Optional\[|typing\.", everything)


def test_validate_leaves_out_what_is_of_training_alone(page: Callable[..., str]) -> None:
    found = options(page("validate", "--help"))
    assert {"config", "ckpt_path", "trainer.devices", "scores.steps"} <= set(found)
    assert not {"trainer.max_steps", "init_from", "previews.per_class", "best.monitor"} & set(found)


def entries(text: str) -> dict[str, str]:
    """Of each option of a page, what stands beside it."""
    parts = re.split(r"^  --(?:model\.|data\.)?([\w.]+)", text, flags=re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize(("part", "kind"), [(DCGAN, "model"), (Digits, "data")])
def test_ranges_are_those_that_the_class_checks(part: type, kind: str, page: Callable[..., str]) -> None:
    shown = entries(page("fit", f"--{kind}.help={part.__name__}"))
    ranges = {name: within for name, hint in hints(part).items() if (within := limits(hint))}
    assert len(ranges) >= 5
    for name, within in ranges.items():
        assert str(within) in shown[name], name


def limits(hint: Any) -> Within | None:
    """Of a hint that has one, the range."""
    found = [one for one in (hint, *get_args(hint)) if getattr(one, "__metadata__", ())]
    return next((one for hint in found for one in hint.__metadata__ if isinstance(one, Within)), None)


def test_sections_by_kind_of_data_and_defaults_as_they_are_typed(page: Callable[..., str]) -> None:
    text = page("generate", "--help")
    assert re.search(r"^Of series:\n  --length", text, re.MULTILINE)
    assert (
        text.index("--per_class") < text.index("Of sentences:") < text.index("How it runs:") < text.index("--devices")
    )
    shown = entries(page("augment", "--help"))
    assert shown["ratios"].endswith("(list of numbers above 0; default [1.0, 3.0])")
    assert shown["list_cells"].endswith("(true or false; default false)")
    assert shown["gan_steps"].endswith("(whole number of at least 1)")
    assert "ImageFolder" in shown["data"]
    assert "a class of your own by its path; required" in shown["data"]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int | None, "whole number"),
        (Count | None, "whole number of at least 1"),
        (Positive, "number above 0"),
        (Annotated[int, Within(1, 256)], "whole number from 1 to 256"),
        (Annotated[int, Within(0, 2**64 - 1)], "whole number of at least 0"),
        (Share | Literal["ada"], "number of at least 0 and below 1 or ada"),
        (bool, "true or false"),
        (Literal["a", "b", "c"], "one of a, b, c"),
        (Literal["a", "b"], "a or b"),
        (str | Path | None, "folder or file"),
        (File, "file"),
        (Sequence[Count], "list of whole numbers of at least 1"),
        (tuple[float, float], "list of 2: number, number"),
        (Mapping[str | int, float], "mapping of text or whole number to number"),
        (Callable[[Schema], GAN] | None, "class, with options of its own"),
        (GANDataModule, "class, with options of its own"),
        (list[GANDataModule], "list of classes, with options of their own"),
    ],
)
def test_hints_in_words(hint: Any, words: str) -> None:
    assert in_words(hint) == words


def test_marks_of_docstrings_are_left_out() -> None:
    assert plainly("see :func:`~ganaug.a.b`,\n    :class:`Table` and ``x``") == "see b, Table and x"
