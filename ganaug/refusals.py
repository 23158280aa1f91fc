"""What jsonargparse says against options, in one line that names the option and what to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import datamodules
from datamodules import GANDataModule, InputError
from datamodules.errors import names_like
from datamodules.options import described, hints
from ganaug import GAN

KNOWN = {
    "model": list(GAN.models),
    "data": [
        name
        for name in datamodules.__all__
        if issubclass(getattr(datamodules, name), GANDataModule) and name != "GANDataModule"
    ],
}
UNKNOWN = r"Option '(\S+)' is not accepted"
# An option of a class that has not been named: jsonargparse then asks the class's base, which has none.
CLASSLESS = (
    r"(?:Not a valid subclass of \w+[.\s]|(?:Logger|GAN) is abstract).*NestedArg\(key='([\w.]+)'"
    r"|class_path='torch\.nn\.Module'|ganaug\.GAN is abstract.*'class_path'|class_path 'datamodules\.GANDataModule'"
)


def with_known(message: str, known: Collection[str]) -> str:
    """What is said against an option that a class does not have, with those that it has, the nearest first.

    Args:
        message: of the class's parser, which may say something else.
        known: options of the class.
    """
    unknown = re.fullmatch(UNKNOWN, message)
    return f"{message}: {names_like(unknown[1], known)}" if unknown else message


def refusal(message: str, cause: Exception | None, own: Mapping[str, Any]) -> InputError:
    """What a person is told.

    Args:
        message: jsonargparse's, of many lines.
        cause: the error that it is about.
        own: hints of the options that are no class's.
    """
    if message.strip().startswith("Unexpected config:"):
        return InputError("a file of --config holds no options: write them as name: value, or leave the file out")
    if unknown := re.match(r"unrecognized arguments: --([\w.]+)", message):
        meant = [option for option in own if option.rpartition(".")[2] == unknown[1]]
        return InputError(one_line(message) + (f": did you mean --{' or --'.join(meant[:3])}?" if meant else ""))
    keys = ".".join(re.findall(r'Parser key "([\w.]+)"', message))
    reason = str(deepest(cause) if cause else message).replace('in "<unicode string>", ', "in YAML, ")
    within = f"--{keys}." if keys else "--"
    reason = re.sub(
        "(?<=arguments are required: ).*", lambda names: re.sub(r"(\w+\.)*(\w+)", rf"{within}\2", names[0]), reason
    )
    words = _wanted(message) if keys and reason.startswith("Expected a") else None
    if not words and message.count("Parser key") == 1:
        reason = _of_union(message) or reason
    if found := re.match("Expected a dot import path string: (.*)", reason):
        known = KNOWN.get(keys.removesuffix(".help"))
        reason = f"no class {found[1]!r}" + (f"; known are {', '.join(known)}, or any other by" if known else ": give")
        reason += " its import path"
    if unknown := re.search(rf"{UNKNOWN}.*?(?=\. Got value:|$)", message, re.MULTILINE):
        reason = unknown[0]
    if keys and (classless := re.search(CLASSLESS, message, re.DOTALL)):
        reason = _unnamed(keys, unknown[1] if unknown else classless[1] or "class_path")
    elif missing := re.search(r"No module named '\S+'", message):
        reason = f"{missing[0]}: name it by --import"
    elif words:
        return InputError(f"--{keys} {words}")
    elif got := re.search(r"Parser key \S+\s+Expected a <class 'list'>\. Got value: (.*)", message):
        reason = f"must be a list, not {typed(got[1])}: write [{typed(got[1])}]"
    elif keys in own and "Sequence'>" in message and (got := re.search(r"(?:Given|Got) value: (.*)", message)):
        value = typed(got[1]).replace("'", "")
        return InputError(f"--{keys} must be {described(own[keys])}, not {value}: write [{value}] for a list of it")
    return InputError(f"--{keys}: {one_line(reason)}" if keys else one_line(reason))


def _of_union(message: str) -> str | None:
    """Of what each of several types says against a value, what tells the most: anything but that it is another type."""
    errors = message.partition("Errors:\n")[2].partition("\n  Given value")[0]
    reasons = [one_line(reason) for reason in re.split(r"^ +- ", errors, flags=re.MULTILINE)[1:]]
    telling = [reason for reason in reasons if not reason.startswith("Expected a")]
    telling += [reason for reason in reasons if reason.startswith("Expected a dot import path")]
    return telling[0] if telling else None


def _unnamed(keys: str, option: str) -> str:
    """What to do about an option of a class that has not been named, or not where it is looked for."""
    if option == "class_path":
        return "options of a class stand below its init_args, not beside its class_path"
    example = {**KNOWN, "trainer.logger": ["CSVLogger"]}.get(keys, ["my_module.MyClass"])[0]
    return f"{option} is an option of no class yet: name that before it, --{keys} {example}, in YAML its class_path"


def _wanted(message: str) -> str | None:
    """What an option of a class must be, by its hint: of several types jsonargparse's own reason names one."""
    before, key, after = re.split(r'Parser key "(?:\w+\.)*(\w+)":', message)[-3:]
    # The class is named after what is wrong with its option where something makes it, before it elsewhere.
    owners = re.findall(r"class_path='([\w.]+)\.(\w+)'", after)[:1] or re.findall(
        r"class_path '([\w.]+)\.(\w+)'", before
    )
    values = [re.search(rf"{said} value: (.*?)(?=\. Got value: |$)", after, re.MULTILINE) for said in ("Given", "Got")]
    value = values[0] or values[1]  # what was given is the whole option, what was got may be a part of it
    if not owners or not value:
        return None
    cls = getattr(sys.modules.get(owners[-1][0]), owners[-1][1], None)
    hint = hints(cls).get(key) if isinstance(cls, type) else None
    return None if hint is None else f"must be {described(hint)}, not {typed(value[1])}"


