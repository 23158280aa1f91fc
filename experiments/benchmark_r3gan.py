"""The section of benchmark.py that is about R3GAN."""

from __future__ import annotations

import itertools
import statistics
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from benchmark_timegan import CUDA, DEVICE, Rows, Step, inside, on_device, turns, waves
from torch import Tensor, nn

from datamodules.images.schema import ImageSchema
from datamodules.rows import Table
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.gans.r3gan.model import R3GAN
from ganaug.gans.r3gan.networks import pyramid


class PlainBlock(nn.Module):
    """A residual block of the library's convolutions, a bias and a leaky ReLU after each of the first two."""

    def __init__(self, dims: int, width: int, expansion: int, group_width: int) -> None:
        super().__init__()
        kind, inner = (nn.Conv1d, nn.Conv2d)[dims - 1], width * expansion
        groups = inner // group_width if group_width else 1
        self.one, self.two = kind(width, inner, 1), kind(inner, inner, 3, padding=1, groups=groups)
        self.three = kind(inner, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) to the same."""
        changed: Tensor = x + self.three(F.leaky_relu(self.two(F.leaky_relu(self.one(x), 0.2)), 0.2))
        return changed


class PlainR3GAN:
    """The public arrangement: penalties at every step, and fakes of its own for each of the two updates."""

    def __init__(self, model: R3GAN, rows: list[Tensor], expansion: int, group_width: int) -> None:
        hp, view = model.hp, model.view
        self.dims, self.rows = rows[0].ndim - 2, itertools.cycle(rows)
        self.places = [level[-self.dims :] for level in pyramid(view.places)]
        widths = [hp.widths[min(k, len(hp.widths) - 1)] for k in range(len(self.places))]
        self.noise, self.seen, self.latent = hp.noise, view.seen_channels, hp.latent_dim
        self.changes, self.gamma = self.seen > view.channels, hp.gamma[0]
        point = (nn.Conv1d, nn.Conv2d)[self.dims - 1]

        def stages(widths: list[int]) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Sequential(*(PlainBlock(self.dims, width, expansion, group_width) for _ in range(hp.blocks)))
                for width in widths
            )

        def links(pairs: Any) -> nn.ModuleList:
            return nn.ModuleList(point(a, b, 1, bias=False) if a != b else nn.Identity() for a, b in pairs)

        basis = nn.Parameter(torch.randn(widths[0], *self.places[0]))
        self.g = nn.ModuleDict(
            {
                "project": nn.Linear(self.latent, widths[0]),
                "stages": stages(widths),
                "links": links(itertools.pairwise(widths)),
                "noise": nn.ModuleList(point(self.noise, width, 1) for width in widths if self.noise),
                "out": point(widths[-1], view.channels, 1),
            }
        ).to(DEVICE)
        self.d = nn.ModuleDict(
            {
                "into": point(self.seen, widths[-1], 1),
                "stages": stages(widths[::-1]),
                "links": links(itertools.pairwise(widths[::-1])),
                "out": nn.Linear(basis.numel(), 1),
            }
        ).to(DEVICE)
        self.basis = nn.Parameter(basis.to(DEVICE))
        self.adam = [
            torch.optim.Adam([*network.parameters(), *more], hp.lr[0], betas=(0.0, 0.99))
            for network, more in ((self.g, [self.basis]), (self.d, []))
        ]

    def generate(self, count: int) -> Tensor:
        """Fakes (count, C, …)."""
        scale = self.g["project"](torch.randn(count, self.latent, device=DEVICE))
        x = self.basis * scale.view(*scale.shape, *[1] * self.dims)
        for level, blocks in enumerate(self.g["stages"]):
            if level:
                mode = "linear" if self.dims == 1 else "bilinear"
                x = F.interpolate(self.g["links"][level - 1](x), self.places[level], mode=mode)
            if self.noise:
                x = x + self.g["noise"][level](torch.randn(count, self.noise, *self.places[level], device=DEVICE))
            x = blocks(x)
        made: Tensor = self.g["out"](x)
        return made

    def look(self, x: Tensor) -> Tensor:
        """What D sees: of series the changes, too."""
        return torch.cat([x, F.pad(x.diff(), (1, 0))], 1) if self.changes else x

    def judge(self, x: Tensor) -> Tensor:
        """Logits (B,)."""
        x = self.d["into"](x)
        pool = F.avg_pool1d if self.dims == 1 else F.avg_pool2d
        for level, blocks in enumerate(self.d["stages"]):
            if level:
                x = self.d["links"][level - 1](pool(x, 2, ceil_mode=True))
            x = blocks(x)
        logits: Tensor = self.d["out"](x.flatten(1))[:, 0]
        return logits

    def step(self) -> None:
        """One update of each network."""
        real = next(self.rows)
        with torch.no_grad():
            fake = self.generate(len(real))
        sides = [self.look(side).detach().requires_grad_() for side in (real, fake)]
        logits = [self.judge(side) for side in sides]
        loss = F.softplus(logits[1] - logits[0]).mean()
        for side, logit in zip(sides, logits, strict=True):
            slope = torch.autograd.grad(logit.sum(), side, create_graph=True)[0]
            loss = loss + 0.5 * self.gamma * slope.square().flatten(1).sum(1).mean()
        self.update(1, loss)
        real_logit = self.judge(self.look(real))
        self.update(0, F.softplus(real_logit - self.judge(self.look(self.generate(len(real))))).mean())

    def update(self, which: int, loss: Tensor) -> None:
        """A step of one of the optimisers, 0 for G's."""
        self.adam[which].zero_grad()
        loss.backward()
        self.adam[which].step()


