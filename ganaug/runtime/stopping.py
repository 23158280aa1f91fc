"""Told to stop: no signal ends the command line in status 0, whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(SystemExit):
    """Raised where a signal arrives; its code is 128 + the signal's number, as a shell has it."""


class Listener:
    """Which signal this process was told to stop by, if any.

    It listens to SIGTERM, to SIGINT (Ctrl-C) and, in a SLURM job, to SIGUSR1 (``#SBATCH --signal=USR1@90``), upon which
    the job is queued again. Most work is stopped where it is, by :class:`Stopped`; imports by leaving the process.
    Training only takes note, and stops after its batch: see :class:`~ganaug.callbacks.LastCheckpoint`.
    """

    def __init__(self) -> None:
        self.received = 0
        self._depth = 0

    @contextmanager
    def listen(self, note: bool = False, leave: bool = False) -> Iterator[None]:
        """Listen meanwhile, and put back the handlers of before. In another thread than the first, to nothing.

        Args:
            note: only remember the signal, in ``received``. A second Ctrl-C does not wait.
            leave: end the process there and then: some libraries abort where an exception breaks off their import.

        Raises:
            Stopped: at the end, too, whatever has become of the one that was raised when the signal came: a library may
                have swallowed it, or an import that it broke off may have failed in a way of its own.
        """
        before = {}
        if threading.current_thread() is threading.main_thread():
            slurm = [signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else []
            handler = self._note if note else self._leave if leave else self._stop
            for number in [signal.SIGTERM, signal.SIGINT, *slurm]:
                before[number] = signal.signal(number, handler)
        self._depth += 1
        try:
            yield
        except Exception:
            if self._depth > 1 or not self.received:
                raise
        finally:
            self._depth -= 1
            for number, own in before.items():
                signal.signal(number, own)
            received = self.received
            if not self._depth:
                self.received = 0
        if received and not self._depth:
            raise Stopped(128 + received)

    def heed(self) -> None:
        """Stop for a signal that was only noted."""
        if self.received:
            self._stop(self.received, None)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGUSR1 and os.environ.get("SLURM_PROCID", "0") == "0":
            queue_again()
        raise Stopped(128 + number)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        try:
            self._stop(number, frame)
        except Stopped as stop:
            os.write(2, b"ganaug: stopped\n")
            os._exit(int(str(stop.code)))

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self.received == signal.SIGINT:
            self._stop(number, frame)
        if self.received != signal.SIGUSR1:  # a scheduler's SIGTERM may follow, and the job is still to be queued again
            self.received = number


told = Listener()


def queue_again() -> None:
    """Ask SLURM to run this job, or this task of an array, once more; says so where it cannot be asked."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    job = f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]
    try:
        subprocess.run(["scontrol", "requeue", job], check=False)
    except OSError as error:  # as in a container
        os.write(2, f"ganaug: the job is not queued again, scontrol cannot be run ({error.strerror})\n".encode())
