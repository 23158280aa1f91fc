"""The size at which networks see pictures: squares, and rectangles for pictures that are far from square."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median

from datamodules.errors import InputError

Sides = int | tuple[int, int]  # the side of a square, or (height, width)

SIZES = (8, 16, 32, 64, 128, 256)
USUAL = 128  # the largest square that is chosen without being asked for
OBLONG = 1.5  # from this ratio of the sides on a square would be a third empty, or squeeze the picture
START, REACH = 6, 16  # halving goes on while the shorter side has this many pixels, or the longer more than these


def both(size: Sides) -> tuple[int, int]:
    """(height, width)."""
    return (size, size) if isinstance(size, int) else size


def typed(size: Sides) -> str:
    """A size as the option ``image_size`` takes it."""
    return str(size) if isinstance(size, int) else "[" + ",".join(map(str, size)) + "]"


def checked_size(size: Sides) -> Sides:
    """The option ``image_size``: a square's side as a number, however it was given.

    Raises:
        InputError: networks cannot be made for it.
    """
    if isinstance(size, int):
        if size not in SIZES:
            raise InputError(
                f"image_size must be one of {', '.join(map(str, SIZES))}, or [height, width] in multiples of 4,"
                f" not {size}"
            )
        return size
    height, width = size
    if not is_drawable((height, width)):
        raise InputError(f"image_size: height and width must be multiples of 4 from 8 to 256, not {height}×{width}")
    return height if height == width else (height, width)


def is_drawable(size: tuple[int, int]) -> bool:
    """Whether networks of halvings can be made for pictures of (height, width)."""
    return all(8 <= side <= SIZES[-1] and side % 4 == 0 for side in size)


def halvings(size: Sides) -> int:
    """How often a network halves both sides: down to 4×4, or a small rectangle whose shorter side is 3 to 5.

    Further where the longer side is then still above 16 and both can be halved.
    """
    (height, width), count = both(size), 0
    while height % 2 == width % 2 == 0 and (min(height, width) >= START or max(height, width) > REACH):
        height, width, count = height // 2, width // 2, count + 1
    return count


def usual_size(height: int, width: int) -> Sides:
    """The size for pictures of (height, width), where none is asked for.

    The smallest square that holds them, and 128 for those that none up to that holds. Where the longer side is at least
    1.5 times the shorter and above 16, the smallest rectangle that can be halved as often as such a square of the
    shorter side; of pictures above 256 pixels one of the same shape.
    """
    longest, shortest = max(height, width), min(height, width)
    if longest <= 16 or longest < OBLONG * shortest:
        return next((size for size in SIZES if size >= longest and size <= USUAL), USUAL)
    scale = min(1.0, SIZES[-1] / longest)
    unit = _unit(shortest * scale, longest * scale)
    return _up(height * scale, unit), _up(width * scale, unit)


def cropped_size(sizes: Collection[tuple[int, int]]) -> tuple[int, int]:
    """(height, width) that pictures of different sizes are scaled and cropped to, so that none is enlarged.

    A square; a rectangle where all are oblong in the same direction, of their median shape.
    """
    shortest = min(min(size) for size in sizes)
    tall = all(height >= OBLONG * width for height, width in sizes)
    wide = all(width >= OBLONG * height for height, width in sizes)
    squares = [side for side in SIZES if side <= min(shortest, USUAL)] or [SIZES[0]]
    if not (tall or wide):
        return squares[-1], squares[-1]
    ratio = median(max(size) / min(size) for size in sizes)
    short = next((side for side in reversed(squares) if side * ratio <= 1.25 * SIZES[-1]), squares[0])
    unit = _unit(short, short * ratio)
    most = min(short * ratio, min(max(size) for size in sizes), SIZES[-1])
    long = max(short, int(most) // unit * unit)
    return (long, short) if tall else (short, long)


def _unit(short: float, long: float) -> int:
    """What both sides should be multiples of, to be halved often enough."""
    unit = max(4, next(size for size in SIZES if size >= short) // 4)
    while long > 20 * unit and 2 * unit <= short:
        unit *= 2
    return unit


def _up(side: float, unit: int) -> int:
    """To the next multiple, at least 8."""
    return max(8, -(-round(side) // unit) * unit)
