"""Callbacks in a run: what TensorBoard gets, the best checkpoint, and two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gan_contract import trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_dcgan import Squares, make

from ganaug.callbacks import LastCheckpoint, Previews, Scores
from ganaug.gan import load, read_checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 steps of two classes, everything switched on."""
    root = tmp_path_factory.mktemp("runs")
    data = Squares(rows=60, steps_per_epoch=10)
    best = ModelCheckpoint(
        root / "best", "best", monitor="score/kernel_distance", save_on_train_epoch_end=False, mode="min"
    )
    trainer(
        24,
        Previews(every_n_steps=8, per_class=3),
        Scores(steps=20),
        LastCheckpoint(every_n_steps=10),
        best,
        logger=TensorBoardLogger(root, name="run", version=0),
        limit_val_batches=1.0,
        val_check_interval=8,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_checkpointing=True,
    ).fit(make(data), data)
    return root


def test_tensorboard_counts_batches_and_shows_what_it_should(run: Path) -> None:
    events = EventAccumulator(str(run / "run" / "version_0"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {
        "loss/d", "loss/g", "accuracy/real", "accuracy/fake", "gradient_norm/d", "gradient_norm/g", "lr/d", "lr/g",
        "score/frechet_distance", "score/kernel_distance", "score/class_fidelity",
    } <= set(tags["scalars"])  # fmt: skip
    assert [e.step for e in events.Scalars("loss/d")] == list(range(1, 24, 2))
    assert [e.step for e in events.Images("samples")] == [7, 15, 23]  # as Lightning counts scalars
    assert [e.step for e in events.Images("real")] == [0]
    assert len(events.Scalars("score/kernel_distance")) == 3
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(events.PluginTagToContent("hparams"))


def test_last_checkpoint_is_the_last_step_and_best_is_by_score(run: Path) -> None:
    assert read_checkpoint(run / "run" / "version_0" / "checkpoints" / "last.ckpt")["global_step"] == 24
    best = read_checkpoint(run / "best" / "best.ckpt")
    assert best["global_step"] in (8, 16, 24)
    assert load(run / "best" / "best.ckpt").schema.classes == ("left", "right")


def test_scores_do_not_change_the_training(run: Path) -> None:
    data = Squares(rows=60, steps_per_epoch=10)
    model = make(data)
    trainer(24).fit(model, data)
    last = read_checkpoint(run / "run" / "version_0" / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())


def test_a_longer_run_goes_on_from_a_finished_one(run: Path) -> None:
    """Past the last step, in the middle of an epoch, to the bit."""
    data = Squares(rows=60, steps_per_epoch=10)
    whole, resumed = make(data), make(data)
    trainer(33).fit(whole, data)
    data = Squares(rows=60, steps_per_epoch=10)
    trainer(33).fit(resumed, data, ckpt_path=run / "run" / "version_0" / "checkpoints" / "last.ckpt")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_two_processes(tmp_path: Path) -> None:
    """Other data and other noise on each rank, the same weights, one set of files."""
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "ddp_run.py", tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["weights"].keys() == second["weights"].keys()
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])
    assert len(first["rows"]) == len(second["rows"]) == 48
    steps = zip(torch.split(first["rows"], 8), torch.split(second["rows"], 8), strict=True)
    stream = torch.cat([torch.cat(ranks) for ranks in steps]).tolist()
    assert sorted(stream[:44]) == sorted(stream[44:88]) == list(range(44))  # a pass, and another, over all rows
    assert not torch.equal(first["noise"], second["noise"])
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["version_0"]
    files = list((tmp_path / "run" / "version_0").rglob("*"))
    assert sum("tfevents" in p.name for p in files) == 2  # one for each of the two runs, from rank 0
    assert sum(p.suffix == ".ckpt" for p in files) == 1
    assert first["scores"] == second["scores"]
    assert first["resumed"] == second["resumed"] == 8
