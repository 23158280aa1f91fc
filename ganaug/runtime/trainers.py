"""Which Trainers can run a GAN's step."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_warn

from datamodules.errors import InputError
from datamodules.lightning_internals import copied
from ganaug.runtime.devices import multiplies_bf16

COPIED = "--trainer.strategy: processes start anew here, not by spawn or fork: ddp, or leave it out"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def check_trainer(trainer: Trainer, accumulate: int) -> None:
    """Say what a GAN that accumulates so many batches cannot be run with, before anything is built for it.

    Raises:
        InputError: another strategy, another precision, or another order of the data.
    """
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        name = type(trainer.strategy).__name__
        raise InputError(f"strategy {name}: a GAN trains on one device or by ddp: leave --trainer.strategy out")
    if copied(trainer):
        raise InputError(COPIED)
    if trainer.overfit_batches:  # type: ignore[attr-defined]
        raise InputError("overfit_batches: give the data a per_class instead: batches come in a set order")
    if trainer.precision not in PRECISIONS:
        raise InputError(f"precision {trainer.precision}: a GAN trains in {', '.join(PRECISIONS)}")
    if trainer.precision == "16-mixed" and accumulate > 1:
        # All optimisers share one scaler, whose scale may change while another's sum is half done.
        raise InputError("accumulate above 1 with precision 16-mixed: use bf16-mixed, or accumulate 1")
    device = trainer.strategy.root_device
    if trainer.precision == "bf16-mixed" and not multiplies_bf16(device):
        name = {"cpu": "CPU", "cuda": "GPU"}.get(device.type, device.type)
        rank_zero_warn(f"precision bf16-mixed: this {name} does not multiply in bfloat16, so that 32-true is faster")
