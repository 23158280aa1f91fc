"""How fast ganaug's models train and sample, against the loops that most people would write.

    python experiments/benchmark.py --help
    python experiments/benchmark.py --sections [step] --width 64 --kernel_size 4
    python experiments/benchmark.py --sections [rollout,cache,negatives,scaling]
    python experiments/benchmark.py --sections [timegan,timegan_sampling,timegan_scaling]

Every comparison is made of pairs: one step of the one, one step of the other, and again. What else the machine is doing
then disturbs both, and the ratios can be trusted where the seconds cannot. Data are random tensors in memory.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import multiprocessing
import os
import platform
import re
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from benchmark_devices import section_devices
from benchmark_r3gan import section_r3gan, section_r3gan_variants
from benchmark_seqgan import section_cache, section_negatives, section_rollout, section_scaling
from benchmark_start import section_start
from benchmark_timegan import section_timegan, section_timegan_sampling, section_timegan_scaling
from jsonargparse import auto_cli
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tables import table
from torch import nn

from datamodules.images.schema import ImageSchema
from datamodules.schema import Batch
from ganaug.gans.dcgan.model import DCGAN
from ganaug.gans.dcgan.networks import stage_channels

Section = Literal[
    "step", "overhead", "sampling", "memory",
    "rollout", "cache", "negatives", "scaling",
    "timegan", "timegan_sampling", "timegan_scaling", "r3gan", "r3gan_variants",
    "devices", "start",
]  # fmt: skip
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
LATENT = 100  # the paper's


def synchronise() -> None:
    """Wait until the device has done what it was given: before every look at the clock."""
    if CUDA:
        torch.cuda.synchronize()


# ---- our side --------------------------------------------------------------------------------------------------------


def build(size: int = 64, channels: int = 3, classes: int = 0, **options: Any) -> DCGAN:
    """A DCGAN for pictures of ``size`` pixels."""
    names = tuple(str(c) for c in range(classes))
    schema = ImageSchema(classes=names, height=size, width=size, channels=channels, image_size=size)
    return DCGAN(schema, latent_dim=LATENT, **options)


def in_format(model: DCGAN) -> DCGAN:
    """The model in the memory format that a Trainer would give it."""
    return model.to(memory_format=torch.channels_last) if model.hparams.channels_last else model


def random_batch(model: DCGAN, batch_size: int) -> Batch:
    """Noise that has the form of data."""
    s = model.schema
    x = torch.rand(batch_size, s.channels, s.image_size, s.image_size) * 2 - 1
    return {"x": x, "y": torch.randint(s.num_classes, (batch_size,))}


@dataclass
class Repeat:
    """A loader of the same batch, which costs nothing."""

    batch: Batch
    times: int

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[Batch]:
        return iter([self.batch] * self.times)


@dataclass
class Pairs(Callback):
    """After every step of the Trainer, times one step of a rival.

    What passes between a rival's step and the next is all that a step costs under Lightning: fetching the batch, every
    hook, the logger.
    """

    rival: Callable[[], None]
    before: Callable[[], None] | None = None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    logging: list[bool] = field(default_factory=list)
    resumed: float = math.nan

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Note whether this step logs."""
        if self.before:
            self.before()
        self.logging.append((trainer.global_step + 1) % trainer.log_every_n_steps == 0)

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop our clock, and run the rival against its own."""
        synchronise()
        start = time.perf_counter()
        self.ours.append(start - self.resumed)
        self.rival()
        synchronise()
        self.resumed = time.perf_counter()
        self.theirs.append(self.resumed - start)


def fit(
    model: DCGAN, batch: Batch, steps: int, precision: str, callback: Callback | None = None, **options: Any
) -> None:
    """Train as a user would, without checkpoints and progress bars."""
    settings = {
        "accelerator": "gpu" if CUDA else "cpu",
        "devices": 1,
        "precision": precision,
        "max_steps": steps,
        "logger": False,
        "log_every_n_steps": 50,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": callback,
    }
    Trainer(**settings | options).fit(model, Repeat(batch, steps))


# ---- the other side --------------------------------------------------------------------------------------------------


class PlainLoop:
    """PyTorch's DCGAN tutorial: float32, NCHW, two backwards for D, D's gradients computed in G's step too, plain Adam.

    Its networks have the layers of ours and are written as the tutorial writes them.
    """

    def __init__(self, model: DCGAN, batch: Batch) -> None:
        size, channels = model.schema.image_size, model.schema.channels
        stages, k = stage_channels(size, model.hparams.width), model.hparams.kernel_size
        geometry: dict[str, Any] = {"kernel_size": k, "stride": 2, "padding": (k - 1) // 2}
        g: list[nn.Module] = [nn.Linear(LATENT, stages[0] * 16, bias=False), nn.Unflatten(1, (stages[0], 4, 4))]
        d: list[nn.Module] = []
        for c, following in zip(stages, [*stages[1:], channels], strict=True):
            last = following == channels
            up = nn.ConvTranspose2d(c, following, bias=last, output_padding=k % 2, **geometry)
            g += [nn.BatchNorm2d(c), nn.ReLU(True), up]
            down = nn.Conv2d(following, c, bias=last, **geometry)
            d[:0] = [down, *([] if last else [nn.BatchNorm2d(c)]), nn.LeakyReLU(0.2, inplace=True)]
        self.g = nn.Sequential(*g, nn.Tanh()).to(DEVICE)
        self.d = nn.Sequential(*d, nn.Flatten(), nn.Linear(stages[0] * 16, 1), nn.Sigmoid()).to(DEVICE)
        for mine, yours in ((self.g, model.generator), (self.d, model.discriminator)):
            count, wanted = (sum(p.numel() for p in network.parameters()) for network in (mine, yours))
            assert count == wanted, f"not the same network: {count} and {wanted} parameters"
            for p in mine.parameters():
                if p.ndim > 1:
                    nn.init.normal_(p, 0.0, 0.02)
        self.batch = batch
        self.criterion = nn.BCELoss()
        self.adam_g = torch.optim.Adam(self.g.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.d.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def __call__(self) -> None:
        """One step, the numbers that the tutorial prints included."""
        self.d.zero_grad()
        real = self.batch["x"].to(DEVICE)
        label = torch.full((len(real),), 1.0, device=DEVICE)
        output = self.d(real).view(-1)
        loss_real = self.criterion(output, label)
        loss_real.backward()
        output.mean().item()

        fake = self.g(torch.randn(len(real), LATENT, device=DEVICE))
        label.fill_(0.0)
        output = self.d(fake.detach()).view(-1)
        loss_fake = self.criterion(output, label)
        loss_fake.backward()
        output.mean().item()
        (loss_real + loss_fake).item()
        self.adam_d.step()

        self.g.zero_grad()
        label.fill_(1.0)
        output = self.d(fake).view(-1)
        loss_g = self.criterion(output, label)
        loss_g.backward()
        output.mean().item()
        loss_g.item()
        self.adam_g.step()


class BareLoop:
    """The arithmetic of ``DCGAN.adversarial_step`` in the settings used here, without Lightning and our hooks."""

    def __init__(self, model: DCGAN, batch: Batch, precision: str) -> None:
        self.model = in_format(model).to(DEVICE)
        model.train()
        self.batch = batch
        self.autocast: dict[str, Any] = {"enabled": precision == "bf16-mixed", "dtype": torch.bfloat16}
        hp, networks = model.hparams, (model.generator, model.discriminator)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr, tuple(hp.betas), fused=True)
            for network, lr in zip(networks, (hp.lr_g, hp.lr_d), strict=True)
        )
        self.step = 0

    def __call__(self) -> None:
        """One step."""
        model = self.model
        with torch.autocast(DEVICE.type, cache_enabled=False, **self.autocast):
            real, y = self.batch["x"].to(DEVICE), self.batch["y"].to(DEVICE)
            fake = model.generator(torch.randn(len(real), LATENT, device=DEVICE), y)
            if model.hparams.discriminator_norm == "batch":
                logits = model.judge(real, y), model.judge(fake.detach(), y)
            else:
                logits = model.judge(torch.cat([real, fake.detach()]), torch.cat([y, y])).chunk(2)
            model.loss.discriminator(*logits).backward()
            self.adam_d.step()
            self.adam_d.zero_grad()

            model.discriminator.requires_grad_(False)
            model.loss.generator(model.judge(fake, y)).backward()
            model.discriminator.requires_grad_(True)
            self.adam_g.step()
            self.adam_g.zero_grad()
            model.ema.update(model.generator, self.step)
            self.step += 1


# ---- sections --------------------------------------------------------------------------------------------------------


def ratios(theirs: list[float], ours: list[float]) -> dict[str, float]:
    """Ratio of medians, and the extremes over the pairs."""
    pairs = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {"ratio": statistics.median(theirs) / statistics.median(ours), "min": min(pairs), "max": max(pairs)}


def section_step(width: int, kernel_size: int, batch_size: int, pairs: int, compile: bool) -> list[dict[str, Any]]:
    """One training step at 64×64, the plain loop against ours, and where the gain comes from."""
    variants: list[tuple[str, str, dict[str, Any]]] = [
        ("ours, float32, NCHW", "32-true", {"channels_last": False}),
        ("ours, float32, channels_last", "32-true", {}),
        ("**ours, bf16, channels_last**", "bf16-mixed", {}),
    ]
    if compile or CUDA:
        variants.append(("… and torch.compile", "bf16-mixed", {"compile": True}))
    if CUDA:
        variants.append(("… and CUDA graphs", "bf16-mixed", {"graphs": True}))
    rows = []
    for name, precision, options in variants:
        graphs = options.pop("graphs", False)
        model = build(preset="paper", width=width, kernel_size=kernel_size, **options)
        if graphs:  # reduce-overhead is torch.compile's name for them
            model.generator.compile(mode="reduce-overhead")
            model.discriminator.compile(mode="reduce-overhead")
        batch = random_batch(model, batch_size)
        timed = Pairs(PlainLoop(model, batch), torch.compiler.cudagraph_mark_step_begin if graphs else None)
        warm = 10 if compile or CUDA else 1
        row: dict[str, Any] = {"": name}
        try:
            fit(model, batch, warm + pairs, precision, timed)
        except Exception as error:  # a compiler that is missing or refuses must not cost the other rows
            rows.append(row | {"speed-up": f"failed: {type(error).__name__}"})
            continue
        ours, theirs = timed.ours[warm:], timed.theirs[warm:]
        r = ratios(theirs, ours)
        rows.append(
            row
            | {
                "plain loop [s]": statistics.median(theirs),
                "ours [s]": statistics.median(ours),
                "speed-up": r["ratio"],
                "of pairs": f"{r['min']:.2f}..{r['max']:.2f}",
                "pairs": len(ours),
            }
        )
    return rows


def section_overhead(width: int, kernel_size: int, batch_size: int, pairs: int) -> list[dict[str, Any]]:
    """Trainer.fit against a bare loop of the same arithmetic; a step that logs counts once in 50."""
    bf16 = "bf16-mixed"
    paper = {"preset": "paper", "width": width, "kernel_size": kernel_size}
    small = {"size": 16, "channels": 1, "classes": 10, "width": 32}
    every = 5  # so that some of the steps measured are such as log
    rows = []
    for name, options, precision, steps in (
        (f"paper 64×64, width {width}, kernel {kernel_size}", paper, bf16, max(pairs, 2 * every)),
        ("scarce 16×16, width 32", small, "32-true", 40 * pairs),
    ):
        for logger in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                model = build(**options)
                batch = random_batch(model, batch_size)
                timed = Pairs(BareLoop(copy.deepcopy(model), batch, precision))
                to = TensorBoardLogger(folder, name="") if logger else False
                fit(model, batch, every + steps, precision, timed, logger=to, log_every_n_steps=every)
            bare = statistics.median(timed.theirs[every:])
            # What a logging step writes is written after it, in the time of the next: both count.
            added: dict[bool, list[float]] = {False: [], True: []}
            for i in range(every, every + steps):
                added[timed.logging[i] or timed.logging[i - 1]].append(timed.ours[i] - timed.theirs[i])
            mean = (48 * statistics.median(added[False]) + 2 * statistics.median(added[True])) / 50
            rows.append(
                {
                    "": name,
                    "logger": "TensorBoard" if logger else "none",
                    "bare loop [ms]": 1e3 * bare,
                    "Lightning adds [ms]": 1e3 * mean,
                    "overhead": f"{100 * mean / bare:.1f} %",
                    "pairs": steps,
                }
            )
    return rows


def section_sampling(width: int, kernel_size: int, seconds: float) -> list[dict[str, Any]]:
    """Pictures a second by batch size, from latents at hand."""
    model = in_format(build(preset="paper", width=width, kernel_size=kernel_size)).to(DEVICE).eval()
    rows = []
    for batch_size in (1, 4, 16, 64, 256, 1024):
        latent, y = model.latent(torch.arange(batch_size), 0), torch.zeros(batch_size, dtype=torch.long)
        row: dict[str, Any] = {"batch size": batch_size}
        for name, enabled in (("float32 [1/s]", False), ("bf16 [1/s]", True)):
            times: list[float] = []
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=enabled):
                while len(times) < 3 or sum(times[1:]) < seconds:  # the first one warms up
                    synchronise()
                    start = time.perf_counter()
                    model.sample(latent, y)
                    synchronise()
                    times.append(time.perf_counter() - start)
            row[name] = batch_size / statistics.median(times[1:])
        rows.append(row)
    return rows


def resident(name: Literal["VmRSS", "VmHWM"]) -> int:
    """Resident memory of this process in bytes: now, or at its highest."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def peak_memory(ours: bool, width: int, kernel_size: int, batch_size: int, threads: int) -> int:
    """In a process of its own: what networks, optimisers and two steps need, over a process that has none of them."""
    quiet(threads)
    options: dict[str, Any] = {"preset": "paper", "width": width, "kernel_size": kernel_size}
    tiny = build(8, width=8)
    fit(tiny, random_batch(tiny, 2), 1, "bf16-mixed")  # what Lightning loads on first use
    batch = random_batch(build(width=1), batch_size)
    pattern = None if ours else build(**options)  # the plain loop takes its shapes from one of ours
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    else:
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    if pattern is None:
        fit(build(**options), batch, 2, "bf16-mixed")
    else:
        loop = PlainLoop(pattern, batch)
        for _ in range(2):
            loop()
    return torch.cuda.max_memory_allocated() if CUDA else resident("VmHWM") - before


