"""The sections of benchmark.py that are about TimeGAN: each gives the rows of a table."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader

from datamodules.base import as_is
from datamodules.rows import Table
from datamodules.schema import Batch
from datamodules.series.schema import SeriesSchema
from ganaug.gans.timegan.model import TimeGAN

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
LENGTH, FEATURES, ROWS = 24, 6, 1024  # windows of the paper's stock prices have this form
WARM = 3  # steps before the clock counts: the libraries', and our first look at all codes
THRESHOLD = 1e-6  # of D's loss: asked for on both sides, and D learns all the same
PHASES = {
    "autoencoder": {"autoencoder_steps": 10**6},
    "supervisor": {"autoencoder_steps": 0, "supervisor_steps": 10**6},
    "joint": {"autoencoder_steps": 0, "supervisor_steps": 0},
}
Rows = list[dict[str, Any]]
Step = Callable[[], None]


def clock(function: Callable[[], Any]) -> float:
    """Seconds that a call takes, the device's work included."""
    if CUDA:
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def turns(theirs: Step, ours: Step, pairs: int) -> list[tuple[float, float]]:
    """Seconds of both, one after the other and again, once they are warm."""
    return [(clock(theirs), clock(ours)) for _ in range(WARM + pairs)][WARM:]


# ---- our side --------------------------------------------------------------------------------------------------------


def build(preset: str = "paper", length: int = LENGTH, features: int = FEATURES, **options: Any) -> TimeGAN:
    """A TimeGAN for series of one length and one class."""
    each: dict[str, Any] = {"dtypes": ("float64",) * features, "offset": (0.0,) * features, "scale": (1.0,) * features}
    columns = tuple(f"m{k}" for k in range(features))
    return TimeGAN(SeriesSchema(columns=columns, length=length, **each), preset=preset, **options)


def waves(length: int = LENGTH, features: int = FEATURES) -> Table:
    """Sines of random frequencies and phases in [0, 1], as in the paper's first experiment."""
    frequency, phase = 0.3 * torch.rand(ROWS, 1, features), 6 * torch.rand(ROWS, 1, features)
    x = 0.5 + 0.5 * torch.sin(frequency * torch.arange(length)[:, None] + phase)
    counts = {"length": torch.full((ROWS,), length), "y": torch.zeros(ROWS, dtype=torch.long)}
    return Table({"x": x, **counts, "row": torch.arange(ROWS)})


def on_device(table: Table, batch_size: int) -> list[Batch]:
    """Six batches, which both sides take in turns, so that no loader is in the times."""
    rows = torch.randint(ROWS, (6, batch_size))
    return [{name: field.to(DEVICE) for name, field in table.__getitems__(part.tolist()).items()} for part in rows]


class Inside(Callback):
    """Where a run begins, hands its training step to a function.

    That step is the whole of it: noise, losses, backward passes, Lightning's optimisers, averages, the look for
    divergence. What is left out is the Trainer's loop and its loader, as the other side has none either.
    """

    def __init__(self, batches: list[Batch], use: Callable[[Step], None]) -> None:
        self.batches, self.use = itertools.cycle(batches), use

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """All that is measured happens here."""

        def step() -> None:
            with trainer.precision_plugin.train_step_context():
                pl_module.training_step(next(self.batches), 0)

        self.use(step)


def inside(
    model: LightningModule, table: Table, batches: list[Batch], use: Callable[[Step], None], precision: Any = "32-true"
) -> None:
    """Call ``use`` with the step of a run of the model."""
    settings: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        accelerator="gpu" if CUDA else "cpu",
        precision=precision,
        devices=1,
        max_steps=1,  # of the loop, which finds that it is over
        log_every_n_steps=0,
        enable_model_summary=False,
        callbacks=Inside(batches, use),
        **settings,
    )
    trainer.fit(model, DataLoader(table, len(batches[0]["y"]), collate_fn=as_is))


# ---- the other side --------------------------------------------------------------------------------------------------


class PlainNetwork(nn.Module):
    """The library's GRU and a dense layer, its input packed as in public PyTorch codes."""

    def __init__(self, inputs: int, outputs: int, hidden: int, layers: int, sigmoid: bool, packed: bool) -> None:
        super().__init__()
        self.rnn, self.dense = nn.GRU(inputs, hidden, layers, batch_first=True), nn.Linear(hidden, outputs)
        self.sigmoid, self.packed = sigmoid, packed

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """(B, T, inputs) and lengths (B,), on the CPU, to (B, T, outputs)."""
        if self.packed:
            states, _ = self.rnn(pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False))
            states, _ = pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])
        else:
            states, _ = self.rnn(x)
        y: Tensor = self.dense(states)
        return torch.sigmoid(y) if self.sigmoid else y


