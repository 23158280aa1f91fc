"""A folder of samples: files that appear whole, a folder for each class, ``manifest.json`` that explains them."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from datamodules.errors import InputError, reason_of

_UNSAFE = re.compile(r'[%<>:"/\\|?*\x00-\x1f\x7f]|^[. ]|[. ]$')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows keeps for itself
_LONGEST = 160  # bytes; file systems stop at 255


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file to write that takes the name ``path`` when it is complete.

    Whoever looks sees the old file or the new one, never half of it; after an error nothing is left behind. Until then
    the name begins with a dot, and the data modules pass over hidden files.

    Raises:
        InputError: it is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the name of a file in it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Create a folder and its parents, where they are not there yet.

    Raises:
        InputError: a file is in the way, or the place cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from None


def folder_names(classes: Sequence[str]) -> list[str]:
    """A folder name for each class that every file system can hold, all different even where case does not count.

    Harmless names stay as they are, in any script. What some file system refuses becomes ``%`` and its code, as in
    addresses; the manifest, not the folder name, is the authority on the class's name.
    """
    names: list[str] = []
    taken: set[str] = set()
    for name in classes:
        safe = _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name) or "%"
        if _RESERVED.fullmatch(safe):
            safe = f"%{ord(safe[0]):02X}{safe[1:]}"
        safe = stem = safe.encode()[:_LONGEST].decode(errors="ignore")
        number = 1
        while unicodedata.normalize("NFC", safe).casefold() in taken:
            number += 1
            safe = f"{stem}%{number}"
        taken.add(unicodedata.normalize("NFC", safe).casefold())
        names.append(safe)
    return names


def write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Write ``manifest.json`` in the folder ``out``, atomically.

    The modules that read the folder look at ``schema``, a :meth:`Schema.to_dict`: its classes name the class folders
    and give the ids their order. All else is for people and for :func:`read_manifest`.
    """
    make_folder(out)
    with replacing(out / "manifest.json") as file:
        file.write((json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of the folder ``out``, or None where there is none.

    Raises:
        InputError: it is no JSON object.
    """
    path = out / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise InputError(f"{path}: not a manifest that can be read ({reason}): repair or remove it") from None
    if not isinstance(manifest, dict):
        raise InputError(f"{path}: not a manifest but a JSON {type(manifest).__name__}: move it elsewhere")
    return manifest
