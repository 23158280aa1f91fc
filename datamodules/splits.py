"""Which rows to keep, to hold out or to repeat, by their classes; and which belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn
from sklearn.model_selection import GroupShuffleSplit

from datamodules.errors import InputError

Fold = tuple[int, int]  # the i-th of k parts, from 0
Split = Literal["train", "val", "test"]
_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training", "train_set", "training_set"),
    "val": ("val", "valid", "validation", "dev", "val_set", "validation_set"),
    "test": ("test", "testing", "test_set", "testing_set"),
}
FEW = 5  # test rows of a class below which scores say little of it
SPLIT_NAMES = {name: split for split, names in _NAMES.items() for name in names}  # of folders and files, whatever case


def apart(path: Path, test_path: Path) -> None:
    """Check that what is tested on is not what is trained on, nor a part of it.

    Raises:
        InputError: it is.
    """
    whole, part = path.resolve(), test_path.resolve()
    if part.is_relative_to(whole):
        where = f"is {path} itself" if part == whole else f"lies in {path}"
        raise InputError(f"test_path: {test_path} {where}, so that it would be trained on: move it away")


def stratified_split(y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to keep and rows to hold out, the same share of each class; each class keeps at least one row.

    Unlike scikit-learn's ``train_test_split(stratify=…)`` it accepts classes of a single member.
    """
    rng = np.random.default_rng((seed, 7))
    held = []
    for c in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == c))
        held.append(members[: min(round(len(members) * fraction), len(members) - 1)])
    out = np.sort(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    return np.setdiff1d(np.arange(len(y)), out), out


def stratified_fold(y: np.ndarray, fold: Fold, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to keep and rows to hold out: one of k parts of equal size, in which classes have their shares.

    Of rows in the order of their classes, shuffled within each, a part is every k-th. So of a class of fewer than k
    rows a part holds one at most, and of a class of one row none: it stays with the rows to keep. Scikit-learn's
    ``StratifiedKFold`` would refuse where all classes are so small, and hold out the only row of a class.

    Args:
        y: classes (N,).
        fold: (i, k), the i-th part of k.
        seed: of the parts.
    """
    part, parts = fold
    rng = np.random.default_rng((seed, 13))
    rows = rng.permutation(len(y))
    rows = rows[np.argsort(y[rows], kind="stable")]
    held = np.sort(rows[(part + rng.integers(parts)) % parts :: parts])
    held = held[np.bincount(y)[y[held]] > 1]
    return np.setdiff1d(np.arange(len(y)), held), held


def consecutive_fold(y: np.ndarray, order: np.ndarray, fold: Fold, seed: int) -> np.ndarray:
    """Rows to hold out, bool (N,): of each class one of k parts that follow each other; of a class of one row none.

    Args:
        y: classes (N,).
        order: (N,) what the rows of a class are sorted by, such as their time.
        fold: (i, k), the i-th part of k.
        seed: of the part that is called the first.
    """
    number, parts = fold
    part = (number + int(np.random.default_rng((seed, 13)).integers(parts))) % parts
    held = np.zeros(len(y), dtype=bool)
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        members = members[np.argsort(order[members], kind="stable")]
        if len(members) > 1:
            held[np.array_split(members, parts)[part]] = True
    return held


def whole_groups(groups: np.ndarray, fraction: float, seed: int, name: str) -> np.ndarray:
    """Which rows to set aside, bool (N,), all those of a share of the groups, rounded up, at least one.

    Args:
        groups: (N,) of each row.
        fraction: of the groups.
        seed: of the choice.
        name: what they are called.

    Raises:
        InputError: there are fewer than two groups, or the share is none of them or leaves none.
    """
    count = len(np.unique(groups))
    if not 0 < np.ceil(count * fraction) < count:
        raise InputError(
            f"group {name}: of {count} group{'' if count == 1 else 's'} test_fraction {fraction:g} must set some aside"
            " and leave some"
        )
    splitter = GroupShuffleSplit(1, test_size=fraction, random_state=seed % 2**32)
    ((_, away),) = splitter.split(groups, groups=groups)
    held = np.zeros(len(groups), dtype=bool)
    held[away] = True
    return held


def warn_of_untested(y: np.ndarray, tested: np.ndarray, name: Callable[[int], str]) -> None:
    """Warn of classes that have hardly a row to test on, or none: little is known of how well they are told.

    Args:
        y: (N,) classes of the rows that are trained on.
        tested: (M,) classes of the test rows; nothing is said where there are none at all.
        name: of a class.
    """
    counts = np.bincount(tested, minlength=int(y.max(initial=0)) + 1)
    classes = np.unique(y).tolist() if len(tested) else []
    for few, said in (
        ([name(c) for c in classes if not counts[c]], "without a row to test on"),
        ([f"{name(c)} {counts[c]}" for c in classes if 0 < counts[c] < FEW], f"with fewer than {FEW} rows to test on"),
    ):
        if few:
            more = f" and {len(few) - 5} more" if len(few) > 5 else ""
            rank_zero_warn(f"classes {said}, so that scores say little of them: {', '.join(few[:5])}{more}")


def levelled(y: np.ndarray) -> np.ndarray:
    """Rows of classes y (N,), in order, those of every class repeated until it has as many as the largest."""
    members = [np.flatnonzero(y == c) for c in np.unique(y)]
    most = max(map(len, members))
    return np.sort(np.concatenate([np.resize(own, most) for own in members]))


def own_splits(rows: Mapping[Any, int], test_fraction: float, val_fraction: float) -> str:
    """What is said of a source's own splits, given as the numbers of their rows, and of those that it does not have."""
    said = "splits of its own: " + ", ".join(f"{role} {count}" for role, count in rows.items())
    for role, share in (("test", test_fraction), ("val", val_fraction)):
        if role not in rows:
            said += f"; {role} is held out of train, {role}_fraction {share:g}"
    return said
