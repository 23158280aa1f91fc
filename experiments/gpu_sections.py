"""The sections of gpu_check.py. Each gives rows of figures as they come; ``status`` in a row says what went wrong."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from gpu_run import CUDA, HERE, NO_GPU, THREADS, Row, Run, attempt
from gpu_trainings import trainings

# What is long to import is imported by the sections that need it.


def run(name: str, out: Path, data: Path | None, tiny: bool, seconds: float) -> int:
    """Run a section and write its rows to ``<name>.jsonl``, the device first; the exit status."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(THREADS)
    with (out / f"{name}.jsonl").open("w", buffering=1) as file:
        device = torch.cuda.get_device_name() if CUDA else "CPU"
        file.write(json.dumps({"device": device}) + "\n")
        for row in SECTIONS[name](Run(out, data, tiny, time.monotonic() + seconds)):
            file.write(json.dumps(row, default=str) + "\n")
    return 0


# ---- tests -----------------------------------------------------------------------------------------------------------


def tests(run: Run) -> Iterator[Row]:
    """``pytest -m gpu``."""
    if not CUDA:
        yield {"status": NO_GPU}
        return
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "--continue-on-collection-errors"]
    reasons = []
    pipe: Row = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=HERE.parent, **pipe) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.match(r"(\S+\.py::.+?) (PASSED|FAILED|ERROR|SKIPPED)\b", line):
                status = {"PASSED": "ok", "SKIPPED": f"not run: {line.strip()}"}.get(found[2], "failed: see tests.log")
                yield {"test": found[1], "status": status}
            elif re.match(r"(FAILED|ERROR) ", line):  # of the summary
                reasons.append(line.strip())
    for reason in reasons:
        yield {"test": "pytest", "status": f"failed: {reason}"}
    if process.returncode and not reasons:
        yield {"test": "pytest", "status": f"failed: exit status {process.returncode}, see tests.log"}


# ---- models ----------------------------------------------------------------------------------------------------------


def makers(tiny: bool, phase: int) -> dict[str, tuple[Callable[[], Any], Callable[..., Any]]]:
    """Of each model, what makes its data and, from a schema and options, itself; early phases of so many batches."""
    from datamodules import Digits, Grammar, Signals
    from ganaug import DCGAN, SeqGAN, TimeGAN

    few = {"batch_size": 8} if tiny else {}
    short: dict[str, Any] = {"mle_steps": phase, "discriminator_steps": phase, "negatives": 2}
    phases: dict[str, Any] = {"autoencoder_steps": phase, "supervisor_steps": phase}
    small: dict[str, dict[str, Any]] = {
        "DCGAN": {"width": 8},
        "SeqGAN": {"hidden": 8, "embedding": 8, "filters": {1: 8, 2: 8}, "rollouts": 1},
        "TimeGAN": {"hidden": 8},
    }

    def model(network: type[Any], **fixed: Any) -> Callable[..., Any]:
        chosen = fixed | (small[network.__name__] if tiny else {})
        return lambda schema, **options: network(schema, **chosen | options)

    return {
        "DCGAN": (lambda: Digits(**few), model(DCGAN)),
        "SeqGAN": (lambda: Grammar(sentences=300 if tiny else 3000, **few), model(SeqGAN, **short)),
        "TimeGAN": (lambda: Signals(**few | ({"series": 140, "length": 8} if tiny else {})), model(TimeGAN, **phases)),
    }


def fit(model: Any, data: Any, steps: int, *callbacks: Any, ckpt: Path | None = None, **options: Any) -> Any:
    """Train for so many steps, without files and bars; the model."""
    from lightning.pytorch import Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    settings: dict[str, Any] = {
        "accelerator": "gpu" if CUDA else "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": -1,
        "limit_val_batches": 0,
        "log_every_n_steps": 10**6,
    }
    trainer = Trainer(max_steps=steps, callbacks=list(callbacks), **settings | options)
    trainer.fit(model, data, ckpt_path=ckpt, weights_only=False if ckpt else None)
    return model


# ---- precision -------------------------------------------------------------------------------------------------------


