"""Classes of somebody else's, and the modules that are imported for them: no checkpoint imports anything itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.errors import InputError, reason_of

IMPORTED: list[str] = []  # by name, for processes that this one starts


def import_modules(names: Sequence[str]) -> None:
    """Import modules that are installed or lie in the current folder.

    Raises:
        InputError: there is no such module, or there is none that it imports itself.
    """
    if names and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, lest a file here be taken for a library
    for name in names:
        if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
            raise InputError(f"--import {name}: not the name of a module: name it as in Python, my_folder.my_module")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            where = f"in {Path.cwd()} or among those installed"
            raise InputError(f"--import {name}: {error}: there is no such module {where}") from None
        except (ImportError, SyntaxError) as error:
            raise InputError(f"--import {name}: {reason_of(error)}: mend the module") from None
        if name not in IMPORTED:
            IMPORTED.append(name)


def taken_out(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without ``--import name`` and ``--import=name``, and the names.

    Raises:
        InputError: no name follows.
    """
    rest, names = [], []
    left = iter(arguments)
    for argument in left:
        option, equals, name = argument.partition("=")
        if option != "--import":
            rest.append(argument)
            continue
        name = name if equals else next(left, "")
        if not name or name.startswith("-"):
            raise InputError("--import: name a module, such as my_module for a my_module.py in this folder")
        names.append(name)
    return rest, names


def behind(make: Any) -> tuple[Any, dict[str, Any]]:
    """The class or function behind what makes a module, and the options that it is given where they can be known."""
    parts = getattr(make, "args", ())
    made = next((part for part in parts if isinstance(part, type)), getattr(make, "func", make))
    return made, getattr(make, "keywords", {})


def path_of(kind: Any) -> str:
    """Import path of a class or function."""
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', type(kind).__qualname__)}"
