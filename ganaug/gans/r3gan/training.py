"""R3GAN's step: both networks by the relativistic loss, with penalties on both sides, and the schedules."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from datamodules.rows import Table
from datamodules.schema import Batch
from ganaug.gans.base import GAN
from ganaug.gans.diffaug.adaptive import adapt
from ganaug.gans.ema import EMA
from ganaug.gans.losses import LOSSES, squared_slope
from ganaug.gans.r3gan.networks import Discriminator, Generator, Places, downsampled
from ganaug.gans.r3gan.view import View

LOSS = LOSSES["relativistic"]
UNLIMITED = 10_000  # batches of burn-in, where a run has no last step


class Progress(nn.Module):
    """How far a run has come: the batches of its burn-in, 0 before it has begun, and the probability of ``ada``."""

    burn_in: Tensor
    probability: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("burn_in", torch.zeros((), dtype=torch.long))
        self.register_buffer("probability", torch.zeros(()))
        self.steps = 1  # as a plain number, which a GPU need not be asked for


class R3GANTraining(GAN):
    """The steps of :class:`~ganaug.gans.r3gan.model.R3GAN`, which says what the options mean."""

    optimizer_names = ("g", "d")
    generator: Generator
    discriminator: Discriminator
    ema: EMA
    view: View
    progress: Progress

    @property
    def phases(self) -> list[tuple[str, int | None]]:
        """One, from the first batch on."""
        return [("adversarial", None)]

    def setup(self, stage: str) -> None:
        """Memory format and compilation."""
        super().setup(stage)
        self.to(memory_format=torch.channels_last)
        if self.hp.compile and stage == "fit":
            self.generator.compile(dynamic=False)
            self.discriminator.compile(dynamic=False)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for each network; rate and β₂ are set before every step."""
        options = {"lr": self.hp.lr[0], "betas": (0.0, self.hp.beta2[0]), "fused": self.fused}
        return [
            torch.optim.Adam(self.generator.parameters(), **options),
            torch.optim.Adam(self.discriminator.parameters(), **options),
        ]

    def forget(self) -> None:
        """See :meth:`GAN.forget`."""
        self.progress.burn_in.zero_()
        self.progress.probability.zero_()
        self.view.forget()

    def on_train_start(self) -> None:
        """Learn the units of the training rows and the length of the burn-in, unless a checkpoint has them."""
        super().on_train_start()
        progress = self.progress
        if self.hp.burn_in:
            progress.burn_in.fill_(self.hp.burn_in)
        elif not int(progress.burn_in):
            ends = self.last_step
            progress.burn_in.fill_(UNLIMITED if math.isinf(ends) else max(1, int(ends)))
        progress.steps = int(progress.burn_in)
        loader: Any = self.trainer.train_dataloader
        table = getattr(loader, "dataset", None)
        self.view.learn(table.batches() if isinstance(table, Table) else loader)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Take note of lengths and attributes, for samples."""
        self.view.see(self.told(batch))

    @property
    def burnt_in(self) -> float:
        """How far what is scheduled has gone: from 0 to 1 over the burn-in, by a cosine."""
        share = min(1.0, self.step / self.progress.steps)
        return 0.5 * (1 - math.cos(math.pi * share))

    def now(self, name: str) -> float:
        """A scheduled option at this step."""
        start, end = self.hp[name]
        return float(start + (end - start) * self.burnt_in)

    def told(self, batch: Batch) -> Batch:
        """A batch with its classes as the networks are told them."""
        return {**batch, "y": self.classes(batch["y"])}

    # ---- the generator's input ----

    def levels(self, places: Places) -> list[Places]:
        """Places at each of the generator's resolutions, for rows of so many."""
        return self.generator.levels(places)

    def noise_numbers(self, places: Places) -> int:
        """How many numbers of noise a row of so many places takes, beside z."""
        return sum(self.hp.noise * math.prod(level) for level in self.levels(places))

    def _inputs(self, noise: Tensor, given: Tensor | None, levels: list[Places]) -> list[Tensor]:
        """For each resolution its share of noise (B, N) and, averaged, what is given at every place."""
        shares = torch.split(noise, [self.hp.noise * math.prod(level) for level in levels], dim=1)
        inputs = [share.view(len(noise), self.hp.noise, *level) for share, level in zip(shares, levels, strict=True)]
        if given is not None:
            for level in reversed(range(len(levels))):
                if given.shape[2:] != levels[level]:
                    given = downsampled(given)
                inputs[level] = torch.cat([inputs[level], given], dim=1)
        return inputs

    def generate(self, network: Generator, latent: Tensor, batch: Batch, places: Places) -> Tensor:
        """Rows (B, C, …) for latents (B, latent_dim + noise) and all else that is known of ``batch``."""
        z, noise = latent[:, : self.hp.latent_dim], latent[:, self.hp.latent_dim :]
        levels = self.levels(places)
        inputs = self._inputs(noise, self.view.given(batch, places), levels)
        return self.view.made(network(z, self.view.condition(batch), inputs, places).float(), batch)

    # ---- training ----

    def adversarial_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of D and one of G, on the same fakes of the classes, lengths and gaps of the batch."""
        batch = self.told(batch)
        optimizer_g, optimizer_d = cast(list[LightningOptimizer], self.optimizers())
        for optimizer in (optimizer_g, optimizer_d):
            for group in optimizer.param_groups:
                group["lr"], group["betas"] = self.now("lr"), (0.0, self.now("beta2"))
        real = self.view.rows(batch)
        latent = torch.randn(len(real), self.hp.latent_dim + self.noise_numbers(self.view.places), device=self.device)
        fake = self.generate(self.generator, latent, batch, self.view.places)
        losses = self._step_d(optimizer_d, real, fake.detach(), batch)
        losses |= self._step_g(optimizer_g, real, fake, batch)
        if (self.step + 1) % self.accumulate == 0:
            self._average()
        return losses

    def _average(self) -> None:
        """Move the average of G's weights, whose half-life rises with the burn-in."""
        risen = self.burnt_in
        self.ema.decay = self.hp.ema_decay ** (1 / risen) if risen > 0 else 0.0
        self.ema.update(self.generator, self.step // self.accumulate)

    def _seen(self, rows: Tensor, batch: Batch) -> Tensor:
        adaptive = self.hp.augment_probability == "ada"
        return self.view.seen(rows, batch, self.progress.probability if adaptive else self.now("augment_probability"))

    def _step_d(self, optimizer: LightningOptimizer, real: Tensor, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        hp = self.hp
        gamma = self.now("gamma")
        penalised = gamma > 0 and self.step % hp.penalty_every == 0
        condition = self.view.condition(batch)
        both = None if condition is None else condition.repeat(2, 1)
        x = torch.cat([self._seen(real, batch), self._seen(fake, batch)])
        with self.toggled_optimizer(optimizer):
            if penalised:
                with torch.autocast(x.device.type, enabled=False):  # the double backward wants float32
                    x = x.float().requires_grad_()
                    logits = self.discriminator.forward(x, both)  # past compile, which has no double backward
                    slopes = squared_slope(logits, x).chunk(2)
            else:
                logits = self.discriminator(x, both)
            logits_real, logits_fake = logits.chunk(2)
            adversarial = loss = LOSS.discriminator(logits_real, logits_fake)
            if penalised:
                loss = loss + 0.5 * gamma * hp.penalty_every * (slopes[0].mean() + slopes[1].mean())
            self.update(optimizer, loss, self.step)
        if hp.augment_probability == "ada":
            lean = (logits_real - logits_fake).detach().sign().mean()
            rows = len(real) * self.trainer.world_size
            leans = cast(Tensor, self.all_gather(lean))
            adapt(self.progress.probability, leans, hp.ada_target, rows / (hp.ada_speed * 1000))
        figures = {"loss/d": adversarial, "accuracy/pairs": (logits_real > logits_fake).float().mean()}
        if hp.augment_probability == "ada":
            figures["augment/probability"] = self.progress.probability
        if penalised:
            figures |= {f"penalty/r{side}": slope.mean() for side, slope in enumerate(slopes, 1)}
        return figures

    def _step_g(self, optimizer: LightningOptimizer, real: Tensor, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        condition = self.view.condition(batch)
        with self.toggled_optimizer(optimizer):
            with torch.no_grad():
                beside = self.discriminator(self._seen(real, batch), condition)
            loss = LOSS.generator(self.discriminator(self._seen(fake, batch), condition), beside)
            self.update(optimizer, loss, self.step)
        return {"loss/g": loss}