def section_memory(
    width: int, kernel_size: int, batch_size: int, threads: int, start: Literal["spawn", "fork"] = "spawn"
) -> list[dict[str, Any]]:
    """Peak memory of training, each side in a fresh process; a forked one need not import, and sees no GPU."""
    rows: list[dict[str, Any]] = []
    for name, ours in (("plain loop", False), ("ours, bf16, channels_last", True)):
        with ProcessPoolExecutor(1, multiprocessing.get_context(start)) as fresh:
            peak = fresh.submit(peak_memory, ours, width, kernel_size, batch_size, threads).result() / 2**20
        rows.append({"": name, "peak [MiB]": peak, "share": peak / (rows[0]["peak [MiB]"] if rows else peak)})
    return rows


# ---- report ----------------------------------------------------------------------------------------------------------


def processor() -> str:
    """The processor's name, from where Linux keeps it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor()


def machine(threads: int) -> dict[str, Any]:
    """What the numbers were measured on."""
    gpu = {"gpu": torch.cuda.get_device_name(), "TF32": torch.backends.cuda.matmul.fp32_precision} if CUDA else {}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "bf16 in hardware": bool(
            torch.cuda.is_bf16_supported() if CUDA else torch.ops.mkldnn._is_mkldnn_bf16_supported()
        ),
        **gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "load before": os.getloadavg()[0],
    }


def quiet(threads: int) -> None:
    """Threads, and no chatter between the tables."""
    torch.set_num_threads(threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def benchmark(
    sections: list[Section] = ["step", "overhead", "sampling", "memory"],  # noqa: B006
    width: int = 128,
    kernel_size: Literal[4, 5] = 5,
    batch_size: int | None = None,
    pairs: int = 5,
    compile: bool = False,
    threads: int = 2,
    seconds: float = 1.0,
    out: Path | None = None,
) -> None:
    """How fast ganaug's models train and sample, against the loops that most people would write.

    Sections of DCGAN at 64×64: step, a training step against PyTorch's DCGAN tutorial with the same network; overhead,
    the Trainer against a bare loop of the same arithmetic; sampling, pictures a second by batch size; memory, the peak
    of training. Of SeqGAN with the paper's networks: rollout, a generator step against rollouts one by one; cache, the
    transformer with its cache against without; negatives, sequences drawn a second; scaling, what a step costs by
    vocabulary, length and rollouts. Of TimeGAN with the paper's networks: timegan, a step of each phase against the
    official arrangement; timegan_sampling, series a second; timegan_scaling, what a joint round costs by length,
    features and batch size. Of R3GAN: r3gan, a step of preset scarce against the public arrangement; r3gan_variants, in
    bfloat16 and compiled against as it is. Of all three older ones: devices, two processes of a thread each to one, and
    averaging gradients by hand to DDP's reducer. Of the command line: start, help to an import of torch.

    Args:
        sections: which to run, e.g. [step,memory].
        width: channels at half the picture's side: 128 in the paper, 64 in the tutorial.
        kernel_size: 5 in the paper, 4 in the tutorial.
        batch_size: of a training step; by default 64, and of TimeGAN 128, the papers'.
        pairs: how many steps of each side are timed, in turns; small models take up to 40 times as many.
        compile: add a row with torch.compile (on a GPU there is one anyway).
        threads: of torch on the CPU.
        seconds: how long each batch size is sampled.
        out: JSON file for the numbers.
    """
    quiet(threads)
    report: dict[str, Any] = {"machine": machine(threads), "width": width, "kernel_size": kernel_size}
    print(", ".join(f"{name} {value}" for name, value in report["machine"].items()))
    size = batch_size or 64
    runs: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "step": lambda: section_step(width, kernel_size, size, pairs, compile),
        "overhead": lambda: section_overhead(width, kernel_size, size, pairs),
        "sampling": lambda: section_sampling(width, kernel_size, seconds),
        "memory": lambda: section_memory(width, kernel_size, size, threads),
        "rollout": lambda: section_rollout(pairs, size),
        "cache": lambda: section_cache(pairs, size),
        "negatives": lambda: section_negatives(seconds),
        "scaling": lambda: section_scaling(pairs, size),
        "timegan": lambda: section_timegan(pairs, batch_size or 128),
        "timegan_sampling": lambda: section_timegan_sampling(seconds),
        "timegan_scaling": lambda: section_timegan_scaling(pairs, batch_size or 128),
        "r3gan": lambda: section_r3gan(pairs, size),
        "r3gan_variants": lambda: section_r3gan_variants(pairs, size, compile),
        "devices": lambda: section_devices(pairs),
        "start": lambda: section_start(pairs),
    }
    for name in sections:
        of = f"width {width}, kernel {kernel_size}, " if name in ("step", "overhead", "sampling", "memory") else ""
        print(f"\n**{name}**: {of}batch {batch_size or (128 if name.startswith('timegan') else 64)}\n", flush=True)
        report[name] = runs[name]()
        print(table(report[name]), flush=True)
    if out:
        out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    auto_cli(benchmark, as_positional=False)
