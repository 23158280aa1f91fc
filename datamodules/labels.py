"""Labels as people write them: what counts as a number, as the same name, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from numbers import Integral
from typing import Any

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


def say_alike(classes: Sequence[str]) -> None:
    """Say which classes may be one: their names differ in case, or in how a number is written."""
    alike: dict[Any, list[str]] = {}
    for name in classes:
        alike.setdefault(float(name) if is_number(name) else name.casefold(), []).append(name)
    if pairs := [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]:
        rank_zero_info(f"classes that may be meant as one: {'; '.join(pairs[:3])}: write them alike where they are")


def unknown(name: str, whose: object, known: Sequence[str]) -> str:
    """What to say of a class that there is not."""
    return f"the class {name!r} is not among those of {whose}" + (f", {quoted(known)}" if known else "")
