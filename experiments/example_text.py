"""Few sentences: a SeqGAN learns from them, and a classifier learns with and without its samples.

Cells as in a notebook, from top to bottom: ``python experiments/example_text.py``. It prints whatever comes: samples
may help or harm, and one seed says little. For an answer with intervals, see ``ganaug augment``.
"""

# %% Few real sentences
import math
import os

from lightning.pytorch import Trainer, seed_everything

from datamodules import AugmentedDataModule, Grammar
from ganaug import SeqGAN, SyntheticDataset
from ganaug.classifiers import TextClassifier

ROWS = int(os.environ.get("ROWS", 20))  # of each class
GAN_STEPS, STEPS = int(os.environ.get("GAN_STEPS", 600)), int(os.environ.get("STEPS", 300))
RATIO = float(os.environ.get("RATIO", 5))  # samples for each real sentence
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}

real = Grammar(sentences=3000, per_class=ROWS)

# %% A GAN learns from the training sentences alone: a third of the time by likelihood, a third D, a third adversarial
gan = SeqGAN(real.schema, mle_steps=GAN_STEPS // 3, discriminator_steps=GAN_STEPS // 3)
Trainer(max_steps=GAN_STEPS, max_epochs=-1, limit_val_batches=0, **quiet).fit(gan, real)
synthetic = SyntheticDataset(gan, per_class=math.ceil(ROWS * RATIO), cache=True)
for item in (synthetic[i] for i in range(6)):
    print(f"{real.schema.class_name(int(item['y'])):>10}: {real.schema.decode(item['x'][None])[0]}")

# %% The same number of steps, without the samples and with them
for name, ratio in (("real alone", 0.0), (f"with {RATIO:g} samples for each", RATIO)):
    seed_everything(0, verbose=False)
    data, trainer = AugmentedDataModule(real, synthetic, ratio), Trainer(max_steps=STEPS, **quiet)
    trainer.fit(classifier := TextClassifier(real.schema, steps=STEPS), data)
    accuracy = trainer.validate(classifier, data.test_dataloader(), verbose=False)[0]["accuracy/val"]
    print(f"{ROWS} sentences of each class, {name}: {accuracy:.1%} right on the test split")
