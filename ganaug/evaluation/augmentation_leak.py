"""Whether the augmentation through which a discriminator sees the data shows in samples."""

from __future__ import annotations

from dataclasses import replace

import torch

from datamodules.rows import joined
from datamodules.schema import Batch
from ganaug.classifiers.training import ClassifierFeatures, fit_classifier
from ganaug.gans.base import GAN
from ganaug.runtime.devices import seeded

DRAWS = 4  # of the augmentation, for each training row
ROWS = 2048  # that are augmented at a time: pictures as networks see them take four times the memory of stored ones


def leak(
    model: GAN, train: Batch, unseen: Batch, samples: Batch, *, seed: int, steps: int, accelerator: str = "auto"
) -> dict[str, float]:
    """Shares of the samples, and of unseen real rows, that a classifier takes for augmented ones.

    A generator may learn to make what its discriminator was shown (Karras et al. 2020, "Training Generative Adversarial
    Networks with Limited Data", arXiv 2006.06676, section 2.2). The classifier of the data's kind is taught to tell
    training rows from the same rows after the augmentation; whatever is wrong with both shares alike is its own fault.

    Args:
        model: whose augmentation it is: see :meth:`~ganaug.gans.base.GAN.augmented`.
        train, unseen, samples: rows as they are stored.
        seed: of the augmentation and of the classifier.
        steps: batches of 128 that it is trained for.
        accelerator: see :func:`~ganaug.classifiers.training.fit_classifier`.

    Returns:
        ``samples`` and ``unseen``, each in [0, 1]; nothing where D sees rows as they are.
    """
    schema = model.schema
    plain = {name: field for name, field in train.items() if name != "y"}
    changed = []
    with seeded(seed, model.device):
        for index in torch.split(torch.arange(len(train["y"])), ROWS) * DRAWS:
            rows = {name: field[index].to(model.device) for name, field in plain.items()}
            seen = model.augmented(schema.prepare(rows))
            if seen is None:
                return {}
            changed.append(schema.stored(seen))
    rows = joined([*[plain] * DRAWS, *changed])
    rows["y"] = torch.tensor([0, 1]).repeat_interleave(DRAWS * len(train["y"]))
    two = replace(schema, classes=("as it is", "augmented"))
    judge = ClassifierFeatures(fit_classifier(two, rows, steps=steps, seed=seed, accelerator=accelerator), "")
    return {
        "samples": judge.predict(samples).float().mean().item(),
        "unseen": judge.predict(unseen).float().mean().item(),
    }
