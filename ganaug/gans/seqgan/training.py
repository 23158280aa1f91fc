"""How SeqGAN learns: by likelihood, then D alone, then both in turn (Yu et al. 2017, algorithm 1)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from datamodules.base import StreamLoader
from datamodules.rows import Table
from datamodules.schema import Batch, step_mask
from datamodules.text.schema import TextSchema
from ganaug.gans.base import GAN
from ganaug.gans.ema import EMA
from ganaug.gans.losses import LOSSES
from ganaug.gans.seqgan.reinforce import advantages, entropy, policy_loss
from ganaug.gans.seqgan.rollout import Sampler, mask_forbidden, prefix_values, sample_sequences
from ganaug.networks.decoder import Decoder

# After 23 passes over 420 questions a fiftieth of the samples were copies of training questions, after 14 over 4,500 an
# eighth, and after 500 over 120 nearly all.
PASSES = 50


class SeqGANTraining(GAN):
    """The phases and steps of :class:`~ganaug.gans.seqgan.model.SeqGAN`, which says what the options mean."""

    schema: TextSchema
    optimizer_names = ("mle", "g", "d")
    generator: Decoder
    discriminator: nn.Module
    ema: EMA
    """Average of G's weights, which samples are drawn from."""
    mle: EMA
    """What maximum likelihood alone had reached."""
    roller: EMA | None
    """Average of G that rolls out."""
    negatives: tuple[Tensor, Tensor] | None
    """A set of samples that D is being shown: tokens (S · B, T) and classes (S · B,)."""

    @property
    def phases(self) -> list[tuple[str, int | None]]:
        """MLE, D alone, adversarial."""
        return [("mle", self.hp.mle_steps), ("discriminator", self.hp.discriminator_steps), ("adversarial", None)]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam: for G by likelihood, for G by reward, for D."""
        hp, options = self.hp, self.adam
        return [
            torch.optim.Adam(self.generator.parameters(), hp.lr_mle, **options),
            torch.optim.Adam(self.generator.parameters(), hp.lr_g, **options),
            torch.optim.AdamW(self.discriminator.parameters(), hp.lr_d, weight_decay=hp.d_weight_decay, **options),
        ]

    def _token_losses(self, network: Decoder, batch: Batch, dropout: float = 0.0, temperature: float = 1.0) -> Tensor:
        """Cross-entropy of each token, (B, T), 0 on padding."""
        x = batch["x"].to(self.device)
        logits = network(x, self.classes(batch["y"].to(self.device)), dropout).float()  # (B, T, V)
        if temperature != 1:
            logits = logits / temperature
        targets = x.masked_fill(~step_mask(batch["length"].to(x.device), x.shape[1]), -100)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(x.shape)

    def on_train_start(self) -> None:
        """Move the samples that D is being shown; say so where the first phase may learn the sentences by heart."""
        super().on_train_start()
        if self.negatives is not None:  # of a checkpoint, which is read before the model is where it trains
            x, y = self.negatives
            self.negatives = x.to(self.device), y.to(self.device)
        loader = self.trainer.train_dataloader
        if self.step >= self.hp.mle_steps or not isinstance(loader, StreamLoader):
            return
        rows, batch = len(cast(Table, loader.dataset)), (loader.batch_size or 1) * self.trainer.world_size
        if self.hp.mle_steps * batch > PASSES * rows:
            rank_zero_warn(
                f"mle_steps {self.hp.mle_steps}: {self.hp.mle_steps * batch / rows:.0f} passes over {rows} sentences by"
                " likelihood may learn them by heart, so that samples are copies: about"
                f" {max(1, PASSES * rows // (2 * batch))} would be {PASSES // 2} passes (--model.mle_steps)"
            )

    def mle_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of G towards the real sentences: mean cross-entropy of a token."""
        optimizer, _, _ = cast(list[LightningOptimizer], self.optimizers())
        with self.toggled_optimizer(optimizer):
            loss = self._token_losses(self.generator, batch, self.hp.dropout).sum() / batch["length"].sum()
            self.update(optimizer, loss, self.step)
        self._average(self.step, self.step)
        self.mle.update(self.ema.network, self.step)
        return {"loss/mle": loss}

    def discriminator_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of D, as in the adversarial phase."""
        return self._step_d(batch, self.step - self.hp.mle_steps)

    def adversarial_step(self, batch: Batch) -> dict[str, Tensor]:
        """Every ``d_steps`` batches one update of G by policy gradient, and then, in each, one of D."""
        step = self.step - self.hp.mle_steps - self.hp.discriminator_steps
        turn, remainder = divmod(step, self.hp.d_steps)
        losses = {}
        if remainder == 0:
            losses = self._step_g(batch, turn)
            self._average(turn, self.hp.mle_steps + turn)
        return losses | self._step_d(batch, self.hp.discriminator_steps + step)

    def _average(self, turn: int, updates: int) -> None:
        if (turn + 1) % self.accumulate == 0:
            self.ema.update(self.generator, updates // self.accumulate)

    def _step_d(self, batch: Batch, turn: int) -> dict[str, Tensor]:
        _, _, optimizer = cast(list[LightningOptimizer], self.optimizers())
        hp, real, y = self.hp, batch["x"], self.classes(batch["y"])
        labels = y.repeat(hp.negatives)
        whole = self.negatives is not None and len(self.negatives[1]) == len(labels)  # or of another batch size
        if not whole or turn % (hp.negatives * hp.negative_epochs) == 0:
            uniform = torch.rand(len(labels), real.shape[1], device=self.device)
            self.negatives = sample_sequences(self.generator, labels, uniform, Sampler(self.schema.ends)).x, labels
        rows = slice(turn % hp.negatives * len(y), (turn % hp.negatives + 1) * len(y))
        fake, fake_y = (part[rows] for part in cast(tuple[Tensor, Tensor], self.negatives))
        with self.toggled_optimizer(optimizer):
            x, labels = torch.cat([real, fake]), torch.cat([y, fake_y])
            logits_real, logits_fake = self.discriminator(x, labels, hp.d_dropout).float().chunk(2)
            adversarial = LOSSES["non_saturating"].discriminator(logits_real, logits_fake) / 2
            loss = adversarial
            if hp.d_l2:
                dense = cast(nn.Linear, self.discriminator.dense)
                loss = loss + hp.d_l2 / 4 * (dense.weight.square().sum() + dense.bias.square().sum())
            self.update(optimizer, loss, turn)
        accuracies = {"real": logits_real > 0, "fake": logits_fake < 0}
        return {"loss/d": adversarial, **{f"accuracy/{side}": ok.float().mean() for side, ok in accuracies.items()}}

    def _step_g(self, batch: Batch, turn: int) -> dict[str, Tensor]:
        """One update of G by what its sequences were worth, and by the likelihood of the real batch."""
        _, optimizer, _ = cast(list[LightningOptimizer], self.optimizers())
        hp, y = self.hp, self.classes(batch["y"])
        if turn == 0:
            optimizer.zero_grad()  # what the likelihood's last batches may have left, short of a step
        x, advantage, reward = self.play(y, turn)  # (B, T), (B, T), (B,)
        with self.toggled_optimizer(optimizer):
            log_policy, real = self.log_policy(x, y), step_mask(self.schema.lengths(x), x.shape[1])
            loss = policy = policy_loss(log_policy, x, real, advantage, hp.reduction)
            if hp.entropy_weight:
                loss = loss - hp.entropy_weight * entropy(log_policy, real)
            if hp.mle_weight:
                likelihood = self._token_losses(self.generator, batch, hp.dropout).sum() / batch["length"].sum()
                loss = loss + hp.mle_weight * likelihood
            self.update(optimizer, loss, turn)
        if self.roller is not None and (turn + 1) % self.accumulate == 0:
            self.roller.update(self.generator, 10**9)  # its own decay from the first step on
        tokens = real.sum()  # of advantages, which are 0 on padding: to pick them out would stall a GPU
        spread = (advantage.square().sum() - advantage.sum().square() / tokens) / (tokens - 1).clamp(min=1)
        told = {"reward": reward.mean(), "entropy": entropy(log_policy.detach(), real)}
        return {"loss/g": policy, **told, "advantage/deviation": spread.clamp(min=0).sqrt()}

    def log_policy(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-probabilities (B, T, V) of G as it samples, along sequences x (B, T) of classes y (B,)."""
        logits = self.generator(x, y).float()
        if self.schema.ends:
            logits = mask_forbidden(logits, slice(None))
        log_policy: Tensor = logits.log_softmax(2)
        return log_policy

    def play(self, y: Tensor, turn: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sequences of classes y (B,), what each token of them was worth, and D's reward of each.

        Returns:
            Token ids (B, T), advantages (B, T), 0 on padding, and rewards (B,).
        """
        hp, length = self.hp, self.schema.max_length
        uniform = torch.rand(len(y), length, device=self.device)
        past = sample_sequences(self.generator, y, uniform, Sampler(self.schema.ends), keep=self.roller is None)
        policy = self.generator
        if self.roller is not None:
            if turn == 0:
                self.roller.network.load_state_dict(self.generator.state_dict())
            policy = cast(Decoder, self.roller.network)
            past = sample_sequences(policy, y, past.x, keep=True)
        first = 0 if hp.baseline == "difference" else hp.rollout_every
        prefixes = range(first, min(length, len(past.features)), hp.rollout_every)
        value = prefix_values(
            policy, self.discriminator, self.reward, past, y, prefixes, hp.rollouts, self.schema.ends
        )  # (T + 1, B)
        if hp.reward == "shuffled":
            value = value[:, torch.randperm(len(y), device=value.device)]
        real = step_mask(self.schema.lengths(past.x), past.x.shape[1])
        advantage = advantages(value, real, hp.rollout_every, hp.baseline, hp.rescale, hp.whiten)
        return past.x, advantage, value[-1]

    def reward(self, logits: Tensor) -> Tensor:
        """What D's logits (B,) are worth, (B,)."""
        if self.hp.reward == "constant":
            return torch.ones_like(logits)
        return logits if self.hp.reward == "logit" else torch.sigmoid(logits)
