"""Series as files: written, and read back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import pad

from datamodules.errors import InputError
from datamodules.files.manifest import make_folder, replacing
from datamodules.files.table import no_parquet
from datamodules.schema import Batch
from datamodules.series.arrays import SeriesSource
from datamodules.series.roles import Roles, find
from datamodules.series.schema import SeriesSchema
from datamodules.series.tables import SeriesTable
from datamodules.series.windows import cut
from datamodules.store import Store, own_ids


def write_series(
    schema: SeriesSchema,
    shards: Iterable[Batch],
    out: Path,
    format: Literal["csv", "parquet", "npz"] = "csv",
) -> None:
    """Write series in their own units, in the order of their indices; the file appears whole or not at all.

    Args:
        schema: of the model that made them.
        shards: any number of batches of ``index`` int64 (n,), ``x`` float (n, T, F) as scaled, ``length`` (n,), ``y``
            (n,) and, where there are static attributes, ``static`` (n, S); of an index that comes again the last
            counts.
        out: folder to write in, made where it is missing.
        format: ``csv`` and ``parquet`` write ``samples.csv`` and ``samples.parquet``, a row a step, as
            :meth:`SeriesSchema.frame` says; ``npz`` writes ``samples.npz`` as :class:`SeriesArrays` reads it, ``x``
            float64 (N, T, F) with NaN beyond the length of a series.

    Raises:
        InputError: there are no samples, pyarrow is missing, or ``out`` cannot be a folder.
    """
    if format not in ("csv", "parquet", "npz"):
        raise InputError(f"format must be csv, parquet or npz, not {format}")
    if format == "npz" and schema.features > len(schema.columns):
        raise InputError("series with words cannot be written as npz: choose the format csv or parquet")
    make_folder(out)
    index, batch = _gathered(shards)
    path = out / f"samples.{format}"
    with replacing(path) as file:
        if format == "csv":
            schema.cells(schema.frame(index, batch)).to_csv(file, index=False)
        elif format == "parquet":
            try:
                schema.frame(index, batch).to_parquet(file, index=False)
            except ImportError:
                raise no_parquet(path) from None
        else:
            np.savez(file, **_series_arrays(schema, index, batch))  # type: ignore[arg-type]


def _gathered(shards: Iterable[Batch]) -> tuple[np.ndarray, Batch]:
    """The indices in order, and all rows as one batch."""
    parts = list(shards)
    if not parts:
        raise InputError("no samples to write")
    steps = max(part["x"].shape[1] for part in parts)
    parts = [{**part, "x": pad(part["x"], (0, 0, 0, steps - part["x"].shape[1]))} for part in parts]
    batch = {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}
    index, last = np.unique(batch.pop("index").numpy()[::-1], return_index=True)
    chosen = torch.from_numpy(len(batch["y"]) - 1 - last)
    return index, {name: field[chosen] for name, field in batch.items()}


def _series_arrays(schema: SeriesSchema, index: np.ndarray, batch: Batch) -> dict[str, np.ndarray]:
    values, length = schema.decode(batch["x"]), batch["length"].numpy()
    values[np.arange(values.shape[1]) >= length[:, None]] = np.nan
    arrays = {
        "x": values,
        "lengths": length,
        "y": batch["y"].numpy(),
        "classes": np.array(schema.classes, dtype=str),
        "columns": np.array(schema.columns),
        "dtypes": np.array(schema.dtypes),
        "layout": np.array("NTF"),
        "index": index,
    }
    if schema.static:
        static = schema.decode_static(batch["static"])
        arrays["static_columns"] = np.array(schema.static)
        arrays |= {f"static_{k}": col.astype(str) if col.dtype == object else col for k, col in enumerate(static)}
    return arrays


def read_series(path: str | Path, schema: SeriesSchema) -> tuple[Batch, bool]:
    """Read series that :func:`write_series` wrote, or tables and arrays of the same columns, scaled as by a schema.

    Args:
        path: of a ``.csv`` or ``.parquet`` in long form, of an ``.npz`` as :class:`SeriesArrays` reads it, whose splits
            are joined, or of a folder that holds ``samples.csv``, ``.parquet`` or ``.npz``.
        schema: of the data that they are like: it names the columns of tables.

    Returns:
        Rows as the data's are stored: ``x`` float32 (N, T, F), ``length``, ``y`` in the data's class ids, 0 where
        either has no classes, and ``static`` where the data have it; and whether the samples have labels.

    Raises:
        InputError: they cannot be read, have other columns or classes than the data, or are longer.
    """
    path = Path(path)
    if path.is_dir() and (path / "samples.npz").is_file():
        path = path / "samples.npz"
    if path.suffix.lower() == ".npz" and not path.is_dir():
        source = SeriesSource(path)
        columns, classes, static = source.columns, source.classes, source.static
        parts = list(source.rows.values())
    else:
        path, _ = find(path)
        table = SeriesTable(path, Roles.of(schema))
        columns, classes, static = table.columns, table.classes, table.roles.static
        known = {table.roles.id, table.roles.time, table.label_column, *columns, *static}
        more = [name for name in table.table.names if name not in known]
        if more:
            raise InputError(f"{path}: the samples have a column {more[0]}, the data have none: leave it out")
        parts = [cut(table, None, 1)[0]]
    for found, wanted, what in ((columns, schema.columns, "columns"), (static, schema.static, "attributes")):
        if found != wanted:
            raise InputError(
                f"{path}: the samples have the {what} {', '.join(found) or '(none)'}, the data"
                f" {', '.join(wanted) or '(none)'}"
            )
    batches: list[Batch] = []
    for rows in parts:
        if rows.length.max() > schema.length:
            k = int(rows.length.argmax())
            raise InputError(
                f"{path}: series {k} has {rows.length[k]} steps, the data's longest {schema.length}: cut it, or choose"
                " other samples"
            )
        x = schema.encode(rows.values[:, : schema.length], rows.length)
        batch = {
            "x": pad(x, (0, 0, 0, schema.length - x.shape[1])),
            "length": torch.from_numpy(rows.length.astype(np.int64)),
            "y": own_ids(path, schema, rows.y, classes, len(rows.y)),
        }
        if static:
            try:
                batch["static"] = schema.encode_static(rows.static)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
        batches.append(batch)
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}, bool(classes)


class SeriesStore(Store):
    """Tables and ``.npz`` files of series."""

    kind = "series"
    formats = ("csv", "parquet", "npz")

    @classmethod
    def possible(cls, schema: SeriesSchema) -> tuple[str, ...]:
        """Arrays hold no words."""
        return ("csv", "parquet") if schema.features > len(schema.columns) else cls.formats

    write = staticmethod(write_series)
    read = staticmethod(read_series)
