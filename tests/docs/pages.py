"""The documentation's fenced blocks, and how its commands are cut short for a test."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "experiments" / "README.md"])

SHORT = {  # option to the value that stands in for that of the page
    "--trainer.max_steps": "6",
    "--trainer.val_check_interval": "3",
    "--model.mle_steps": "2",
    "--model.discriminator_steps": "2",
    "--model.width": "8",
    "--per_class": "2",
    "--seeds": "[0, 1]",
    "--gan_steps": "6",
    "--workers": "1",
    "--temperatures": "0.8,1.0",
}
ADDED = {  # what a page leaves to its default, which would take long
    "fit": {
        "--trainer.max_steps": "6", "--trainer.accelerator": "cpu", "--trainer.val_check_interval": "3",
        "--trainer.limit_val_batches": "2", "--scores.steps": "3", "--data.batch_size": "8",
        "--trainer.enable_progress_bar": "false",
    },
    "generate": {"--accelerator": "cpu", "--progress": "false"},
    "evaluate": {
        "--accelerator": "cpu", "--progress": "false", "--classifier_steps": "3", "--repeats": "1", "--lm": "false",
    },
    "augment": {
        "--accelerator": "cpu", "--progress": "false", "--classifier_steps": "2", "--gan_steps": "6",
        "--arms": "[real,gan]", "--ratios": "[1.0]", "--filters": "[]", "--threads": "1", "--data.batch_size": "8",
    },
}  # fmt: skip


def blocks(page: Path, *languages: str) -> list[str]:
    """Contents of the fenced blocks of these languages, in order."""
    fenced = re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for language, text in fenced if language in languages]


def commands(page: Path) -> list[list[str]]:
    """The words of every ``ganaug`` command in a block of bash or of no language, without the first."""
    text = "\n".join(blocks(page, "bash", "")).replace("\\\n", " ")
    found = (re.match(r"\s*ganaug (.*)", line) for line in text.splitlines())
    return [shlex.split(one[1], comments=True) for one in found if one]


def shortened(command: list[str]) -> list[str]:
    """The same command with tiny numbers."""
    verb, *rest = command
    small = dict(SHORT)
    if verb == "augment":
        small["--per_class"] = "[12]"
    for option, value in small.items():
        if option in rest:
            rest[rest.index(option) + 1] = value
    for option, value in ADDED.get(verb, {}).items():
        if option not in rest:
            rest += [option, value]
    return [verb, *rest]
