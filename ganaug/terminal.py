"""What a run shows on the terminal, beside what Lightning says."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar

from datamodules import GANDataModule
from ganaug.evaluation.facts import as_table, facts


class ProgressBar(RichProgressBar):
    """Counts towards ``max_steps`` where a run has no number of epochs; Lightning's says "Epoch 0/-2" there."""

    def _update_metrics(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only where they are new: to ask for them in every step would stall a GPU."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step % every == 0:
            super()._update_metrics(trainer, pl_module)

    def _get_train_description(self, current_epoch: int) -> str:
        steps = self.trainer.max_steps
        if steps < 0 or self.trainer.max_epochs != -1:
            return super()._get_train_description(current_epoch)
        return f"From step {self.trainer.global_step} of {steps}"


class Facts(Callback):
    """Says what was read, before training begins."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once, and not again by a run that goes on."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.is_global_zero and not trainer.global_step and isinstance(data, GANDataModule):
            print(as_table(facts(data)))
