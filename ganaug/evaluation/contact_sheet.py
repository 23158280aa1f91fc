"""Pictures laid out on a contact sheet, class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datamodules.errors import InputError
from datamodules.images.files import as_image
from datamodules.images.schema import ImageSchema

GAP = 4
FONT_SIZE = 12


def contact_sheet(
    pictures: np.ndarray, y: np.ndarray, schema: ImageSchema, columns: int = 10, rows: int = 40
) -> Image.Image:
    """The first samples of each class at a size that can be seen, one row a class, its name in the left margin.

    Up to ten pictures make a single strip, each under the name of its class; without classes more make a square.
    Small pictures are enlarged by a whole factor, pixel by pixel; those above 128 pixels are reduced.

    Args:
        pictures: uint8 (N, H, W, C). Of channel numbers other than 1, 3 and 4 the first channel is drawn, as grey.
        y: class ids (N,).
        schema: gives the classes their names.
        columns: most pictures of a class; without classes, of the square's side.
        rows: most classes; a line at the end says how many more there are.

    Raises:
        InputError: there are no pictures.
    """
    if not len(pictures):
        raise InputError("no pictures to lay out on a contact sheet")
    longest = max(pictures.shape[1:3])
    scale = max(1, 64 // longest) if longest <= 128 else 128 / longest
    height, width = (max(1, round(side * scale)) for side in pictures.shape[1:3])
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS

    def tile(row: int) -> Image.Image:
        return as_image(pictures[row]).resize((width, height), method)

    if len(pictures) <= 10 or not schema.labelled:
        count = min(len(pictures), columns**2)
        across = count if count <= 10 else math.ceil(math.sqrt(count))
        names = [_legible(schema, c) for c in y[:count]] if schema.labelled else []
        return _grid([tile(row) for row in range(count)], across, names)

    present = np.unique(y)
    shown = [np.flatnonzero(y == c)[:columns] for c in present[:rows]]
    names = [_legible(schema, c) for c in present[:rows]]
    margin = max(_width(name) for name in names) + 2 * GAP
    more = f"and {len(present) - rows} more classes" if len(present) > rows else ""
    across = max(map(len, shown))
    sheet = _canvas(
        max(margin + across * (width + GAP), _width(more) + 2 * GAP),
        len(shown) * (max(height, _line()) + GAP) + GAP + (_line() + GAP if more else 0),
    )
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for name, members in zip(names, shown, strict=True):
        draw.text((GAP, top + (max(height, _line()) - _line()) // 2), name, fill="black", font=_font())
        for column, row in enumerate(members):
            sheet.paste(tile(row), (margin + column * (width + GAP), top))
        top += max(height, _line()) + GAP
    draw.text((GAP, top), more, fill="black", font=_font())
    return sheet


def _grid(tiles: Sequence[Image.Image], across: int, names: Sequence[str]) -> Image.Image:
    """Tiles in rows of ``across``, each under its name where there are names."""
    width, height = tiles[0].size
    above = _line() if names else 0
    cell = max([width, *(_width(name) for name in names)]) + GAP
    sheet = _canvas(across * cell + GAP, -(-len(tiles) // across) * (height + above + GAP) + GAP)
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        left, top = number % across * cell + GAP, number // across * (height + above + GAP) + GAP
        if names:
            draw.text((left, top), names[number], fill="black", font=_font())
        sheet.paste(tile, (left, top + above))
    return sheet


def _legible(schema: ImageSchema, class_id: int) -> str:
    """The class's name, cut short, or its number where the font that comes with Pillow lacks the script."""
    name = schema.class_name(int(class_id))
    if not name.isprintable() or any(ord(letter) > 255 for letter in name):
        return f"class {class_id}"
    return name if len(name) <= 20 else f"{name[:17]}..."


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)


def _width(text: str) -> int:
    return math.ceil(_font().getlength(text))


def _line() -> int:
    return FONT_SIZE + 4


def _canvas(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "white")
