"""DCGAN (Radford, Metz and Chintala 2015, arXiv 1511.06434), and what has been learned since about few data."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from datamodules.errors import InputError
from datamodules.images.schema import ImageSchema
from datamodules.images.sides import is_drawable
from datamodules.options import Count, Positive, Probability, Seed, Share, Size, Weight
from datamodules.schema import Batch
from ganaug.gans.base import GAN
from ganaug.gans.dcgan.networks import Discriminator, Generator, Norm
from ganaug.gans.dcgan.protocols import MakesDiscriminator, MakesGenerator, own_discriminator, own_generator
from ganaug.gans.diffaug.adaptive import adapt
from ganaug.gans.diffaug.images import OPERATIONS, augment
from ganaug.gans.diffaug.policy import operations_of
from ganaug.gans.ema import EMA
from ganaug.gans.losses import LOSSES, LossName, gradient_penalty, zero_centred_penalty
from ganaug.gans.own import spelled, unused
from ganaug.gans.randomness import draw_rows, truncated
from ganaug.runtime.devices import seeded

PRESETS: dict[str, dict[str, Any]] = {
    # The paper's figure 1 and section 4; unconditional, as there.
    "paper": {
        "conditional": False,
        "prior": "uniform",
        "width": 128,
        "kernel_size": 5,
        "discriminator_norm": "batch",
        "loss": "non_saturating",
        "augment": "",
        "ema_decay": 0.0,
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "betas": (0.5, 0.999),
    },
    # Few data, with classes: class-conditional batch norm (Dumoulin et al. 2017), projection (Miyato and Koyama 2018),
    # spectral norm (Miyato et al. 2018), hinge, average of G (Yazıcı et al. 2019), DiffAugment (Zhao et al. 2020).
    "scarce": {
        "conditional": True,
        "prior": "normal",
        "width": 64,
        "kernel_size": 4,
        "discriminator_norm": "spectral",
        "loss": "hinge",
        "augment": "color,translation,cutout",
        "ema_decay": 0.999,
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "betas": (0.5, 0.999),
    },
}
# Options of DCGAN's own networks, and of which of them.
OF_NETWORKS = {
    "prior": ("generator",),
    "discriminator_norm": ("discriminator",),
    "width": ("generator", "discriminator"),
    "kernel_size": ("generator", "discriminator"),
}


class DCGAN(GAN):
    """DCGAN for pictures of 8 to 256 pixels, square or not, class-conditional where the data have classes.

    Options that are left out take the preset's value.

    Args:
        schema: of the data: picture size, channels, classes.
        preset: ``scarce``, for few data, or ``paper``, the architecture and settings of Radford et al. 2015.
        latent_dim: length of a latent vector.
        prior: distribution of the latent (scarce: normal; paper: uniform on [-1, 1]).
        width: channels at half the picture's side; doubled at each halving, up to 8 × width (scarce: 64; paper: 128).
        kernel_size: of all convolutions, 4 or 5 (scarce: 4; paper: 5).
        conditional: batch norm in G and projection in D by class (scarce: true; paper: false). Without classes it has
            no effect.
        discriminator_norm: spectral, batch or none (scarce: spectral; paper: batch).
        loss: non_saturating, least_squares, hinge, wasserstein, or relativistic, which asks of pairs of a real and a
            synthetic picture of a class which is which: give it r1 and r2, and discriminator_norm none (scarce: hinge;
            paper: non_saturating).
        gradient_penalty: weight of the WGAN-GP term; 10 in its paper.
        r1: weight γ of the R1 penalty on real pictures, applied every ``r1_every`` steps, times ``r1_every``.
        r2: the same on synthetic pictures; both with one weight are those of R3GAN.
        r1_every: see ``r1`` and ``r2``.
        n_critic: D's steps per step of G; each is a batch of its own.
        lr_g: G's learning rate.
        lr_d: D's learning rate.
        betas: of Adam.
        ema_decay: of the average of G's weights that samples are drawn from; 0 samples from G itself (scarce: 0.999).
        augment: what D sees is put through these, comma-separated: color, translation, cutout; empty for none.
        augment_probability: per operation and picture. Below 1, so that D sees some pictures as they are, edges and
            all, and the operations cannot leak into samples (Karras et al. 2020, section 2.2); ``ada`` adapts it to
            D's overfitting (section 3).
        ada_target: share by which D's logits on real pictures lean to the positive, E[sign], that ``ada`` aims at; with
            a relativistic loss by which they are above those of the pictures beside them.
        ada_speed: pictures, in thousands, over which the probability may go from 0 to 1.
        clip: largest gradient norm per optimiser; none by default.
        accumulate: batches whose gradients are summed before an optimiser steps.
        channels_last: memory format of both networks; faster on CPUs and tensor cores.
        compile: put both networks through torch.compile.
        seed: of the initial weights and of the noise in training.
        generator: a network of your own by its class, with its options, instead of DCGAN's: see ``GeneratorNetwork``
            in ganaug/gans/dcgan/protocols.py.
        discriminator: likewise: see ``DiscriminatorNetwork`` there.
    """

    schema: ImageSchema
    augment_probability: Tensor
    schema_kinds = ("image",)
    of_data = ("augment_probability",)
    optimizer_names = ("g", "d")
    networks: ClassVar = {"generator": 3, "discriminator": 2}

    def __init__(
        self,
        schema: ImageSchema,
        preset: Literal["scarce", "paper"] = "scarce",
        latent_dim: Size = 128,
        prior: Literal["normal", "uniform"] | None = None,
        width: Size | None = None,
        kernel_size: Literal[4, 5] | None = None,
        conditional: bool | None = None,
        discriminator_norm: Norm | None = None,
        loss: LossName | None = None,
        gradient_penalty: Weight = 0.0,
        r1: Weight = 0.0,
        r2: Weight = 0.0,
        r1_every: Count = 16,
        n_critic: Count = 1,
        lr_g: Positive | None = None,
        lr_d: Positive | None = None,
        betas: tuple[Share, Share] | None = None,
        ema_decay: Share | None = None,
        augment: str | None = None,
        augment_probability: Probability | Literal["ada"] = 0.8,
        ada_target: float = 0.6,
        ada_speed: Positive = 500.0,
        clip: Positive | None = None,
        accumulate: Count = 1,
        channels_last: bool = True,
        compile: bool = False,
        seed: Seed = 0,
        generator: MakesGenerator | None = None,
        discriminator: MakesDiscriminator | None = None,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "schema", "__class__")}
        super().__init__(schema, seed, clip, accumulate)
        self.not_in_use = unused("DCGAN", options, OF_NETWORKS)
        options = self.resolved(options, PRESETS[preset] | dict.fromkeys(self.not_in_use))
        named = {name: spelled(options[name], given) for name, given in self.networks.items()}
        self.save_hyperparameters(options | named | {"betas": list(options["betas"])})
        self._check_options()

        hp = self.hp
        classes = schema.num_classes if hp.conditional else 1
        with seeded(seed):
            shape = schema.image_size, schema.channels, classes
            self.generator: nn.Module = (
                Generator(*shape, latent_dim, hp.width, hp.kernel_size, hp.prior)
                if generator is None
                else own_generator(generator, schema, latent_dim, classes)
            )
            self.discriminator: nn.Module = (
                Discriminator(*shape, hp.width, hp.kernel_size, hp.discriminator_norm)
                if discriminator is None
                else own_discriminator(discriminator, schema, classes)
            )
        self.apart = hp.discriminator_norm == "batch"  # its statistics are those of real or of fake, not of a mixture
        if discriminator is not None:
            self.apart = any(isinstance(module, BatchNorm) for module in self.discriminator.modules())
        if hp.gradient_penalty and self.apart:
            raise InputError(
                "gradient_penalty is a norm per picture, which batch norm in D makes meaningless (Gulrajani et al.,"
                " section 4): set discriminator_norm to none or spectral"
            )
        self._unheard = generator is not None  # DCGAN's own ends with tanh; said once
        self.ema = EMA(self.generator, hp.ema_decay)
        self.loss = LOSSES[hp.loss]
        self.policy = operations_of(hp.augment, OPERATIONS)
        adaptive = augment_probability == "ada"
        self.register_buffer("augment_probability", torch.tensor(0.0 if adaptive else float(augment_probability)))

    def _check_options(self) -> None:
        hp = self.hp
        height, width = self.schema.size
        if not is_drawable((height, width)):
            raise InputError(
                f"DCGAN draws pictures whose sides are multiples of 4 from 8 to 256, not {height}×{width}: set"
                " data.image_size"
            )
        if hp.compile and (hp.gradient_penalty or hp.r1 or hp.r2):
            raise InputError("torch.compile cannot be differentiated twice: no compile with gradient_penalty, r1 or r2")

    # ---- set-up ----

    @property
    def phases(self) -> list[tuple[str, int | None]]:
        """One, from the first batch on."""
        return [("adversarial", None)]

    def setup(self, stage: str) -> None:
        """Memory format and compilation."""
        super().setup(stage)
        if self.hp.channels_last:
            self.to(memory_format=torch.channels_last)
        if self.hp.compile and stage == "fit":
            self.generator.compile(dynamic=False)
            self.discriminator.compile(dynamic=False)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for each network."""
        hp = self.hp
        return [
            torch.optim.Adam(self.generator.parameters(), hp.lr_g, **self.adam),
            torch.optim.Adam(self.discriminator.parameters(), hp.lr_d, **self.adam),
        ]

    # ---- training ----

    def forget(self) -> None:
        """See :meth:`GAN.forget`."""
        if self.hp.augment_probability == "ada":
            self.augment_probability.zero_()

    def judge(self, x: Tensor, y: Tensor) -> Tensor:
        """D's logits (B,) on augmented pictures x (B, C, H, W) of classes y (B,)."""
        fixed = self.hp.augment_probability
        x = augment(x, self.policy, self.augment_probability if fixed == "ada" else fixed)
        if self.hp.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.discriminator(x, self.classes(y))
        return logits

    def adversarial_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of D, then, every ``n_critic`` steps, one of G on the same fakes."""
        optimizer_g, optimizer_d = cast(list[LightningOptimizer], self.optimizers())
        real, y = batch["x"], batch["y"]  # (B, C, H, W), (B,)
        turn_g, remainder = divmod(self.step, self.hp.n_critic)
        train_g = remainder == self.hp.n_critic - 1
        with torch.set_grad_enabled(train_g):
            z = torch.randn(len(real), self.hp.latent_dim, device=self.device)
            fake = self.generator(z, self.classes(y)).float()  # (B, C, H, W)

        figures = self._step_d(optimizer_d, real, fake.detach(), y)
        if train_g:
            figures["loss/g"] = self._step_g(optimizer_g, real, fake, y, turn_g)
            if (turn_g + 1) % self.accumulate == 0:
                self.ema.update(self.generator, turn_g // self.accumulate)
        return figures

    def _step_d(self, optimizer: LightningOptimizer, real: Tensor, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        hp = self.hp
        with self.toggled_optimizer(optimizer):
            if self.apart:
                logits_real, logits_fake = self.judge(real, y), self.judge(fake, y)
            else:
                logits_real, logits_fake = self.judge(torch.cat([real, fake]), torch.cat([y, y])).chunk(2)
            adversarial = loss = self.loss.discriminator(logits_real, logits_fake)
            if hp.gradient_penalty:
                loss = loss + hp.gradient_penalty * gradient_penalty(lambda x: self.judge(x, y), real, fake)
            for weight, side in ((hp.r1, real), (hp.r2, fake)):
                if weight and self.step % hp.r1_every == 0:
                    loss = loss + weight * hp.r1_every * zero_centred_penalty(lambda x: self.judge(x, y), side)
            self.update(optimizer, loss, self.step)
        boundary = self.loss.boundary
        if hp.augment_probability == "ada":
            lean = (logits_real - (logits_fake if boundary is None else boundary)).detach().sign().mean()
            rows = len(real) * self.trainer.world_size
            leans = cast(Tensor, self.all_gather(lean))
            adapt(self.augment_probability, leans, hp.ada_target, rows / (hp.ada_speed * 1000))
        figures = {"loss/d": adversarial}
        if boundary is None:
            figures["accuracy/pairs"] = (logits_real > logits_fake).float().mean()
        else:
            figures["accuracy/real"] = (logits_real > boundary).float().mean()
            figures["accuracy/fake"] = (logits_fake < boundary).float().mean()
        if hp.augment_probability == "ada":
            figures["augment/probability"] = self.augment_probability
        return figures

    def _step_g(self, optimizer: LightningOptimizer, real: Tensor, fake: Tensor, y: Tensor, turn: int) -> Tensor:
        with self.toggled_optimizer(optimizer):  # D's weights get no gradient here, and none is computed
            with torch.no_grad():
                beside = self.judge(real, y) if self.loss.paired else None
            loss = self.loss.generator(self.judge(fake, y), beside)
            self.update(optimizer, loss, turn)
        return loss

    # ---- sampling ----

    def latent(self, indices: Tensor, seed: int) -> Tensor:
        """Standard normal (B, latent_dim), row i from (seed, indices[i]) alone."""
        return draw_rows(indices, seed, (self.hp.latent_dim,)).to(self.device)

    @torch.no_grad()
    def sample(  # type: ignore[override]
        self, latent: Tensor, labels: Tensor, truncation: float | None = None
    ) -> Batch:
        """Pictures from the averaged generator.

        Args:
            latent: (B, latent_dim).
            labels: (B,) class ids; ignored by an unconditional model.
            truncation: latents are squeezed into [-t, t] as a truncated normal (Brock et al. 2019, section 3.1):
                smaller is cleaner and less diverse.

        Returns:
            ``x`` (B, C, H, W) float32 in [-1, 1] and ``y`` (B,).
        """
        if truncation is not None:
            latent = truncated(latent, truncation)
        labels = labels.to(self.device)
        network = self.ema.network.eval()  # Lightning puts every submodule into training mode
        x = network(latent.to(self.device), self.classes(labels)).float()
        if self._unheard and not torch.compiler.is_compiling() and (most := float(x.abs().max())) > 1.001:
            self._unheard = False
            rank_zero_warn(
                f"the generator draws pictures beyond [-1, 1], up to {most:.3g}, which are cut off where they are"
                " written or shown: end it with tanh"
            )
        return {"x": x, "y": labels}

    def judged(self, batch: Batch) -> Tensor:
        """See :meth:`GAN.judged`."""
        logits: Tensor = self.discriminator(batch["x"], self.classes(batch["y"]))
        return logits

    def augmented(self, batch: Batch) -> Batch | None:
        """See :meth:`GAN.augmented`."""
        return {**batch, "x": augment(batch["x"], self.policy)} if self.policy else None
