"""Labels as people write them: what counts as a number, as the same name, and how they are shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from datamodules.errors import InputError

LABEL = "label"  # the column of labels, where no other is named


def is_whole(name: str) -> bool:
    """Whether a label is a whole number as it is usually written."""
    try:
        return len(name) < 19 and str(int(name)) == name
    except ValueError:
        return False


def is_number(name: str) -> bool:
    """Whether a name looks like a number, such as 01, 2.5 or 1e3."""
    try:
        float(name)
    except ValueError:
        return False
    return any(letter.isdigit() for letter in name)  # nan and inf are words


def called(label: Any) -> str | None:
    """The name that a label, text or a whole number, means; None of anything else."""
    if isinstance(label, str):
        return label
    return str(int(label)) if isinstance(label, Integral) and not isinstance(label, bool) else None


def quoted(names: Sequence[str], most: int = 20) -> str:
    """Names in quotes, which show spaces at their ends."""
    return ", ".join(map(repr, names[:most])) + (", …" if len(names) > most else "")


def stripped(
    names: Iterable[str],
    where: object,
    place: Callable[[int], str],
    known: Collection[str] = (),
    what: str = "label",
) -> list[str]:
    """Labels without the white space around them, which nobody sees; says how many had some.

    Args:
        names: of the rows.
        where: what holds them, for what is said.
        place: of a row, for what is refused.
        known: names that stay as they are.
        what: they are: a label, a group.

    Raises:
        InputError: a label is nothing but white space.
    """
    names = list(names)
    bare = [name if name in known else name.strip() for name in names]
    changed = [name for name, short in zip(names, bare, strict=True) if name != short]
    if changed:
        if "" in bare and "" not in known:
            raise InputError(f"{place(bare.index(''))}: the {what} is empty: name it or remove the row")
        shown = quoted(list(dict.fromkeys(changed)), 3)
        rank_zero_info(f"{where}: {len(changed)} {what}s have spaces around them, and are taken without: {shown}")
    return bare


def look(name: str) -> str:
    """A name as a reader sees it: é is one letter, however it is put together, and letters without width are none."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")


def say_alike(classes: Sequence[str]) -> None:
    """Say which classes may be one: their names look alike, or differ in case, or in how a number is written."""

    def meant(name: str) -> int | float | str:
        if not is_number(name):
            return look(name).casefold()
        try:
            return int(name)  # all of its digits, of which a float may keep fewer
        except ValueError:
            return float(name)

    alike: dict[int | float | str, list[str]] = {}
    for name in classes:
        alike.setdefault(meant(name), []).append(name)
    if pairs := [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]:
        rank_zero_info(f"classes that may be meant as one: {'; '.join(pairs[:3])}: write them alike where they are")


def unknown(name: str, whose: object, known: Sequence[str]) -> str:
    """What to say of a class that there is not."""
    twin = next((one for one in known if look(one) == look(name)), None)
    if twin is not None:
        return f"the class {name!a} looks like {twin!a} of {whose}, and has other letters: write them alike"
    return f"the class {name!r} is not among those of {whose}" + (f", {quoted(known)}" if known else "")


def renumbered(y: np.ndarray, classes: Sequence[str], known: Sequence[str], path: Path, whose: object) -> np.ndarray:
    """Ids int64 (N,) among the known classes, of ids among others by the same names.

    Raises:
        InputError: a class that is not among those known, which are ``whose``.
    """
    for name in classes:
        if name not in known:
            raise InputError(f"{path}: {unknown(name, whose, known)}")
    ids: np.ndarray = np.array([known.index(name) for name in classes], dtype=np.int64)[y]
    return ids
