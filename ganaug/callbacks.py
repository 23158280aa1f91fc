"""What watches a run: previews and scores, and a checkpoint to go on from whatever happens."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from datamodules import GANDataModule
from datamodules.errors import InputError
from datamodules.lightning_internals import forget_processes
from datamodules.options import Count, Natural, Remembering, Size
from datamodules.rows import stored_rows
from datamodules.schema import Batch
from ganaug.classifiers.training import ClassifierFeatures, fit_features
from ganaug.gans.base import GAN
from ganaug.gans.randomness import stream_seed
from ganaug.kind import kind_of
from ganaug.loggers import show
from ganaug.metrics.distance import frechet_distance, kernel_distance
from ganaug.runtime.distributed import Question
from ganaug.runtime.stopping import Stopped, queue_again, told


class Previews(Callback, metaclass=Remembering):
    """Samples of the same latents by class every few steps, real ones once, in each logger of the run.

    Hyperparameters go to TensorBoard from here, too: Lightning's own way would write a score there that is none.

    Args:
        every_n_steps: training batches between two previews; 0 for none.
        per_class: samples of each class, of at most 20 classes; without classes, 64 samples.
    """

    options_of = "previews."

    def __init__(self, every_n_steps: Natural = 500, per_class: Size = 10) -> None:
        self.every_n_steps = every_n_steps
        self.per_class = per_class

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Hyperparameters and the real grid, once."""
        if trainer.global_step or not trainer.is_global_zero:
            return
        if writer := next((one.experiment for one in trainer.loggers if isinstance(one, TensorBoardLogger)), None):
            options = {k: v if isinstance(v, int | float | str) else str(v) for k, v in pl_module.hparams.items()}
            # Lightning's log_hyperparams wants a metric's value too, and draws it; this names where scores will be.
            scores = {"score/kernel_distance": 0.0, "score/frechet_distance": 0.0}
            for summary in hparams(options, scores):  # type: ignore[no-untyped-call]
                writer._get_file_writer().add_summary(summary)
        if trainer.loggers and isinstance(data := getattr(trainer, "datamodule", None), GANDataModule):
            table = data.train
            rows = [
                row
                for c in range(min(20, pl_module.schema.num_classes))
                for row in torch.nonzero(table.fields["y"] == c).flatten()[: self._count(pl_module)].tolist()
            ]
            self._show(trainer, "real", pl_module, table.__getitems__(rows), 0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: GAN, *_: Any) -> None:  # type: ignore[override]
        """The samples, every ``every_n_steps``."""
        if not self.every_n_steps or trainer.global_step % self.every_n_steps:
            return
        if not trainer.is_global_zero or not trainer.loggers:
            return
        labels = torch.arange(min(20, pl_module.schema.num_classes)).repeat_interleave(self._count(pl_module))
        latent = pl_module.latent(torch.arange(len(labels)), stream_seed("preview", pl_module.seed))
        with trainer.precision_plugin.forward_context():
            samples = pl_module.sample(latent, labels)
        if not pl_module.conditional:
            samples["y"] = torch.zeros_like(samples["y"])
        self._show(trainer, "samples", pl_module, samples, trainer.global_step - 1)

    def _count(self, model: GAN) -> int:
        return self.per_class if model.schema.labelled else 64

    @staticmethod
    def _show(trainer: Trainer, tag: str, model: GAN, batch: Batch, step: int) -> None:
        shown = kind_of(model.schema).preview(model.schema, batch)
        for logger in trainer.loggers:
            show(logger, tag, shown, step)


