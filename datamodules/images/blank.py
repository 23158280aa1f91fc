"""Pictures in which there is little to see, which is mostly a mistake in how they were saved or read."""

from __future__ import annotations

import zlib

import numpy as np

BLACK, LEVELS = 15, 5  # of 255: nothing above it is nearly black; fewer grey levels than these are a handful


class Look:
    """A look at every picture, until enough was seen.

    Several threads may look at once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._levels: set[int] = set()
        self._sums: set[int] = set()

    @property
    def enough(self) -> bool:
        """Whether nothing is left to warn of."""
        return len(self._levels) >= LEVELS and max(self._levels) > BLACK and len(self._sums) > 1

    def at(self, picture: np.ndarray) -> None:
        """Look at a picture, uint8 of any shape."""
        self.count += 1
        if not self.enough:
            self._levels.update(np.unique(picture).tolist())
            self._sums.add(zlib.crc32(picture.tobytes()))

    def warning(self) -> str:
        """What is odd about the pictures, or nothing."""
        if not self.count or self.enough:
            return ""
        odd = []
        if len(self._sums) == 1 and self.count > 1:
            odd.append("are all alike")
        if max(self._levels) <= BLACK:
            odd.append("are nearly black")
        if len(self._levels) < LEVELS:
            odd.append(f"have {len(self._levels)} grey level{'s' * (len(self._levels) > 1)} in all")
        return f"the pictures {', '.join(odd)}: is that how they should be?" if odd else ""
