"""``experiments/gpu_check.py``: every section runs on a CPU, and one that fails or hangs is named beside the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
sys.path.append(str(EXPERIMENTS))

from gpu_check import SHARES, check, judged  # noqa: E402

# What a section's process does, in the folder of the results.
GOOD = 'import pathlib; pathlib.Path(\'good.jsonl\').write_text(\'{"device": "none"}\\n{"figure": 1.5}\\n\')'
RAISES = "raise ValueError('the figure | is missing')"
HANGS = (
    "import pathlib, subprocess, sys, time; pathlib.Path('hangs.jsonl').write_text('{\"figure\": 2}\\n{\"half');"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "pathlib.Path('child').write_text(str(child.pid)); time.sleep(60)"
)


def test_every_section_runs_on_a_cpu(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, EXPERIMENTS / "gpu_check.py", "--tiny", "--minutes", "5", "--out", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    results = json.loads((tmp_path / "results.json").read_text())
    status = {name: section["status"] for name, section in results["sections"].items()}
    ok, no_gpu = "ok", "not run: needs a GPU"
    assert status == {
        "tests": no_gpu, "precision": ok, "waits": no_gpu, "speed": ok, "profile": ok, "trainings": ok,
    }, done.stdout  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {name: section["rows"] for name, section in results["sections"].items()}
    ran = [row for row in rows["precision"] if "status" not in row]
    assert len(ran) == 6
    assert all(row["finite"] and row["resumed to the bit"] for row in ran)
    assert {row["part"] for row in rows["speed"]} == {"step", "rollout", "timegan", "sampling", "memory"}
    assert all(len([r for r in rows["profile"] if r["part"] == m]) == 10 for m in ("DCGAN", "SeqGAN", "TimeGAN"))
    assert rows["trainings"][0]["trained steps"] == 4
    text = (tmp_path / "results.md").read_text()
    assert all(f"| {name} | {status[name]} |" in text for name in SHARES)


def test_sections_that_fail_and_hang_are_named_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scripts = {"raises": RAISES, "hangs": HANGS, "silent": "", "good": GOOD}
    shares = {"raises": 1.0, "hangs": 1.0, "silent": 4.0, "good": 4.0}
    assert not check(shares, lambda name, _: [sys.executable, "-c", scripts[name]], 20, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())["sections"]
    assert results["raises"]["status"] == "failed: exit status 1: ValueError: the figure | is missing"
    assert results["hangs"]["status"].startswith("failed: stopped after 2 s")
    assert results["hangs"]["rows"] == [{"figure": 2}]  # what came before, without the half line
    assert results["silent"]["status"] == "failed: it gave no figures"
    assert results["good"]["status"] == "ok"
    assert results["good"]["rows"] == [{"figure": 1.5}]
    text = (tmp_path / "results.md").read_text()
    assert "| raises | failed: exit status 1: ValueError: the figure \\| is missing |" in text
    assert "good: ok" in capsys.readouterr().out
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    assert not child.exists() or child.read_text().rsplit(")", 1)[1].split()[0] == "Z"  # killed too


def test_without_time_a_section_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    assert not check({"late": 1.0}, lambda name, _: [sys.executable, "-c", ""], 0.1, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["sections"]["late"]["status"].startswith(
        "failed: no time"
    )


def test_one_failed_row_fails_its_section() -> None:
    good, bad, not_run = {"figure": 1}, {"status": "failed: NaN"}, {"status": "not run: needs a GPU"}
    assert judged([good, bad], 0, 1.0, "") == "failed: 1 of 2 rows, first: NaN"
    assert judged([good, not_run], 0, 1.0, "") == "ok"
    assert judged([not_run, not_run], 0, 1.0, "") == "not run: needs a GPU"
