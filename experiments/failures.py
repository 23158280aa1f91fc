"""Faults of training, provoked on scikit-learn's digits: what samples look like then, and what the scores say.

    python experiments/failures.py --out failures
    python experiments/failures.py --out failures --faults [collapse]

Each is a run of `ganaug fit` with the options below, of a minute or two on one thread. Its picture is the last preview
of the run; of what was learnt by heart, samples above the training pictures that are nearest to them.
"""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jsonargparse import auto_cli
from PIL import Image

from datamodules import Digits
from ganaug import evaluate, load
from ganaug.cli import main
from ganaug.evaluation.contact_sheet import contact_sheet

COMMON = [
    "--model=DCGAN", "--model.width=16", "--data=Digits", "--data.image_size=8", "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false", "--trainer.logger=CSVLogger", "--trainer.log_every_n_steps=20",
    "--scores.steps=100", "--last.every_n_steps=0",
]  # fmt: skip
FAULTS = {
    "collapse": [
        "--model.discriminator_norm=none", "--model.loss=non_saturating", "--model.augment=", "--model.ema_decay=0",
        "--model.lr_d=0.004", "--model.lr_g=0.001", "--model.betas=[0.9,0.999]", "--trainer.max_steps=400",
    ],
    "divergence": [
        "--model.discriminator_norm=none", "--model.loss=wasserstein", "--model.augment=", "--model.ema_decay=0",
        "--model.lr_d=0.05", "--model.lr_g=0.05", "--trainer.max_steps=600",
    ],
    "d_has_won": ["--data.per_class=5", "--data.batch_size=50", "--model.augment=", "--trainer.max_steps=2000"],
    "by_heart": [
        "--data.per_class=5", "--data.batch_size=50", "--data.steps_per_epoch=100", "--model.augment=",
        "--model.loss=relativistic", "--model.discriminator_norm=none", "--model.r1=0.2", "--model.r2=0.2",
        "--model.r1_every=4", "--model.lr_g=0.001", "--model.lr_d=0.001", "--model.ema_decay=0.99",
        "--trainer.max_steps=6000",
    ],
}  # fmt: skip


def run(fault: str, root: Path, steps: int | None) -> int:
    """Train in ``root``, and return for how many steps."""
    own = next(int(o.partition("=")[2]) for o in FAULTS[fault] if o.startswith("--trainer.max_steps"))
    steps = steps or own
    often = max(1, steps // 2)
    main([
        "fit", f"--name={fault}", f"--trainer.default_root_dir={root}", *COMMON, *FAULTS[fault],
        f"--trainer.max_steps={steps}", f"--trainer.val_check_interval={often}",
        f"--previews.every_n_steps={min(often, 100)}",
    ])  # fmt: skip
    return steps


def last(folder: Path) -> dict[str, float]:
    """Of each scalar of a run, what was logged last."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: float(value) for row in rows for name, value in row.items() if value}


def beside_the_nearest(ckpt: Path, data: Digits, count: int) -> Image.Image:
    """Samples, and below each the training picture that is nearest, pixel by pixel."""
    model = load(ckpt)
    labels = torch.arange(count) % len(data.schema.classes)
    fake = model.sample(model.latent(torch.arange(count), 0), labels)["x"].numpy()  # (count, C, H, W)
    data.setup()
    real = np.stack([data.train[row]["x"].numpy() for row in range(len(data.train))])
    nearest = [int(((real - one) ** 2).sum((1, 2, 3)).argmin()) for one in fake]
    both = np.concatenate([fake, real[nearest]])
    pixels = ((both.transpose(0, 2, 3, 1) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    named = replace(data.schema, classes=("sample", "nearest"))
    return contact_sheet(pixels, np.repeat([0, 1], count), named, columns=count)


def failures(
    out: Path = Path("failures"), faults: list[str] | None = None, steps: int | None = None
) -> dict[str, dict[str, object]]:
    """Provoke faults, and keep a picture of each and its scores in ``scores.json``.

    Args:
        out: folder to write to.
        faults: of collapse, divergence, d_has_won, by_heart; by default all.
        steps: of each run, instead of its own number.
    """
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, object]] = {}
    for fault in faults or list(FAULTS):
        begun = time.process_time()
        trained = run(fault, out, steps)
        found[fault] = {"steps": trained, "cpu_seconds": time.process_time() - begun}
        folder = max((out / fault).glob("version_*"), key=lambda run: run.stat().st_mtime)
        ckpt = folder / "checkpoints" / "last.ckpt"
        data = Digits(image_size=8, per_class=5 if "--data.per_class=5" in FAULTS[fault] else None)
        found[fault] |= last(folder)
        found[fault] |= evaluate(data, ckpt, out=out / f"{fault}.json", cas=False, classifier_steps=100)
        picture = Image.open(max((folder / "previews").glob("samples-*.png")))
        (beside_the_nearest(ckpt, data, 10) if fault == "by_heart" else picture).save(out / f"{fault}.png")
        (out / "scores.json").write_text(json.dumps(found, indent=2, default=str))
    return found


if __name__ == "__main__":
    auto_cli(failures)
