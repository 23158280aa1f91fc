"""Few digits: a DCGAN learns from them, and a classifier of one's own learns with and without its samples.

Cells as in a notebook, from top to bottom: ``python experiments/example_images.py``. It prints whatever comes: samples
may help or harm, and one seed says little. For an answer with intervals, see ``ganaug augment``.
"""

# %% Few real pictures
import math
import os

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import nn

from datamodules import AugmentedDataModule, Digits
from ganaug import DCGAN, SyntheticDataset

ROWS = int(os.environ.get("ROWS", 10))  # of each class
GAN_STEPS, STEPS = int(os.environ.get("GAN_STEPS", 3000)), int(os.environ.get("STEPS", 500))
RATIO = float(os.environ.get("RATIO", 5))  # samples for each real picture
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}

real = Digits(per_class=ROWS)

# %% A GAN learns from the training pictures alone
gan = DCGAN(real.schema, width=32)
Trainer(max_steps=GAN_STEPS, max_epochs=-1, limit_val_batches=0, **quiet).fit(gan, real)
synthetic = SyntheticDataset(gan, per_class=math.ceil(ROWS * RATIO), cache=True)


# %% A classifier of one's own, which knows nothing of GANs
class Small(LightningModule):
    """Two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten()
        self.network = nn.Sequential(*layers, nn.Dropout(0.5), nn.LazyLinear(10))
        self.network(torch.zeros(1, 1, 16, 16))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.network(batch[0]), batch[1])

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Accuracy."""
        self.log("accuracy", (self.network(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), 1e-3)


# %% The same number of steps, without the samples and with them
for name, ratio in (("real alone", 0.0), (f"with {RATIO:g} samples for each", RATIO)):
    seed_everything(0, verbose=False)
    data, trainer = AugmentedDataModule(real, synthetic, ratio, as_tuple=True), Trainer(max_steps=STEPS, **quiet)
    trainer.fit(classifier := Small(), data)
    accuracy = trainer.test(classifier, data, verbose=False)[0]["accuracy"]
    print(f"{ROWS} pictures of each class, {name}: {accuracy:.1%} right on the test split")
