"""SMOTE (Chawla et al. 2002, arXiv 1106.1813, section 4.2): new rows of rare classes between real ones."""

from __future__ import annotations

import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.rows import joined
from datamodules.schema import Batch, Schema
from ganaug.gans.randomness import stream_seed
from ganaug.kind import kind_of

NEIGHBOURS = 5  # of its class, one of which a row is mixed with


def smote(rows: Batch, schema: Schema, seed: int = 0) -> Batch:
    """Raise every class that has rows to the size of the largest, by imbalanced-learn.

    A new row lies anywhere between a real one and one of its five nearest neighbours in its class, measured over all
    numbers of a row; in a class of fewer rows all others are neighbours, and one row alone is repeated.

    Args:
        rows: N ≥ 1 as they are stored: pictures, or series of one length with their static attributes, if any.
        schema: of the rows.
        seed: of the choices, at least 0. The global random state is neither read nor moved.

    Returns:
        The rows as they were, then the new ones, class after class: ``x``, ``y``, and of series ``length`` and
        ``static``. What else a row has, such as its number in the source, a new one cannot have, and it is left out.

    Raises:
        InputError: sentences; series of several lengths or with gaps; NaN; imbalanced-learn is missing.
    """
    fields = _fields(rows, schema)
    counts = rows["y"].bincount(minlength=schema.num_classes)
    parts = [{name: rows[name] for name in (*fields, *(["length"] if "length" in rows else []), "y")}]
    prepared = schema.prepare({name: rows[name] for name in (*fields, "y")})
    flat = torch.cat([prepared[name].flatten(1).double() for name in fields], dim=1).cpu()  # (N, numbers)
    for c in ((counts > 0) & (counts < counts.max())).nonzero()[:, 0].tolist():
        made = _raised(flat, rows["y"].cpu(), c, int(counts.max()), seed)
        widths = [prepared[name][0].numel() for name in fields]
        shaped = {
            name: values.view(-1, *prepared[name].shape[1:]).to(prepared[name].dtype)
            for name, values in zip(fields, torch.split(made, widths, dim=1), strict=True)
        }
        new = schema.stored({**shaped, "y": torch.full((len(made),), c)})
        if "length" in parts[0]:
            new["length"] = rows["length"][:1].cpu().expand(len(made))
        parts.append(new)
    return joined(parts)


def _raised(flat: Tensor, y: Tensor, rare: int, size: int, seed: int) -> Tensor:
    """The new rows, (size − count, numbers), of one class."""
    try:
        from imblearn.over_sampling import SMOTE, RandomOverSampler
    except ImportError:
        raise InputError("SMOTE needs imbalanced-learn: pip install 'ganaug[smote]'") from None
    count = int((y == rare).sum())
    options = {"sampling_strategy": {1: size}, "random_state": stream_seed("smote", seed, rare) % 2**32}
    sampler = SMOTE(k_neighbors=min(NEIGHBOURS, count - 1), **options) if count > 1 else RandomOverSampler(**options)
    made, _ = sampler.fit_resample(flat.numpy(), (y == rare).long().numpy())
    return torch.from_numpy(made[len(flat) :])


def _fields(rows: Batch, schema: Schema) -> list[str]:
    """Names of the fields to mix, after what :func:`smote` refuses."""
    if not kind_of(schema).vectors:
        raise InputError(f"SMOTE mixes rows of numbers, {schema.kind} has none: leave out the arm smote")
    if not len(rows["y"]):
        raise InputError("SMOTE needs at least one row")
    if "length" in rows and len(torch.unique(rows["length"])) > 1:
        raise InputError("SMOTE needs series of one length: cut them into windows, or leave out the arm smote")
    if "observed" in rows and not bool(rows["observed"].bool().all()):
        raise InputError("SMOTE needs series without missing values: fill them, or leave out the arm smote")
    fields: list[str] = [name for name in ("x", "static") if name in rows]
    for name in fields:
        if not bool(rows[name].isfinite().all()):
            raise InputError(f"SMOTE: NaN or infinity in {name}")
    return fields
