"""``Kind``: what the rest needs to know of pictures, of sentences, of series, in one object for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from datamodules.errors import InputError
from datamodules.rows import Table
from datamodules.schema import Batch, Schema


class Kind:
    """Base of the kinds of data; what they mean is in their ``Schema``, and how they are written in their ``Store``.

    A subclass is known from its definition on, by its ``name``; those of ``ganaug.kinds`` are found there.
    """

    name: ClassVar[str]
    """The ``kind`` of the schema."""
    classifier: ClassVar[type[Any]]
    """A subclass of :class:`ganaug.classifiers.Classifier`: it judges samples, and learns from them."""
    vectors: ClassVar[bool] = False
    """Whether a row is numbers of which a mixture is a row again, as SMOTE needs it."""
    gallery_note: ClassVar[str] = ""
    """How to read :meth:`gallery`."""
    _kinds: ClassVar[dict[str, type[Kind]]] = {}

    def __init_subclass__(cls) -> None:
        Kind._kinds[cls.name] = cls

    @staticmethod
    def preview(schema: Any, batch: Batch) -> Any:
        """What loggers show of a batch, by class: see :func:`ganaug.loggers.show`."""
        raise NotImplementedError

    @staticmethod
    def facts(schema: Any, rows: Batch, splits: dict[str, Table]) -> Iterable[tuple[str, str]]:
        """What was read, as (what, text): of stored training rows, and of the tables of all splits."""
        raise NotImplementedError

    @staticmethod
    def gallery(schema: Any, made: Batch, near: Batch, captions: Sequence[str]) -> Any:
        """Markup of samples beside the training rows that are nearest to them, both stored."""
        raise NotImplementedError

    @staticmethod
    def inputs(schema: Any, rows: Batch) -> Any:
        """What an estimator of scikit-learn is given of N stored rows: float32 (N, d), unless something else."""
        return schema.prepare(rows)["x"].flatten(1).float().numpy()

    @classmethod
    def compared(cls, schema: Any, rows: Batch) -> Any:
        """What distances between N stored rows are taken in where no network may be asked; see ``inputs``."""
        return cls.inputs(schema, rows)

    @staticmethod
    def alike(schema: Any, seed: int, train: Batch, *others: Batch) -> list[Batch]:
        """Stored rows in which how they were read does not tell training rows from others."""
        return [train, *others]

    @staticmethod
    def scores(*_: Any, **known: Any) -> dict[str, Any]:
        """Scores that other kinds do not have, by name; of ``memorisation`` beyond that in features.

        Args:
            **known: ``data``, its module; stored rows ``train``, ``test``, ``synthetic``; ``labelled``, whether the
                samples' labels mean anything; ``model``, a GAN or None; ``seed``, ``repeats``, ``steps``, ``device``,
                ``language`` as ``evaluate`` has them.
        """
        return {}

    @staticmethod
    def shifts(schema: Any) -> Mapping[str, Any]:
        """What may befall such rows in life, each a :class:`ganaug.shifts.Shift`, by name."""
        return {}

    @staticmethod
    def figures(schema: Any, real: Batch, synthetic: Batch) -> dict[str, Any]:
        """Figures of matplotlib of stored test rows and samples, by name."""
        return {}

    @staticmethod
    def overview(schema: Any, first: Callable[[int], Batch], out: Path) -> None:
        """Leave a file beside written samples for a look at them, of as many of the first as it asks for."""


def kind_of(schema: Schema) -> type[Kind]:
    """That of the schema's kind.

    Raises:
        InputError: there is none.
    """
    name = schema.kind
    if name not in Kind._kinds and find_spec(f"ganaug.kinds.{name}") is not None:
        import_module(f"ganaug.kinds.{name}")  # not at the top: kinds stand on what asks for them
    if name not in Kind._kinds:
        raise InputError(f"there is no Kind of {name} data: derive one from ganaug.kind.Kind, and --import its module")
    return Kind._kinds[name]
