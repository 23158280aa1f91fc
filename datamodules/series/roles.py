"""Which column of a table is what, by options or by what a folder of samples says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from datamodules.errors import InputError
from datamodules.files.manifest import read_manifest
from datamodules.schema import Schema
from datamodules.series.schema import STEP, SeriesSchema


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which column of a table is what: see :class:`SeriesFile`.

    Args:
        id, time, label, group: a column each, or none; that of the groups may have another role too.
        values: the measurements; None for every column of numbers that has no other role.
        static: attributes.
        words: of columns of words among the measurements, what these may be; those that occur where it is not said.
        classes: what the labels may be, in the order of their ids; empty for whatever they are.
        wide: whether a row is a series.
        irregular: whether the time between steps is to be known.
        ties: whether a step may have the time of the one before, as samples of irregular series may.
        style: how dates are written, where it is known.
        samples: whether the table is one of samples, which need neither labels nor numbers of steps.
    """

    id: str | None = None
    time: str | None = None
    label: str | None = None
    group: str | None = None
    values: tuple[str, ...] | None = None
    static: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    wide: bool = False
    irregular: bool = False
    ties: bool = False
    style: str = ""
    samples: bool = False

    def in_table(self, names: list[str]) -> Roles:
        """These, but for what a table with such columns does without: steps of samples are then in the file's order."""
        unlabelled = (self.samples or self.classes) and self.label not in names
        unnumbered = self.samples and self.time == STEP and STEP not in names
        return replace(self, label=None if unlabelled else self.label, time=None if unnumbered else self.time)

    @staticmethod
    def of(schema: SeriesSchema) -> Roles:
        """Those of the samples that are written with a schema."""
        return Roles(
            id=schema.id_column,
            time=schema.time or ("time" if schema.intervals else STEP),
            label=schema.label_column if schema.labelled else None,
            values=schema.columns[schema.intervals :],
            static=schema.static,
            words={name: words for name, words in zip(schema.columns, schema.categories, strict=False) if words},
            classes=schema.classes,
            irregular=schema.intervals,
            ties=schema.intervals,
            style=schema.time_format,
            samples=True,
        )


def find(path: Path) -> tuple[Path, SeriesSchema | None]:
    """The table that is meant: of a folder ``samples.csv`` or ``samples.parquet``; and what the manifest says of it.

    Raises:
        InputError: there is none in the folder, or it holds samples of another kind.
    """
    if not path.is_dir():
        return path, None
    file = next((path / name for name in ("samples.csv", "samples.parquet") if (path / name).is_file()), None)
    if file is None:
        raise InputError(f"{path}: no samples.csv or samples.parquet in it; a samples.npz is for SeriesArrays")
    described = (read_manifest(path) or {}).get("schema")
    if not isinstance(described, dict):
        return file, None
    schema = Schema.from_dict(described)
    if not isinstance(schema, SeriesSchema):
        raise InputError(f"{path}: manifest.json says that these are {schema.kind} samples")
    return file, schema
