"""Cells in processes of their own: with how many threads, and what becomes of them when one is killed."""

from collections.abc import Iterator
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


def test_a_cell_has_as_many_threads_whatever_is_left_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pools = []

    @contextmanager
    def pool(count: int, threads: int, devices: list[str]) -> Iterator[Executor]:
        pools.append((count, threads))
        with ThreadPoolExecutor(count) as executor:
            yield executor

    monkeypatch.setattr(workers, "worker_pool", pool)
    monkeypatch.setattr(workers, "run_safely", lambda study, cell: f"{cell.seed}")
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 64)
    for finished, processes in ((), 3), ((0,), 3), ((0, 1, 2), 1):
        failed = run(Finished(finished), CELLS, 3, None, progress=False)
        assert failed == {cell.name: f"{cell.seed}" for cell in CELLS if cell.seed not in finished}
        assert pools.pop() == (processes, 4)
    run(Finished(), CELLS, 3, 2, progress=False)
    assert pools.pop() == (3, 2)
    run(Finished(), CELLS, 20, None, progress=False)
    assert pools.pop() == (4, 1)
