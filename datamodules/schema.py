"""What the tensors of a batch mean, in plain values, so that a checkpoint alone can write real samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.errors import InputError
from datamodules.labels import called, is_number, is_whole, quoted
from datamodules.options import LARGEST, bound, check, hints, in_range, shown
from datamodules.sides import Size, both, typed

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
            number = self.class_id(label)
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

    def prepare(self, batch: Batch) -> Batch:
        """Stored rows to what the model sees; nothing to do unless a modality says so."""
        return batch

    def stored(self, batch: Batch) -> Batch:
        """The inverse of :meth:`prepare`: what the model sees, or makes, to rows as they are stored."""
        return batch

    def to_dict(self) -> dict[str, Any]:
        """Plain values (str, int, float, list, dict), fit for JSON and for ``torch.load(weights_only=True)``."""
        return {"kind": self.kind, **{name: _thawed(value) for name, value in asdict(self).items()}}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Schema:
        """The inverse of :meth:`to_dict`.

        Raises:
            InputError: a kind or a field that this version does not know, or a missing one.
        """
        fields = dict(values)
        kind = fields.pop("kind", None)
        try:
            cls = Schema._kinds[kind]
            made = {name: _frozen(value) for name, value in fields.items()}
            bound(cls, **made)
        except (KeyError, TypeError):
            raise InputError(
                f"unknown schema {shown(kind)} with fields {', '.join(map(str, fields))}: written by another version?"
            ) from None
        return cls(**made)


def _thawed(value: Any) -> Any:
    """Tuples as lists, however deep."""
    return [_thawed(item) for item in value] if isinstance(value, tuple | list) else value


def _frozen(value: Any) -> Any:
    """Lists as tuples, however deep."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class ImageSchema(Schema):
    """Pictures: how those of the source, (height, width), become what the networks see, and back.

    Args:
        height, width: of the source's pictures, in pixels.
        channels: 1 grey, 3 RGB, 4 RGB and alpha; any number from arrays.
        image_size: side of the square that the networks see, in pixels, or its (height, width) where it is no square.
        fit: ``pad`` centres the picture on black and crops it back; ``resize`` scales both ways: by whole factors
            exactly, otherwise bilinear with antialiasing, which blurs.
    """

    kind: ClassVar[str] = "image"

    height: int
    width: int
    channels: int
    image_size: Size
    fit: Literal["pad", "resize"] = "pad"

    def __post_init__(self) -> None:
        """See :class:`Schema`."""
        super().__post_init__()
        self.within(1, LARGEST, "height", "width", "channels")
        for side in self.size:
            in_range(f"{self.kind} schema: image_size", side, 1, LARGEST)
        height, width = self.size
        object.__setattr__(self, "image_size", height if height == width else (height, width))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what the networks see."""
        return both(self.image_size)

    def seen_otherwise(self, there: Schema) -> str:
        """What to do where the data that a checkpoint knows are seen at another size; empty where they are not."""
        if not isinstance(there, ImageSchema) or there.image_size == self.image_size:
            return ""
        own, theirs = typed(self.image_size), typed(there.image_size)
        return f"its networks see pictures at {theirs}, these data are seen at {own}: set --data.image_size {theirs}"

    def _margins(self) -> tuple[int, int]:
        return (self.size[1] - self.width) // 2, (self.size[0] - self.height) // 2

    def encode(self, pictures: np.ndarray) -> Tensor:
        """uint8 (N, height, width, channels) to uint8 (N, channels, *size)."""
        x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)  # (N, C, h, w)
        if (self.height, self.width) == self.size:
            return x.contiguous()
        if self.fit == "pad":
            left, top = self._margins()
            right, bottom = self.size[1] - self.width - left, self.size[0] - self.height - top
            return F.pad(x, (left, right, top, bottom))
        return _resize(x, *self.size)

    def prepare(self, batch: Batch) -> Batch:
        """``x`` from uint8 0..255, as :meth:`encode` gives it, to float32 in [-1, 1]."""
        return {**batch, "x": batch["x"].float().div_(127.5).sub_(1.0)}

    def stored(self, batch: Batch) -> Batch:
        """``x`` by :meth:`pixels`."""
        return {**batch, "x": self.pixels(batch["x"])}

    @staticmethod
    def pixels(x: Tensor) -> Tensor:
        """The inverse of :meth:`prepare`: float of any shape in [-1, 1] to uint8."""
        return x.float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)

    def decode(self, x: Tensor) -> np.ndarray:
        """float (N, channels, *size) in [-1, 1] to uint8 (N, height, width, channels)."""
        x = self.pixels(x)
        if (self.height, self.width) != self.size:
            if self.fit == "pad":
                left, top = self._margins()
                x = x[..., top : top + self.height, left : left + self.width]
            else:
                x = _resize(x, self.height, self.width)
        return x.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    """uint8 (N, C, h, w) to (N, C, height, width).

    By whole factors pixels are repeated, and averaged on the way back, which undoes it exactly; otherwise bilinear.
    """
    if height % x.shape[-2] == width % x.shape[-1] == 0:
        return x.repeat_interleave(height // x.shape[-2], -2).repeat_interleave(width // x.shape[-1], -1)
    whole = x.shape[-2] % height == x.shape[-1] % width == 0
    how: dict[str, Any] = {"mode": "area"} if whole else {"mode": "bilinear", "antialias": True}
    parts = [  # in parts: float32 is four times the size of the pictures
        F.interpolate(part.float(), (height, width), **how).round_().clamp_(0, 255).to(torch.uint8)
        for part in torch.split(x, 1024)
    ]
    return torch.cat(parts) if parts else x.new_zeros(0, x.shape[1], height, width)


def label_ids(labels: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of any plain kind to class ids (int64) and the classes' names, numbers in numeric order."""
    values, ids = np.unique(np.asarray(labels), return_inverse=True)
    return ids.astype(np.int64), tuple(str(v) for v in values.tolist())