class PlainTimeGAN:
    """The official arrangement (Yoon's ``timegan.py``): every update runs all that it needs anew, and shares nothing.

    A joint round is 32 forward and 21 backward passes of a network: twice 7 and 6 for generator and supervisor, twice
    3 and 3 for embedder and recovery, 6 to see whether the discriminator should learn, 6 and 3 for it to do so.
    As there, gradients are computed for the weights that an update is for, and no others.
    """

    def __init__(self, model: TimeGAN, batches: list[Batch], packed: bool = True) -> None:
        hp, features = model.hp, model.schema.features

        def network(inputs: int, outputs: int, layers: int = hp.layers, sigmoid: bool = True) -> PlainNetwork:
            return PlainNetwork(inputs, outputs, hp.hidden, layers, sigmoid, packed).to(DEVICE)

        self.e, self.r = network(features, hp.hidden), network(hp.hidden, features)
        self.g, self.s = network(hp.latent_features, hp.hidden), network(hp.hidden, hp.hidden, hp.layers - 1)
        self.d = network(hp.hidden, 1, sigmoid=False)
        theirs = (model.embedder, model.recovery, model.generator, model.supervisor, model.discriminator)
        for mine, yours in zip((self.e, self.r, self.g, self.s, self.d), theirs, strict=True):
            count, wanted = (sum(p.numel() for p in part.parameters()) for part in (mine, yours))
            assert count == wanted, f"not the same network: {count} and {wanted} parameters"
        coders, makers = [*self.e.parameters(), *self.r.parameters()], [*self.g.parameters(), *self.s.parameters()]
        groups = (coders, list(self.s.parameters()), coders, makers, list(self.d.parameters()))
        self.adam_e0, self.adam_s, self.adam_e, self.adam_g, self.adam_d = (
            torch.optim.Adam(group, lr=1e-3) for group in groups
        )
        # Packing wants lengths on the CPU.
        self.batches = itertools.cycle([(batch["x"], batch["length"].cpu()) for batch in batches])
        self.noise = hp.latent_features

    @staticmethod
    def update(adam: torch.optim.Adam, loss: Tensor) -> None:
        """Backward to the optimiser's weights, and its step."""
        adam.zero_grad()
        loss.backward(inputs=[p for group in adam.param_groups for p in group["params"]])
        adam.step()

    def autoencoder(self) -> None:
        """A step of the first phase."""
        x, length = next(self.batches)
        error = F.mse_loss(self.r(self.e(x, length), length), x)
        self.update(self.adam_e0, 10 * error.sqrt())

    def supervisor(self) -> None:
        """A step of the second."""
        x, length = next(self.batches)
        self.update(self.adam_s, self.ahead(self.e(x, length), length))

    def joint(self) -> None:
        """A round of the third: twice the generator and the embedder, once the discriminator."""
        for _ in range(2):
            x, length = next(self.batches)
            z = self.draw(x)
            self.update(self.adam_g, self.generator_loss(x, z, length))
            h = self.e(x, length)
            error = F.mse_loss(self.r(h, length), x)
            self.update(self.adam_e, 10 * error.sqrt() + 0.1 * self.ahead(h, length))
        x, length = next(self.batches)
        z = self.draw(x)
        with torch.no_grad():
            check = float(self.discriminator_loss(x, z, length))
        if check > THRESHOLD:
            self.update(self.adam_d, self.discriminator_loss(x, z, length))

    def draw(self, x: Tensor) -> Tensor:
        """Noise for the generator."""
        return torch.rand(*x.shape[:2], self.noise, device=x.device)

    def ahead(self, h: Tensor, length: Tensor) -> Tensor:
        """The supervisor's error on codes (B, T, hidden)."""
        return F.mse_loss(self.s(h, length)[:, :-1], h[:, 1:])

    def generator_loss(self, x: Tensor, z: Tensor, length: Tensor) -> Tensor:
        """Adversarial twice, 100 √ supervised, 100 moments."""
        supervised = self.ahead(self.e(x, length), length)
        free = self.g(z, length)
        led = self.s(free, length)
        y_led, y_free, made = self.d(led, length), self.d(free, length), self.r(led, length)
        ones = torch.ones_like(y_led)
        judged = F.binary_cross_entropy_with_logits(y_led, ones) + F.binary_cross_entropy_with_logits(y_free, ones)
        deviations = (part.var(0, unbiased=False).add(1e-6).sqrt() for part in (made, x))
        moments = F.l1_loss(*deviations) + F.l1_loss(made.mean(0), x.mean(0))
        return judged + 100 * supervised.sqrt() + 100 * moments

    def discriminator_loss(self, x: Tensor, z: Tensor, length: Tensor) -> Tensor:
        """On codes of real series, on led codes and on free ones."""
        h, free = self.e(x, length), self.g(z, length)
        led = self.s(free, length)
        real, y_led, y_free = (self.d(part, length) for part in (h, led, free))
        zeros, entropy = torch.zeros_like(real), F.binary_cross_entropy_with_logits
        return entropy(real, torch.ones_like(real)) + entropy(y_led, zeros) + entropy(y_free, zeros)


