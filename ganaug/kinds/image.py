"""Pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from datamodules.files.manifest import replacing
from datamodules.images.files import as_image
from datamodules.images.schema import ImageSchema
from datamodules.rows import Table
from datamodules.schema import Batch
from ganaug.classifiers import ImageClassifier
from ganaug.evaluation.contact_sheet import contact_sheet
from ganaug.evaluation.markup import Html, data_uri, tag
from ganaug.kind import Kind
from ganaug.metrics.distance import memorisation
from ganaug.shifts import Shift
from ganaug.shifts.image import SHIFTS

SIDE = 64  # of a picture in a gallery, and where pixels are compared, at most
COLOURS = {1: "grey", 2: "grey and transparency", 3: "RGB", 4: "RGBA"}


class Pictures(Kind):
    """See :class:`~ganaug.kind.Kind`."""

    name = "image"
    classifier = ImageClassifier
    vectors = True
    gallery_note = "Above the sample, under it the training picture nearest to it."

    @staticmethod
    def preview(schema: ImageSchema, batch: Batch) -> np.ndarray:
        """A contact sheet by class, uint8 (H, W, 3)."""
        return np.asarray(contact_sheet(schema.decode(batch["x"]), batch["y"].cpu().numpy(), schema).convert("RGB"))

    @staticmethod
    def overview(schema: ImageSchema, first: Callable[[int], Batch], out: Path) -> None:
        """``grid.png``, a contact sheet of the first of each class."""
        batch = first(10 * min(40, schema.num_classes) if schema.labelled else 100)
        with replacing(out / "grid.png") as file:
            contact_sheet(schema.decode(batch["x"]), batch["y"].numpy(), schema).save(file, format="PNG")

    @staticmethod
    def scores(*, train: Batch, test: Batch, synthetic: Batch, seed: int, **_: Any) -> dict[str, Any]:
        """Whether they are memorised pixel by pixel; large pictures by the means of 64×64 parts."""
        pixels = (_pixels(part["x"], SIDE) for part in (train, test, synthetic))
        return {"memorisation": {"in_pixels": memorisation(*pixels, seed=seed)}}

    @classmethod
    def compared(cls, schema: ImageSchema, rows: Batch) -> np.ndarray:
        """Values of the pixels; of large pictures the means of 32×32 parts, which tell them apart as well."""
        return _pixels(rows["x"], SIDE // 2).numpy()

    @staticmethod
    def shifts(schema: ImageSchema) -> Mapping[str, Shift]:
        """See :mod:`ganaug.shifts.image`."""
        return SHIFTS

    @staticmethod
    def facts(schema: ImageSchema, rows: Batch, splits: dict[str, Table]) -> Iterator[tuple[str, str]]:
        """See :meth:`Kind.facts`."""
        seen = tuple(rows["x"].shape[2:])
        own = (schema.height, schema.width)
        colour = COLOURS.get(schema.channels, f"{schema.channels} channels")
        fitted = "" if own == seen else f", seen by the networks as {seen[0]}×{seen[1]} ({schema.fit})"
        yield "pictures", f"{own[0]}×{own[1]}, {colour}{fitted}"
        x = rows["x"][:: max(1, len(rows["x"]) // 2000)]
        levels = len(torch.unique(x))
        alike = bool((x == x[:1]).all())
        yield (
            "values",
            f"{int(x.min())} to {int(x.max())} of 255, mean {float(x.float().mean()):.0f}, {levels} levels"
            + ("; all pictures are alike" if alike and len(x) > 1 else ""),
        )

    @staticmethod
    def gallery(schema: ImageSchema, made: Batch, near: Batch, captions: Sequence[str]) -> Html:
        """See :meth:`Kind.gallery`."""
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


def _pixels(x: torch.Tensor, most: int) -> torch.Tensor:
    """Pictures uint8 (N, C, H, W), of more than so many pixels a side the means of parts: float32 (N, d), 0 to 255."""
    height, width = (min(side, most) for side in x.shape[2:])
    parts = (F.adaptive_avg_pool2d(part.float(), (height, width)).flatten(1) for part in torch.split(x, 512))
    return torch.cat(list(parts))


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
