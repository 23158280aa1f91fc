import re
import runpy
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
STEPS = {"images": 3, "text": 6, "series": 8}


@pytest.mark.parametrize("name", STEPS)
def test_examples_run_from_top_to_bottom(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, value in {"ROWS": 3, "GAN_STEPS": STEPS[name], "STEPS": 2, "RATIO": 2}.items():
        monkeypatch.setenv(variable, str(value))
    space = runpy.run_path(str(EXPERIMENTS / f"example_{name}.py"))
    told = re.findall(r"^3 \w+ of each class, (.+): (\d+\.\d)% right", capsys.readouterr().out, re.MULTILINE)
    assert [arm for arm, _ in told] == ["real alone", "with 2 samples for each"]
    assert all(0 <= float(accuracy) <= 100 for _, accuracy in told)
    assert float(told[1][1]) == pytest.approx(100 * space["accuracy"], abs=0.06)
    real, synthetic = space["real"], space["synthetic"]
    assert len(real.train) == 3 * real.schema.num_classes
    assert len(space["data"].train) == 9 * real.schema.num_classes
    assert len(synthetic) == 6 * real.schema.num_classes
    assert space["gan"].schema == real.schema
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_examples_have_cells() -> None:
    for name in STEPS:
        lines = (EXPERIMENTS / f"example_{name}.py").read_text().splitlines()
        assert sum(line.startswith("# %%") for line in lines) >= 3
        assert len(lines) < 65
