"""GAN: what every model here shares: latents, phases, one step a batch, updates, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, NoReturn, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from datamodules.errors import InputError
from datamodules.lightning_internals import align_loggers, attached, count_step, silence_optimizers
from datamodules.options import Count, Positive, Remembering, Seed
from datamodules.schema import Batch, Schema
from ganaug.gans.checkpoint import FORMAT, Unfit, match, plain
from ganaug.gans.own import flat, written
from ganaug.gans.randomness import stream_seed
from ganaug.gans.recipe import BEFORE, defaults_of
from ganaug.gans.resume import check_gradients, check_progress, compare, optimizers_before, take_optimizers
from ganaug.runtime.distributed import average, broadcast_buffers
from ganaug.runtime.divergence import DivergedError, refuse_divergence
from ganaug.runtime.trainers import check_trainer


class GAN(LightningModule, metaclass=Remembering):
    """Base of the models. A subclass gives ``latent``, ``sample``, ``phases`` and one ``<phase>_step`` a phase.

    - **A GAN is a deterministic function of latents and labels**: ``sample(latent(indices, seed), labels)``.
    - **One training batch is one step**: ``max_steps``, ``every_n_train_steps`` and TensorBoard's axis count batches,
      however many optimisers step in each.
    - **Noise in training comes from (seed, rank, step)**: a run stopped after any batch and resumed ends with the same
      bits as one that was not.
    - **Several devices** take a batch each; before an optimiser steps, its gradients are averaged, here and not
      by DDP's reducer, which waits for a gradient of every parameter in every backward pass.
    - **Phases are a list** of (name, steps) and the phase is a function of the step. The last one has no end (None).

    Args:
        schema: what the data mean; numbers such as channels and classes are read from it.
        seed: of the initial weights and the noise in training.
        clip: largest gradient norm per optimiser; None leaves gradients alone. (The Trainer's own option is refused by
            Lightning under manual optimisation.)
        accumulate: batches whose gradients are summed before an optimiser steps.
    """

    models: ClassVar[dict[str, type[GAN]]] = {}
    schema_kinds: ClassVar[tuple[str, ...]]
    optimizer_names: ClassVar[tuple[str, ...]]
    _arguments: dict[str, Any]
    # Options that change how fast a run is and not what it computes: a resumed run may differ in them.
    runtime_options: ClassVar[frozenset[str]] = frozenset({"compile", "channels_last"})
    # Submodules and buffers that hold what has been seen of the data: no other run begins from them.
    of_data: ClassVar[tuple[str, ...]] = ()
    # Options of optimisers that a step sets: what a checkpoint says of them need not be what the model's options say.
    scheduled: ClassVar[tuple[str, ...]] = ("lr",)
    # Options that take networks of one's own, and how many arguments the model gives such a network.
    networks: ClassVar[dict[str, int]] = {}
    # Of weights that have a place for each class along some dimension, how many places follow there.
    after_classes = 0

    def __init_subclass__(cls) -> None:
        if hasattr(cls, "schema_kinds"):  # a base of models has none
            GAN.models[cls.__name__] = cls

    def __init__(self, schema: Schema, seed: Seed, clip: Positive | None, accumulate: Count) -> None:
        super().__init__()
        if schema.kind not in self.schema_kinds:
            kinds = " or ".join(self.schema_kinds)
            raise InputError(
                f"{type(self).__name__} learns from {kinds} data, the data module gives {schema.kind} data"
            )
        self.automatic_optimization = False
        self.schema = schema
        self.seed = seed
        self.clip = clip
        self.accumulate = accumulate
        self.sample_seed = 0
        self.latent_options: dict[str, Any] = {}
        self.sample_options: dict[str, Any] = {}
        self._gradients: dict[str, Tensor] = {}
        self._figures: dict[str, dict[str, Tensor]] = {}
        self._resumed: dict[str, Any] | None = None
        self.not_in_use: Sequence[str] = ()  # options of networks that others are in the place of
        self.allow_changes: Sequence[str] = ()  # options in which a resumed run may differ from what was interrupted
        self._changed: dict[str, Any] = {}  # of those that do, what they were

    @staticmethod
    def resolved(options: dict[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
        """Options, those that were left out with the preset's values.

        So a checkpoint does not change its meaning when a preset does: of one, they take the values that it was made
        with.
        """
        values = {**preset, **BEFORE.get()}
        return options | {name: values[name] for name in options if options[name] is None and name in values}

    @property
    def arguments(self) -> dict[str, Any]:
        """What this object's own class was called with, defaults included, but for the schema."""
        own = defaults_of(type(self)) | self._arguments
        return {name: value for name, value in own.items() if name != "schema"}

    # ---- what a subclass gives ----

    @property
    @abstractmethod
    def phases(self) -> Sequence[tuple[str, int | None]]:
        """(name, number of steps) in order; the last one has no end."""

    @property
    def steps_before_last(self) -> int:
        """The step that the last phase begins at."""
        return sum(steps or 0 for _, steps in self.phases[:-1])

    @property
    def hp(self) -> Any:
        """The hyperparameters, by attribute."""
        return self.hparams

    @property
    def conditional(self) -> bool:
        """Whether the data have classes and the model was not told to ignore them by an option of this name."""
        return self.schema.labelled and bool(self.hparams.get("conditional", True))

    def classes(self, y: Tensor) -> Tensor:
        """Class ids (B,) as the networks take them: 0 where the model ignores them.

        Raises:
            InputError: there is no such class; of ids on a GPU, which would have to be asked for them, nothing is said.
        """
        if not self.conditional:
            return torch.zeros_like(y)
        count, told = self.schema.num_classes, y.device.type == "cpu" and not torch.compiler.is_compiling()
        if told and len(y) and not 0 <= int(y.min()) <= int(y.max()) < count:
            raise InputError(f"labels are class ids from 0 to {count - 1}, not {int(y.min())} to {int(y.max())}")
        return y

    @abstractmethod
    def latent(self, indices: Tensor, seed: int) -> Tensor:
        """Latents (B, …), row i from (seed, indices[i]) alone, on the model's device."""

    @abstractmethod
    def sample(self, latent: Tensor, labels: Tensor, **options: Any) -> Batch:
        """Samples from the averaged generator, a deterministic function of latents (B, …) and labels (B,)."""

    @abstractmethod
    def judged(self, batch: Batch) -> Tensor:
        """D's logits (B,) of rows as the model sees them, on the model's device."""

    def augmented(self, batch: Batch) -> Batch | None:
        """Rows after all that is done to them before D sees them, each of them; None where nothing is."""
        return None

    def caution(self, options: Mapping[str, Any]) -> str:
        """What whoever asks for samples by these options should know of them, in a line; empty for nothing."""
        return ""

    # ---- what comes of it ----

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """D's logits float32 (B,) of rows as the model sees them: higher is more real.

        None of them augmented, nothing dropped, and the model left in the mode that it is in.
        """
        batch = {name: field.to(self.device) for name, field in batch.items()}
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            return self.judged(batch).float()
        finally:
            for module, training in modes.items():
                module.training = training

    # ---- training ----

    @property
    def adam(self) -> dict[str, Any]:
        """Adam's options in common."""
        return {"betas": tuple(self.hp.betas), "fused": self.fused}

    @property
    def fused(self) -> bool:
        """Whether optimisers step in one kernel: but under fp16, whose scaler a fused step would hide from clipping."""
        return self.trainer.precision != "16-mixed" and self.trainer.strategy.root_device.type in ("cpu", "cuda")

    @property
    def step(self) -> int:
        """Batches trained on so far."""
        return self.trainer.global_step

    @property
    def last_step(self) -> float:
        """The step that this run stops at by its Trainer's options; infinite where they say none."""
        ends = self.trainer.max_steps if self.trainer.max_steps >= 0 else float("inf")
        if self.trainer.max_epochs is not None and self.trainer.max_epochs >= 0:
            ends = min(ends, self.trainer.max_epochs * self.trainer.num_training_batches)
        return ends

    @property
    def logging_step(self) -> bool:
        """Whether this batch is one that the Trainer writes to its logger."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return every > 0 and (self.step + 1) % every == 0

    def phase(self, step: int) -> str:
        """Name of the phase that step number ``step``, counted from 0, belongs to."""
        for name, steps in self.phases:
            if steps is None or step < steps:
                return name
            step -= steps
        raise AssertionError("the last phase must have no end")

    def setup(self, stage: str) -> None:
        """Refuse what a step here cannot be run with, before anything is built for it."""
        check_trainer(self.trainer, self.accumulate)

    def on_fit_start(self) -> None:
        """Training mode, also of a model that was loaded; and the optimisers' states, which Lightning restores next."""
        self.train()
        if self._resumed is not None:
            try:
                before = optimizers_before(self, self._changed)
                take_optimizers(self._resumed, self._optimizers(), before, self.scheduled)
            except Unfit as error:
                raise InputError(f"the checkpoint cannot be used: {error}") from None
            self._resumed = None

    def on_train_start(self) -> None:
        """Take up gradients of a resumed run; say so before a run starts that would stop before its last phase."""
        for name, gradient in self._gradients.items():
            parameter = self.get_parameter(name)
            own = gradient[self.global_rank] if gradient.ndim > parameter.ndim else gradient
            parameter.grad = torch.empty_like(parameter).copy_(own)  # laid out alike, to be rounded alike
        self._gradients, self._figures = {}, {}
        if not self.step:
            self.forget()
        before = self.steps_before_last
        if (ends := self.last_step) <= before:
            rank_zero_warn(
                f"this run stops at step {ends}, before the {self.phases[-1][0]} phase, which begins at step {before}:"
                " give it more steps, or shorten the phases before it"
            )

    def forget(self) -> None:
        """Drop what an earlier fit has seen of its data (``of_data``): the next begins as that of a new model does."""

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step of the phase that the step count says."""
        torch.manual_seed(stream_seed("train", self.seed, self.global_rank, self.step))
        align_loggers(self.trainer)
        silence_optimizers(self.trainer, self.average_gradients if self.trainer.world_size > 1 else None)
        step: Callable[[Batch], dict[str, Tensor]] = getattr(self, f"{self.phase(self.step)}_step")
        # Networks take turns that may never meet a logging step: the phase's last figure of each is what is logged.
        figures = self._figures.setdefault(self.phase(self.step), {})
        figures |= {name: figure.detach() for name, figure in step(batch).items()}
        losses = {name: figure for name, figure in figures.items() if name.startswith("loss/")}
        self._refuse_divergence(losses)
        if self.logging_step:
            self.log_dict(losses, prog_bar=True)
            self.log_dict({name: figure for name, figure in figures.items() if name not in losses})
            for name, its in zip(self.optimizer_names, self._optimizers(), strict=True):
                self.log(f"lr/{name}", its.param_groups[0]["lr"])
        count_step(self.trainer)

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lightning's, without DDP's reducer."""
        model = self.trainer.model
        with model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext():
            super().manual_backward(loss, *args, **kwargs)

    def average_gradients(self, optimizer: LightningOptimizer) -> None:
        """Put the mean over the processes in the place of each gradient: called before every step of an optimiser."""
        average([p for group in optimizer.param_groups for p in group["params"]])

    def update(self, optimizer: LightningOptimizer, loss: Tensor, turn: int) -> None:
        """Backward, and a step where enough gradients have been summed.

        Args:
            turn: how many times this optimiser has been handed a loss before, a function of the step.
        """
        self.manual_backward(loss / self.accumulate)
        if (turn + 1) % self.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip and log the gradients' norm: after Lightning has unscaled them, which ``clip_gradients`` is not."""
        if self.clip is None and not self.logging_step:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.clip if self.clip is not None else float("inf"))
        if self.logging_step:
            name = self.optimizer_names[next(i for i, o in enumerate(self._optimizers()) if o is optimizer)]
            self.log(f"gradient_norm/{name}", norm)

    def on_validation_model_zero_grad(self) -> None:
        """Keep gradients that are being accumulated."""

    def _optimizers(self) -> list[Optimizer]:
        return list(self.trainer.optimizers)

    def _refuse_divergence(self, losses: dict[str, Tensor]) -> None:
        # Asking a GPU for a number stalls it, and other processes have to be asked too, since all must stop at the same
        # step: there the question waits for a logging step, or for a checkpoint.
        if not self.logging_step and (self.device.type != "cpu" or self.trainer.world_size > 1):
            return
        refuse_divergence(losses, self.step, self.trainer)

    # ---- validation and generation ----

    def on_validation_start(self) -> None:
        """The same running statistics in every process: those of the first, which are the ones that are saved."""
        if self.trainer.world_size > 1:
            broadcast_buffers(self)

    def validation_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Samples of the same classes as the batch: what a score compares with it. The same latents every time."""
        y = batch["y"]
        first = (batch_idx * self.trainer.world_size + self.global_rank) * 2**20
        index = torch.arange(first, first + len(y))
        return self.sample(self.latent(index, stream_seed("validation", self.seed)), y)

    test_step = validation_step

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Samples for requests: ``index`` (B,) and ``y`` (B,), by ``sample_seed`` and the options of either method."""
        latent = self.latent(batch["index"], self.sample_seed, **self.latent_options)
        each = {name: field for name, field in batch.items() if name not in ("index", "y")}
        return {"index": batch["index"], **self.sample(latent, batch["y"], **self.sample_options, **each)}

    # ---- checkpoints ----

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *_: Any, **__: Any) -> NoReturn:
        """Lightning's, which cannot know the schema."""
        raise InputError(f"load_from_checkpoint: use ganaug.load({str(checkpoint_path)!r}), which knows the schema")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Class, schema, and gradients where the run stands between two steps of an optimiser."""
        weights = self.state_dict()
        finite = torch.stack([torch.isfinite(weight).all() for weight in weights.values()]).tolist()  # one wait in all
        for name, whole in zip(weights, finite, strict=True):
            if not whole:
                raise DivergedError(f"{name} is not finite at step {self.step}: training diverged; not saved")
        gradients = {name: p.grad for name, p in self.named_parameters() if p.grad is not None}
        if attached(self) and self.trainer.world_size > 1:  # each process has summed those of its own rows
            gradients = {name: cast(Tensor, self.all_gather(gradient)) for name, gradient in gradients.items()}
        checkpoint["ganaug"] = {
            "format": FORMAT,
            "model": type(self).__name__,
            "schema": self.schema.to_dict(),
            **written(self.arguments, self.networks),
            "gradients": gradients,
            "moments": [len(state["state"]) for state in checkpoint.get("optimizer_states", [])],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model, of other options or of other data.

        Raises:
            InputError: naming what differs.
        """
        ours = checkpoint["ganaug"]
        if ours["model"] != type(self).__name__:
            raise InputError(f"the checkpoint holds a {ours['model']}, this run trains a {type(self).__name__}")
        options = dict(self.hparams)
        if "arguments" in ours:  # old checkpoints hold those of a subclass's own options alone that it saved itself
            options = {name: value for name, value in self.arguments.items() if plain(value)} | options
        its = {**ours, "arguments": defaults_of(type(self)) | ours.get("arguments", {})}
        whole = {**checkpoint, "ganaug": its}
        options, free = flat(options), self.runtime_options.union(self.not_in_use)
        self._changed = compare(whole, options, self.schema, free, self.allow_changes)
        try:
            match(checkpoint["state_dict"], self.state_dict())
        except Unfit as error:
            why = f"with {', '.join(self._changed)} changed " if self._changed else ""
            raise InputError(f"the checkpoint cannot be used: {why}its weights do not fit: {error}") from None
        try:
            check_gradients(ours["gradients"], dict(self.named_parameters()))
            if self.trainer.state.fn == TrainerFn.FITTING:
                check_progress(checkpoint, self.trainer)
                self._resumed = checkpoint
        except Unfit as error:
            raise InputError(f"the checkpoint cannot be used: {error}") from None
        self._gradients = ours["gradients"]
        if self._changed:
            changes = ", ".join(f"{name} {old} -> {options.get(name)}" for name, old in self._changed.items())
            rank_zero_info(f"changed on resume: {changes}")
