"""Which numbers are black and white in pictures that are not stored as bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datamodules.errors import InputError


@dataclass(frozen=True)
class Range:
    """Numbers from ``low``, black, to ``high``, white.

    Args:
        low, high: the two ends, low below high.
        said: how they were found; empty where they are what anyone would expect.
        asked: whether the user said so, and numbers outside are a mistake.
    """

    low: float
    high: float
    said: str = ""
    asked: bool = False

    def outside(self, x: np.ndarray) -> bool:
        """Whether a number lies beyond the ends."""
        return float(x.min()) < self.low or float(x.max()) > self.high

    def pixels(self, x: np.ndarray) -> np.ndarray:
        """Numbers of any type and shape to uint8 0..255, cut off at the ends."""
        scaled = (x.astype(np.float64) - self.low) * (255.0 / (self.high - self.low))
        return np.rint(scaled).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Extent:
    """What numbers there are: least, most, whether all are whole, and the bits of the type that held them."""

    low: float
    high: float
    whole: bool
    bits: int
    floats: bool

    @staticmethod
    def of(x: np.ndarray) -> Extent:
        """Of finite numbers of any shape, at least one."""
        if x.dtype.kind == "b":
            return Extent(0, 1, True, 1, True)
        floats = x.dtype.kind == "f"
        whole = not floats or bool((x == np.rint(x)).all())
        return Extent(float(x.min()), float(x.max()), whole, x.dtype.itemsize * 8, floats)

    def __or__(self, other: Extent) -> Extent:
        return Extent(
            min(self.low, other.low),
            max(self.high, other.high),
            self.whole and other.whole,
            max(self.bits, other.bits),
            self.floats or other.floats,
        )


def found_range(found: Extent) -> Range:
    """The range that pictures with these numbers use.

    Whole numbers from 0 on: as many bits as the largest needs, at least 8. Fractions in 0 to 1, or in -1 to 1 where
    some are negative, are taken as they are usually meant, unless they use less than a quarter of it; up to 255 as
    bytes. All else from the least to the most.

    Raises:
        InputError: there is but one number; without the place at its beginning.
    """
    low, high = found.low, found.high
    if found.floats and low >= 0 and 0.25 <= high <= 1:
        return Range(0, 1)
    if found.floats and -1 <= low < 0 and max(-low, high) >= 0.25 and high <= 1:
        return Range(-1, 1, f"pictures run from {low:.4g} to {high:.4g}: -1 is black, 1 white")
    if found.whole and low >= 0 and (high > 1 or not found.floats):
        bits = max(8, int(high).bit_length())
        white = 2**bits - 1
        of = f"whole numbers of {bits} bits" if found.floats else f"{bits} of {found.bits} bits"
        return Range(0, white, f"pictures use {of}: scaled by {white}" + _written(bits > 8))
    if low >= 0 and 127 < high <= 255:
        return Range(0, 255, f"pictures run from {low:.4g} to {high:.4g}: scaled by 255" + _written(True))
    if low == high:
        raise InputError(
            f"every pixel is {low:.4g}, so that no range can be told: check the pictures, or set value_range"
        )
    return Range(
        low, high, f"pictures run from {low:.4g} to {high:.4g}: scaled from there to 0 to 255" + _written(True)
    )


def asked_range(value_range: tuple[float, float] | None) -> Range | None:
    """The option ``value_range`` of a data module.

    Raises:
        InputError: its ends are not in order.
    """
    if value_range is None:
        return None
    low, high = map(float, value_range)
    if not low < high:
        raise InputError(f"value_range is from black to white, the lower number first, not {[low, high]}")
    return Range(low, high, f"scaled from {low:g} to {high:g}" + _written(True), asked=True)


def _written(more: bool) -> str:
    return ", and samples are written in 8 bits" if more else ""


def beyond(x: np.ndarray, asked: Range) -> str:
    """What is said of numbers outside of the range that was asked for."""
    low, high = x.min(), x.max()
    return f"pixels from {low:g} to {high:g}, and value_range is {asked.low:g} to {asked.high:g}"
