"""Which folders of a source are its splits, and no classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from datamodules.errors import InputError
from datamodules.files.manifest import read_manifest
from datamodules.splits import SPLIT_NAMES, Split


def passed_over(folder: Path) -> bool:
    """Whether a folder is no one's pictures: hidden, or what macOS puts into archives and Synology beside pictures."""
    return folder.name.startswith(".") or folder.name in ("__MACOSX", "@eaDir")


def split_folders(path: Path, pictures_in: Callable[[Path], bool]) -> dict[Split, Path]:
    """The folders of training, validation and test rows in a folder, by ``SPLIT_NAMES``, or nothing.

    They are splits where ``train`` and at least one of the others is there. A ``manifest.json`` of samples names
    classes, whatever they are called.

    Args:
        path: of the folder.
        pictures_in: whether a folder holds pictures, however deep.

    Raises:
        InputError: what is there may be splits and may be classes.
    """
    if not path.is_dir() or (read_manifest(path) or {}).get("schema"):
        return {}
    named = [f for f in sorted(path.iterdir()) if f.is_dir() and SPLIT_NAMES.get(f.name.casefold()) and pictures_in(f)]
    roles = {SPLIT_NAMES[folder.name.casefold()]: folder for folder in named}
    if len(roles) < 2:
        return {}
    looks = f"{path}: {_listed([folder.name for folder in named])} look like splits, but"
    if len(roles) < len(named):
        raise InputError(f"{looks} two of them are the same one: move one away")
    if "train" not in roles:
        raise InputError(f"{looks} there is no train: add it, or give the other folders as path and test_path")
    others = [f for f in sorted(path.iterdir()) if f.is_dir() and f not in named and not passed_over(f)]
    beside = [folder for folder in others if pictures_in(folder)]
    if beside:
        raise InputError(
            f"{looks} {beside[0].name} lies beside them: move it away, or rename them where they are classes"
        )
    return {role: roles[role] for role in ("train", "val", "test") if role in roles}


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
