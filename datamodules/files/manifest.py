"""A folder of samples: files that appear whole, a folder for each class, ``manifest.json`` that explains them."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
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
    # By chance, not by the process's number: containers that share a folder have the same ones.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def result_file(out: Path | str, suffixes: Iterable[str], read: Iterable[Any] = ()) -> Path:
    """The path of a result that a command is to write, its folder made.

    Args:
        out: as it was asked for.
        suffixes: that its name may have.
        read: paths that the same command reads; what is no path is passed over.

    Raises:
        InputError: a folder, another suffix, or a file that is read.
    """
    path = Path(out)
    if path.is_dir():
        raise InputError(f"out must be a file, like {path / f'result{next(iter(suffixes))}'}: {path} is a folder")
    if path.suffix.lower() not in suffixes:
        raise InputError(f"--out {out}: the name must end in {' or '.join(suffixes)}")
    if any(path.resolve() == Path(source).resolve() for source in read if isinstance(source, str | Path)):
        raise InputError(f"--out {out} is what is read: it would be lost; give another name")
    make_folder(path.absolute().parent)
    return path


def as_json(value: Any, **options: Any) -> str:
    """JSON of plain values; of numbers that it has no sign for, NaN and infinity, null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [plain(part) for part in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, **options)


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal, of which a part at a time is in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        file.write((as_json(manifest, indent=2) + "\n").encode())


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
