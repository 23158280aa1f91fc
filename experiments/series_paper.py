"""The benchmark of TimeGAN (Yoon et al. 2019, section 5) and of most since: Sines, Stocks, Energy, windows of 24 steps.

    python experiments/series_paper.py --stocks stock_data.csv --energy energy_data.csv --out paper.json
    python experiments/series_paper.py --model TimeGAN --steps 3800 --options '{"decay_steps": 2500}'

As the official code has it, the generator sees every window, and as many samples are compared with all of them. Beside
each score stands its floor: one random half of the real windows scored against the other.
"""

from __future__ import annotations

import inspect
import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from lightning.pytorch import Trainer

from datamodules import InputError, SeriesFile, Sines
from datamodules.series.base import SeriesModule
from ganaug import GAN
from ganaug.metrics.judges import discriminative_score, predictive_score
from ganaug.metrics.series import autocorrelation_distance, correlation_distance, marginal_distance

OURS = ("self", "schema", "seed")  # what no option of a model can be here
Part = tuple[torch.Tensor, torch.Tensor]


def scores(real: Part, synthetic: Part, repeats: int, seed: int, unit: float) -> dict[str, float]:
    """Discriminative and predictive score with their deviations over the repeats, and distances.

    Beside the paper's judge, a GRU, stands a stronger one of convolutions.
    ``unit`` is what the predictive score is measured in: the published ones of Sines are of values in [0.5, 1].
    """
    judged = discriminative_score(*real, *synthetic, repeats=repeats, seed=seed)
    sharper = discriminative_score(*real, *synthetic, judge="conv", repeats=repeats, seed=seed)
    predicted = predictive_score(*synthetic, *real, repeats=repeats, seed=seed)
    return {
        "discriminative": float(judged.mean()),
        "discriminative_deviation": float(judged.std()),
        "discriminative_conv": float(sharper.mean()),
        "predictive": unit * float(predicted.mean()),
        "predictive_deviation": unit * float(predicted.std()),
        "correlation": correlation_distance(*real, *synthetic),
        "autocorrelation": autocorrelation_distance(*real, *synthetic),
        "marginal": marginal_distance(*real, *synthetic),
        "change": marginal_distance(*real, *synthetic, differences=True),
    }


def samples(model: GAN, count: int) -> torch.Tensor:
    """So many series, (count, T, F)."""
    model.eval()
    parts = torch.arange(count).split(1024)
    return torch.cat([model.sample(model.latent(p, 0), torch.zeros_like(p))["x"].cpu() for p in parts])


def paper(
    stocks: Path | None = None,
    energy: Path | None = None,
    sines: bool = True,
    model: str = "R3GAN",
    options: dict[str, Any] = {},  # noqa: B006
    steps: int = 3000,
    batch_size: int = 128,
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    repeats: int = 5,
    most: int | None = None,
    threads: int = 2,
    out: Path = Path("series_paper.json"),
) -> None:
    """Train on each data set with each seed, for so many batches, and score the samples.

    Args:
        stocks: the official stock_data.csv; left out where not given.
        energy: the official energy_data.csv; left out where not given.
        sines: whether to run Sines, which need no file.
        model: R3GAN or TimeGAN.
        options: of the model, over its defaults, such as {"skip": true}.
        steps: batches in all.
        batch_size: series in each.
        seeds: of networks, training and judges; Sines are drawn by them too.
        repeats: judges for each score (official: 10).
        most: windows of each side that judges see; by default all.
        threads: of torch on a CPU.
        out: JSON file; what is in it already, of the same model, options and steps, is not done again.

    Raises:
        InputError: there is no such model, or it has no such option; a file cannot be used.
    """
    models = {name: kind for name, kind in GAN.models.items() if "series" in kind.schema_kinds}
    if model not in models:
        raise InputError(f"model: {model} is none of {', '.join(models)}")
    allowed = [name for name in inspect.signature(models[model].__init__).parameters if name not in OURS]
    if unknown := [name for name in options if name not in allowed]:
        raise InputError(f"options: {', '.join(unknown)}: must be of {', '.join(allowed)}")
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    try:
        rows: list[dict[str, Any]] = json.loads(out.read_text()) if out.exists() else []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("not a list of rows")
    except (ValueError, OSError) as error:
        raise InputError(f"{out}: not a file of results ({error}): name another with --out") from None
    files = {"stocks": stocks, "energy": energy}
    for name in [*(["sines"] if sines else []), *(name for name, path in files.items() if path is not None)]:
        for seed in seeds:
            whole: dict[str, Any] = {"seed": seed, "batch_size": batch_size, "val_fraction": 0.0, "test_fraction": 0.0}
            data: SeriesModule
            data = Sines(**whole) if name == "sines" else SeriesFile(files[name], window=24, **whole)
            data.setup()
            every = data.train.fields["x"], data.train.fields["length"]
            shuffled = torch.randperm(len(every[0]), generator=torch.Generator().manual_seed(seed))
            real = every[0][shuffled[:most]], every[1][shuffled[:most]]
            unit = data.schema.scale[-1] if name == "sines" else 1.0
            row: dict[str, Any]
            for row in (
                {"data": name, "model": "floor", "seed": seed, "most": most},
                {"data": name, "model": model, "seed": seed, "most": most}
                | {"options": options, "steps": steps, "batch_size": batch_size},
            ):
                if any(row.items() <= done.items() for done in rows):
                    continue
                begun = time.monotonic()
                if row["model"] == "floor":
                    half = len(real[0]) // 2
                    a, b = (real[0][:half], real[1][:half]), (real[0][half:], real[1][half:])
                else:
                    gan = models[model](data.schema, seed=seed, **options)
                    trainer = Trainer(
                        max_steps=steps,
                        max_epochs=-1,
                        limit_val_batches=0,
                        devices=1,
                        logger=False,
                        enable_checkpointing=False,
                        enable_progress_bar=False,
                        enable_model_summary=False,
                    )
                    trainer.fit(gan, data)
                    a, b = real, (samples(gan, len(real[0])), real[1])
                row["seconds"] = round(time.monotonic() - begun)
                rows.append(row | scores(a, b, repeats, seed, unit))
                out.write_text(json.dumps(rows, indent=1) + "\n")
                print(rows[-1], flush=True)


if __name__ == "__main__":
    try:
        auto_cli(paper, as_positional=False)
    except InputError as error:
        sys.exit(f"series_paper: {error}")
