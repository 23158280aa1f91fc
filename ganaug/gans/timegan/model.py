"""TimeGAN (Yoon et al., NeurIPS 2019): time series by adversarial and supervised learning in a latent space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from datamodules.errors import InputError
from datamodules.options import LARGEST, Count, Depth, Natural, Positive, Seed, Share, Size, Weight, in_range
from datamodules.schema import Batch, step_mask
from datamodules.series.schema import SeriesSchema
from ganaug.gans.ema import EMA
from ganaug.gans.lengths import LengthsAndStatic
from ganaug.gans.own import spelled
from ganaug.gans.randomness import draw_rows
from ganaug.gans.timegan.presets import PRESETS
from ganaug.gans.timegan.protocols import MakesNetwork, own_network
from ganaug.gans.timegan.recurrent import Cell, Recurrent
from ganaug.gans.timegan.training import TimeGANTraining
from ganaug.runtime.devices import seeded


class TimeGAN(TimeGANTraining):
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
        embedder: a network of your own by its class, with its options, instead of TimeGAN's: see ``SeriesNetwork`` in
            ganaug/gans/timegan/protocols.py. ``hidden`` is the width of the codes that all five share.
        recovery: likewise.
        generator: likewise.
        supervisor: likewise.
        discriminator: likewise; with a ``matching_weight`` see also ``Judge`` there.
    """

    schema_kinds = ("series",)
    of_data = ("frames",)
    networks: ClassVar = dict.fromkeys(("embedder", "recovery", "generator", "supervisor", "discriminator"), 4)

    def __init__(
        self,
        schema: SeriesSchema,
        preset: Literal["scarce", "paper"] = "scarce",
        hidden: Size | None = None,
        layers: Depth | None = None,
        skip: bool = False,
        cell: Cell = "gru",
        latent_features: Size | None = None,
        series_latent: bool | None = None,
        conditional: bool | None = None,
        static: Literal["condition", "generate"] = "condition",
        autoencoder_steps: Natural | None = None,
        supervisor_steps: Natural | None = None,
        g_steps: Count | None = None,
        d_batch: Literal["fresh", "same"] | None = None,
        d_threshold: Weight | None = None,
        gamma: Weight = 1.0,
        supervised_weight: Weight = 100.0,
        moment_weight: Weight = 100.0,
        correlation_weight: Weight | None = None,
        autocorrelation_weight: Weight | None = None,
        change_weight: Weight | None = None,
        sliced_weight: Weight | None = None,
        matching_weight: Weight | None = None,
        reconstruction_weight: Weight = 10.0,
        consistency_weight: Weight = 0.1,
        ema_decay: Share | None = None,
        lr: Positive | None = None,
        lr_g: Positive | None = None,
        lr_d: Positive | None = None,
        decay_steps: Natural | None = None,
        betas: tuple[Share, Share] = (0.9, 0.999),
        clip: Positive | None = None,
        accumulate: Count = 1,
        seed: Seed = 0,
        embedder: MakesNetwork | None = None,
        recovery: MakesNetwork | None = None,
        generator: MakesNetwork | None = None,
        supervisor: MakesNetwork | None = None,
        discriminator: MakesNetwork | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "schema", "__class__")}
        options = self.resolved(options, PRESETS[preset])
        super().__init__(schema, seed, clip, accumulate)
        if options["hidden"] is None:
            options["hidden"] = min(128, max(48, 4 * schema.features))
        if options["latent_features"] is None:
            options["latent_features"] = max(1 if preset == "paper" else 8, schema.features)
        named = {name: spelled(options[name], given) for name, given in self.networks.items()}
        self.save_hyperparameters(options | named | {"betas": list(betas)})
        self._check_options()

        hp = self.hp
        attributes = schema.static_width if static == "condition" else 0
        self.after_classes = attributes
        self.channels = schema.features + (schema.static_width if static == "generate" else 0)
        classes = schema.num_classes if self.conditional else 1
        condition = (classes if classes > 1 else 0) + attributes
        noise = hp.latent_features * (2 if hp.series_latent else 1)
        with seeded(seed):
            self.embedder = self._network("embedder", embedder, self.channels, hp.hidden, condition)
            self.recovery = self._network("recovery", recovery, hp.hidden, self.channels, 0)
            self.generator = self._network("generator", generator, noise, hp.hidden, condition)
            self.supervisor = self._network("supervisor", supervisor, hp.hidden, hp.hidden, condition)
            self.discriminator = self._network("discriminator", discriminator, hp.hidden, 1, condition)
            for name in ("embedder", "recovery", "supervisor"):
                if hp.skip and options[name] is None:
                    cast(Recurrent, getattr(self, name)).pass_through(name != "embedder" or schema.bounded)
        self.ema = nn.ModuleDict(
            {name: EMA(getattr(self, name), hp.ema_decay) for name in ("generator", "supervisor", "recovery")}
        )
        self.frames = None if schema.fixed and not attributes else LengthsAndStatic(schema, classes)
        self._encoded = None

    def _network(self, name: str, own: MakesNetwork | None, inputs: int, outputs: int, condition: int) -> nn.Module:
        """That of the option ``name``, or TimeGAN's."""
        hp, judges = self.hp, name == "discriminator"
        if own is not None:
            return own_network(name, own, self.schema, inputs, outputs, condition, judges and hp.matching_weight > 0)
        layers = max(1, hp.layers - 1) if name == "supervisor" else hp.layers
        sigmoid = self.schema.bounded if name == "recovery" else not judges
        return Recurrent(inputs, outputs, hp.hidden, layers, hp.cell, condition, sigmoid, hp.skip)

    def _check_options(self) -> None:
        hp = self.hp
        if hp.d_threshold and hp.accumulate > 1:
            raise InputError("d_threshold judges single batches: set it to 0, or accumulate to 1")

    def judged(self, batch: Batch) -> Tensor:
        """The mean of D's logits over the steps of the codes: see :meth:`GAN.judged`."""
        mask = self._mask(batch)
        steps: Tensor = self.discriminator(self._code(batch), self.condition(batch))[:, :, 0]  # (B, T)
        return steps.mean(1) if mask is None else (steps * mask[:, :, 0]).sum(1) / mask[:, :, 0].sum(1)

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

    def caution(self, options: Mapping[str, Any]) -> str:
        """Of series that are longer than those of the data."""
        if (options.get("length") or 0) <= self.schema.length:
            return ""
        return (
            f"length {options['length']}: the model has seen series of at most {self.schema.length} steps; further on"
            " there is no slower movement than in these: where it was measured, series stayed near the level they had"
            " reached"
        )

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
            cast(EMA, self.ema[name]).network.eval() for name in ("generator", "supervisor", "recovery")
        )  # Lightning puts every submodule into training mode
        if static is not None:
            if self.hp.static != "condition":
                raise InputError(
                    "static: this model draws attributes itself: train it with static condition, to ask for some"
                )
            asked = (static if isinstance(static, Tensor) else self.schema.asked(static)).to(attributes)
            attributes = torch.where(asked.isnan(), attributes, asked)
        condition = self.condition({"y": labels, "static": attributes})
        codes = supervisor(generator(self._joined(latent[:, 1:]), condition), condition)
        made = recovery(codes, None).float()  # (B, T, channels)
        mask = step_mask(lengths, steps)[:, :, None]
        made = made * mask
        x = self.schema.settled(made[:, :, : self.schema.features]) * mask
        batch = {"x": x, "length": lengths, "y": labels}
        if self.schema.static:
            if self.hp.static == "generate":
                attributes = made[:, :, self.schema.features :].sum(1) / lengths[:, None]
            batch["static"] = attributes
        return batch