def precision(run: Run) -> Iterator[Row]:
    """Each model in each precision: finite weights, and resumed half way to the same bits."""
    from lightning.pytorch import Callback

    steps = 4 if run.tiny else 200

    class Keep(Callback):
        """Saves half way."""

        def __init__(self, path: Path) -> None:
            self.path = path

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == steps // 2 + 1:  # amid a set of SeqGAN's negatives
                trainer.save_checkpoint(self.path)

    def one(name: str, kind: str) -> Row:
        make_data, make = makers(run.tiny, 1 if run.tiny else 60)[name]
        path = run.out / f"half_{name}_{kind}.ckpt"
        # "warn": some operations have no deterministic kernel, and say so in the log.
        options: Row = {"precision": kind, "deterministic": "warn" if CUDA else False}

        def weights(*callbacks: Any, ckpt: Path | None = None) -> dict[str, torch.Tensor]:
            data = make_data()
            model = fit(make(data.schema), data, steps, *callbacks, ckpt=ckpt, **options)
            return {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}

        whole = weights(Keep(path))
        torch.manual_seed(1)  # what a resumed run finds is not what the first one left
        resumed = weights(ckpt=path)
        path.unlink()
        infinite = [key for key, value in whole.items() if not value.isfinite().all()]
        other = [key for key, value in whole.items() if not torch.equal(value, resumed[key])]
        row: Row = {"steps": steps, "finite": not infinite, "resumed to the bit": not other}
        if infinite:
            row["status"] = f"failed: not finite: {', '.join(infinite)}"
        elif other:
            twice = weights()
            same = all(torch.equal(value, twice[key]) for key, value in whole.items())
            why = "resuming differs" if same else "two uninterrupted runs differ too"
            row["status"] = f"failed: {len(other)} of {len(whole)} tensors differ, {why}: {', '.join(other[:3])}"
        return row

    for name in ("DCGAN", "SeqGAN", "TimeGAN"):
        for kind in ("32-true", "bf16-mixed", "16-mixed"):
            row = {"model": name, "precision": kind}
            if kind == "16-mixed" and not CUDA:
                yield row | {"status": NO_GPU}
            else:
                yield attempt(row, lambda name=name, kind=kind: one(name, kind))


# ---- waits -----------------------------------------------------------------------------------------------------------


def waits(run: Run) -> Iterator[Row]:
    """Where training steps that do not log wait for the GPU: nowhere, they should.

    With "warn" in the place of "error", so that one run names every place and not the first one alone.
    """
    if not CUDA:
        yield {"status": NO_GPU}
        return
    from lightning.pytorch import Callback

    first, last = 6, 16
    places: dict[str, int] = {}

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        if "called a synchronizing" in str(message):
            stack = [frame for frame in traceback.extract_stack()[:-1] if Path(frame.filename).name != "warnings.py"]
            own = [frame for frame in stack if Path(frame.filename).parent.name in ("ganaug", "datamodules")]
            lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in (*own[-1:], stack[-1])]
            where = " … ".join(dict.fromkeys(lines))
            places[where] = places.get(where, 0) + 1

    class Watch(Callback):
        """From the end of one batch to that of another: loader, transfer and hooks too."""

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == first:
                torch.cuda.set_sync_debug_mode("warn")
            if trainer.global_step == last:
                torch.cuda.set_sync_debug_mode("default")

    far = 10**6
    kinds: list[tuple[str, Row]] = [
        ("DCGAN", {}),
        ("SeqGAN", {"mle_steps": far}),
        ("SeqGAN", {"mle_steps": 0, "discriminator_steps": far}),
        ("SeqGAN", {"mle_steps": 0, "discriminator_steps": 0}),
        ("SeqGAN", {"mle_steps": 0, "discriminator_steps": 0, "generator": "transformer"}),
        ("TimeGAN", {"autoencoder_steps": far}),
        ("TimeGAN", {"autoencoder_steps": 0, "supervisor_steps": far}),
        ("TimeGAN", {"autoencoder_steps": 0, "supervisor_steps": 0}),
        ("TimeGAN", {"autoencoder_steps": 0, "supervisor_steps": 0, "preset": "paper"}),
    ]

    def one(name: str, options: Row) -> Row:
        places.clear()
        make_data, make = makers(run.tiny, 0)[name]
        data = make_data()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = note
            try:
                fit(make(data.schema, **options), data, last + 1, Watch())
            finally:
                torch.cuda.set_sync_debug_mode("default")
        found = "; ".join(f"{place} ×{count}" for place, count in places.items())
        return {"waits": sum(places.values()), **({"status": f"failed: waits at {found}"} if found else {})}

    for name, options in kinds:
        shown = " ".join(f"{k}={v}" for k, v in options.items())
        row = {"model": name, "options": shown, "steps": last - first}
        yield attempt(row, lambda name=name, options=options: one(name, options))


