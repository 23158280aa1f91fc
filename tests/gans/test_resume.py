"""Going on with other options where that is asked for, and where a run ends."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ganaug import load
from tests.gans import test_checkpoint
from tests.gans.test_checkpoint import END, STOP, fit

made = test_checkpoint.made  # the fixture


def groups(path: Path) -> list[dict[str, Any]]:
    return [
        group for state in torch.load(path, weights_only=True)["optimizer_states"] for group in state["param_groups"]
    ]


def test_options_may_change_on_resume_where_that_is_asked_for(
    made, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    whole = f"--ckpt_path={made['DCGAN']['path']}"
    other = ["--model.lr_g=1e-5", "--model.betas=[0.1, 0.9]", "--model.ema_decay=0.5", "--model.clip=1e-9"]

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            fit("DCGAN", tmp_path / "refused", END, whole, *arguments)
        assert end.value.code == 2
        return next(line for line in capsys.readouterr().err.splitlines() if "error:" in line)

    refused = said(*other, "--allow_changes=[betas,ema_decay,clip]")
    assert "lr_g 0.0002 there, 1e-05 here" in refused
    assert refused.endswith("let them differ by --allow_changes [lr_g]")
    assert "no option lr_x" in said("--allow_changes=[lr_x]")
    assert "with width changed its weights do not fit" in said("--model.width=8", "--allow_changes=[width]")
    path = fit("DCGAN", tmp_path / "changed", END, whole, *other, "--allow_changes=[lr_g,betas,ema_decay,clip]")
    line = next(line for line in caplog.messages if "changed on resume" in line)
    assert "lr_g 0.0002 -> 1e-05" in line
    assert "clip None -> 1e-09" in line
    assert [(group["lr"], tuple(group["betas"])) for group in groups(path)] == [(1e-5, (0.1, 0.9)), (2e-4, (0.1, 0.9))]
    before, after = made["DCGAN"]["content"]["state_dict"], torch.load(path, weights_only=True)["state_dict"]
    name = "generator.project.weight"
    moved = (after[name] - before[name]).abs().max()
    assert 0 < moved < (made["DCGAN"]["end"][name] - before[name]).abs().max() / 5
    assert load(path).hp.ema_decay == 0.5
    fit("DCGAN", tmp_path / "on", END + 1, f"--ckpt_path={path}", *other)  # it is what the new run was made with


def test_rates_that_fall_take_up_a_change(made, tmp_path: Path) -> None:
    path = fit("TimeGAN", tmp_path, END, f"--ckpt_path={made['TimeGAN']['path']}", "--model.lr_g=1e-5",
               "--model.decay_steps=0", "--allow_changes=[lr_g,decay_steps]")  # fmt: skip
    rates = [group["lr"] for group in groups(path)]
    assert rates[3] == 1e-5
    assert rates[0] == rates[1] == 3e-3


def test_a_run_with_a_longest_time_goes_on(made, tmp_path: Path) -> None:
    """Lightning's Timer keeps whole numbers before a run, and others after."""
    timed = "--trainer.max_time=00:01:00:00"
    path = fit("DCGAN", tmp_path / "a", STOP, timed)
    again = fit("DCGAN", tmp_path / "b", END, timed, f"--ckpt_path={path}")
    weights = torch.load(again, weights_only=True)["state_dict"]
    for name, weight in made["DCGAN"]["end"].items():
        assert torch.equal(weight, weights[name]), name


def test_a_run_that_is_to_end_before_its_checkpoint(made, tmp_path: Path, capsys: Any, caplog: Any) -> None:
    caplog.set_level("INFO")
    for kind, its in made.items():
        with pytest.raises(SystemExit) as end:
            fit(kind, tmp_path / kind, STOP - 1, f"--ckpt_path={its['path']}")
        assert end.value.code == 2
        assert f"it is at step {STOP}, and the run is to end at step {STOP - 1}" in capsys.readouterr().err
        caplog.clear()
        fit(kind, tmp_path / kind, STOP, f"--ckpt_path={its['path']}")
        assert f"the run is complete: the checkpoint is at step {STOP} of {STOP}" in caplog.text
