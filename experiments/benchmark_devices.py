"""The section of benchmark.py that is about several devices: what a second process gains, and what averaging costs."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from datamodules import Digits, GANDataModule, Grammar, Signals
from ganaug import DCGAN, GAN, SeqGAN, TimeGAN

WARM = 10  # steps before the clock counts


class ByReducer:
    """The other way, for a comparison: DDP's reducer, which searches every graph for parameters without a gradient."""

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lightning's own."""
        LightningModule.manual_backward(self, loss, *args, **kwargs)  # type: ignore[arg-type]

    def average_gradients(self, optimizer: Any) -> None:
        """Done already."""


class DCGANByReducer(ByReducer, DCGAN):
    """See above."""


class SeqGANByReducer(ByReducer, SeqGAN):
    """See above."""


class TimeGANByReducer(ByReducer, TimeGAN):
    """See above."""


def built(name: str, reducer: bool) -> tuple[GANDataModule, GAN]:
    """Data and model of an example, in its last phase."""
    if name == "DCGAN":
        return (data := Digits()), (DCGANByReducer if reducer else DCGAN)(data.schema, width=32)
    if name == "SeqGAN":
        phases = {"mle_steps": 0, "discriminator_steps": 0}
        return (text := Grammar(sentences=2000)), (SeqGANByReducer if reducer else SeqGAN)(text.schema, **phases)
    phases = {"autoencoder_steps": 0, "supervisor_steps": 0}
    return (series := Signals(series=700)), (TimeGANByReducer if reducer else TimeGAN)(series.schema, **phases)


class Clock(Callback):
    """Writes the median seconds of a step, from one to the next."""

    def __init__(self, path: Path) -> None:
        self.path, self.times = path, []

    def on_train_start(self, *_: Any) -> None:
        """One thread a process."""
        torch.set_num_threads(1)

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """Write."""
        if trainer.is_global_zero:
            steps = [b - a for a, b in zip(self.times[WARM:], self.times[WARM + 1 :], strict=False)]
            self.path.write_text(str(statistics.median(steps)))


def seconds(name: str, devices: int, reducer: bool, steps: int) -> float:
    """Median seconds of a training step."""
    data, model = built(name, reducer)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seconds")
        strategy = DDPStrategy(find_unused_parameters=reducer, start_method="fork") if devices > 1 else "auto"
        Trainer(
            accelerator="cpu", devices=devices, strategy=strategy, max_steps=WARM + steps, max_epochs=-1,
            limit_val_batches=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[Clock(path)],
        ).fit(model, data)  # fmt: skip
        return float(path.read_text())


def section_devices(pairs: int, steps: int = 40) -> list[dict[str, Any]]:
    """Rows a second with two processes of a thread each, to one; and a step by DDP's reducer, to ours; in turns."""
    rows = []
    for name in ("DCGAN", "SeqGAN", "TimeGAN"):
        turns = [
            [seconds(name, *run, steps) for run in ((1, False), (2, False), (2, True))]
            for _ in range(max(1, pairs // 2))
        ]
        one, two, other = (statistics.median(column) for column in zip(*turns, strict=True))
        batch = built(name, False)[0].batch_size
        rows.append(
            {
                "": name,
                "one process [rows/s]": batch / one,
                "two [rows/s]": 2 * batch / two,
                "two to one": statistics.median(2 * a / b for a, b, _ in turns),
                "step by the reducer, to ours": statistics.median(c / b for _, b, c in turns),
                "two [ms]": 1e3 * two,
                "reducer [ms]": 1e3 * other,
            }
        )
    return rows
