"""SeqGAN's oracle benchmark (Yu et al. 2017, section 5), with the controls that it needs.

    python experiments/seqgan_oracle.py --weights seqgan_oracle.npz --seeds [0,1,2] --out oracle.json

NLL_oracle alone, the quality of samples under the distribution that the data come from, can be gamed: a generator that
says little, and says it often, scores well. So beside it stand NLL_test, the generator's own likelihood of unseen data;
the maximum-likelihood generator at lower temperatures, which trades one for the other at no cost (Caccia et al. 2020,
arXiv 1811.02549); and two controls that are rewarded without a discriminator's judgement: by a constant, and by the
reward of another sequence of the batch.

Two families, the default and the paper's networks and loss, with three arms each: the discriminator's reward, and the
controls. All arms of a family and seed go on from the same generator and discriminator.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from lightning.pytorch import Trainer
from torch import Tensor

from datamodules import OracleText, Table
from ganaug import SeqGAN, load
from ganaug.gans.checkpoint import AtomicCheckpointIO, serialised

NETWORK = {"embedding": 32, "hidden": 32, "dropout": 0.0, "lr_mle": 1e-2}


def fit(model: SeqGAN, data: OracleText, steps: int, to: Path, ckpt: Path | None, precision: str) -> None:
    """Train to a step and keep the checkpoint."""
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_steps=steps,
        max_epochs=-1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[AtomicCheckpointIO()],
    )
    trainer.fit(model, data, ckpt_path=ckpt)
    trainer.save_checkpoint(to, weights_only=False)


def scores(model: SeqGAN, data: OracleText, count: int, temperature: float = 1.0) -> dict[str, float]:
    """NLL_oracle of samples and NLL_test of unseen rows, in nats per token."""
    index = torch.arange(count)
    drawn: list[Tensor] = [
        model.sample(model.latent(part, 0), torch.zeros(len(part), dtype=torch.long), temperature)["x"]
        for part in torch.split(index, 1024)
    ]
    rows: Table = data.test
    test = torch.cat([model.nll(batch, temperature) for batch in rows.batches()])
    return {"nll_oracle": data.nll_oracle(torch.cat(drawn)), "nll_test": float(test.mean())}


def arm(checkpoint: Path, options: dict[str, Any], to: Path) -> None:
    """The checkpoint as one of a run with other options for the phases that are still to come."""
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"] = content["hyper_parameters"] | options
    to.write_bytes(serialised(content))


def oracle(
    weights: Path | None = None,
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    mle_steps: int = 3000,
    discriminator_steps: int = 600,
    steps: int = 100,
    d_steps: int = 2,
    paper_steps: int = 40,
    paper_d_steps: int = 5,
    rollouts: int = 8,
    rollout_every: int = 4,
    temperatures: list[float] = [1.0, 0.95, 0.9, 0.85, 0.8],  # noqa: B006
    samples: int = 9984,
    precision: str = "bf16-mixed",
    threads: int = 2,
    out: Path = Path("oracle.json"),
) -> None:
    """Train every arm of every seed, and write NLL_oracle and NLL_test of each. The schedule is reduced for a CPU.

    Args:
        weights: the official oracle's weights, .npz; by default an oracle drawn from a seed.
        seeds: of data, networks and training.
        mle_steps: batches of 64 by maximum likelihood (official: 18,720).
        discriminator_steps: batches of the discriminator before the adversarial phase (official: 23,400).
        steps: adversarial steps of the generator.
        d_steps: the discriminator's batches for each of them.
        paper_steps: the same of the arm with the paper's networks and loss (official: 200).
        paper_d_steps: the same (official: 2,340).
        rollouts: of each prefix, in all arms (official: 16).
        rollout_every: tokens between prefixes, in all arms (official: 1).
        temperatures: of the maximum-likelihood generators.
        samples: sequences that NLL_oracle is the mean of (official: 9,984).
        precision: of the training.
        threads: of torch on a CPU.
        out: JSON file; what is in it already is not done again.
    """
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows: list[dict[str, Any]] = json.loads(out.read_text()) if out.exists() else []

    def note(
        seed: int, family: str, name: str, ckpt: Path, data: OracleText, seconds: float, temperature: float = 1.0
    ) -> None:
        model = load(ckpt)
        assert isinstance(model, SeqGAN)
        row = {"seed": seed, "family": family, "arm": name, "temperature": temperature, "seconds": round(seconds)}
        rows.append(row | scores(model, data, samples, temperature))
        out.write_text(json.dumps(rows, indent=1) + "\n")
        print(rows[-1], flush=True)

    for seed in seeds:
        data = OracleText(path=weights, seed=seed, val_fraction=0.0, batch_size=64)
        data.setup()
        common = {"mle_steps": mle_steps, "discriminator_steps": discriminator_steps, "seed": seed}
        common |= {"rollouts": rollouts, "rollout_every": rollout_every}
        families: dict[str, tuple[dict[str, Any], int]] = {
            "default": (common | NETWORK | {"d_steps": d_steps, "negatives": d_steps}, steps * d_steps),
            "paper": (
                common | {"preset": "paper", "d_steps": paper_d_steps, "negatives": paper_d_steps},
                paper_steps * paper_d_steps,
            ),
        }
        with tempfile.TemporaryDirectory() as folder:
            begun, done = Path(folder) / "begun.ckpt", Path(folder) / "done.ckpt"
            for family, (options, adversarial) in families.items():
                if sum(row["seed"] == seed and row["family"] == family and row["arm"] != "MLE" for row in rows) == 3:
                    continue
                start, end = time.monotonic(), mle_steps + discriminator_steps
                base = Path(folder) / f"{family}.ckpt"
                fit(SeqGAN(data.schema, **options), data, end, base, None, precision)
                for temperature in temperatures:
                    note(seed, family, "MLE", base, data, time.monotonic() - start, temperature)
                for reward in ("probability", "constant", "shuffled"):
                    start = time.monotonic()
                    arm(base, {"reward": reward}, begun)
                    model = SeqGAN(data.schema, **options, reward=reward)
                    fit(model, data, end + adversarial, done, begun, precision)
                    note(seed, family, reward, done, data, time.monotonic() - start)


if __name__ == "__main__":
    auto_cli(oracle, as_positional=False)
