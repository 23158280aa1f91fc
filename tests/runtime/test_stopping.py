"""Told to stop at any moment, a command ends with 128 + the signal's number, and never as if it had done its work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganaug.runtime.stopping import Listener, Stopped, told

ROOT = Path(__file__).parents[2]
FIT = [
    "fit", "--model", "DCGAN", "--model.width", "4", "--data", "Digits", "--trainer.accelerator", "cpu",
    "--name", "run", "--trainer.enable_progress_bar", "false", "--trainer.val_check_interval", "100000",
]  # fmt: skip


def stopped(number: int, moment: float, folder: Path) -> bool:
    """Send a training the signal so many seconds after Python has begun; whether it had come to its first batch."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print('here', flush=True); from ganaug.cli import main; main()", *FIT],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(moment)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    # Before main's first line Python's own handlers stand, and it dies of SIGTERM.
    assert process.returncode in (128 + number, -number), (process.returncode, out, err)
    saved = bool(list(folder.rglob("last.ckpt")))
    assert saved == ("told to stop: saved" in err), err
    return saved


@pytest.mark.parametrize("moment", [1.0, 4.0])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_while_it_starts(number: int, moment: float, tmp_path: Path) -> None:
    stopped(number, moment, tmp_path)


@pytest.mark.slow
def test_told_at_fifty_moments(tmp_path: Path) -> None:
    """From the first import to the first batches."""
    saved = []
    for i in range(50):
        folder = tmp_path / str(i)
        folder.mkdir()
        saved.append(stopped((signal.SIGTERM, signal.SIGINT)[i % 2], 0.2 * i, folder))
    assert saved[-1]
    assert not saved[0]


@pytest.mark.parametrize("error", [None, RecursionError("an import that was broken off")])
def test_a_signal_that_a_library_swallows_still_counts(error: Exception | None) -> None:
    def swallow() -> None:
        with told.listen():
            try:
                signal.raise_signal(signal.SIGTERM)
            except BaseException:
                if error is not None:
                    raise error from None

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as end:
        swallow()
    assert end.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    with told.listen():  # and not for what comes after
        pass


def test_noting_waits_for_the_second_ctrl_c() -> None:
    listener = Listener()

    def told_twice() -> None:
        with listener.listen(note=True):
            signal.raise_signal(signal.SIGINT)
            assert listener.received == signal.SIGINT
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("still here")

    with pytest.raises(Stopped, match=str(128 + signal.SIGINT)):
        told_twice()


@pytest.mark.parametrize(("procid", "array", "asked"), [("0", None, "7"), ("0", "3", "5_3"), ("1", None, None)])
def test_slurm_is_asked_once(
    procid: str, array: str | None, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first of a job's tasks, and for this task of an array alone."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_PROCID", procid)
    if array:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", array)
    calls: list[list[str]] = []
    monkeypatch.setattr("ganaug.runtime.stopping.subprocess.run", lambda words, **_: calls.append(words))
    with pytest.raises(Stopped, match=str(128 + signal.SIGUSR1)), told.listen():
        signal.raise_signal(signal.SIGUSR1)
    assert calls == ([["scontrol", "requeue", asked]] if asked else [])


def test_where_slurm_cannot_be_asked_it_stops_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As in a container, which has no scontrol."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Stopped, match=str(128 + signal.SIGUSR1)), told.listen():
        signal.raise_signal(signal.SIGUSR1)
    assert "the job is not queued again, scontrol cannot be run (No such file" in capfd.readouterr().err