class Scores(Callback, metaclass=Remembering):
    """Cheap scores of samples against the validation split (or the test split, under ``test``), in features of a
    network trained on the training split alone: ``score/frechet_distance``, ``score/kernel_distance`` and, with
    classes, ``score/class_fidelity``. Where the model has a method ``nll(batch) -> (B,)``, also ``score/nll``: the mean
    over the real rows of their negative log-likelihood in nats per token.

    They run in Lightning's validation loop: ``--trainer.val_check_interval`` says how often. The network is trained
    when the first score is due, from the model's seed, and is no part of the model or its checkpoints.

    Args:
        steps: batches that the network of these features is trained for: enough for them, less than ``evaluate`` gives
            its classifiers.
    """

    options_of = "scores."

    def __init__(self, steps: Count = 400) -> None:
        self.steps = steps
        self.features: ClassifierFeatures | None = None
        self._seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave validation out where it would give no score, for which ModelCheckpoint would wait in vain."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, GANDataModule):
            rank_zero_warn("no scores: they need a GANDataModule, whose training rows their network learns from")
        elif len(data.val) < 2 and trainer.limit_val_batches:
            rank_zero_warn(
                f"too few validation rows to score samples with ({len(data.val)}, 2 are needed): no scores and no"
                " best.ckpt; raise data.val_fraction for them"
            )
            trainer.limit_val_batches = 0
        first = getattr(trainer, "val_check_interval", None)  # a Trainer that validates by time has none
        if trainer.limit_val_batches and type(first) is int and 0 < trainer.max_steps < first:
            rank_zero_info(
                f"no scores and no best.ckpt: the first are due at step {first}, and max_steps is {trainer.max_steps};"
                " a smaller val_check_interval gives them"
            )

    def on_validation_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: GAN, outputs: Batch, batch: Batch, *_: Any
    ) -> None:
        """Keep the features of the batch and of the samples drawn for it."""
        schema = pl_module.schema
        if trainer.sanity_checking or not isinstance(getattr(trainer, "datamodule", None), GANDataModule):
            return
        if self.features is None:
            data = trainer.datamodule  # type: ignore[attr-defined]
            rows = stored_rows(schema, data.train)
            self.features = self._fit(trainer, pl_module, rows)
        real, fake = schema.stored(batch), schema.stored(outputs)
        agree = self.features.predict(fake) == batch["y"].cpu()
        nll = torch.zeros(len(agree))
        if hasattr(pl_module, "nll"):
            with trainer.precision_plugin.forward_context():
                nll = cast(Any, pl_module).nll(batch).float().cpu()
        self._seen.append((self.features(real), self.features(fake), agree, nll))

    def _fit(self, trainer: Trainer, model: GAN, rows: Batch) -> ClassifierFeatures:
        """The features, learnt by the first process: features of two networks could not be compared."""
        own = None
        if trainer.is_global_zero:
            rank_zero_info(
                f"scores: a classifier of the training rows is trained first, {self.steps} steps (--scores.steps)"
            )
            own = fit_features(model.schema, rows, model.seed, steps=self.steps, accelerator=model.device.type)
            own.model.cpu()
        features = cast(ClassifierFeatures, trainer.strategy.broadcast(own))
        features.model.to(model.device)
        return features

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Log the scores, the same on every rank."""
        if not self._seen:
            return
        seen = [torch.cat(part).to(pl_module.device) for part in zip(*self._seen, strict=True)]
        self._seen.clear()
        gathered = [cast(Tensor, pl_module.all_gather(part)) for part in seen]
        real, fake, agree, nll = (
            whole.reshape(-1, *part.shape[1:]).cpu() for whole, part in zip(gathered, seen, strict=True)
        )
        if len(real) < 2:
            return
        scores = {
            "score/frechet_distance": frechet_distance(real, fake),
            "score/kernel_distance": kernel_distance(real, fake)[0],
        }
        if pl_module.conditional:
            scores["score/class_fidelity"] = agree.float().mean().item()
        if hasattr(pl_module, "nll"):
            scores["score/nll"] = nll.double().mean().item()
        pl_module.log_dict(scores, rank_zero_only=False, sync_dist=False)

    on_test_batch_end = on_validation_batch_end  # type: ignore[assignment]
    on_test_epoch_end = on_validation_epoch_end  # type: ignore[assignment]


class LastCheckpoint(Checkpoint, metaclass=Remembering):
    """Keeps ``last.ckpt`` in the run's folder: every few steps, at the end, and when the process is told to stop.

    On SIGTERM, on Ctrl-C, and under SLURM on SIGUSR1 (``#SBATCH --signal=USR1@90``), a batch that is under way is
    finished, all processes agree, the checkpoint is written, and the run ends with status 128 + signal. A second Ctrl-C
    does not wait.
    After SIGUSR1 the job asks SLURM to be queued again. The same command line goes on from there if it has
    ``--ckpt_path last``; in Python give ``fit`` the file's path, since Lightning's ``ckpt_path="last"`` looks for files
    of its ``ModelCheckpoint`` alone. (Lightning's own handler saves inside the signal, maybe between two networks'
    updates.)

    Args:
        every_n_steps: training batches between two saves; 0 saves at the end and when told to stop only.
    """

    options_of = "last."

    def __init__(self, every_n_steps: Natural = 500) -> None:
        self.every_n_steps = every_n_steps
        self._saved_step = -1
        self._listening = ExitStack()
        self._asked: Question | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what is no folder, before anything is trained.

        Raises:
            InputError: the run's folder is an address.
        """
        where = str(trainer.log_dir or trainer.default_root_dir)
        if "://" in where:
            raise InputError(f"{where}: last.ckpt needs a folder that this machine sees: give one as default_root_dir")

    def on_train_start(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """Listen: from here on, not earlier, since Lightning sets its own handlers before."""
        self._saved_step = trainer.global_step
        self._listening.enter_context(told.listen(note=True))
        self._asked = Question() if trainer.world_size > 1 else None

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save where it is time to, and leave if told to."""
        number = self._asked.largest(told.received) if self._asked else told.received
        if number or (self.every_n_steps and trainer.global_step % self.every_n_steps == 0):
            self._save(trainer)
        if number:
            saved = f"told to stop: saved {self.path(trainer)} at step {trainer.global_step}"
            rank_zero_info(f"{saved}; --ckpt_path last goes on from there")
            if number == signal.SIGUSR1 and trainer.is_global_zero:
                queue_again()
            forget_processes(trainer)
            raise Stopped(128 + number)

    def on_train_end(self, trainer: Trainer, pl_module: GAN) -> None:  # type: ignore[override]
        """The last step, whatever its number."""
        if self._saved_step != trainer.global_step:
            self._save(trainer)
        self._listening.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back, whatever ended the run."""
        # Before Lightning does the same: in its teardown it would come too late, and its handler, which only takes a
        # note, would stay.
        self._listening.close()

    def _save(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path(trainer), weights_only=False)
        self._saved_step = trainer.global_step

    @staticmethod
    def path(trainer: Trainer) -> Path:
        """``checkpoints/last.ckpt`` in the logger's folder."""
        folder = trainer.strategy.broadcast(trainer.log_dir or trainer.default_root_dir)
        return Path(folder) / "checkpoints" / "last.ckpt"
