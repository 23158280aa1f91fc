"""The wheel: what is in it, and that it runs where the repository is not."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ganaug", "datamodules")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline, of a copy, so that nothing is left behind in the repository."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in (*PACKAGES, "tests", "experiments"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    subprocess.run(built, check=True, cwd=source, capture_output=True)
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(unpacked: Path, program: str, *words: str) -> str:
    """What a program prints that finds the wheel's packages before any others."""
    elsewhere = unpacked / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    env = os.environ | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-P", "-c", program, *words]
    done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {str(p.relative_to(ROOT)) for package in PACKAGES for p in (ROOT / package).rglob("*.py")}
    ours |= {f"{package}/py.typed" for package in PACKAGES}
    meta = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    assert names - meta == ours
    assert any(name.endswith("/licenses/LICENSE") for name in meta)


def test_it_runs_from_an_empty_folder(unpacked: Path) -> None:
    version = run(unpacked, "import ganaug, importlib.metadata as m; print(ganaug.__file__, m.version('ganaug'))")
    file, number = version.split()
    assert Path(file).is_relative_to(unpacked)
    assert f'version = "{number}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    main = "from ganaug.cli import main; main()"
    assert run(unpacked, main, "--help").startswith("usage: ganaug")
    assert "train 1,295, val 143, test 359" in run(unpacked, main, "inspect", "--data", "Digits")


def test_the_command_is_the_one_of_the_wheel(unpacked: Path) -> None:
    (points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "ganaug = ganaug.cli:main" in points.read_text()


def test_the_version_is_the_same_wherever_it_is_said() -> None:
    number = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert number
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    released = re.search(r"^date-released: (\S+)$", citation, re.MULTILINE)
    assert f"\nversion: {number[1]}\n" in citation
    assert released
    headings = re.findall("^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", f"{number[1]} ({released[1]})"]