def pictures(size: int) -> tuple[ImageSchema, Table]:
    """Random pictures of three channels."""
    schema = ImageSchema(height=size, width=size, channels=3, image_size=size)
    return schema, Table({"x": torch.rand(1024, 3, size, size) * 2 - 1, "y": torch.zeros(1024, dtype=torch.long)})


def _measure(plain: PlainR3GAN, steps: int, times: list[tuple[float, float]], ours: Step) -> None:
    times += turns(plain.step, ours, steps)


def data() -> list[tuple[str, SeriesSchema | ImageSchema, Table]]:
    """What is trained on, by name."""
    each: dict[str, Any] = {"dtypes": ("float64",) * 6, "offset": (0.0,) * 6, "scale": (1.0,) * 6}
    series = SeriesSchema(columns=tuple(f"m{k}" for k in range(6)), length=24, **each)
    return [("series of 24 steps", series, waves()), ("pictures of 32×32", *pictures(32))]


def compared(times: list[tuple[float, float]], first: str, second: str) -> dict[str, Any]:
    """Mean times of both sides, and their ratio."""
    one, two = (statistics.mean(side) for side in zip(*times, strict=True))
    return {
        f"{first}, ms": round(1000 * one),
        f"{second}, ms": round(1000 * two),
        "ratio": round(one / two, 2),
        "device": "GPU" if CUDA else "CPU",
    }


def section_r3gan(pairs: int, batch_size: int) -> Rows:
    """A step of ``scarce``, but of a basis and at full size, against the public arrangement, with its blocks too."""
    found: Rows = []
    for name, schema, table in data():
        for blocks, expansion, group_width in (("the same", 1, 0), ("the paper's", 2, 16)):
            model = R3GAN(schema, dense=False, stride=1, widths=[96, 96, 64, 32] if schema.kind == "image" else None)
            batches = on_device(table, batch_size)
            rows = [b["x"].transpose(1, 2).contiguous() if b["x"].ndim == 3 else b["x"] for b in batches]
            plain = PlainR3GAN(model, rows, expansion, group_width)
            times: list[tuple[float, float]] = []

            steps = pairs * model.hp.penalty_every  # a penalty takes its share of them
            inside(model, table, batches, partial(_measure, plain, steps, times))
            found.append({"data": name, "their blocks": blocks, **compared(times, "theirs", "ours")})
    return found


def beside(
    plain: R3GAN, other: R3GAN, table: Table, batches: list[Batch], pairs: int, precision: str
) -> list[tuple[float, float]]:
    """Seconds of a step of a model in float32, and of another in a precision, in turns."""
    times: list[tuple[float, float]] = []
    torch.compiler.reset()  # what was compiled before counts towards a limit, past which nothing is

    def both(theirs: Step) -> None:
        steps = pairs * plain.hp.penalty_every
        inside(other, table, batches, lambda ours: times.extend(turns(theirs, ours, steps)), precision)

    inside(plain, table, batches, both)
    return times


def section_r3gan_variants(pairs: int, batch_size: int, compile: bool) -> Rows:
    """A step of ``scarce`` in bfloat16, compiled, and both, against float32 as it is."""
    variants: list[tuple[str, str, dict[str, Any]]] = [("bf16-mixed", "bf16-mixed", {})]
    if compile or CUDA:
        variants += [("compiled", "32-true", {"compile": True}), ("both", "bf16-mixed", {"compile": True})]
    found: Rows = []
    for name, schema, table in data():
        batches = on_device(table, batch_size)
        for variant, precision, options in variants:
            times = beside(R3GAN(schema), R3GAN(schema, **options), table, batches, pairs, precision)
            found.append({"data": name, "variant": variant, **compared(times, "float32", "variant")})
    return found
