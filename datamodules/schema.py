"""What the tensors of a batch mean, in plain values, so that a checkpoint alone can write real samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, cast

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.errors import InputError
from datamodules.labels import called, is_number, is_whole, quoted, say_alike
from datamodules.options import bound, check, hints, in_range, shown

Batch = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What every modality has in common: the names of the classes.

    Args:
        classes: names by class id, in order; empty where the data have no labels.
    """

    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type[Schema]]] = {}

    classes: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        Schema._kinds[cls.kind] = cls

    def __post_init__(self) -> None:
        """Refuse what cannot be meant: from a file, a schema is to be trusted no more than an option.

        Raises:
            InputError: a field of another type or out of its range.
        """
        for name, hint in hints(cast(Any, type(self))).items():
            object.__setattr__(self, name, check(f"{self.kind} schema: {name}", getattr(self, name), hint))
        self.once("classes")
        for name in self.classes:
            if any("\ud800" <= letter <= "\udfff" for letter in name):  # bytes of a file name, or half a character
                raise InputError(f"the class {name!r} is not Unicode, and could not be written: rename it")

    def once(self, field: str) -> None:
        """Refuse names, in the field of this name, that are there twice."""
        names = getattr(self, field)
        if len(set(names)) < len(names):
            twice = next(name for k, name in enumerate(names) if name in names[:k])
            raise InputError(f"{self.kind} schema: {twice!r} is there twice among the {field}")

    def within(self, least: int, most: int, *fields: str) -> None:
        """Refuse numbers, in the fields of these names, out of their range."""
        for field in fields:
            in_range(f"{self.kind} schema: {field}", getattr(self, field), least, most)

    @property
    def num_classes(self) -> int:
        """Number of class ids, at least 1: without labels every ``y`` is 0."""
        return max(1, len(self.classes))

    @property
    def labelled(self) -> bool:
        """Whether the data came with labels."""
        return bool(self.classes)

    def class_id(self, label: str | int) -> int:
        """The class id of a label: a name; or, where no class has a name like a number, the number of a class.

        Raises:
            InputError: no such class.
        """
        name = called(label)
        if name in self.classes:
            return self.classes.index(name)
        # Among the classes 1, 5 and 9 a 2 is a mistake, and not the third.
        if name is not None and is_whole(name) and not any(map(is_number, self.classes)):
            number = int(name)
            if 0 <= number < len(self.classes):
                return number
        known = f"the classes are {quoted(self.classes)}" if self.classes else "there are none"
        raise InputError(f"unknown label {label!r}: {known}")

    def class_ids(self, what: str, labels: Iterable[str | int]) -> list[int]:
        """The class ids of the labels of an option, ``what``; says where a number was taken.

        Raises:
            InputError: no such class, or one that is there twice.
        """
        given: dict[int, str | int] = {}
        for label in labels:
            try:
                number = self.class_id(label)
            except InputError as error:
                raise InputError(f"{what}: {error}") from None
            name = self.classes[number]
            if number in given:
                raise InputError(f"{what}: {given[number]!r} and {label!r} are the same class: give each label once")
            if str(label) != name:
                rank_zero_info(f"{what}: no class is called {label!r}: taken as a number, which is the class {name!r}")
            given[number] = label
        return list(given)

    def class_name(self, class_id: int) -> str:
        """The name of a class id; ``"all"`` where there are no classes."""
        return self.classes[class_id] if self.classes else "all"

    def by_class(self, counts: Sequence[int]) -> str:
        """Numbers of rows (num_classes,) in words; of many classes the first."""
        said = ", ".join(f"{self.class_name(c)} {n}" for c, n in enumerate(counts[:20]))
        return said + (", …" if len(counts) > 20 else "")

    def prepare(self, batch: Batch) -> Batch:
        """Stored rows to what the model sees; nothing to do unless a modality says so."""
        return batch

    def stored(self, batch: Batch) -> Batch:
        """The inverse of :meth:`prepare`: what the model sees, or makes, to rows as they are stored."""
        return batch

    def as_written(self, rows: Batch) -> Batch:
        """Rows of samples as they come back from files: in the source's size, types and ranges, and stored anew."""
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values (str, int, float, list, dict), fit for JSON and for ``torch.load(weights_only=True)``."""
        return {"kind": self.kind, **{name: _thawed(value) for name, value in asdict(self).items()}}

    def differences(self, there: Mapping[str, Any]) -> list[str]:
        """The fields in which :meth:`to_dict` of another schema contradicts this one, of those that a model depends on.

        What that one does not say, as an old checkpoint may not, is no contradiction.
        """
        apart = {field.name for field in fields(self) if not field.compare}
        return [name for name, value in self.to_dict().items() if name not in apart and there.get(name, value) != value]

    def seen_otherwise(self, there: Schema) -> str:
        """What to do where the data of a checkpoint are shown to networks otherwise; empty where they are not."""
        return ""

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Schema:
        """The inverse of :meth:`to_dict`.

        Raises:
            InputError: a kind or a field that this version does not know, or a missing one.
        """
        given = dict(values)
        kind = given.pop("kind", None)
        try:
            cls = Schema._kinds[kind]
            made = {name: _frozen(value) for name, value in given.items()}
            bound(cls, **made)
        except (KeyError, TypeError):
            raise InputError(
                f"unknown schema {shown(kind)} with fields {', '.join(map(str, given))}: written by another version?"
            ) from None
        return cls(**made)


def _thawed(value: Any) -> Any:
    """Tuples as lists, however deep."""
    return [_thawed(item) for item in value] if isinstance(value, tuple | list) else value


def _frozen(value: Any) -> Any:
    """Lists as tuples, however deep."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def step_mask(length: Tensor, steps: int) -> Tensor:
    """Which of so many steps each row has, of lengths (B,): bool (B, steps), on their device."""
    return torch.arange(steps, device=length.device) < length[:, None]


def label_ids(labels: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of any plain kind to class ids (int64) and the classes' names: whole numbers, also where they are text, in
    numeric order, else alphabetic.
    """
    values, ids = np.unique(np.asarray(labels), return_inverse=True)
    names = [str(value) for value in values.tolist()]
    order = sorted(range(len(names)), key=lambda k: int(names[k])) if all(map(is_whole, names)) else range(len(names))
    classes = tuple(names[k] for k in order)
    say_alike(classes)
    return np.argsort(order)[ids].astype(np.int64), classes
