"""matplotlib figures without the state of its pyplot: made, written as PNG, turned into pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from datamodules.files.manifest import replacing


def save_figure(figure: Figure, picture: Path) -> None:
    """Write a figure as PNG; it appears whole or not at all."""
    with replacing(picture) as file:
        figure.savefig(file, format="png", dpi=120)


def pixels(picture: np.ndarray | Figure) -> np.ndarray:
    """A figure as a picture uint8 (H, W, 3); a picture as it is."""
    if isinstance(picture, np.ndarray):
        return picture
    canvas: Any = FigureCanvasAgg(picture)  # Any, since matplotlib gives its methods no types
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
