"""Few series: a TimeGAN learns from them, and a classifier learns with and without its samples.

Cells as in a notebook, from top to bottom: ``python experiments/example_series.py``. It prints whatever comes: samples
may help or harm, and one seed says little. For an answer with intervals, see ``ganaug augment``.
"""

# %% Few real series
import math
import os

from lightning.pytorch import Trainer, seed_everything

from datamodules import AugmentedDataModule, Signals
from ganaug import SyntheticDataset, TimeGAN
from ganaug.classifiers import SeriesClassifier

ROWS = int(os.environ.get("ROWS", 10))  # of each class
GAN_STEPS, STEPS = int(os.environ.get("GAN_STEPS", 1600)), int(os.environ.get("STEPS", 200))
RATIO = float(os.environ.get("RATIO", 5))  # samples for each real series
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}

real = Signals(kinds=["sinusoid", "pseudo_periodic", "ar", "mackey_glass"], series=800, length=24, per_class=ROWS)

# %% A GAN learns from the training series alone: half of the time the codes, a quarter their course, a quarter jointly
gan = TimeGAN(real.schema, autoencoder_steps=GAN_STEPS // 2, supervisor_steps=GAN_STEPS // 4)
Trainer(max_steps=GAN_STEPS, max_epochs=-1, limit_val_batches=0, **quiet).fit(gan, real)
synthetic = SyntheticDataset(gan, per_class=math.ceil(ROWS * RATIO), cache=True)

# %% The same number of steps, without the samples and with them
for name, ratio in (("real alone", 0.0), (f"with {RATIO:g} samples for each", RATIO)):
    seed_everything(0, verbose=False)
    data, trainer = AugmentedDataModule(real, synthetic, ratio), Trainer(max_steps=STEPS, **quiet)
    trainer.fit(classifier := SeriesClassifier(real.schema, steps=STEPS), data)
    accuracy = trainer.validate(classifier, data.test_dataloader(), verbose=False)[0]["accuracy/val"]
    print(f"{ROWS} series of each class, {name}: {accuracy:.1%} right on the test split")
