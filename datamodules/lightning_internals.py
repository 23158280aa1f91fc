"""All that is leaned on inside Lightning and is no part of what it promises; a test says what broke when it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.core.optimizer import (
    LightningOptimizer,
    _init_optimizers_and_lr_schedulers,
    do_nothing_closure,
)
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch.optim import Optimizer

# What subclasses here replace, by the names of the arguments that it is called with.
REPLACED: dict[str, dict[str, tuple[str, ...]]] = {
    "lightning.pytorch.cli.LightningCLI": {
        "_parse_ckpt_path": (),
        "_instantiate_trainer": ("config", "callbacks"),
        "_run_subcommand": ("subcommand",),
        "_get": ("config", "key", "default"),
    },
    "lightning.pytorch.callbacks.RichProgressBar": {
        "_update_metrics": ("trainer", "pl_module"),
        "_get_train_description": ("current_epoch",),
    },
}


def batches_begun(trainer: Trainer) -> int:
    """Training batches that have been handed out: a checkpoint restores the count."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


def align_loggers(trainer: Trainer) -> None:
    """Let the loggers' axis be the number of steps: after a run that had ended it is one too far."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def count_step(trainer: Trainer) -> None:
    """One more in ``Trainer.global_step``, which counts the steps of optimisers unless they are silenced."""
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    progress.increment_ready()
    progress.increment_completed()


def silence_optimizers(trainer: Trainer, before_step: Callable[[LightningOptimizer], None] | None = None) -> None:
    """Keep the optimisers from counting their own steps; instead, call ``before_step`` before each, if it is given."""
    for optimizer in trainer.strategy._lightning_optimizers:
        optimizer._on_before_step = optimizer._on_after_step = do_nothing_closure
        if before_step is not None:
            optimizer._on_before_step = partial(before_step, optimizer)


def made_optimizers(module: LightningModule) -> list[Optimizer]:
    """What ``configure_optimizers`` of a module gives, as the Trainer would have them."""
    return _init_optimizers_and_lr_schedulers(module)[0]


def attached(module: LightningModule) -> bool:
    """Whether a module is in the hands of a Trainer."""
    return module._trainer is not None


def leave_signals_alone(trainer: Trainer) -> None:
    """Keep Lightning from setting handlers of signals."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def copied(trainer: Trainer) -> bool:
    """Whether its processes are sent a copy of the module, or forked, where others start anew."""
    return isinstance(trainer.strategy, DDPStrategy) and trainer.strategy._start_method != "popen"


def forget_processes(trainer: Trainer) -> None:
    """Let processes that this one has started end by themselves: Lightning takes that for a failure, and kills."""
    getattr(trainer.strategy.launcher, "procs", []).clear()


def kill_processes(trainer: Trainer, number: int) -> None:
    """Send a signal to processes that this one has started."""
    if isinstance(launcher := trainer.strategy.launcher, _SubprocessScriptLauncher):
        launcher.kill(cast(Any, number))


def counters(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Of a checkpoint's ``fit_loop``, by what they count: ``batches`` begun, ``steps`` done, and the loggers' axis."""
    loop = checkpoint["loops"]["fit_loop"]
    return {
        "batches": loop.get("epoch_loop.batch_progress", {}).get("total", {}).get("ready"),
        "steps": loop.get("epoch_loop.manual_optimization.optim_step_progress", {}).get("total", {}).get("completed"),
        "axis": loop.get("epoch_loop.state_dict", {}).get("_batches_that_stepped", 0),
    }
