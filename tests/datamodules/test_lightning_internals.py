"""Each thing that is leaned on inside Lightning, so that a new version of it fails here and with a sentence."""

import inspect
import signal
from importlib import import_module

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from datamodules import lightning_internals as internals


class Two(LightningModule):
    """Two optimisers, each of which steps in every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.layers = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(2))
        self.before: list[object] = []
        self.begun: list[int] = []
        self.steps: list[int] = []

    def configure_optimizers(self):
        return [torch.optim.SGD(layer.parameters(), 0.1) for layer in self.layers]

    def training_step(self, batch, batch_idx) -> None:
        internals.align_loggers(self.trainer)
        internals.silence_optimizers(self.trainer, self.before.append)
        for layer, optimizer in zip(self.layers, self.optimizers(), strict=True):
            self.manual_backward(layer(batch).sum())
            optimizer.step()
        internals.count_step(self.trainer)
        self.begun.append(internals.batches_begun(self.trainer))
        self.steps.append(self.trainer.global_step)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Two, Trainer, dict]:
    module = Two()
    before = signal.getsignal(signal.SIGTERM)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", max_steps=5, enable_checkpointing=False, **quiet)
    internals.leave_signals_alone(trainer)
    during = []
    module.on_train_start = lambda: during.append(signal.getsignal(signal.SIGTERM))
    trainer.fit(module, DataLoader(torch.ones(3, 1)))
    module.handlers = before, *during
    path = tmp_path_factory.mktemp("run") / "a.ckpt"
    trainer.save_checkpoint(path)
    return module, trainer, torch.load(path, weights_only=False)


def test_a_batch_is_a_step_whatever_steps_inside(trained) -> None:
    module, trainer, _ = trained
    assert module.steps == [1, 2, 3, 4, 5], "Trainer.global_step no longer counts what count_step adds, and that alone"
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 5, "the loggers' axis is kept elsewhere now"


def test_batches_are_counted_when_they_begin(trained) -> None:
    assert trained[0].begun == [1, 2, 3, 4, 5], "batch_progress no longer counts the batches that were handed out"


def test_what_comes_before_a_step_is_called_once_for_each(trained) -> None:
    module, trainer, _ = trained
    assert module.before == trainer.strategy._lightning_optimizers * 5, "LightningOptimizer no longer calls its hook"


def test_counters_stand_in_checkpoints(trained) -> None:
    assert internals.counters(trained[2]) == {"batches": 5, "steps": 5, "axis": 5}, "a checkpoint names counters anew"


def test_optimizers_as_the_trainer_makes_them(trained) -> None:
    made = internals.made_optimizers(trained[0])
    assert [type(one) for one in made] == [torch.optim.SGD] * 2, "configure_optimizers is read by another function now"


def test_whether_a_trainer_has_the_module(trained) -> None:
    assert internals.attached(trained[0]), "a module keeps its Trainer elsewhere now"
    assert not internals.attached(Two())


def test_signals_are_left_alone(trained) -> None:
    before, during = trained[0].handlers
    assert during == before, "Lightning sets its handlers elsewhere now"


def test_processes_that_ddp_starts() -> None:
    trainer = Trainer(accelerator="cpu", devices=2, logger=False, enable_checkpointing=False, strategy="ddp")
    launcher = trainer.strategy.launcher or trainer.strategy._configure_launcher() or trainer.strategy.launcher
    assert launcher.procs == [], "the launcher keeps the processes that it has started elsewhere now"
    launcher.procs.append(None)
    internals.forget_processes(trainer)
    assert launcher.procs == []
    sent = []
    launcher.kill = sent.append
    internals.kill_processes(trainer, 9)
    assert sent == [9], "the launcher of a DDP run is another class now"


@pytest.mark.parametrize("path", internals.REPLACED)
def test_methods_that_are_replaced_are_still_called_so(path: str) -> None:
    module, _, name = path.rpartition(".")
    for method, arguments in internals.REPLACED[path].items():
        found = getattr(getattr(import_module(module), name), method, None)
        assert found is not None, f"{name} has no {method} any more: what replaces it is never called"
        assert tuple(inspect.signature(found).parameters)[1:] == arguments, f"{name}.{method} takes other arguments"
