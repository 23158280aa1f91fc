"""Pages of help: options in groups, the usual ones first, their types and ranges in words."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from argparse import SUPPRESS, Action, _HelpAction
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from lightning.pytorch import LightningModule
from torch import nn

from datamodules import GANDataModule
from datamodules.options import UNIONS, Within, hints
from ganaug.refusals import KNOWN

WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "folder or file",
    timedelta: "time",
    Any: "anything",
}
CLASS, CLASSES = "class, with options of its own", "classes, with options of their own"
# What the subcommands of Lightning do, and of its options those that are usual: what they mean here, and their type.
# Those of this project say it themselves.
TRAINING = {
    "fit": "Train a model on data, and keep previews, scores and checkpoints in lightning_logs/NAME/version_N.",
    "validate": "Cheap scores of a checkpoint's samples against the validation split.",
    "test": "Cheap scores of a checkpoint's samples against the test split.",
    "predict": "Draw samples of a checkpoint for callbacks that write predictions; to write them: ganaug generate.",
}
CHECKPOINT = "goes on from it: last, or begins where there is none; best; or the path of a checkpoint"
USUAL: dict[str, dict[str, tuple[str, str] | None]] = {
    "What": {
        "config": ("YAML file of options; the command line wins", "file"),
        "model": ("the model; its options follow as --model.…", ""),
        "data": ("the data; their options follow as --data.…", ""),
        "name": None,
        "ckpt_path": (CHECKPOINT, "last, best or file"),
        "init_from": None,
        "allow_changes": None,
        "seed_everything": ("of what has no seed of its own, as --data.seed and --model.seed are", "whole number"),
    },
    "How long, and where": {
        "trainer.max_steps": ("batches to train for; a step is one batch", "whole number"),
        "trainer.max_time": ("stop after this time", "DD:HH:MM:SS"),
        "trainer.accelerator": ("what to compute on", "one of auto, cpu, gpu, mps"),
        "trainer.devices": ("how many of them, or which", "whole number, list of whole numbers or auto"),
        "trainer.num_nodes": ("machines of a cluster", "whole number"),
        "trainer.precision": ("of the arithmetic", "one of 32-true, bf16-mixed, 16-mixed"),
    },
    "What is kept and shown": {
        "trainer.val_check_interval": ("batches between two scores", "whole number above 0"),
        "trainer.default_root_dir": ("in the place of lightning_logs", "folder"),
        "trainer.logger": ("beside or instead of TensorBoard", "class, such as CSVLogger, or list of such"),
        "previews.every_n_steps": None,
        "previews.per_class": None,
        "scores.steps": None,
        "last.every_n_steps": None,
        "best.monitor": ("score by which best.ckpt is the best", "text"),
        "best.mode": ("whether the least or the greatest is the best", "min or max"),
    },
}
OF_FIT = ("init_from", "allow_changes", "trainer.max_", "trainer.val_check", "previews", "last", "best")  # alone
AUGMENT = {
    "What is compared": ("per_class", "imbalance", "arms", "ratios", "seeds", "shift"),
    "Training": (
        "gan_steps", "init_from", "filters", "classifier", "classifier_steps", "classical", "label_smoothing",
        "curriculum",
    ),
    "Which ratio, and how many seeds": ("ratio", "selection", "folds", "repeats", "until", "max_seeds"),
}  # fmt: skip
EXAMPLES = {"model": "DCGAN", "data": "ImageFolder"}
RUNNING = (
    "accelerator", "devices", "precision", "batch_size", "workers", "threads", "num_workers", "steps_per_epoch",
    "accumulate", "channels_last", "compile", "cell", "list_cells", "overwrite", "progress", "config",
)  # fmt: skip


def listed(names: Sequence[str], mark: str = "") -> str:
    """A or B; one of A, B, C."""
    names = [f"{mark}{name}{mark}" for name in names]
    return f"one of {', '.join(names)}" if len(names) > 2 else " or ".join(names)


def in_words(hint: Any, mark: str = "", many: bool = False) -> str:
    """A hint as a person would say it, with its range.

    Args:
        hint: of an option; that it may be left out is not said.
        mark: to put around names that are to be typed as they are.
        many: of several such.
    """
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated and isinstance(inside[1], str):
        return inside[1]
    if origin is Annotated:
        limits = "".join(
            f" {'of ' if str(one).startswith('at least') else ''}{one}" for one in inside[1:] if isinstance(one, Within)
        )
        return in_words(inside[0], mark, many) + limits
    if hint in WORDS:
        return WORDS[hint] + ("s" if many and WORDS[hint].endswith("number") else "")
    if origin is Literal:
        return listed(["a tab" if value == "\t" else str(value) for value in inside], mark)
    if origin in UNIONS:
        kinds = [kind for kind in inside if kind is not NoneType]
        if Path in kinds:
            kinds = [kind for kind in kinds if kind is not str]
        if float in kinds:
            kinds = [kind for kind in kinds if kind is not int]
        said = list(dict.fromkeys(in_words(kind, mark, many) for kind in kinds))
        return " or ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
    kind = origin or hint
    if not isinstance(kind, type):
        return CLASSES if many else CLASS
    if kind is tuple and inside and inside[-1] is not ...:
        return f"list of {len(inside)}: {', '.join(in_words(one, mark) for one in inside)}"
    if issubclass(kind, Mapping):
        pair = f" of {in_words(inside[0], mark)} to {in_words(inside[1], mark)}" if inside else ""
        return f"mapping{'s' * many}{pair}"
    if issubclass(kind, Iterable) and inside:
        return f"list of {in_words(inside[0], mark, many=True)}"
    return CLASSES if many else CLASS


def plainly(text: str) -> str:
    """Text of a docstring without its marks."""
    text = re.sub(r":\w+:`(?:~[\w.]*\.)?([^`]*)`", r"\1", text)
    return " ".join(re.sub(r"`+", "", re.sub(r"\.\. (\w+)::", r"\1:", text)).split())


def value(default: Any) -> str:
    """A default as it would be typed."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple):
        return f"[{', '.join(map(value, default))}]"
    return str(default)


