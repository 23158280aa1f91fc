"""Samples beside their nearest training rows, as markup: pictures, sentences, curves."""

from __future__ import annotations

from typing import Any

from datamodules.schema import Batch
from ganaug.evaluation.markup import Html, tag
from ganaug.kind import kind_of

SHOWN = 40  # pairs of a gallery


def gallery_of(title: str, schema: Any, synthetic: Batch, nearest: Batch, total: int | None = None) -> Html:
    """Samples beside their nearest training rows; ``total``, by default all, is how many there are."""
    count = min(len(synthetic["y"]), SHOWN)
    total = total or len(synthetic["y"])
    made, near = ({key: field[:count].cpu() for key, field in batch.items()} for batch in (synthetic, nearest))
    labels = [(int(a), int(b)) for a, b in zip(made["y"], near["y"], strict=True)]
    captions = [
        (schema.class_name(a) + ("" if a == b else f", neighbour {schema.class_name(b)}")) if schema.labelled else ""
        for a, b in labels
    ]
    kind = kind_of(schema)
    of = f"{count} of {total}" if total > count else f"All {count}"
    told = f"{of} samples that passed the filters, unselected. {kind.gallery_note}"
    return Html(tag("h2", title) + tag("p", told) + kind.gallery(schema, made, near, captions))