# ---- sections --------------------------------------------------------------------------------------------------------


def section_timegan(pairs: int, batch_size: int = 128, length: int = LENGTH) -> Rows:
    """The paper's networks at T 24 with 6 features: a step of each phase, the official arrangement against ours."""
    table = waves(length)
    batches = on_device(table, batch_size)
    rows: Rows = []
    for name, phase, times, packed in (
        ("autoencoder step", "autoencoder", 1, True),
        ("supervisor step", "supervisor", 1, True),
        ("**joint round**", "joint", 3, True),
        ("… theirs not packed", "joint", 3, False),
    ):
        model = build(length=length, d_threshold=THRESHOLD, **PHASES[phase])
        plain = getattr(PlainTimeGAN(model, batches, packed), phase)
        measured: list[tuple[float, float]] = []

        def compare(step: Step, plain: Step = plain, times: int = times, to: list[Any] = measured) -> None:
            to += turns(plain, lambda: [step() for _ in range(times)] and None, 10 * pairs)

        inside(model, table, batches, compare)
        theirs, ours = zip(*measured, strict=True)
        ratios = [a / b for a, b in measured]
        rows.append(
            {
                "": name,
                "official arrangement [ms]": 1e3 * statistics.median(theirs),
                "ours [ms]": 1e3 * statistics.median(ours),
                "speed-up": statistics.median(ratios),
                "of pairs": f"{min(ratios):.2f}..{max(ratios):.2f}",
                "pairs": len(measured),
            }
        )
    return rows


def section_timegan_sampling(seconds: float) -> Rows:
    """Series a second by batch size at T 24 with 6 features, the drawing of the noise included."""
    rows: Rows = []
    for count in (1, 16, 256, 4096):
        index, y = torch.arange(count), torch.zeros(count, dtype=torch.long)
        row: dict[str, Any] = {"batch size": count}
        for preset in ("paper", "scarce"):
            model = build(preset).to(DEVICE).eval()
            times: list[float] = []
            while len(times) < 3 or sum(times[1:]) < seconds:  # the first one warms up
                times.append(
                    clock(lambda model=model, args=(index, y): model.sample(model.latent(args[0], 0), args[1]))
                )
            row[f"{preset} [1/s]"] = count / statistics.median(times[1:])
        rows.append(row)
    return rows


def section_timegan_scaling(pairs: int, batch_size: int = 128) -> Rows:
    """What a joint round costs by length, features and batch size, each changed alone, in turns with the first."""
    rows: Rows = []

    def run(length: int, features: int, size: int, use: Callable[[Step], None]) -> None:
        table = waves(length, features)
        model = build(length=length, features=features, d_threshold=THRESHOLD, **PHASES["joint"])
        inside(model, table, on_device(table, size), lambda step: use(lambda: [step() for _ in range(3)] and None))

    def all_others(base: Step) -> None:
        for length, features, size in (
            (24, 6, batch_size), (12, 6, batch_size), (48, 6, batch_size), (96, 6, batch_size), (24, 1, batch_size),
            (24, 28, batch_size), (24, 6, batch_size // 4), (24, 6, batch_size * 4),
        ):  # fmt: skip
            measured: list[tuple[float, float]] = []
            run(length, features, size, lambda step, to=measured: to.extend(turns(base, step, 2 * pairs)))
            row: dict[str, Any] = {"length": length, "features": features, "batch size": size}
            row["round [ms]"] = 1e3 * statistics.median(b for _, b in measured)
            rows.append(row | {"to the first": statistics.median(b / a for a, b in measured)})

    run(LENGTH, FEATURES, batch_size, all_others)
    return rows
