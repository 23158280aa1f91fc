"""TimeGAN (Yoon et al., NeurIPS 2019): time series by adversarial and supervised learning in a latent space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from datamodules.base import Table
from datamodules.errors import InputError
from datamodules.options import LARGEST, in_range
from datamodules.scales import SeriesSchema
from datamodules.schema import Batch
from ganaug.devices import seeded
from ganaug.ema import EMA
from ganaug.frames import Frames
from ganaug.gan import GAN
from ganaug.moments import autocorrelation_loss, change_loss, correlation_loss, mean, moment_loss, root, sliced_loss
from ganaug.randomness import draw_rows
from ganaug.recurrent import Cell, Recurrent

PRESETS: dict[str, dict[str, Any]] = {
    # The official code's networks, weights and schedule; a joint step of its is three batches here.
    "paper": {
        "conditional": False,
        "series_latent": False,
        "hidden": 24,
        "layers": 3,
        "autoencoder_steps": 50_000,
        "supervisor_steps": 50_000,
        "g_steps": 2,
        "d_batch": "fresh",
        "d_threshold": 0.15,
        "correlation_weight": 0.0,
        "autocorrelation_weight": 0.0,
        "change_weight": 0.0,
        "sliced_weight": 0.0,
        "matching_weight": 0.0,
        "ema_decay": 0.0,
        "lr": 1e-3,
        "lr_g": 1e-3,
        "lr_d": 1e-3,
        "decay_steps": 0,
    },
    # Few data and few steps: a wider latent space, shorter phases, more of the data's statistics to go by, a generator
    # that learns faster than D, and samples from averaged weights.
    "scarce": {
        "conditional": True,
        "series_latent": True,
        "hidden": None,
        "layers": 2,
        "autoencoder_steps": 1000,
        "supervisor_steps": 300,
        "g_steps": 2,
        "d_batch": "same",
        "d_threshold": 0.0,
        "correlation_weight": 10.0,
        "autocorrelation_weight": 30.0,
        "change_weight": 3.0,
        "sliced_weight": 30.0,
        "matching_weight": 1.0,
        "ema_decay": 0.995,
        "lr": 3e-3,
        "lr_g": 2e-3,
        "lr_d": 1e-3,
        "decay_steps": 4000,
    },
}
# What else the batches should agree in, by the option that weighs it: statistics, and distributions within each class.
STATISTICS = {"correlation_weight": correlation_loss, "change_weight": change_loss}
DISTANCES = {"sliced_weight": sliced_loss, "autocorrelation_weight": autocorrelation_loss}


class Latents(NamedTuple):
    """What the networks make of a batch on the way to its losses.

    Args:
        real: H = E(X), (B, T, hidden), with the embedder's graph.
        free: Ê = G(Z), (B, T, hidden).
        led: Ĥ = S(Ê), (B, T, hidden).
    """

    real: Tensor
    free: Tensor
    led: Tensor


class TimeGAN(GAN):
    """TimeGAN for series of up to a few hundred steps, class-conditional where the data have classes.

    Three phases: embedder and recovery learn to encode series and to bring them back; the supervisor learns to tell
    the next step of an encoded series; and then all five networks together: the generator makes sequences of codes,
    the supervisor leads them, the discriminator judges them at every step.
    Options that are left out take the preset's value.

    Args:
        schema: of the data: columns, length, classes, static attributes.
        preset: ``scarce``, for few data, or ``paper``, the networks, losses and schedule of the official code.
        hidden: width of the recurrent layers and of the latent space (paper: 24; scarce: 4 times the features, at
            least 48 and at most 128: with fewer than features, the autoencoder loses what it should keep).
        layers: of each network but the supervisor, which has one less (paper: 3; scarce: 2).
        skip: whether each network's dense layer sees a step's input beside the recurrent state; embedder, recovery and
            supervisor then begin near the identity. For many features, and for noise, which recurrent states alone
            smooth. Then with ``supervisor_steps`` 0, since that phase teaches the supervisor to leave noise out.
        cell: ``gru``, the paper's, or ``lstm``.
        latent_features: of the noise at each step (paper: as many as the data have; scarce: at least 8, since of one
            measurement a single number at the first step would have to say how the whole series goes).
        series_latent: whether the generator is also given noise that stays the same at all steps, z_S of the paper's
            section 4.2, which the official code leaves out: where a series is to go, such as its frequency, has to be
            known from the first step on (scarce: true; paper: false).
        conditional: whether networks are told the class (scarce: true; paper: false). Without classes no effect.
        static: what to do with static attributes: ``condition``: the networks are told them, and samples get those of
            real series of their class; ``generate``: they are generated along, as measurements that do not change.
        autoencoder_steps: batches of the first phase (scarce: 1,000; paper: 50,000).
        supervisor_steps: batches of the second (scarce: 300; paper: 50,000).
        g_steps: batches of the generator for each of the discriminator (2).
        d_batch: where D's batch comes from: ``fresh``: every ``g_steps`` batches of the generator, one of its own
            (paper); ``same``: it learns from what the generator has just made, and no network runs again for it.
        d_threshold: D learns where its loss is above this, so that it does not run ahead (paper: 0.15); 0: always.
        gamma: weight of D's judgement of what the supervisor has not led, γ in the official code.
        supervised_weight: of √ of the supervisor's error on real series in the generator's loss (official code: 100).
        moment_weight: of the differences of means and deviations (official code: 100).
        correlation_weight: of the differences of correlations between features, which the moments do not see and
            where the paper's model is farthest from its rivals (scarce: 10).
        change_weight: of those of the moments of the changes from step to step, in units of their own size: without it
            samples of slow series are rough, which no moment of the values shows (scarce: 3).
        sliced_weight: of the distance between whole series, along random directions: the moments leave the shape of a
            distribution open (scarce: 30).
        autocorrelation_weight: of the distance between the distributions of each series' autocovariances: without it
            sines waver, which no projection of the values shows (scarce: 30).
        matching_weight: of the difference between the means of D's features on real and on generated series (feature
            matching, Salimans et al. 2016, section 3.1): a goal that does not move with D's last layer (scarce: 1).
        reconstruction_weight: of √ of the reconstruction error (official code: 10).
        consistency_weight: of the supervisor's error in the embedder's loss (official code: 0.1).
        ema_decay: of the averages of generator, supervisor and recovery that samples are drawn from; 0 samples from
            the networks themselves (scarce: 0.995).
        lr: Adam's learning rate of the first two phases, and of embedder and recovery in the third (scarce: 3e-3;
            paper: 1e-3).
        lr_g: of generator and supervisor in the third (scarce: 2e-3; paper: 1e-3).
        lr_d: of the discriminator (1e-3).
        decay_steps: batches of the third phase over which its learning rates fall to a twentieth, by a cosine; 0 keeps
            them. Give it the length of the phase (scarce: 4,000).
        betas: of Adam, for all of them.
        clip: largest gradient norm per optimiser.
        accumulate: batches whose gradients are summed before an optimiser steps.
        seed: of the initial weights and of the noise in training.
    """

    schema: SeriesSchema
    schema_kind = "series"
    of_data = ("frames",)
    optimizer_names = ("autoencoder", "supervisor", "embedder", "generator", "discriminator")

    def __init__(
        self,
        schema: SeriesSchema,
        preset: Literal["scarce", "paper"] = "scarce",
        hidden: int | None = None,
        layers: int | None = None,
        skip: bool = False,
        cell: Cell = "gru",
        latent_features: int | None = None,
        series_latent: bool | None = None,
        conditional: bool | None = None,
        static: Literal["condition", "generate"] = "condition",
        autoencoder_steps: int | None = None,
        supervisor_steps: int | None = None,
        g_steps: int | None = None,
        d_batch: Literal["fresh", "same"] | None = None,
        d_threshold: float | None = None,
        gamma: float = 1.0,
        supervised_weight: float = 100.0,
        moment_weight: float = 100.0,
        correlation_weight: float | None = None,
        autocorrelation_weight: float | None = None,
        change_weight: float | None = None,
        sliced_weight: float | None = None,
        matching_weight: float | None = None,
        reconstruction_weight: float = 10.0,
        consistency_weight: float = 0.1,
        ema_decay: float | None = None,
        lr: float | None = None,
        lr_g: float | None = None,
        lr_d: float | None = None,
        decay_steps: int | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        clip: float | None = None,
        accumulate: int = 1,
        seed: int = 0,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "schema", "__class__")}
        options = self.resolved(options, PRESETS[preset])
        super().__init__(schema, seed, clip, accumulate)
        if options["hidden"] is None:
            options["hidden"] = min(128, max(48, 4 * schema.features))
        if options["latent_features"] is None:
            options["latent_features"] = max(1 if preset == "paper" else 8, schema.features)
        self.save_hyperparameters(options | {"betas": list(betas)})
        self._check_options()

        hp = self.hp
        told = schema.static_width if static == "condition" else 0
        self.after_classes = told
        self.channels = schema.features + (schema.static_width if static == "generate" else 0)
        classes = schema.num_classes if self.conditional else 1
        shape: dict[str, Any] = {"hidden": hp.hidden, "layers": hp.layers, "cell": cell, "skip": hp.skip}
        shape["condition"] = (classes if classes > 1 else 0) + told
        fewer = shape | {"layers": max(1, hp.layers - 1)}
        with seeded(seed):
            self.embedder = Recurrent(self.channels, hp.hidden, **shape)
            self.recovery = Recurrent(hp.hidden, self.channels, **shape | {"condition": 0}, sigmoid=schema.bounded)
            self.generator = Recurrent(hp.latent_features * (2 if hp.series_latent else 1), hp.hidden, **shape)
            self.supervisor = Recurrent(hp.hidden, hp.hidden, **fewer)
            self.discriminator = Recurrent(hp.hidden, 1, **shape, sigmoid=False)
            if hp.skip:
                self.embedder.pass_through(schema.bounded)
                self.recovery.pass_through()
                self.supervisor.pass_through()
        self.ema = nn.ModuleDict(
            {name: EMA(getattr(self, name), hp.ema_decay) for name in ("generator", "supervisor", "recovery")}
        )
        self.frames = None if schema.fixed and not told else Frames(schema, classes)
        self._encoded: Tensor | None = None  # (N, T, hidden), what the embedder makes of every training row
        self._place: Tensor  # of a row among them, by its number

    def _check_options(self) -> None:
        hp = self.hp
        self.sizes("hidden", "latent_features")
        self.require("from 1 to 256", "layers")
        self.require("at least 1", "g_steps")
        self.require("at least 0", *(name for name in hp if name.endswith("_weight")))
        self.require("at least 0", "autoencoder_steps", "supervisor_steps", "decay_steps", "d_threshold", "gamma")
        self.require("above 0", "lr", "lr_g", "lr_d")
        self.require("at least 0 and below 1", "ema_decay", "betas")
        if hp.d_threshold and hp.accumulate > 1:
            raise InputError("d_threshold judges single batches: set it to 0, or accumulate to 1")

    # ---- set-up ----

    @property
    def phases(self) -> list[tuple[str, int | None]]:
        """Autoencoder, supervisor, joint."""
        return [("autoencoder", self.hp.autoencoder_steps), ("supervisor", self.hp.supervisor_steps), ("joint", None)]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for embedder and recovery, for the supervisor, and in the third phase for three pairs of networks."""
        hp, options = self.hp, self.adam
        coder = [*self.embedder.parameters(), *self.recovery.parameters()]
        maker = [*self.generator.parameters(), *self.supervisor.parameters()]
        return [
            torch.optim.Adam(coder, hp.lr, **options),
            torch.optim.Adam(self.supervisor.parameters(), hp.lr, **options),
            torch.optim.Adam(coder, hp.lr, **options),
            torch.optim.Adam(maker, hp.lr_g, **options),
            torch.optim.Adam(self.discriminator.parameters(), hp.lr_d, **options),
        ]

    # ---- a batch as the networks see it ----

    def condition(self, y: Tensor, static: Tensor | None) -> Tensor | None:
        """What the networks are told of series of classes y (B,), (B, C + S); None where it is nothing."""
        parts = []
        if self.conditional and self.schema.num_classes > 1:
            parts.append(F.one_hot(y, self.schema.num_classes).float())
        if self.schema.static and self.hp.static == "condition":
            assert static is not None
            parts.append(static)
        return torch.cat(parts, dim=1) if parts else None

    def _told(self, batch: Batch) -> Tensor | None:
        return self.condition(batch["y"], batch.get("static"))

    def _inside(self, batch: Batch) -> Tensor | None:
        """Which steps count, (B, T, 1); None where all do."""
        if self.schema.fixed:
            return None
        x = batch["x"]
        return (torch.arange(x.shape[1], device=x.device) < batch["length"][:, None]).float()[:, :, None]

    def _channels(self, batch: Batch) -> Tensor:
        """Measurements, and with them the static attributes that are generated along, (B, T, channels)."""
        if self.channels == self.schema.features:
            return batch["x"]
        return torch.cat([batch["x"], batch["static"][:, None].expand(-1, batch["x"].shape[1], -1)], dim=2)

    def _code(self, batch: Batch) -> Tensor:
        """H = E(X), (B, T, hidden)."""
        codes: Tensor = self.embedder(self._channels(batch), self._told(batch))
        return codes

    def _error(self, batch: Batch, recovered: Tensor, inside: Tensor | None) -> Tensor:
        """Mean squared error of what was measured."""
        weight = inside
        if "observed" in batch:
            extra = self.channels - self.schema.features
            weight = F.pad(batch["observed"], (0, extra), value=1.0) * (1.0 if inside is None else inside)
        return mean((recovered - self._channels(batch)).square(), weight)

    @staticmethod
    def _ahead(latents: Tensor, led: Tensor, inside: Tensor | None) -> Tensor:
        """Mean squared error of the supervisor's next step: its output at t against the code at t + 1 (eq. 9)."""
        weight = None if inside is None else inside[:, 1:]
        return mean((latents[:, 1:] - led[:, :-1]).square(), weight) if latents.shape[1] > 1 else led.sum() * 0.0

    # ---- training ----

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Take note of lengths and static attributes, for samples."""
        if self.frames is not None:
            self.frames.see(batch, self.classes(batch["y"]))

    def autoencoder_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of embedder and recovery: 10 √MSE of what comes back (official code; eq. 7 is its square)."""
        optimizer = self._optimizer("autoencoder")
        with self.toggled_optimizer(optimizer):
            error = self._error(batch, self.recovery(self._code(batch)), self._inside(batch))
            self.update(optimizer, self.hp.reconstruction_weight * root(error), self.step)
        self._average(("recovery",), self.step)
        return {"loss/reconstruction": error}

    def supervisor_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the supervisor alone, on codes of real series."""
        optimizer, turn = self._optimizer("supervisor"), self.step - self.hp.autoencoder_steps
        codes = self._codes(batch)
        with self.toggled_optimizer(optimizer):
            error = self._ahead(codes, self.supervisor(codes, self._told(batch)), self._inside(batch))
            self.update(optimizer, error, turn)
        self._average(("supervisor",), turn)
        return {"loss/supervised": error}

    def joint_step(self, batch: Batch) -> dict[str, Tensor]:
        """Generator and supervisor, embedder and recovery, and in its turn the discriminator."""
        hp = self.hp
        self._encoded = None
        step = self.step - hp.autoencoder_steps - hp.supervisor_steps
        self._decay(step)
        if hp.d_batch == "fresh":
            turn, place = divmod(step, hp.g_steps + 1)
            if place == hp.g_steps:
                with torch.no_grad():
                    made = self._make(batch)
                return self._step_d(batch, made, turn)
            losses, _ = self._step_g(batch, turn * hp.g_steps + place)
            return losses
        losses, made = self._step_g(batch, step)
        if (step + 1) % hp.g_steps == 0:
            losses |= self._step_d(batch, made, step // hp.g_steps)
        return losses

    def _make(self, batch: Batch) -> Latents:
        """Codes of the batch and of as many generated series, of the same classes and lengths."""
        told, x = self._told(batch), batch["x"]
        real = self._code(batch)
        free = self.generator(self._noise(x), told)
        return Latents(real, free, self.supervisor(free, told))

    def _noise(self, x: Tensor) -> Tensor:
        """What the generator is given, (B, T, Z or 2 Z), for a batch (B, T, …)."""
        return self._joined(torch.rand(len(x), 1 + x.shape[1], self.hp.latent_features, device=x.device))

    def _joined(self, noise: Tensor) -> Tensor:
        """Noise (B, 1 + T, Z), of which the first row is the whole series', to the generator's input (B, T, …)."""
        steps = noise[:, 1:]
        return torch.cat([steps, noise[:, :1].expand_as(steps)], dim=2) if self.hp.series_latent else steps

    def _step_g(self, batch: Batch, turn: int) -> tuple[dict[str, Tensor], Latents]:
        """One update of generator and supervisor, then one of embedder and recovery, with the codes shared."""
        hp, told, inside = self.hp, self._told(batch), self._inside(batch)
        optimizer, coder = self._optimizer("generator"), self._optimizer("embedder")
        real = self._code(batch)  # its graph is for the embedder's own update
        codes, both = real.detach(), None if told is None else told.repeat(2, 1)
        with self.toggled_optimizer(optimizer):
            free = self.generator(self._noise(codes), told)
            next_real, led = self.supervisor(torch.cat([codes, free]), both).chunk(2)
            made = Latents(codes, free.detach(), led.detach())
            judged = torch.cat([led, free, codes] if hp.matching_weight else [led, free])
            features = self.discriminator.features(
                judged, None if told is None else told.repeat(len(judged) // len(codes), 1)
            )
            logits_led, logits_free, *_ = torch.split(self.discriminator.out(features), len(codes))
            recovered = self.recovery(led)
            adversarial = mean(F.softplus(-logits_led), inside)
            supervised = self._ahead(codes, next_real, inside)
            moments = moment_loss(self._channels(batch), recovered, inside)
            loss = adversarial + hp.gamma * mean(F.softplus(-logits_free), inside)
            loss = loss + hp.supervised_weight * root(supervised) + hp.moment_weight * moments
            for name, statistic in STATISTICS.items():
                if hp[name]:
                    loss = loss + hp[name] * statistic(self._channels(batch), recovered, inside)
            for name, distance in DISTANCES.items():
                if hp[name]:
                    loss = loss + hp[name] * distance(self._channels(batch), recovered, inside, told)
            if hp.matching_weight:
                loss = loss + hp.matching_weight * self._matching(features, inside)
            self.update(optimizer, loss, turn)
        with self.toggled_optimizer(coder):
            error = self._error(batch, self.recovery(real), inside)
            consistency = self._ahead(real, self.supervisor(real, told), inside)  # with the supervisor as it is now
            self.update(coder, hp.reconstruction_weight * root(error) + hp.consistency_weight * consistency, turn)
        self._average(("generator",), turn)
        self._average(("supervisor",), hp.supervisor_steps + turn)
        self._average(("recovery",), hp.autoencoder_steps + turn)
        losses = {"loss/g": adversarial, "loss/moments": moments, "loss/supervised": supervised}
        return losses | {"loss/reconstruction": error}, made

    @staticmethod
    def _matching(features: Tensor, inside: Tensor | None) -> Tensor:
        """Squared distance between the means of D's features on real codes and on those that the supervisor led."""
        led, _, real = features.chunk(3)
        if inside is None:
            return (led.mean((0, 1)) - real.mean((0, 1))).square().mean()
        count = inside.sum()
        return (((led - real) * inside).sum((0, 1)) / count).square().mean()

    def _step_d(self, batch: Batch, made: Latents, turn: int) -> dict[str, Tensor]:
        """One update of D, where its loss is above the threshold."""
        hp, told, inside = self.hp, self._told(batch), self._inside(batch)
        optimizer = self._optimizer("discriminator")
        with self.toggled_optimizer(optimizer):
            logits = self.discriminator(torch.cat(made), None if told is None else told.repeat(3, 1))
            real, free, led = logits.chunk(3)
            loss = mean(F.softplus(-real), inside) + mean(F.softplus(led), inside)
            loss = loss + hp.gamma * mean(F.softplus(free), inside)
            if hp.d_threshold:
                self._update_above(optimizer, loss)
            else:
                self.update(optimizer, loss, turn)
        if self.logging_step:
            self.log("accuracy/real", mean((real > 0).float(), inside))
            self.log("accuracy/fake", mean((led < 0).float(), inside))
        return {"loss/d": loss}

    def _update_above(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        """A step where the loss, on average over the processes, is above the threshold."""
        seen = cast(Tensor, self.all_gather(loss.detach())).mean()
        adam = optimizer.optimizer
        if not adam.param_groups[0]["fused"]:  # not the defaults: a checkpoint's groups may say otherwise
            if float(seen) > self.hp.d_threshold:
                self.update(optimizer, loss, 0)
            return
        # Asking a GPU which it is would stall it. Fused Adam leaves everything as it is, its count too, where it is
        # told of an infinite gradient: that is how torch's gradient scaler skips a step.
        adam.found_inf = (seen <= self.hp.d_threshold).float()  # type: ignore[attr-defined]
        self.update(optimizer, loss, 0)
        del adam.found_inf  # type: ignore[attr-defined]

    def _optimizer(self, name: str) -> LightningOptimizer:
        return cast(list[LightningOptimizer], self.optimizers())[self.optimizer_names.index(name)]

    def _average(self, names: tuple[str, ...], turn: int) -> None:
        if (turn + 1) % self.accumulate == 0:
            for name in names:
                cast(EMA, self.ema[name]).update(getattr(self, name), turn // self.accumulate)

    def _decay(self, step: int) -> None:
        """Learning rates of the third phase at its step number ``step``."""
        hp = self.hp
        if not hp.decay_steps:
            return
        share = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / hp.decay_steps)))
        for name, rate in (("embedder", hp.lr), ("generator", hp.lr_g), ("discriminator", hp.lr_d)):
            for group in self._optimizer(name).param_groups:
                group["lr"] = rate * share

    def _codes(self, batch: Batch) -> Tensor:
        """What the embedder makes of the batch; looked up where every training row's is known (the second phase)."""
        table = getattr(self.trainer.train_dataloader, "dataset", None)
        with torch.no_grad():
            if "row" not in batch or not isinstance(table, Table) or "row" not in table.fields:
                return self._code(batch)
            if self._encoded is None:
                rows = ({name: field.to(self.device) for name, field in part.items()} for part in table.batches())
                self._encoded = torch.cat([self._code(part) for part in rows])
                number = table.fields["row"]
                self._place = torch.zeros(int(number.max()) + 1, dtype=torch.long)
                self._place[number] = torch.arange(len(number))
                self._place = self._place.to(self.device)
            return self._encoded[self._place[batch["row"]]]

    def judged(self, batch: Batch) -> Tensor:
        """The mean of D's logits over the steps of the codes: see :meth:`GAN.judged`."""
        inside = self._inside(batch)
        steps: Tensor = self.discriminator(self._code(batch), self._told(batch))[:, :, 0]  # (B, T)
        return steps.mean(1) if inside is None else (steps * inside[:, :, 0]).sum(1) / inside[:, :, 0].sum(1)

    # ---- sampling ----

    def latent(self, indices: Tensor, seed: int, length: int | None = None) -> Tensor:
        """Uniform on [0, 1), (B, 2 + T, Z); row i from (seed, indices[i]) alone.

        The first step of each chooses a length and static attributes among those of real series; the second is noise
        for the whole series, the others for a step each.

        Args:
            indices: (B,) int64.
            seed: at least 0.
            length: T of the series wanted; by default that of the data. A longer one begins as the shorter does, and
                goes on near the level that it has reached, without the slower movements of longer series.
        """
        steps = self.schema.length if length is None else length
        in_range("length", steps, 1, LARGEST)
        return draw_rows(indices, seed, (2 + steps, self.hp.latent_features), uniform=True).to(self.device)

    @torch.no_grad()
    def sample(  # type: ignore[override]
        self,
        latent: Tensor,
        labels: Tensor,
        length: int | None = None,
        static: Mapping[str, str | float] | Tensor | None = None,
    ) -> Batch:
        """Series from the averaged networks, a deterministic function of latents and labels.

        Args:
            latent: (B, 2 + T, Z) uniform on [0, 1).
            labels: (B,) class ids; ignored by an unconditional model.
            length: of every series, at most T; by default drawn, where those of the data differ.
            static: attributes that are asked for, where the model is told attributes: by name, of all series, or
                (B, S), NaN for those that are to be drawn as the others are.

        Returns:
            ``x`` (B, T, F), 0 beyond the length; ``length`` (B,); ``y`` (B,); where there are any, ``static`` (B, S).
        """
        latent, labels = latent.to(self.device), labels.to(self.device)
        steps = latent.shape[1] - 2
        if length is not None and not 1 <= length <= steps:
            raise InputError(f"length {length}: these latents are for 1 to {steps} steps")
        lengths = torch.full_like(labels, steps if length is None else length)
        attributes = latent.new_zeros(len(labels), self.schema.static_width)
        if self.frames is not None:
            drawn, attributes = self.frames.draw(latent[:, 0, 0], self.classes(labels))
            lengths = drawn.clamp(max=steps) if length is None else lengths
        generator, supervisor, recovery = (
            cast(Recurrent, cast(EMA, self.ema[name]).network) for name in ("generator", "supervisor", "recovery")
        )
        if static is not None:
            if self.hp.static != "condition":
                raise InputError(
                    "static: this model draws attributes itself: train it with static condition, to ask for some"
                )
            asked = (static if isinstance(static, Tensor) else self.schema.asked(static)).to(attributes)
            attributes = torch.where(asked.isnan(), attributes, asked)
        told = self.condition(labels, attributes)
        made = recovery(supervisor(generator(self._joined(latent[:, 1:]), told), told))  # (B, T, channels)
        inside = (torch.arange(steps, device=made.device) < lengths[:, None])[:, :, None]
        made = made * inside
        x = self.schema.settled(made[:, :, : self.schema.features]) * inside
        batch = {"x": x, "length": lengths, "y": labels}
        if self.schema.static:
            if self.hp.static == "generate":
                attributes = made[:, :, self.schema.features :].sum(1) / lengths[:, None]
            batch["static"] = attributes
        return batch
