"""How TimeGAN learns: the autoencoder, the supervisor, and then all networks (Yoon et al. 2019, section 4.3)."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from datamodules.rows import Table
from datamodules.schema import Batch, step_mask
from datamodules.series.schema import SeriesSchema
from ganaug.gans.base import GAN
from ganaug.gans.ema import EMA
from ganaug.gans.lengths import LengthsAndStatic
from ganaug.gans.timegan.losses import (
    autocorrelation_loss,
    change_loss,
    correlation_loss,
    masked_mean,
    moment_loss,
    safe_sqrt,
    sliced_loss,
)
from ganaug.gans.timegan.protocols import Judge

# What else the batches should agree in, by the option that weighs it: statistics, and distributions within each class.
STATISTICS = {"correlation_weight": correlation_loss, "change_weight": change_loss}
KNOWN = 2**28  # values of codes that are kept for the second phase, at most: 1 GiB
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


class TimeGANTraining(GAN):
    """The phases and steps of :class:`~ganaug.gans.timegan.model.TimeGAN`, which says what the options mean."""

    schema: SeriesSchema
    optimizer_names = ("autoencoder", "supervisor", "embedder", "generator", "discriminator")
    embedder: nn.Module
    recovery: nn.Module
    generator: nn.Module
    supervisor: nn.Module
    discriminator: nn.Module
    ema: nn.ModuleDict
    """Averages of generator, supervisor and recovery, which samples are drawn from."""
    frames: LengthsAndStatic | None
    """Lengths and attributes of real series; None where all are of one length and there is nothing else to draw."""
    channels: int
    """Of what the embedder sees: measurements, and attributes that are generated along."""
    _encoded: Tensor | None  # (N, T, hidden), what the embedder makes of every training row
    _place: Tensor  # of a row among them, by its number

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

    def condition(self, batch: Batch) -> Tensor | None:
        """What the networks are told of series, by their classes ``y`` (B,) and ``static``: (B, C + S), or None."""
        parts = []
        if self.conditional and self.schema.num_classes > 1:
            parts.append(F.one_hot(batch["y"], self.schema.num_classes).float())
        if self.schema.static and self.hp.static == "condition":
            parts.append(batch["static"])
        return torch.cat(parts, dim=1) if parts else None

    def _mask(self, batch: Batch) -> Tensor | None:
        """Which steps count, (B, T, 1); None where all do."""
        if self.schema.fixed:
            return None
        return step_mask(batch["length"], batch["x"].shape[1]).float()[:, :, None]

    def _channels(self, batch: Batch) -> Tensor:
        """Measurements, and with them the static attributes that are generated along, (B, T, channels)."""
        if self.channels == self.schema.features:
            return batch["x"]
        return torch.cat([batch["x"], batch["static"][:, None].expand(-1, batch["x"].shape[1], -1)], dim=2)

    def _code(self, batch: Batch) -> Tensor:
        """H = E(X), (B, T, hidden)."""
        codes: Tensor = self.embedder(self._channels(batch), self.condition(batch))
        return codes

    def _error(self, batch: Batch, recovered: Tensor, mask: Tensor | None) -> Tensor:
        """Mean squared error of what was measured."""
        weight = mask
        if "observed" in batch:
            extra = self.channels - self.schema.features
            weight = F.pad(batch["observed"], (0, extra), value=1.0) * (1.0 if mask is None else mask)
        return masked_mean((recovered - self._channels(batch)).square(), weight)

    @staticmethod
    def _supervised_error(latents: Tensor, led: Tensor, mask: Tensor | None) -> Tensor:
        """Mean squared error of the supervisor's next step: its output at t against the code at t + 1 (eq. 9)."""
        weight = None if mask is None else mask[:, 1:]
        return masked_mean((latents[:, 1:] - led[:, :-1]).square(), weight) if latents.shape[1] > 1 else led.sum() * 0.0

    # ---- training ----

    def on_train_start(self) -> None:
        """Drop codes of an earlier run."""
        super().on_train_start()
        self._encoded = None

    def forget(self) -> None:
        """See :meth:`GAN.forget`."""
        if self.frames is not None:
            self.frames.count.zero_()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Take note of lengths and static attributes, for samples."""
        if self.frames is not None:
            self.frames.see(batch, self.classes(batch["y"]))

    def autoencoder_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of embedder and recovery: 10 √MSE of what comes back (official code; eq. 7 is its square)."""
        optimizer = self._optimizer("autoencoder")
        with self.toggled_optimizer(optimizer):
            error = self._error(batch, self.recovery(self._code(batch), None), self._mask(batch))
            self.update(optimizer, self.hp.reconstruction_weight * safe_sqrt(error), self.step)
        self._average(("recovery",), self.step)
        return {"loss/reconstruction": error}

    def supervisor_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the supervisor alone, on codes of real series."""
        optimizer, turn = self._optimizer("supervisor"), self.step - self.hp.autoencoder_steps
        codes = self._codes(batch)
        with self.toggled_optimizer(optimizer):
            error = self._supervised_error(codes, self.supervisor(codes, self.condition(batch)), self._mask(batch))
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
        condition, x = self.condition(batch), batch["x"]
        real = self._code(batch)
        free = self.generator(self._noise(x), condition)
        return Latents(real, free, self.supervisor(free, condition))

    def _noise(self, x: Tensor) -> Tensor:
        """What the generator is given, (B, T, Z or 2 Z), for a batch (B, T, …)."""
        return self._joined(torch.rand(len(x), 1 + x.shape[1], self.hp.latent_features, device=x.device))

    def _joined(self, noise: Tensor) -> Tensor:
        """Noise (B, 1 + T, Z), of which the first row is the whole series', to the generator's input (B, T, …)."""
        steps = noise[:, 1:]
        return torch.cat([steps, noise[:, :1].expand_as(steps)], dim=2) if self.hp.series_latent else steps

    def _step_g(self, batch: Batch, turn: int) -> tuple[dict[str, Tensor], Latents]:
        """One update of generator and supervisor, then one of embedder and recovery, with the codes shared."""
        hp, condition, mask = self.hp, self.condition(batch), self._mask(batch)
        optimizer, coder = self._optimizer("generator"), self._optimizer("embedder")
        if turn == 0:  # what the phases before, whose networks these share, may have left, short of a step
            optimizer.zero_grad()
            coder.zero_grad()
        real = self._code(batch)  # its graph is for the embedder's own update
        codes, both = real.detach(), None if condition is None else condition.repeat(2, 1)
        with self.toggled_optimizer(optimizer):
            free = self.generator(self._noise(codes), condition)
            next_real, led = self.supervisor(torch.cat([codes, free]), both).chunk(2)
            made = Latents(codes, free.detach(), led.detach())
            judged = torch.cat([led, free, codes] if hp.matching_weight else [led, free])
            features, logits = self._judge(
                judged, None if condition is None else condition.repeat(len(judged) // len(codes), 1)
            )
            logits_led, logits_free, *_ = torch.split(logits, len(codes))
            recovered = self.recovery(led, None)
            adversarial = masked_mean(F.softplus(-logits_led), mask)
            supervised = self._supervised_error(codes, next_real, mask)
            moments = moment_loss(self._channels(batch), recovered, mask)
            loss = adversarial + hp.gamma * masked_mean(F.softplus(-logits_free), mask)
            loss = loss + hp.supervised_weight * safe_sqrt(supervised) + hp.moment_weight * moments
            for name, statistic in STATISTICS.items():
                if hp[name]:
                    loss = loss + hp[name] * statistic(self._channels(batch), recovered, mask)
            for name, distance in DISTANCES.items():
                if hp[name]:
                    loss = loss + hp[name] * distance(self._channels(batch), recovered, mask, condition)
            if hp.matching_weight:
                loss = loss + hp.matching_weight * self._matching(features, mask)
            self.update(optimizer, loss, turn)
        with self.toggled_optimizer(coder):
            error = self._error(batch, self.recovery(real, None), mask)
            consistency = self._supervised_error(
                real, self.supervisor(real, condition), mask
            )  # with the supervisor as it is now
            self.update(coder, hp.reconstruction_weight * safe_sqrt(error) + hp.consistency_weight * consistency, turn)
        self._average(("generator",), turn)
        self._average(("supervisor",), turn, hp.supervisor_steps)
        self._average(("recovery",), turn, hp.autoencoder_steps)
        losses = {"loss/g": adversarial, "loss/moments": moments, "loss/supervised": supervised}
        return losses | {"loss/reconstruction": error}, made

    def _judge(self, codes: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """D's features, where they are to be matched, and logits (…, T, 1), of codes (…, T, hidden)."""
        if not self.hp.matching_weight:
            return codes, self.discriminator(codes, condition)
        judge = cast(Judge, self.discriminator)
        features = judge.features(codes, condition)
        return features, judge.out(features)

    @staticmethod
    def _matching(features: Tensor, mask: Tensor | None) -> Tensor:
        """Squared distance between the means of D's features on real codes and on those that the supervisor led."""
        led, _, real = features.chunk(3)
        if mask is None:
            return (led.mean((0, 1)) - real.mean((0, 1))).square().mean()
        count = mask.sum()
        return (((led - real) * mask).sum((0, 1)) / count).square().mean()

    def _step_d(self, batch: Batch, made: Latents, turn: int) -> dict[str, Tensor]:
        """One update of D, where its loss is above the threshold."""
        hp, condition, mask = self.hp, self.condition(batch), self._mask(batch)
        optimizer = self._optimizer("discriminator")
        with self.toggled_optimizer(optimizer):
            logits = self.discriminator(torch.cat(made), None if condition is None else condition.repeat(3, 1))
            real, free, led = logits.chunk(3)
            loss = masked_mean(F.softplus(-real), mask) + masked_mean(F.softplus(led), mask)
            loss = loss + hp.gamma * masked_mean(F.softplus(free), mask)
            if hp.d_threshold:
                self._update_above(optimizer, loss)
            else:
                self.update(optimizer, loss, turn)
        accuracies = {"real": real > 0, "fake": led < 0}
        return {
            "loss/d": loss,
            **{f"accuracy/{side}": masked_mean(ok.float(), mask) for side, ok in accuracies.items()},
        }

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

    def _average(self, names: tuple[str, ...], turn: int, before: int = 0) -> None:
        """Where an optimiser has stepped at its ``turn``, after so many turns of another that it took over from."""
        if (turn + 1) % self.accumulate == 0:
            for name in names:
                cast(EMA, self.ema[name]).update(getattr(self, name), (before + turn) // self.accumulate)

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
        """What the embedder makes of the batch; looked up where every training row's can be kept (the second phase)."""
        table = getattr(self.trainer.train_dataloader, "dataset", None)
        with torch.no_grad():
            if "row" not in batch or not isinstance(table, Table) or "row" not in table.fields:
                return self._code(batch)
            if len(table) * batch["x"].shape[1] * self.hp.hidden > KNOWN:
                return self._code(batch)
            if self._encoded is None:
                rows = ({name: field.to(self.device) for name, field in part.items()} for part in table.batches())
                self._encoded = torch.cat([self._code(part) for part in rows])
                number = table.fields["row"]
                self._place = torch.zeros(int(number.max()) + 1, dtype=torch.long)
                self._place[number] = torch.arange(len(number))
                self._place = self._place.to(self.device)
            return self._encoded[self._place[batch["row"]]]
