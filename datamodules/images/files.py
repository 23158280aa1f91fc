"""One picture file: what its header says, and its pixels, upright and in a mode that networks know."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from datamodules.errors import InputError, reason_of
from datamodules.images.ranges import Extent, Range, beyond, found_range

T = TypeVar("T")
Numbers = Literal["whole", "float", "byte"]  # what a grey pixel is stored as; whole numbers of more than a byte
Ranges = Mapping[Numbers, Range]

ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jp2", ".tga"}
    | {".pbm", ".pgm", ".ppm", ".pnm"}
)
GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 lie on their side
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class RangeMisfitError(InputError):
    """A picture is sound, and the range that was asked for does not fit it."""


class Header(NamedTuple):
    """What is known of a picture before it is decoded."""

    size: tuple[int, int]  # (height, width), once upright
    mode: str  # Pillow's
    clear: bool  # may be transparent
    halved: bool  # colour of more than 8 bits, of which Pillow reads the upper 8
    several: bool  # pages or an animation

    @property
    def numbers(self) -> Numbers:
        """What its pixels are stored as."""
        return numbers_of(self.mode)


class Picture(NamedTuple):
    """A picture as it was read."""

    image: Image.Image  # of mode L, RGB or RGBA
    laid: bool  # on white, since it was transparent in parts
    cut: bool  # pixels lay outside of the range


def numbers_of(mode: str) -> Numbers:
    """What the pixels of a mode of Pillow's are stored as."""
    return "float" if mode == "F" else "whole" if mode.startswith("I") else "byte"


def read_header(file: Path) -> Header:
    """Size and mode of a picture.

    Raises:
        InputError: the file cannot be read; without advice at its end.
    """

    def read(image: Image.Image) -> Header:
        lying = _turned(image) and image.getexif().get(ORIENTATION, 1) >= 5
        size = image.size if lying else (image.height, image.width)
        halved = numbers_of(image.mode) == "byte" and any(map(_deep, getattr(image, "tile", ())))
        return Header(size, image.mode, image.has_transparency_data, halved, getattr(image, "is_animated", False))

    return _pillow(file, read)


def _deep(tile: Any) -> bool:
    """Whether a part of a file, as Pillow describes it before it is decoded, holds more than 8 bits a channel."""
    codec, _, _, args = tile
    return ";16" in str(args) or (codec.startswith("ppm") and args[-1] > 255)


def read_picture(file: Path, channels: int, ranges: Ranges | None = None) -> Picture:
    """The first picture of a file, upright, as mode L, RGB or RGBA for 1, 3 or 4 channels.

    Transparent parts are laid on white, unless ``channels`` is 4.

    Args:
        file: to read.
        channels: 1, 3 or 4.
        ranges: of grey pixels, by what they are stored as; what is missing is found in the picture itself.

    Raises:
        InputError: the file cannot be read, or has pixels outside of a range that was asked for; without advice at its
            end.
    """
    return _pillow(file, lambda image: _upright(image, channels, ranges or {}))


def brightest(image: Image.Image) -> int:
    """The largest byte of its colours, whatever is transparent."""
    return int(np.asarray(image.convert("RGB")).max())


def read_extent(file: Path) -> Extent:
    """What numbers the pixels of a grey picture are.

    Raises:
        InputError: the file cannot be read; without advice at its end.
    """

    def read(image: Image.Image) -> Extent:
        image.load()
        return Extent.of(_finite(np.asarray(image)))

    return _pillow(file, read)


def varies(file: Path) -> bool:
    """Whether a picture is more transparent in some parts than in others.

    Raises:
        InputError: the file cannot be read; without advice at its end.
    """

    def read(image: Image.Image) -> bool:
        low, high = image.convert("RGBA").getchannel("A").getextrema()
        return bool(low != high)

    return _pillow(file, read)


def _pillow(file: Path, read: Callable[[Image.Image], T]) -> T:
    try:
        # By a handle and not by its name, for then Pillow would map a plain TIFF into memory, and read one that lies on
        # its side with the sides of an upright one.
        with file.open("rb") as data, Image.open(data) as image:
            return read(image)
    except MemoryError:
        raise
    except InputError as error:
        raise type(error)(f"{file}: {error}") from None
    except Exception as error:  # Pillow's decoders let out nearly every kind there is
        try:
            empty = not file.stat().st_size
        except OSError:
            empty = False
        reason = "the file is empty" if empty else _reason(error)
        raise InputError(f"{file}: not a picture that can be read ({reason})") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no known picture format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return reason_of(error)


def _turned(image: Image.Image) -> bool:
    """Whether EXIF may ask for a turn: asked before decoding, for Pillow turns TIFF by itself."""
    return "exif" in image.info


def _upright(image: Image.Image, channels: int, ranges: Ranges) -> Picture:
    turned = _turned(image)
    image.load()
    mode, laid, cut = image.mode, False, False
    numbers = numbers_of(mode)
    if numbers != "byte" or (numbers in ranges and mode != "1"):
        if numbers == "byte" and mode != "L":
            raise RangeMisfitError(f"value_range is for grey pictures, and this one is {mode}: leave it out")
        x = _finite(np.asarray(image))
        known = ranges.get(numbers) or found_range(Extent.of(x))
        cut = known.outside(x)
        if cut and known.asked:
            raise RangeMisfitError(f"{beyond(x, known)}: set value_range so that it holds all pixels")
        image = Image.fromarray(known.pixels(x))
    if turned:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels != 4:
            laid = int(np.asarray(image)[..., 3].min()) < 255
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return Picture(image.convert(MODES[channels]), laid, cut)


def _finite(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError("a pixel is no number")
    return x


def is_picture(file: Path) -> bool:
    """Whether a file is one, by its name; hidden files are none."""
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".")


def walk(folder: Path, passed_over: Counter[str], seen: set[str] | None = None) -> Iterator[Path]:
    """The pictures in a folder and below, in order; links to folders are followed.

    Args:
        folder: where to begin.
        passed_over: counts the other files, by their endings.
        seen: real paths of folders that are left out; those that were walked are added.
    """
    seen = set() if seen is None else seen
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "@eaDir")
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(files):
            file = Path(root, name)
            if is_picture(file):
                yield file
            else:
                passed_over[file.suffix.lower() or name] += 1


def as_image(picture: np.ndarray) -> Image.Image:
    """A picture uint8 (H, W, C); of channel numbers that no picture file has, the first channel."""
    return Image.fromarray(picture if picture.shape[-1] in (3, 4) else np.ascontiguousarray(picture[..., 0]))
