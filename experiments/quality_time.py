"""Quality against time: scores of one training after so many CPU minutes, beside other models and other people's code.

    python experiments/quality_time.py train --data.class_path ImageArrays --data.path mnist.npz --data.per_class 50 \
        --model R3GAN --steps 3000 --every 2 --n 6000 --out points/R3GAN.json
    python experiments/quality_time.py score --data … --samples FOLDER --out points/ACGAN.json
    python experiments/quality_time.py plot --points points --out quality_time.png

A run is measured in CPU seconds of its process, without those that go into scoring, so that whatever else the machine
does has little part in it. Everything is scored by ``ganaug evaluate``. In the folder of samples of other code each
file is named after the minutes that it took, such as ``2.5.npz``, as ``ganaug evaluate --samples`` reads them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from matplotlib.figure import Figure

from datamodules import GANDataModule, InputError, Schema
from ganaug import GAN
from ganaug.commands.evaluate import evaluate

# What is shown of the scores, where the real data have it, and whether more is better.
SHOWN: dict[str, tuple[Callable[[dict[str, Any]], tuple[float, float]], bool]] = {
    "CAS": (lambda s: (s["cas"]["trained_on_synthetic"], s["cas"]["trained_on_real"]), True),
    "Fréchet distance": (lambda s: (s["frechet_distance"]["to_test"], s["frechet_distance"]["floor"]), False),
    "recall": (lambda s: (s["recall"]["to_train"], s["recall"]["floor"]), True),
    "discriminative score": (
        lambda s: (s["discriminative_score"]["synthetic"], s["discriminative_score"]["floor"]),
        False,
    ),
    "discriminative score, convolutions": (
        lambda s: (s["discriminative_score_conv"]["synthetic"], s["discriminative_score_conv"]["floor"]),
        False,
    ),
}


class Marks(Callback):
    """A checkpoint after every so many CPU minutes and at the end, with the clock stopped while it is written."""

    def __init__(self, every: float, folder: Path) -> None:
        self.every, self.folder = every, folder
        self.used, self.found = 0.0, dict[float, tuple[int, Path]]()

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        """Start the clock."""
        self.since = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Keep a checkpoint where it is time."""
        minutes = (self.used + time.process_time() - self.since) / 60
        last = model.step >= trainer.max_steps
        if not last and minutes < self.every * (len(self.found) + 1):
            return
        self.used += time.process_time() - self.since
        path = self.folder / f"{model.step}.ckpt"
        trainer.save_checkpoint(path)
        self.found[minutes] = int(model.step), path
        self.since = time.process_time()


def point(data: GANDataModule, minutes: float, repeats: int, **source: Any) -> dict[str, Any]:
    """The scores of a checkpoint or of samples, and what real data score in their place."""
    found = evaluate(data, **source, out=None, repeats=repeats, accelerator="cpu", progress=False)["scores"]
    line: dict[str, Any] = {"minutes": round(minutes, 4), "scores": {}}
    for name, (of, _) in SHOWN.items():
        try:
            line["scores"][name] = [round(score, 4) for score in of(found)]
        except KeyError:
            continue
    print(json.dumps(line), flush=True)
    return line


def train(
    data: GANDataModule,
    model: Callable[[Schema], GAN],
    out: Path,
    steps: int = 2000,
    every: float = 2.0,
    n: int | None = None,
    repeats: int = 2,
    seed: int = 0,
    precision: str = "32-true",
    threads: int = 1,
) -> None:
    """Train once, and score on the way.

    Args:
        data: real rows.
        model: what is trained on them.
        out: JSON file of the points; checkpoints are kept beside it.
        steps: batches of the training.
        every: CPU minutes from point to point.
        n: samples that are scored, by default as many as training rows.
        repeats: judges of series.
        seed: of weights and noise.
        precision: of the Trainer.
        threads: of the process.
    """
    torch.set_num_threads(threads)
    seed_everything(seed, verbose=False)
    made = model(data.schema)
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    marks = Marks(every, folder)
    own: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        max_steps=steps, max_epochs=-1, precision=precision, accelerator="cpu", devices=1, callbacks=[marks],
        limit_val_batches=0, enable_model_summary=False, **own,
    )  # fmt: skip
    trainer.fit(made, data)
    lines = [
        {"steps": step, **point(data, minutes, repeats, ckpt=path, n=n)}
        for minutes, (step, path) in marks.found.items()
    ]
    out.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


def score(data: GANDataModule, samples: Path, out: Path, repeats: int = 2, threads: int = 1) -> None:
    """Score what other code has written.

    Args:
        data: real rows.
        samples: folder of files that are named after CPU minutes.
        out: JSON file of the points.
        repeats: judges of series.
        threads: of the process.
    """
    torch.set_num_threads(threads)
    files = sorted(samples.glob("*.npz"), key=lambda file: float(file.stem))
    if not files:
        raise InputError(f"{samples}: no .npz in it, named after the minutes that it took")
    lines = [point(data, float(file.stem), repeats, samples=file) for file in files]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


def plot(points: list[Path], out: Path, titles: list[str] | None = None) -> None:
    """Draw one panel a score and folder, a line for each file in it.

    Args:
        points: folders of JSON files that ``train`` and ``score`` wrote, one for each set of data.
        out: PNG file.
        titles: of the folders, by default their names.
    """
    read = [{f.stem: json.loads(f.read_text("utf-8")) for f in sorted(folder.glob("*.json"))} for folder in points]
    panels = [
        (title, name, files)
        for title, files in zip(titles or [folder.name for folder in points], read, strict=True)
        for name in SHOWN
        if all(name in line["scores"] for lines in files.values() for line in lines) and files
    ]
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    for axes, (title, name, files) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for model, lines in files.items():
            axes.plot(
                [line["minutes"] for line in lines], [line["scores"][name][0] for line in lines], "o-", label=model
            )
        axes.axhline(next(iter(files.values()))[-1]["scores"][name][1], color="gray", linestyle="--", label="real rows")
        better = "higher" if SHOWN[name][1] else "lower"
        axes.set(title=f"{title}: {better} is better", xlabel="CPU minutes", ylabel=name)
        if "distance" in name:
            axes.set_yscale("log")
        axes.legend(fontsize="small")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    auto_cli([train, score, plot], as_positional=False)
