"""Policies of augmentation as people write them."""

from __future__ import annotations

from collections.abc import Iterable

from datamodules.errors import InputError


def operations_of(policy: str, known: Iterable[str]) -> tuple[str, ...]:
    """``"shift,scale"`` to its parts, in order; an empty string is no augmentation.

    Raises:
        InputError: an operation that is not among the known ones.
    """
    names = tuple(name.strip() for name in policy.split(",") if name.strip())
    for name in names:
        if name not in known:
            raise InputError(f"augment: unknown operation {name!r}; known are {', '.join(known)}")
    return names
