"""The section of gpu_check.py that trains what is worth keeping, and scores it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_run import HERE, Row, Run, attempt

ORDER = (
    ("cifar", "R3GAN"),
    ("energy", "R3GAN"),
    ("mnist", "DCGAN"),
    ("cifar", "DCGAN"),
    ("stocks", "R3GAN"),
    ("sines", "R3GAN"),
    ("stocks", "TimeGAN"),
)


def trainings(run: Run) -> Iterator[Row]:
    """Trainings whose scores are worth keeping, as long as the time lasts."""
    from datamodules import Digits, ImageArrays
    from ganaug.cli import main
    from ganaug.commands.evaluate import evaluate

    def pictures(yaml: str, source: list[str], seconds: float, data: Any) -> Row:
        folder = run.out / yaml
        limits = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "4", "--scores.steps", "2"]
        if not run.tiny:
            limits = ["--trainer.max_time", f"00:00:{int(seconds / 2) // 60:02d}:{int(seconds / 2) % 60:02d}"]
            limits += ["--trainer.limit_val_batches", "0"]  # the scores come after it
        main(
            [
                "fit",
                "--config",
                str(HERE / f"{yaml}.yaml"),
                *source,
                *limits,
                "--trainer.devices",
                "1",
                "--trainer.default_root_dir",
                str(folder),
                "--trainer.enable_progress_bar",
                "false",
            ]
        )
        ckpt = max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)
        few: Row = {"n": 20, "classifier_steps": 2} if run.tiny else {"n": 10_000}
        scores = evaluate(data, ckpt=ckpt, out=run.out / f"{yaml}.json", progress=False, **few)["scores"]
        return {
            "trained steps": torch.load(ckpt, weights_only=True)["global_step"],
            "class fidelity": scores["class_fidelity"]["synthetic"],
            "(real)": scores["class_fidelity"]["floor"],
            "CAS": scores["cas"]["trained_on_synthetic"],
            "Fréchet": scores["frechet_distance"]["to_test"],
            "Fréchet (real)": scores["frechet_distance"]["floor"],
        }

    if run.tiny:
        small = ["--trainer.accelerator", "cpu", "--data.batch_size", "8"]
        yield attempt({"data": "Digits"}, lambda: pictures("dcgan_digits", small, 0, Digits()))
        return
    sets = {"mnist": "mnist.npz", "cifar": "cifar10_4000.npz", "stocks": "stock_data.csv", "energy": "energy_data.csv"}
    found = {name: next(run.data.rglob(file), None) if run.data else None for name, file in sets.items()}
    longest = 0.0
    for k, (name, model) in enumerate(ORDER):
        path, file = found.get(name), sets.get(name)
        row = {"data": name, "model": model}
        if file and path is None:
            yield row | {"status": f"not run: no {file} in --data" if run.data else f"not run: no --data with {file}"}
            continue
        if run.left < max(30.0, 1.2 * longest):
            yield row | {"status": f"not run: {run.left:.0f} s were left"}
            continue
        begun, share = time.monotonic(), run.left / (len(ORDER) - k)
        if name in ("mnist", "cifar"):
            assert path is not None
            yaml = f"{model.lower()}_{'mnist' if name == 'mnist' else 'cifar10_4000'}"
            source = ["--data", "ImageArrays", "--data.path", str(path)]
            yield attempt(row, lambda a=(yaml, source, share), path=path: pictures(*a, ImageArrays(path)))
        else:
            yield attempt(row, lambda name=name, model=model, path=path: series(run, name, path, model))
        longest = max(longest, time.monotonic() - begun)


def series(run: Run, name: str, path: Path | None, model: str = "R3GAN", **options: Any) -> Row:
    """A data set of TimeGAN's benchmark: the scores of one seed, preset ``scarce``, beside their floor."""
    import series_paper

    out = run.out / f"{model.lower()}_{name}.json"
    files = {} if path is None else {name: path}
    usual = {"TimeGAN": {"steps": 3800, "options": {"decay_steps": 2500}}}.get(model, {})
    chosen = {"model": model} | usual | options
    series_paper.paper(**files, sines=name == "sines", seeds=[0], out=out, **chosen)
    floor, ours = json.loads(out.read_text())
    shown = ("discriminative", "discriminative_conv", "predictive", "correlation")
    return {key: ours[key] for key in shown} | {f"{key} (floor)": floor[key] for key in shown}
