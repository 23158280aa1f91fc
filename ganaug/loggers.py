"""Pictures, tables and figures to whatever logger a run has: TensorBoard, Weights & Biases, MLflow, or files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from datamodules.files.manifest import replacing
from ganaug.evaluation.figures import pixels

Table = Sequence[tuple[str, str]]  # a class and a sentence in each row
Shown = np.ndarray | Figure | Table


def show(logger: Logger, tag: str, shown: Shown, step: int) -> None:
    """Hand over a picture uint8 (H, W, 3), a figure or a table.

    A logger that is none of the three that can show it gets a file: ``previews/<tag>-<step>.png`` or ``.md`` in its
    folder.
    """
    if isinstance(logger, TensorBoardLogger):
        write(logger.experiment, tag, shown, step)
    elif isinstance(logger, WandbLogger):
        if isinstance(shown, np.ndarray | Figure):
            logger.log_image(tag, [pixels(shown)], step=step)
        else:
            logger.log_text(tag, ["class", "sentence"], [list(row) for row in shown], step=step)
    elif isinstance(logger, MLFlowLogger):
        if isinstance(shown, np.ndarray | Figure):
            logger.experiment.log_image(logger.run_id, pixels(shown), key=tag, step=step)
        else:
            logger.experiment.log_text(logger.run_id, markdown(shown), f"{tag}/{step:08}.md")
    elif folder := logger.log_dir or logger.save_dir:
        file = Path(folder) / "previews" / f"{tag}-{step:08}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(shown, np.ndarray | Figure):
            with replacing(file.with_suffix(".png")) as stream:
                Image.fromarray(pixels(shown)).save(stream, "png")
        else:
            with replacing(file.with_suffix(".md")) as stream:
                stream.write(markdown(shown).encode())


@rank_zero_only
def set_aside(metrics: Path) -> None:
    """Keep what a CSVLogger has written before, which it deletes when a run goes on: as ``metrics_1.csv`` and so on."""
    there = [path.stem.removeprefix(f"{metrics.stem}_") for path in metrics.parent.glob(f"{metrics.stem}_*.csv")]
    number = 1 + max((int(name) for name in there if name.isdecimal()), default=0)
    if metrics.exists():
        metrics.rename(metrics.with_name(f"{metrics.stem}_{number}.csv"))


def write(writer: SummaryWriter, tag: str, shown: Shown, step: int) -> None:
    """To TensorBoard's writer."""
    if isinstance(shown, np.ndarray | Figure):
        writer.add_image(tag, pixels(shown), step, dataformats="HWC")
    else:
        writer.add_text(tag, markdown(shown), step)


def markdown(rows: Table) -> str:
    """A table in Markdown whose cells show just what they hold."""
    lines = [f"| {_plain(label)} | {_plain(sentence)} |" for label, sentence in rows]
    return "\n".join(["| class | sentence |", "| --- | --- |", *lines])


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is: punctuation by its numbers, line breaks as spaces."""
    return re.sub(r"[!-/:-@\[-`{-~]", lambda found: f"&#{ord(found[0])};", re.sub(r"[\r\n]+", " ", text))
