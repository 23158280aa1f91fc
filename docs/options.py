"""Docstrings to reference pages: options with their types in words, and no public name without a docstring."""

import inspect
import re
import typing
from typing import Any

from sphinx.util import logging

import datamodules
import ganaug
from ganaug.help import in_words

log = logging.getLogger(__name__)
PACKAGES = {"ganaug": ganaug, "datamodules": datamodules}


def documented(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A public name without a docstring is a warning, which the strict build takes for an error."""
    ours = str(getattr(obj, "__module__", None) or "").partition(".")[0] in PACKAGES  # modules import names of others
    if not any(lines) and ours:
        log.warning("%s has no docstring", name, type="ganaug")


def options_table(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """In the place of ``Args:``, each option with its type and default."""
    if "Returns:" in lines:  # napoleon would take what stands before a colon for a type
        lines[lines.index("Returns:")] = "*Returns*"
    if what not in ("class", "function") or "Args:" not in lines:
        return
    made = obj.__init__ if what == "class" else obj
    parameters = inspect.signature(made).parameters
    try:
        hints = typing.get_type_hints(made, include_extras=True)
    except NameError:  # of a class that is imported for type checkers alone
        return
    start = lines.index("Args:")
    end = next((k for k in range(start + 1, len(lines)) if re.match(r"\S", lines[k])), len(lines))
    table = []
    for line in lines[start + 1 : end]:
        if found := re.match(r"    \*{0,2}(\w+(?:, \w+)*): (.*)", line):
            option, text = found.groups()
            if option not in parameters or parameters[option].kind is inspect.Parameter.VAR_KEYWORD:
                table += ["", f"``{option}``", f"    {text}"]
                continue
            default = parameters[option].default
            said = [in_words(hints[option], "``")] if option in hints and option != "schema" else []
            if default is inspect.Parameter.empty:
                said.append("required")
            elif default is not None:
                said.append(f"default ``{str(default) if str(default) else chr(34) * 2}``")
            table += ["", " : ".join([f"``{option}``", *([", ".join(said)] if said else [])]), f"    {text}"]
        else:
            table.append(line.removeprefix("    "))
    lines[start:end] = [*table, ""]


def no_signature(app: Any, what: str, name: str, obj: Any, options: Any, signature: str, *_: Any) -> Any:
    """Of a class whose metaclass remembers its arguments, (*args, **kwargs) would be shown; its options stand below."""
    return ("", None) if what == "class" and signature else None


def complete(app: Any, env: Any) -> None:
    """Every public name has its place in the reference."""
    known = {name for name, *_ in env.get_domain("py").get_objects()}
    for package, module in PACKAGES.items():
        for name in module.__all__:
            if f"{package}.{name}" not in known:
                log.warning("%s.%s is public and on no page of the reference", package, name, type="ganaug")
