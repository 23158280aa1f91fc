"""R3GAN (Huang, Gokaslan, Kuleshov and Tompkin, NeurIPS 2024, arXiv 2501.05441), for pictures and for series."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.images.schema import ImageSchema
from datamodules.options import (
    LARGEST,
    Count,
    Depth,
    Natural,
    Positive,
    Probability,
    Seed,
    Share,
    Size,
    Weight,
    in_range,
)
from datamodules.schema import Batch, Schema
from datamodules.series.schema import SeriesSchema
from ganaug.gans.ema import EMA
from ganaug.gans.r3gan.images import ImageView
from ganaug.gans.r3gan.networks import Discriminator, Generator, Places, Shape
from ganaug.gans.r3gan.presets import PRESETS, SCHEDULES, Preset, by_columns, by_values
from ganaug.gans.r3gan.series import SeriesView
from ganaug.gans.r3gan.training import Progress, R3GANTraining
from ganaug.gans.randomness import draw_rows, truncated
from ganaug.runtime.devices import seeded

OF = {"series": ("static", "changes"), "pictures": ("tanh",)}  # options that the others have no use for


class R3GAN(R3GANTraining):
    """R3GAN for pictures of 8 to 256 pixels, square or not, and for series; class-conditional where there are classes.

    The relativistic loss asks of a real and a generated row of one class which is which; with penalties on both sides
    it converges locally, as the paper proves; networks are residual and have no normalisation. Series are pictures of
    one row whose generator is given noise at every step too, and whose discriminator sees the changes from step to step
    beside the values: see :mod:`ganaug.gans.r3gan.series`, which is not in the paper.
    Options that are left out take the preset's value, which may be another for pictures and for series. Those that are
    scheduled are two numbers, at the start and from ``burn_in`` on, with a cosine between them, or one.

    Args:
        schema: of the data: sizes, channels or columns, classes, static attributes.
        preset: ``scarce``, for few data and a CPU; ``paper_cifar10`` and ``paper_ffhq64``, the published ones for
            pictures of 32 and 64 pixels, for batches of 512 and 256 and many hours of many GPUs.
        latent_dim: length of z (64).
        noise: channels of noise that G is given at every place of every resolution, beside z (pictures: 0; series: 8).
        widths: channels at each resolution from the innermost of at most 4 places a side outwards, each twice the one
            before; the last number is that of all further ones (series: by the number of columns).
        blocks: residual blocks a resolution (paper: 2).
        expansion: how many times as many channels a block has inside (paper: 2; scarce: 1).
        group_width: channels in a group of a block's 3×3 convolution; 0 for a dense one (paper: 16; scarce: 0, since
            on a CPU groups take longer than what they save).
        dense: whether z reaches the innermost resolution by a number for each channel at each place, and weighs the
            channels of every resolution, and D's last layer sees all places; else, as in the paper, by a basis of
            places, which takes many channels to be enough (scarce: of pictures true).
        stride: of G's last and D's first layer: 2 leaves out the blocks at full size, where they cost most (scarce: of
            pictures 2).
        tanh: of pictures: whether G's output is bent into [-1, 1], without which black is never quite black, and the
            rest tells classes apart; the paper's is cut (scarce: true up to 3,072 values, as 32×32 in colour has).
        conditional: whether networks are told the class. Without classes it has no effect.
        static: of series: what to do with static attributes: ``condition``: the networks are told them, and samples get
            those of real series of their class; ``generate``: they are generated along.
        changes: of series: size of the changes from step to step beside the values in what D sees, each in units of its
            own root mean square; 0 for values alone.
        gamma: weight γ of the penalties on real and on generated rows; scheduled (pictures: 0.3 to 0.03; series:
            0.02 a column, at least 0.1).
        penalty_every: batches from one to the next that the penalties are taken on, times as many.
        burn_in: batches over which what is scheduled changes, and over which the half-life of G's average rises; by
            default all of the run's, as ``max_steps`` or ``max_epochs`` were when it began, or 10,000.
        lr: Adam's learning rate for both; scheduled (pictures: 1e-3 to 1e-4, of more than 1,024 values half as much).
        beta2: Adam's β₂, beside β₁ = 0; scheduled.
        ema_decay: of the average of G's weights that samples are drawn from, after ``burn_in``; 0 samples from G.
        augment: what D sees is put through these, comma-separated: of pictures color, translation, cutout; of series
            scale, offset, shift, cutout; empty for none.
        augment_probability: of each for each row; scheduled (scarce: of pictures 0.7, of more than 3,072 values 0.3).
            ``ada`` adapts it to how often D is right.
        ada_target: E[sign(D(real) − D(fake))] that ``ada`` aims at: the logits of a relativistic D mean nothing alone.
        ada_speed: rows, in thousands, over which the probability may go from 0 to 1.
        clip: largest gradient norm per optimiser; none by default.
        accumulate: batches whose gradients are summed before an optimiser steps.
        compile: put both networks through torch.compile, but for batches with penalties, which need a second
            derivative, and torch.compile has none.
        seed: of the initial weights and of the noise in training.
    """

    schema_kinds = ("image", "series")
    of_data = ("view", "progress")
    scheduled = ("lr", "betas")

    def __init__(
        self,
        schema: Schema,
        preset: Preset = "scarce",
        latent_dim: Size | None = None,
        noise: Natural | None = None,
        widths: list[Size] | None = None,
        blocks: Depth | None = None,
        expansion: Depth | None = None,
        group_width: Natural | None = None,
        dense: bool | None = None,
        stride: Literal[1, 2] | None = None,
        tanh: bool | None = None,
        conditional: bool = True,
        static: Literal["condition", "generate"] | None = None,
        changes: Weight | None = None,
        gamma: Weight | tuple[Weight, Weight] | None = None,
        penalty_every: Count | None = None,
        burn_in: Count | None = None,
        lr: Positive | tuple[Positive, Positive] | None = None,
        beta2: Share | tuple[Share, Share] | None = None,
        ema_decay: Share | None = None,
        augment: str | None = None,
        augment_probability: Probability | tuple[Probability, Probability] | Literal["ada"] | None = None,
        ada_target: float = 0.6,
        ada_speed: Positive = 500.0,
        clip: Positive | None = None,
        accumulate: Count = 1,
        compile: bool = False,
        seed: Seed = 0,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "schema", "__class__")}
        super().__init__(schema, seed, clip, accumulate)
        if schema.kind not in PRESETS[preset]:
            raise InputError(f"preset {preset} is one of pictures: leave it out for {schema.kind}")
        here, there = ("pictures", "series") if schema.kind == "image" else ("series", "pictures")
        if unused := [name for name in OF[there] if options[name] is not None]:
            raise InputError(f"{' and '.join(unused)}: of {there} alone: leave it out for {here}")
        sized = (
            by_values(schema.channels * math.prod(schema.size))
            if isinstance(schema, ImageSchema)
            else by_columns(cast(SeriesSchema, schema).features)
        )
        options = self.resolved(options, sized | PRESETS[preset][schema.kind])
        for name in SCHEDULES:
            if not isinstance(value := options[name], str):
                options[name] = [value, value] if isinstance(value, int | float) else list(value)
        self.save_hyperparameters(options)
        self._check_options()

        hp = self.hp
        classes = schema.num_classes if self.conditional else 1
        with seeded(seed):
            self.view = (
                ImageView(schema, classes, hp.augment, hp.tanh)
                if isinstance(schema, ImageSchema)
                else SeriesView(cast(SeriesSchema, schema), classes, hp.augment, hp.static, hp.changes)
            )
            view, inputs = self.view, hp.noise + self.view.inputs
            shape = Shape(**{name: hp[name] for name in Shape._fields})
            self.generator = Generator(view.places, view.channels, hp.latent_dim, inputs, view.width, shape)
            self.discriminator = Discriminator(view.places, view.seen_channels, view.width, shape)
        self.after_classes = view.width - (classes if classes > 1 else 0)
        self.ema = EMA(self.generator, hp.ema_decay)
        self.progress = Progress()

    def _check_options(self) -> None:
        hp = self.hp
        if not hp.widths:
            raise InputError("widths must be one number of channels or more")
        for width in hp.widths:
            if hp.group_width and width * hp.expansion % hp.group_width:
                raise InputError(
                    f"group_width {hp.group_width} does not divide the {width * hp.expansion} channels of a block of"
                    f" width {width}: choose another, or 0 for dense convolutions"
                )

    # ---- sampling ----

    def latent(self, indices: Tensor, seed: int, length: int | None = None) -> Tensor:
        """Standard normal (B, 1 + latent_dim + noise), row i from (seed, indices[i]) alone.

        The first number chooses a length and static attributes among those of real series; then come z and the noise
        of each resolution.

        Args:
            indices: (B,) int64.
            seed: at least 0.
            length: of series: the longest wanted; by default that of the data.
        """
        places = self.view.places
        if length is not None:
            self._check_length(length, LARGEST)
            places = (1, max(length, places[1]))
        return draw_rows(indices, seed, (1 + self.hp.latent_dim + self.noise_numbers(places),)).to(self.device)

    def _check_length(self, length: int, most: int) -> None:
        if self.schema.kind != "series":
            raise InputError(f"length {length}: pictures have none")
        in_range("length", length, 1, most)

    def _places(self, latent: Tensor, length: int | None) -> Places:
        """Of the rows that latents (B, latent_dim + noise) are for: of series the steps that so much noise is for."""
        places, numbers = self.view.places, latent.shape[1] - self.hp.latent_dim
        if self.schema.kind != "series" or numbers == self.noise_numbers(places):
            return places if self.hp.noise or length is None else (1, max(length, places[1]))
        if length is not None and numbers == self.noise_numbers((1, length)):
            return 1, length
        # with a stride of 2 two lengths have so much noise: the longer
        return 1, bisect_right(range(LARGEST + 1), numbers, key=lambda steps: self.noise_numbers((1, steps))) - 1

    def caution(self, options: Mapping[str, Any]) -> str:
        """Of series that are longer than those of the data."""
        length = options.get("length") or 0
        if self.schema.kind != "series" or length <= self.view.places[-1]:
            return ""
        return (
            f"length {length}: the model has seen series of at most {self.view.places[-1]} steps, and goes on beyond as"
            " if they were mirrored there, with other noise"
        )

    @torch.no_grad()
    def sample(  # type: ignore[override]
        self,
        latent: Tensor,
        labels: Tensor,
        truncation: float | None = None,
        length: int | None = None,
        static: Mapping[str, str | float] | Tensor | None = None,
    ) -> Batch:
        """Rows from the averaged generator, a deterministic function of latents and labels.

        Args:
            latent: (B, 1 + latent_dim + noise) standard normal.
            labels: (B,) class ids; ignored by an unconditional model.
            truncation: z is squeezed into [-t, t] as a truncated normal (Brock et al. 2019, section 3.1): smaller is
                cleaner and less diverse.
            length: of every series, at most the one that the latents are for; by default drawn, where those of the
                data differ.
            static: attributes that are asked for, where the model is told attributes: by name, of all series, or
                (B, S), NaN for those that are to be drawn as the others are.

        Returns:
            Of pictures ``x`` (B, C, H, W) in [-1, 1] and ``y`` (B,); of series ``x`` (B, T, F), 0 beyond the length,
            ``length`` (B,), ``y`` and, where there are any, ``static`` (B, S).
        """
        latent, labels = latent.to(self.device), labels.to(self.device)
        uniform, latent = torch.special.ndtr(latent[:, 0]), latent[:, 1:]
        if truncation is not None:
            z = truncated(latent[:, : self.hp.latent_dim], truncation)
            latent = torch.cat([z, latent[:, self.hp.latent_dim :]], dim=1)
        frame = self.view.frame(uniform, self.classes(labels))
        places = self._places(latent, length)
        if length is not None:
            self._check_length(length, places[1])
            frame["length"] = torch.full_like(labels, length)
        if static is not None:
            if self.hp.static != "condition":
                raise InputError("static: this model is told no attributes: train it on series with static condition")
            schema = cast(SeriesSchema, self.schema)
            asked = (static if isinstance(static, Tensor) else schema.asked(static)).to(latent)
            frame["static"] = torch.where(asked.isnan(), frame["static"], asked)
        rows = self.generate(cast(Generator, self.ema.network), latent, frame, places)
        return {**self.view.batch(rows, frame), "y": labels}

    def judged(self, batch: Batch) -> Tensor:
        """See :meth:`GAN.judged`."""
        batch = self.told(batch)
        seen = self.view.seen(self.view.rows(batch), batch, 0.0)
        logits: Tensor = self.discriminator(seen, self.view.condition(batch))
        return logits

    def augmented(self, batch: Batch) -> Batch | None:
        """See :meth:`GAN.augmented`."""
        return self.view.augmented(batch)