# ---- speed -----------------------------------------------------------------------------------------------------------


def speed(run: Run) -> Iterator[Row]:
    """Ratios by benchmark.py's own sections."""
    import benchmark as b

    b.quiet(THREADS)
    tiny = run.tiny
    width, kernel, size, pairs, seconds = (4, 4, 4, 1, 0.0) if tiny else (128, 5, 64, 20, 0.3)
    words: Row = {"words": 50, "length": 4, "rollouts": 2} if tiny else {}
    parts: dict[str, Callable[[], list[Row]]] = {
        # First: a process that has trained cannot fork.
        "memory": lambda: b.section_memory(width, kernel, size, THREADS, "fork" if tiny and not CUDA else "spawn"),
        "step": lambda: b.section_step(width, kernel, size, pairs, compile=False),
        "rollout": lambda: b.section_rollout(1 if tiny else 3, size, **words),
        "timegan": lambda: b.section_timegan(1, 4, length=3) if tiny else b.section_timegan(2),
        "sampling": lambda: b.section_sampling(width, kernel, seconds),
    }
    for part, section in parts.items():
        try:
            for row in section():
                failed = next((v for v in row.values() if isinstance(v, str) and v.startswith("failed")), None)
                yield {"part": part, **row, **({"status": failed} if failed else {})}
        except Exception as error:
            traceback.print_exc()
            yield {"part": part, "status": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"}


# ---- profile ---------------------------------------------------------------------------------------------------------


def profile(run: Run) -> Iterator[Row]:
    """The ten operations that cost most in a few steps of each model, the papers' networks."""
    import benchmark as b
    import benchmark_seqgan as s
    import benchmark_timegan as t
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    b.quiet(THREADS)
    tiny, steps = run.tiny, 1 if run.tiny else 5

    def measured(step: Callable[[], Any]) -> list[Row]:
        for _ in range(1 if tiny else 5):
            step()
        b.synchronise()
        with profiler(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if CUDA else [])]) as seen:
            for _ in range(steps):
                step()
            b.synchronise()
        time_of = "self_device_time_total" if CUDA else "self_cpu_time_total"
        events = sorted(seen.key_averages(), key=lambda e: -getattr(e, time_of))
        whole = sum(getattr(e, time_of) for e in events) or 1
        return [
            {
                "operation": event.key[:80],
                "calls a step": event.count / steps,
                "ms a step": getattr(event, time_of) / 1e3 / steps,
                "share": f"{100 * getattr(event, time_of) / whole:.0f} %",
            }
            for event in events[:10]
        ]

    def dcgan() -> list[Row]:
        model = b.build(preset="paper", width=4 if tiny else 128, kernel_size=4 if tiny else 5)
        return measured(b.BareLoop(model, b.random_batch(model, 4 if tiny else 64), "bf16-mixed"))

    def seqgan() -> list[Row]:
        words: Row = (
            {"words": 50, "length": 4, "rollouts": 2} if tiny else {"words": 5000, "length": 20, "rollouts": 16}
        )
        return measured(s.OurStep(batch_size=4 if tiny else 64, bf16=True, **words))

    def timegan() -> list[Row]:
        table = t.waves()
        rows: list[Row] = []
        model = t.build(d_threshold=t.THRESHOLD, **t.PHASES["joint"])
        batches = t.on_device(table, 4 if tiny else 128)
        t.inside(model, table, batches, lambda step: rows.extend(measured(lambda: [step() for _ in range(3)])))
        return rows

    for name, of in (("DCGAN", dcgan), ("SeqGAN", seqgan), ("TimeGAN", timegan)):
        try:
            yield from ({"part": name, **row} for row in of())
        except Exception as error:
            traceback.print_exc()
            yield {"part": name, "status": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"}


SECTIONS: dict[str, Callable[[Run], Iterator[Row]]] = {
    "tests": tests,
    "precision": precision,
    "waits": waits,
    "speed": speed,
    "profile": profile,
    "trainings": trainings,
}
