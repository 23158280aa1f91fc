"""Samples beside their nearest training rows, as markup: pictures, sentences, curves."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from datamodules.images.files import as_image
from datamodules.schema import Batch
from ganaug.study.markup import Html, data_uri, table_of, tag

SHOWN, SIDE, STEPS = 40, 64, 120  # pairs of a gallery, side of its pictures in pixels, points of its curves
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # columns of a series


def gallery_of(title: str, schema: Any, synthetic: Batch, nearest: Batch) -> Html:
    """Samples beside their nearest training rows."""
    total = len(synthetic["y"])
    count = min(total, SHOWN)
    made, near = ({key: field[:count].cpu() for key, field in batch.items()} for batch in (synthetic, nearest))
    labels = [(int(a), int(b)) for a, b in zip(made["y"], near["y"], strict=True)]
    captions = [
        (schema.class_name(a) + ("" if a == b else f", neighbour {schema.class_name(b)}")) if schema.labelled else ""
        for a, b in labels
    ]
    draw, how = GALLERIES[schema.kind]
    of = f"The first {count} of {total}" if total > count else f"All {count}"
    told = f"{of} samples that passed the filters, unselected. {how}"
    return Html(tag("h2", title) + tag("p", told) + draw(schema, made, near, captions))


def _pictures(schema: Any, made: Batch, near: Batch, captions: Sequence[str]) -> Html:
    pairs = zip(*(schema.decode(schema.prepare(batch)["x"]) for batch in (made, near)), captions, strict=True)
    return tag(
        "div",
        *(
            tag(
                "figure",
                _picture(sample, f"sample {k}{of}"),
                _picture(neighbour, f"training picture nearest to sample {k}"),
                tag("figcaption", caption),
            )
            for k, (sample, neighbour, caption) in enumerate(pairs, 1)
            for of in (f" of class {caption}" if caption else "",)
        ),
        class_="gallery",
    )


def _picture(picture: np.ndarray, alt: str) -> Html:
    """A picture uint8 (H, W, C), at most 64 pixels wide or high; where PNG is large, as JPEG."""
    image = as_image(picture)
    reduced = max(image.size) > SIDE
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = _bytes(image, "png", optimize=True)
    kind = "png"
    if len(data) > 4096 and image.mode in ("L", "RGB"):
        kind, data = "jpeg", _bytes(image, "jpeg", quality=90)
    return tag("img", alt=alt, src=data_uri(data, kind), **({"class_": "smooth"} if reduced else {}))


def _bytes(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _sentences(schema: Any, made: Batch, near: Batch, captions: Sequence[str]) -> Html:
    samples, neighbours = schema.decode(made["x"]), schema.decode(near["x"])
    order = torch.argsort(made["y"], stable=True).tolist()
    head = [*(["class"] if schema.labelled else []), "sample", "nearest training sentence"]
    return table_of(head, ([*([captions[k]] if schema.labelled else []), samples[k], neighbours[k]] for k in order))


def _series(schema: Any, made: Batch, near: Batch, captions: Sequence[str]) -> Html:
    panes = []
    for k, caption in enumerate(captions):
        sample, neighbour = (batch["x"][k, : int(batch["length"][k]), :4].numpy() for batch in (made, near))  # (T, F)
        both = np.concatenate([sample, neighbour])
        low, high = both.min(0), both.max(0)
        last = max(len(sample), len(neighbour), 2) - 1
        lines = [
            _line(
                3 + 114 / last * np.arange(len(curve)),
                62 - 58 * (curve - low)[:, c] / max(high[c] - low[c], 1e-9),
                sort,
                c,
            )
            for sort, curve in (("nearest", neighbour), ("sample", sample))
            for c in range(both.shape[1])
        ]
        alt = f"sample {k + 1}{' of class ' + caption if caption else ''} over its nearest training series"
        pane = tag("svg", *lines, viewBox="0 0 120 66", role="img", aria_label=alt)
        panes.append(tag("figure", pane, tag("figcaption", caption)))
    return tag("div", *panes, class_="gallery")


def _line(across: np.ndarray, down: np.ndarray, sort: str, column: int) -> Html:
    few = np.unique(np.linspace(0, len(across) - 1, STEPS).round().astype(int))
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across[few], down[few], strict=True))
    return tag("polyline", class_=sort, points=corners, stroke=LINES[column])


GALLERIES: dict[str, tuple[Callable[..., Html], str]] = {
    "image": (_pictures, "Above the sample, under it the training picture nearest to it."),
    "text": (_sentences, "Beside each the training sentence nearest to it."),
    "series": (
        _series,
        "The sample is the full line, the training series nearest to it the dashed one; a colour for each"
        " of the first four columns, each drawn from its least to its greatest value.",
    ),
}
