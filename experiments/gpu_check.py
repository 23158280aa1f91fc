"""What has to be seen on a GPU, in one command, for a machine that is at hand for minutes.

    python experiments/gpu_check.py --minutes 8 --out gpu_check --data DIR
    python experiments/gpu_check.py --tiny --out gpu_check    # every section on a CPU, in two minutes

Each section of gpu_sections.py runs in a process of its own, which is killed when its share of the time is over: one
that fails or hangs does not take the others along. Figures are kept as they come, in ``DIR/<section>.jsonl``; status
and figures of all sections so far in ``DIR/results.json`` and ``DIR/results.md``; what a section prints in
``DIR/<section>.log``. The exit status is 1 where a section failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tables import table

SHARES = {"tests": 20, "precision": 22, "waits": 8, "speed": 20, "profile": 6, "trainings": 24}  # in order of worth
ROOT = Path(__file__).parents[1]
Command = Callable[[str, float], list[str]]  # of a section's name and its seconds


def measure(name: str, command: list[str], seconds: float, out: Path) -> dict[str, Any]:
    """Run a section's process for at most so many seconds.

    Returns:
        Its status (ok, failed: why, not run: why), seconds, the device it names and its rows.
    """
    figures = out / f"{name}.jsonl"
    figures.unlink(missing_ok=True)
    begun = time.monotonic()
    with (out / f"{name}.log").open("w") as log:
        # A session of its own, so that what it has started ends with it.
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = figures.read_text().splitlines(keepends=True) if figures.exists() else []
    known = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be half written
    rows = [row for row in known if "device" not in row]
    status = judged(rows, code, seconds, (out / f"{name}.log").read_text(errors="replace"))
    device = next((row["device"] for row in known if "device" in row), "unknown")
    return {"status": status, "seconds": round(time.monotonic() - begun, 1), "device": device, "rows": rows}


def judged(rows: list[dict[str, Any]], code: int | None, seconds: float, log: str) -> str:
    """The status of a section by its rows, its exit status (None: it was killed), its time and its log."""
    if code is None:
        return f"failed: stopped after {seconds:.0f} s, its share of the time, with {len(rows)} rows"
    if code:
        said = log.strip().splitlines() or ["it said nothing"]
        return f"failed: exit status {code}: {said[-1][:300]}"
    if failed := [row["status"] for row in rows if row.get("status", "ok").startswith("failed")]:
        return f"failed: {len(failed)} of {len(rows)} rows, first: {failed[0].removeprefix('failed: ')[:300]}"
    if not rows:
        return "failed: it gave no figures"
    if all(row.get("status", "ok").startswith("not run") for row in rows):
        return str(rows[0]["status"])
    return "ok"


def check(shares: Mapping[str, float], command: Command, seconds: float, out: Path, at_once: int = 1) -> bool:
    """Run all sections and keep the results after each.

    Args:
        shares: sections in the order in which they run, with their shares of the time; what one leaves, others get.
        command: the process of a section.
        seconds: of all of them.
        out: folder for the results.
        at_once: how many run side by side.

    Returns:
        Whether none failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    results: dict[str, Any] = {name: {"status": "not run: not begun", "seconds": 0.0, "rows": []} for name in shares}
    names = list(shares)

    def one(name: str) -> None:
        left = max(0.0, end - time.monotonic()) * at_once
        own = min(left / at_once, left * shares[name] / sum(shares[n] for n in names[names.index(name) :]))
        if own < 1:
            results[name]["status"] = "failed: no time was left for it"
        else:
            results[name] = measure(name, command(name, own), own, out)
        print(f"{name}: {results[name]['status']} ({results[name]['seconds']:.0f} s)", flush=True)
        write(results, out)

    write(results, out)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, names))
    return not any(result["status"].startswith("failed") for result in results.values())


def write(results: dict[str, Any], out: Path) -> None:
    """``results.json`` and ``results.md``."""
    machine = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "python": platform.python_version()}
    for package in ("torch", "torchvision", "lightning"):
        try:
            machine[package] = version(package)
        except PackageNotFoundError:
            machine[package] = "missing"
    devices = {r["device"] for r in results.values() if r.get("device", "unknown") != "unknown"}
    machine["device"] = ", ".join(sorted(devices)) or "unknown"
    whole = {"machine": machine, "sections": results}
    (out / "results.json").write_text(json.dumps(whole, indent=1) + "\n")
    parts = ["# GPU check", ", ".join(f"{name} {value}" for name, value in machine.items())]
    summary = []
    for name, result in results.items():
        states = [row.get("status", "ok").split(":")[0] for row in result["rows"]]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        status, seconds = one_cell(result["status"]), f"{result['seconds']:.0f}"
        summary.append({"section": name, "status": status, "seconds": seconds, "figures": counts})
    parts.append(table(summary))
    for name, result in results.items():
        for part in dict.fromkeys(row.get("part", "") for row in result["rows"]):
            rows = [row for row in result["rows"] if row.get("part", "") == part]
            shown = [{k: one_cell(v) for k, v in row.items() if k != "part"} for row in rows]
            parts.append(f"## {name}{': ' if part else ''}{part}\n\n{table(shown)}")
    (out / "results.md").write_text("\n\n".join(parts) + "\n")


def one_cell(value: Any) -> Any:
    """Text that does not break the table."""
    return " ".join(value.split()).replace("|", "\\|") if isinstance(value, str) else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="of all sections together")
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="folder for the results")
    parser.add_argument("--data", type=Path, help="folder with mnist.npz, cifar10_4000.npz, stock_data.csv, …")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, for a CPU")
    parser.add_argument("--section", choices=SHARES, help="this one alone, in this process")
    parser.add_argument("--seconds", type=float, default=3600.0, help="of that one")
    given = parser.parse_args()
    out = given.out.absolute()
    if given.section:
        sys.path.insert(0, str(ROOT))  # for a machine where the packages are not installed
        import gpu_sections

        out.mkdir(parents=True, exist_ok=True)
        return gpu_sections.run(given.section, out, given.data, given.tiny, given.seconds)

    def command(name: str, seconds: float) -> list[str]:
        own = ["--section", name, "--seconds", f"{seconds:.0f}", "--out", str(out)]
        own += ["--data", str(given.data.absolute())] if given.data else []
        return [sys.executable, __file__, *own, *(["--tiny"] if given.tiny else [])]

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # Sections on a CPU mostly import; on a GPU they would disturb each other's times.
    return 0 if check(SHARES, command, 60 * given.minutes, out, at_once=2 if given.tiny else 1) else 1


if __name__ == "__main__":
    sys.exit(main())