class Page:
    """The help of a parser.

    Args:
        parser: of a subcommand, or of the options of a class.
        of: the function or class whose options they are; None for what is put together of several.
        everything: whether options that are rarely given are shown, where there are hundreds.
    """

    def __init__(self, parser: Any, of: Callable[..., Any] | None, everything: bool) -> None:
        self.of, self.everything = of, everything
        self.inner = getattr(parser, "_inner_parser", False)
        kinds = of.__mro__ if isinstance(of, type) else ()
        self.above = "model." if nn.Module in kinds and LightningModule not in kinds else ""  # of a network's options
        self.name = parser.prog.removeprefix("ganaug [options] ").removeprefix("ganaug ")
        shown = [a for a in parser._actions if a.help != SUPPRESS and a.option_strings and hasattr(a, "dest")]
        self.helps = {a.dest.removesuffix(".help"): a for a in shown if a.dest.endswith(".help")}
        self.options: dict[str, Action] = {
            a.dest: a
            for a in shown
            if not isinstance(a, _HelpAction) and (a.default != SUPPRESS) and not a.dest.endswith((".help", ".schema"))
        }
        self.hints, self.needed = parser.hints, parser.needed
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 100)

    def __str__(self) -> str:
        parts = [self.head(), *(self.section(title, names) for title, names in self.sections()), self.foot()]
        return "\n".join(part for part in parts if part)

    def head(self) -> str:
        """How it is called, and what it does."""
        if self.of is None:
            ways = ("--config FILE", "--model MODEL --data DATA")
            usage = "\n       ".join(f"ganaug {self.name} {way} [options]" for way in ways)
            return f"usage: {usage}\n\n{TRAINING[self.name]}\n"
        said = (inspect.getdoc(self.of) or "").split("\n\nArgs:")[0].split("\n\n")
        text = "\n\n".join(textwrap.fill(plainly(part), self.width) for part in said)
        if self.inner:
            room = self.of.__module__.partition(".")[0]  # ours are public there, somebody else's where they are
            where = room if room in ("ganaug", "datamodules") else self.of.__module__
            return f"{where}.{self.of.__name__}\n\n{text}\n"
        needed = [f"--{name} {name.upper()}" for name in self.options if name in self.needed]
        return f"usage: ganaug {self.name} {' '.join(needed)} [options]\n\n{text}\n"

    def sections(self) -> Iterable[tuple[str, list[str]]]:
        """Titles, and the options below each."""
        if self.of is None:
            left = dict.fromkeys(self.options)
            for title, names in USUAL.items():
                fits = [n for n in names if n in left and (self.name == "fit" or not n.startswith(OF_FIT))]
                yield title, fits
                left = {name: None for name in left if name not in fits}
            if self.everything:
                yield "All others, most of them Lightning's, in its words", list(left)
            return
        found: dict[str, list[str]] = {"Needed": [], "Options": [], **{title: [] for title in AUGMENT}}
        found |= {f"Of {kind}": [] for kind in ("pictures", "sentences", "series")}
        found |= {"Of every data module": [], "Networks of your own": [], "How it runs": []}
        for name, option in self.options.items():
            found[self.title(name.rpartition(".")[2], option)].append(name)
        yield from found.items()

    def title(self, name: str, option: Action) -> str:
        """Of the section that an option stands in."""
        if option.dest in self.needed:
            return "Needed"
        if name in getattr(self.of, "networks", {}) and option.default is None:
            return "Networks of your own"
        if name in RUNNING:
            return "How it runs"
        if self.name == "augment" and not self.inner:
            return next((title for title, names in AUGMENT.items() if name in names), "Options")
        if isinstance(self.of, type) and issubclass(self.of, GANDataModule) and name in hints(GANDataModule):
            return "Of every data module"
        if not self.inner and (kind := re.match("of (pictures|sentences|series): ", option.help or "")):
            return f"Of {kind[1]}"
        return "Options"

    def section(self, title: str, names: Sequence[str]) -> str:
        """A title and its options."""
        return "\n".join([f"{title}:", *map(self.entry, names), ""]) if names else ""

    def entry(self, name: str) -> str:
        """An option, what it means, its type, its default."""
        option = self.options[name]
        usual = next((names[name] for names in USUAL.values() if names.get(name)), None) if self.of is None else None
        text, words = usual or (option.help or "", self.words(name))
        text = re.sub("^of (pictures|sentences|series): ", "", text) if not self.inner else text
        if self.name in ("validate", "test", "predict") and name == "ckpt_path":
            text = "checkpoint: best or last of the runs of this name, or the path of one"
        marks = [words] if words else []
        if name in self.needed:
            marks.append("required")
        elif option.default not in (None, [], "") and not (usual and name in ("model", "data")):
            marks.append(f"default {value(option.default)}")
        said = [plainly(text).removesuffix("."), f"({'; '.join(marks)})" if marks else ""]
        return self.line(f"--{self.above}{name}", " ".join(filter(None, said)))

    def words(self, name: str) -> str:
        """The type of an option."""
        if name in KNOWN:
            return f"{listed(KNOWN[name])}, or a class of your own by its path"
        option: Any = self.options[name]
        if name == "config":
            return "file"
        return in_words(self.hints.get(name) or getattr(option, "_typehint", None) or option.type or str)

    def line(self, name: str, text: str) -> str:
        """In two columns."""
        start = f"  {name}".ljust(26)
        body = textwrap.wrap(text, self.width - 26, break_long_words=False, break_on_hyphens=False)
        if len(start) > 26 or start[-1] != " ":
            return "\n".join([start.rstrip(), *(" " * 26 + row for row in body)])
        return "\n".join([start + body[0], *(" " * 26 + row for row in body[1:])])

    def foot(self) -> str:
        """Where there is more."""
        lines = []
        for name in self.helps:
            if name in KNOWN or (not name.endswith("schema") and (self.everything or self.of is not None)):
                lines.append(self.line(f"--{name}.help {EXAMPLES.get(name, 'NAME')}", "the options of that class"))
        if self.of is None and not self.everything:
            lines.append(self.line("--help_all", "all options, those of Lightning's Trainer and ModelCheckpoint too"))
        if not self.inner:
            lines.append(self.line("--print_config", "print all options as YAML, and leave"))
        return "\n".join(["More:", *lines, ""]) if lines else ""
