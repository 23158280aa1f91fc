"""SeqGAN (Yu et al. 2017, arXiv 1609.05473): text by policy gradient, and what has been learned since."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.lightning_internals import attached
from datamodules.options import Count, Depth, Natural, Positive, Seed, Share, Size, Weight
from datamodules.schema import Batch
from datamodules.text.schema import TextSchema
from ganaug.gans.ema import EMA
from ganaug.gans.own import spelled, unused
from ganaug.gans.randomness import draw_rows
from ganaug.gans.seqgan.discriminator import Discriminator
from ganaug.gans.seqgan.presets import PRESETS
from ganaug.gans.seqgan.protocols import MakesCritic, MakesDecoder, own_critic, own_decoder
from ganaug.gans.seqgan.reinforce import Baseline, Reduction, Rescale
from ganaug.gans.seqgan.rollout import Sampler, sample_sequences
from ganaug.gans.seqgan.training import SeqGANTraining
from ganaug.networks.decoder import DECODERS, Decoder
from ganaug.runtime.devices import seeded

Reward = Literal["probability", "logit", "constant", "shuffled"]


class SeqGAN(SeqGANTraining):
    """SeqGAN for sentences of up to about a hundred tokens, class-conditional where the data have classes.

    Three phases: the generator by maximum likelihood (MLE), the discriminator against what it then writes, and both in
    turn: every ``d_steps`` batches one REINFORCE step of the generator, whose reward for a token comes from rollouts.
    What maximum likelihood alone had reached is kept: see :meth:`pretrained`.
    On NVIDIA GPUs ``--trainer.deterministic`` can be ``warn``, not ``true``: see
    :func:`~ganaug.gans.seqgan.rollout.draw`.
    Options that are left out take the preset's value.

    Args:
        schema: of the data: vocabulary, length, classes.
        preset: ``scarce``, for few data, or ``paper``, the networks, schedule and loss of the official code.
        generator: ``lstm``, the paper's, or ``transformer``, which looks further back and costs more a token; or a
            network of your own by its class, with its options: see ``DecoderNetwork`` in
            ganaug/gans/seqgan/protocols.py.
        embedding: width of a token in G (scarce: 64; paper: 32).
        hidden: width of G (scarce: 128; paper: 32).
        layers: of the transformer.
        heads: of each of them.
        dropout: in G where it learns by maximum likelihood: against learning few sentences by heart. Off where it
            samples and where it learns by reward, which is about the policy as it acts (scarce: 0.2; paper: 0).
        conditional: start and tokens of G and the projection in D by class (scarce: true; paper: false). Without
            classes it has no effect.
        d_embedding: width of a token in D (scarce: 16; paper: 64).
        filters: how many of D's filters have each width (paper: the official list, widths 1 to 20). Widths beyond the
            longest row are left out.
        d_dropout: in D where it learns; off where it rewards, since there it would be noise (scarce: 0.5; paper: 0.25).
        d_l2: weight of the penalty on D's output layer, half the squared norm of the pair of outputs in the official
            code, which for one logit is a quarter of the squared norm (scarce: 0; paper: 0.2).
        d_weight_decay: of AdamW for D. Without it D soon knows the real sentences by heart, and its reward says whether
            a sentence is one of them and no longer whether it is a good one (scarce: 0.5; paper: 0).
        ema_decay: of the average of G's weights that samples are drawn from; 0 samples from G itself (scarce: 0.998).
        mle_steps: batches of maximum likelihood.
        discriminator_steps: batches of D before the adversarial phase.
        d_steps: in the adversarial phase, batches of D for each step of G.
        negatives: batches of samples drawn from G at once for D; drawing many costs little more than drawing few.
        negative_epochs: times that each of them is shown.
        rollouts: N, of each prefix. Their mean's variance falls with 1 / N (scarce: 4; paper: 16).
        rollout_every: tokens between the prefixes that are rolled out; those between share a reward. The cost of a
            step of G falls by nearly this factor (scarce: 4; paper: 1).
        rollout_lag: decay of the average of G that rolls out (algorithm 1; 0.8 is meant and without effect in the
            official code); 0 rolls out with G itself, whose value it is that the gradient is about.
        reward: of D's logit: its ``probability`` (the paper), or the ``logit`` itself, which does not flatten where D
            is sure. ``constant`` (1 for every sequence) and ``shuffled`` (that of another sequence of the batch) are
            controls: whatever they gain, D did not teach.
        baseline: what is taken off the value of a token. ``none`` (the paper); ``batch``, the mean of the other
            sequences at the same place; ``difference``, the value before the token, which the rollouts of the shorter
            prefix have estimated already: what this token has changed. It leaves the gradient's mean as it is and
            takes most of its variance.
        whiten: scale the advantages of a batch to mean 0 and deviation 1, so that steps do not die out as D gets sure.
            Off in both presets: where D cannot tell, differences of its reward vanish, and so should the step;
            whitened, they are noise at full size (a grammar's valid sentences: 91.0 % after maximum likelihood, 89.5 %
            after 250 whitened steps).
        rescale: ``rank`` replaces values by σ(12 (0.5 − rank / B)), rank by rank at each place, best first (Guo et al.
            2018, LeakGAN, section 3.4): only the order counts.
        reduction: of the policy loss, over tokens: ``sum`` (official code), or ``mean``, which ``mle_weight`` and
            ``entropy_weight`` are relative to.
        mle_weight: of the likelihood of the real batch in each step of G: what keeps it from forgetting what D does
            not ask for (interleaved training, Guo et al. 2018).
        entropy_weight: of the policy's entropy, as a bonus against collapse.
        lr_mle: G's learning rate by maximum likelihood.
        lr_g: G's learning rate by reward.
        lr_d: D's learning rate.
        betas: of Adam, for all of them.
        clip: largest gradient norm per optimiser (5).
        accumulate: batches whose gradients are summed before an optimiser steps.
        seed: of the initial weights and of the noise in training.
        discriminator: a network of your own by its class, with its options, instead of SeqGAN's: see ``CriticNetwork``
            in ganaug/gans/seqgan/protocols.py.
    """

    schema_kinds = ("text",)
    networks: ClassVar = {"generator": 5, "discriminator": 3}

    def __init__(
        self,
        schema: TextSchema,
        preset: Literal["scarce", "paper"] = "scarce",
        generator: Literal["lstm", "transformer"] | MakesDecoder = "lstm",
        embedding: Size | None = None,
        hidden: Size | None = None,
        layers: Depth = 2,
        heads: Size = 4,
        dropout: Share | None = None,
        conditional: bool | None = None,
        d_embedding: Size | None = None,
        filters: dict[Size, Size] | None = None,
        d_dropout: Share | None = None,
        d_l2: Weight | None = None,
        d_weight_decay: Weight | None = None,
        ema_decay: Share | None = None,
        mle_steps: Natural | None = None,
        discriminator_steps: Natural | None = None,
        d_steps: Count | None = None,
        negatives: Size | None = None,
        negative_epochs: Count | None = None,
        rollouts: Size | None = None,
        rollout_every: Count | None = None,
        rollout_lag: Share | None = None,
        reward: Reward = "probability",
        baseline: Baseline | None = None,
        whiten: bool | None = None,
        rescale: Rescale = "none",
        reduction: Reduction | None = None,
        mle_weight: Weight | None = None,
        entropy_weight: Weight = 0.0,
        lr_mle: Positive | None = None,
        lr_g: Positive | None = None,
        lr_d: Positive | None = None,
        betas: tuple[Share, Share] = (0.9, 0.999),
        clip: Positive | None = None,
        accumulate: Count = 1,
        seed: Seed = 0,
        discriminator: MakesCritic | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "schema", "__class__")}
        unused("SeqGAN", options, dict.fromkeys(("d_embedding", "filters"), ("discriminator",)))
        options = self.resolved(options, PRESETS[preset])
        super().__init__(schema, seed, options["clip"], accumulate)
        named = {name: spelled(options[name], given) for name, given in self.networks.items()}
        self.save_hyperparameters(options | named | {"betas": list(betas), "filters": dict(options["filters"])})
        self._check_options()

        hp = self.hp
        size = len(schema.vocabulary), schema.max_length, schema.num_classes if hp.conditional else 1
        widths = hp.embedding, hp.hidden
        with seeded(seed):
            if isinstance(generator, str):
                shape = {"layers": layers, "heads": heads} if generator == "transformer" else {}
                self.generator = DECODERS[generator](*size, *widths, **shape)
            else:
                self.generator = own_decoder(generator, *size, *widths)
            if discriminator is None:
                self.discriminator = Discriminator(*size, hp.d_embedding, hp.filters)
            else:
                self.discriminator = own_critic(discriminator, *size, hp.d_l2)
        self.ema = EMA(self.generator, hp.ema_decay)
        self.mle = EMA(self.ema.network, 0.0)  # follows to the end of the first phase and stays there
        self.roller = EMA(self.generator, hp.rollout_lag) if hp.rollout_lag else None
        self.negatives = None

    def _check_options(self) -> None:
        hp = self.hp
        if hp.generator == "transformer" and hp.hidden % hp.heads:
            raise InputError(f"hidden {hp.hidden} must be a multiple of heads {hp.heads}")
        if not any(width <= self.schema.max_length for width in hp.filters):
            raise InputError(f"filters {hp.filters}: none fits into {self.schema.max_length} tokens")

    # ---- likelihood ----

    def nll(self, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Negative log-likelihood of sentences under the averaged generator, in nats per token, end included, (B,).

        Args:
            batch: ``x`` (B, T), ``length`` (B,), ``y`` (B,).
            temperature: above 0; logits are divided by it, as in :meth:`sample`.

        Raises:
            InputError: a temperature out of its range.
        """
        Sampler(self.schema.ends, temperature).check()
        network = cast(Decoder, self.ema.network.eval())
        with torch.no_grad():
            losses = self._token_losses(network, batch, temperature=temperature)
        return losses.sum(1) / batch["length"].to(losses.device)

    # ---- checkpoints ----

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The samples that D is being shown, too, of every rank."""
        super().on_save_checkpoint(checkpoint)
        if self.negatives is not None and attached(self):
            ranks = [cast(Tensor, self.all_gather(part)).view(-1, *part.shape) for part in self.negatives]
            checkpoint["ganaug"]["negatives"] = [part.to("cpu", torch.int32) for part in ranks]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See :meth:`GAN.on_load_checkpoint`."""
        super().on_load_checkpoint(checkpoint)
        self._check_negatives(checkpoint["ganaug"].get("negatives"))
        turn = checkpoint.get("global_step", 0) - self.hp.mle_steps
        shown = turn > 0 and turn % (self.hp.negatives * self.hp.negative_epochs) > 0  # in part, the rest is to come
        if shown and "negatives" not in checkpoint["ganaug"]:
            raise InputError("the checkpoint cannot be used: the samples that D was being shown are missing")
        if "negatives" in checkpoint["ganaug"]:
            ranks = checkpoint["ganaug"]["negatives"]
            x, y = (part[self.global_rank % len(part)].long() for part in ranks)
            self.negatives = x, y

    def _check_negatives(self, ranks: Any) -> None:
        """Refuse what cannot have been drawn here: tokens (R, N, T) and classes (R, N)."""
        if ranks is None:
            return
        limits = (len(self.schema.vocabulary), self.schema.max_length), (self.schema.num_classes, None)
        whole = isinstance(ranks, list) and len(ranks) == 2 and all(isinstance(part, Tensor) for part in ranks)
        whole = whole and ranks[0].shape[:-1] == ranks[1].shape and ranks[1].ndim == 2 and ranks[1].numel() > 0
        for part, (most, length) in zip(ranks if whole else (), limits, strict=False):
            whole = whole and part.dtype == torch.int32 and length in (None, part.shape[-1])
            whole = whole and int(part.min()) >= 0 and int(part.max()) < most
        if not whole:
            raise InputError("the checkpoint cannot be used: the samples that D was being shown are damaged")

    # ---- sampling ----

    def pretrained(self) -> SeqGAN | None:
        """The model as maximum likelihood left it, to ``sample`` and to ask for ``nll``; None without such a phase.

        Where it stands in that phase, as far as it has come. The two share their networks, nothing is copied.
        """
        if not self.hp.mle_steps:
            return None
        twin = copy.copy(self)
        twin._modules = {**self._modules, "ema": self.mle}
        return twin

    def latent(self, indices: Tensor, seed: int) -> Tensor:
        """Uniform on [0, 1), (B, T), one a token; row i from (seed, indices[i]) alone."""
        return draw_rows(indices, seed, (self.schema.max_length,), uniform=True).to(self.device)

    def sample(  # type: ignore[override]
        self,
        latent: Tensor,
        labels: Tensor,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Batch:
        """Sentences from the averaged generator, a deterministic function of latents and labels.

        Args:
            latent: (B, T) uniform on [0, 1).
            labels: (B,) class ids; ignored by an unconditional model.
            temperature: below 1 likelier and less diverse, above 1 the other way.
            top_k: only so many of the likeliest tokens at each place.
            top_p: only the likeliest tokens that together have this probability.

        Returns:
            ``x`` (B, T) token ids, 0 after the end, ``length`` (B,), ``y`` (B,).
        """
        sampler = Sampler(self.schema.ends, temperature, top_k, top_p).check()
        labels = labels.to(self.device)
        network = cast(Decoder, self.ema.network.eval())  # Lightning puts every submodule into training mode
        x = sample_sequences(network, self.classes(labels), latent.to(self.device), sampler).x
        return {"x": x, "length": self.schema.lengths(x), "y": labels}

    def judged(self, batch: Batch) -> Tensor:
        """See :meth:`GAN.judged`."""
        logits: Tensor = self.discriminator(batch["x"], self.classes(batch["y"]))
        return logits