def typed(message: str) -> str:
    """A message with an option's value as it was typed, not as jsonargparse wraps it."""
    return re.sub(r"NestedArg\(key='[\w.]+', val=(?:'([^']*)'|([^)]*))\)", r"\1\2", message)


def deepest(error: BaseException) -> BaseException:
    """The error that all the others in a chain were raised for: jsonargparse wraps a clear reason in vague ones."""
    while not isinstance(error, InputError) and (inner := error.__cause__ or error.__context__):
        error = inner
    return error


def one_line(message: str) -> str:
    """A message of many lines as one."""
    return typed(re.sub(r"typing\.|<class '([\w.]+)'>", r"\1", " ".join(message.split())))


# ---- what Lightning offers, and a run here cannot have ----


def trainer_refusal(error: Exception) -> Exception:
    """What a person is told of an option that the Trainer refuses; of what is none the error itself."""
    if not isinstance(error, RuntimeError):
        return InputError(str(error))
    if "more than one stateful callback" not in str(error):
        return error
    return InputError(
        "--trainer.callbacks: a second callback of the same kind and settings as one that is there: of ModelCheckpoint"
        " --best keeps best.ckpt by its monitor and mode: change these, or leave yours out"
    )


def refuse_run(config: Any) -> None:
    """Refuse options of ``fit`` and its like before a folder is made.

    Raises:
        InputError: a name that leads elsewhere, several checkpoints of one name.
    """
    if config.name and (Path(config.name).is_absolute() or ".." in Path(config.name).parts):
        raise InputError(f"--name {config.name} leads elsewhere: another folder by --trainer.default_root_dir")
    if config.best.filename == "best" and config.best.save_top_k not in (0, 1):
        raise InputError(
            f"--best.save_top_k must be 0 or 1, not {config.best.save_top_k}, since best.ckpt is one file: for several"
            " give --best.filename too, such as best-{step}"
        )


def refuse_trainer(config: Mapping[str, Any]) -> None:
    """Refuse options of the Trainer.

    Raises:
        InputError: one that does not go with optimisers that are stepped by hand, or with what is always there.
    """
    if config.get("overfit_batches"):
        raise InputError("--trainer.overfit_batches: give the data a per_class instead: batches come in a set order")
    if config.get("sync_batchnorm"):
        raise InputError("--trainer.sync_batchnorm: layers that are told classes know no such: leave it out")
    if config.get("barebones"):
        raise InputError("--trainer.barebones: a run is logged and kept; for its speed alone take fast_dev_run")
    for name, ours, none in (
        ("gradient_clip_val", "clip", (None, 0)),
        ("accumulate_grad_batches", "accumulate", (None, 1)),
    ):
        if config.get(name) not in none:
            raise InputError(f"--trainer.{name}: optimisers are stepped by hand here: give --model.{ours} instead")
    every = config.get("val_check_interval")  # batches, a share of an epoch, or a time
    if isinstance(every, int | float) and every <= 0:
        raise InputError(f"--trainer.val_check_interval must be above 0, not {every}; limit_val_batches 0 is none")
