"""Cells in processes of their own: with how many threads, and what becomes of them when one is killed."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from ganaug.study import workers
from ganaug.study.plan import Cell
from ganaug.study.workers import run

CELLS = [Cell(5, "", seed) for seed in range(4)]


@dataclass
class Finished:
    """A study some of whose cells are finished."""

    finished: tuple[int, ...] = ()
    accelerator: str = "cpu"

    def facts(self, cell: Cell) -> dict:
        return {"rows": []} if cell.seed in self.finished else {}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Threads and device of each process, for which threads stand in; cells fail and say their seed."""
    found: list[tuple[int, str]] = []

    @contextmanager
    def starting(threads: int) -> Iterator[Callable[[str], Executor]]:
        yield lambda device: found.append((threads, device)) or ThreadPoolExecutor(1)

    monkeypatch.setattr(workers, "starting", starting)
    monkeypatch.setattr(workers, "run_safely", lambda study, cell: f"{cell.seed}")
    return found


def test_a_cell_has_as_many_threads_whatever_is_left_beside_it(
    started: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 64)
    for finished, processes in ((), 3), ((0,), 3), ((0, 1, 2), 1), ((0, 1, 2, 3), 0):
        started.clear()
        failed = run(Finished(finished), CELLS, 3, None, progress=False)
        assert failed == {cell.name: f"{cell.seed}" for cell in CELLS if cell.seed not in finished}
        assert started == [(4, "")] * processes
    for asked, threads, given in (3, 2, [(2, "")] * 3), (20, None, [(1, "")] * 4):
        started.clear()
        run(Finished(), CELLS, asked, threads, progress=False)
        assert started == given


def test_processes_take_gpus_in_turns(started: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "gpus", lambda accelerator: {"cuda": ["a", "b"]}[accelerator])
    run(Finished(accelerator="cuda"), CELLS, 3, 1, progress=False)
    assert started == [(1, "a"), (1, "b"), (1, "a")]


def killed(study: Finished, cell: Cell) -> None:
    if cell.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_takes_no_other_cell_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "run_safely", killed)
    failed = run(Finished(), CELLS[:3], 2, 1, progress=False)
    assert list(failed) == ["n=5,seed=0"]
    assert "its process ended" in failed["n=5,seed=0"]
