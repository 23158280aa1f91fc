"""Cells run in this process or in several, with their share of the cores and of the GPUs."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import cycle, islice

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from datamodules.errors import InputError, reason_of
from ganaug.runtime.divergence import DivergedError
from ganaug.runtime.outside import IMPORTED, import_modules
from ganaug.study.cell import run_cell
from ganaug.study.plan import Cell, Study


def run(study: Study, cells: Sequence[Cell], workers: int, threads: int | None, progress: bool) -> dict[str, str]:
    """Run the cells that are not finished; what went wrong, in a line, by the name of the cell."""
    left = [cell for cell in cells if "rows" not in study.facts(cell)]
    failed: dict[str, str] = {}
    columns = TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeLeft()
    with Progress(*columns, disable=not progress) as bar:
        before = len(cells) - len(left)
        task = bar.add_task("cells", total=len(cells), completed=before, before=before)

        def done(cell: Cell, failure: str | None) -> None:
            bar.advance(task)
            if failure is not None:
                failed[cell.name] = failure
            if progress:
                rows = study.facts(cell).get("rows", [])
                shown = [row for row in rows if row["ratio"] in (0, study.ratio) and row["steps"] == 1]
                scores = [f"{row['arm']} {row['accuracy']:.3f}" for row in shown if row["accuracy"] is not None]
                bar.console.print(
                    f"{cell.name}: {failure or ', '.join(scores)}", markup=False, highlight=False, soft_wrap=True
                )

        if workers > 1 and left:
            # The last cells have no more threads than those before them: another number rounds otherwise.
            threads = threads or max(1, cores() // workers)
            side_by_side(study, left, workers, threads, done)
        else:
            with threads_of(threads):
                for cell in left:
                    done(cell, run_safely(study, cell))
    return failed


def check_picklable(study: Study) -> None:
    """Refuse a study that cannot be sent to other processes."""
    try:
        pickle.dumps(study)
    except Exception as error:  # pickle has a dozen ways to say so
        reason = reason_of(error)
        raise InputError(
            f"workers above 1 need data, model and classifier whose classes can be imported ({reason}): define them in"
            " a file of their own, or use workers 1"
        ) from None


def side_by_side(
    study: Study, cells: Sequence[Cell], workers: int, threads: int, done: Callable[[Cell, str | None], None]
) -> None:
    """Run cells in processes with so many threads each and a GPU in turns; what kills one of them fails its cell alone.

    Args:
        study, cells, workers, threads: as of :func:`run`.
        done: is told each cell that has ended, and what went wrong with it.
    """
    waiting = list(reversed(cells))
    devices = islice(cycle(gpus(study.accelerator) or [""]), min(workers, len(cells)))
    with starting(threads) as start:
        # Pools of one: all processes of a larger one are ended together when one of them is killed.
        free = [(device, start(device)) for device in devices]
        running: dict[Future[str | None], tuple[Cell, str, ProcessPoolExecutor]] = {}
        while waiting or running:
            while waiting and free:
                cell, (device, process) = waiting.pop(), free.pop()
                running[process.submit(run_safely, study, cell)] = cell, device, process
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                cell, device, process = running.pop(future)
                try:
                    failure = future.result()
                except BrokenProcessPool:
                    failure = "its process ended: if it says nothing above, for lack of memory: use fewer workers"
                    process = start(device)
                free.append((device, process))
                done(cell, failure)


class TimeLeft(ProgressColumn):
    """As long for each cell that is left as for each that this run has done.

    Rich's own takes the time between two ends for that of one, which of cells side by side may be seconds.
    """

    def render(self, task: Task) -> Text:
        """Hours, minutes and seconds; nothing before the first is done."""
        done = int(task.completed) - task.fields["before"]
        if not done or not task.elapsed or task.remaining is None:
            return Text("-:--:-- left")
        return Text(f"{timedelta(seconds=round(task.elapsed / done * task.remaining))} left")


def run_safely(study: Study, cell: Cell) -> str | None:
    """Run a cell; if it fails, why, in a line. The others are none the worse for it."""
    path = study.folder(cell) / "error.txt"
    try:
        run_cell(study, cell)
        path.unlink(missing_ok=True)  # of an earlier try
    except (InputError, DivergedError) as error:
        return reason_of(error)
    except Exception as error:  # our fault, or that of somebody's classifier
        with suppress(OSError):  # of a full disk
            path.write_text(traceback.format_exc(), encoding="utf-8")
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]} (traceback in {path})"
    return None


def cores() -> int:
    """How many this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus(accelerator: str) -> list[str]:
    """NVIDIA GPUs to share out among processes, as ``CUDA_VISIBLE_DEVICES`` calls them."""
    if accelerator not in ("auto", "gpu", "cuda"):
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(k) for k in range(torch.cuda.device_count())] if named is None else [n for n in named.split(",") if n]


def start_worker(threads: int, precision: str, device: str, modules: Sequence[str] = ()) -> None:
    """What a process does first: take its share of the cores, and its GPU where it has one; be as its parent."""
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)  # "high", as the command line sets it, allows TF32
    import_modules(modules)
    if device:
        os.environ["CUDA_VISIBLE_DEVICES"] = device


@contextmanager
def starting(threads: int) -> Iterator[Callable[[str], ProcessPoolExecutor]]:
    """What starts a process of so many threads on a GPU or none; no process outlives this one, told to stop or not."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # read when a process starts
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, str(threads))
    ours = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of running threads
    precision = torch.get_float32_matmul_precision()
    started: list[ProcessPoolExecutor] = []

    def start(device: str) -> ProcessPoolExecutor:
        given = threads, precision, device, IMPORTED
        started.append(ProcessPoolExecutor(1, context, initializer=start_worker, initargs=given))
        return started[-1]

    try:
        yield start
    except BaseException:
        for pool in started:
            pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - ours:
            child.terminate()  # a GAN in training saves before it goes
        raise
    finally:
        for pool in started:
            pool.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def threads_of(threads: int | None) -> Iterator[None]:
    """So many threads of torch, by default those there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
