"""The command line: which run is meant, what is left behind, and what a person reads who asked for something else."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ganaug import parsing
from ganaug.cli import main
from ganaug.runtime.stopping import Stopped

FIT = [
    "fit", "--model", "DCGAN", "--model.width", "4", "--data", "Digits", "--data.batch_size", "8", "--name", "run",
    "--trainer.accelerator", "cpu", "--trainer.max_steps", "2", "--trainer.limit_val_batches", "0",
    "--trainer.enable_progress_bar", "false", "--previews.every_n_steps", "0",
]  # fmt: skip
RUN = Path("lightning_logs", "run")
ROOT = Path(__file__).parents[2]

STUDY = ["augment", "--data", "Digits", "--model", "DCGAN", "--out", "study"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(*args: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(args))
    assert end.value.code == 2


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What a refused command has printed: one line."""
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "error:" in line)
    return line


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_that_wait_give_their_core_away_unless_told_otherwise(own: dict, expected: str | None) -> None:
    """Before torch is there: what waits is read when it is loaded."""
    code = (
        "import os, sys; from ganaug.cli import main; main(['--version']); assert 'torch' not in sys.modules;"
        " print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=env | own, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ganaug", version("ganaug"), str(expected)]


def test_runs_are_found_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    main(FIT)
    (RUN / "version_0").rename(RUN / "version_0_old")
    refused("validate", *FIT[1:], "--ckpt_path", "last")
    assert "no last.ckpt under lightning_logs/run" in said(capsys)
    refused(*FIT, "--ckpt_path", "best")
    assert "no best.ckpt under lightning_logs/run" in said(capsys)
    refused(*FIT, "--ckpt_path", "hpc")
    assert "give last, best or the path" in said(capsys)
    refused(*FIT, "--ckpt_path", "none.ckpt")
    assert "no checkpoint at none.ckpt" in said(capsys)
    assert not (RUN / "version_0").exists()  # nor any other folder of a run that was not begun
    main([*FIT, "--ckpt_path", "last"])
    assert "starting a new run" in capsys.readouterr().out
    main([*FIT, "--ckpt_path", "last", "--trainer.max_steps", "4"])
    assert "resuming from lightning_logs/run/version_1/" in capsys.readouterr().out
    last = RUN / "version_1" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 4
    (last.parent / "best.ckpt").write_bytes(last.read_bytes())
    main(["validate", *FIT[1:], "--ckpt_path", "best"])
    assert "checkpoint lightning_logs/run/version_1/checkpoints/best.ckpt" in capsys.readouterr().out


def test_a_refused_resume_leaves_the_options_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    main(FIT)
    config = RUN / "version_0" / "config.yaml"
    before = config.read_text()
    assert yaml.safe_load(before)["model"]["init_args"]["width"] == 4
    refused(*FIT, "--ckpt_path", "last", "--model.width", "8", "--trainer.max_steps", "4")
    assert "width 4 there, 8 here" in said(capsys)
    assert config.read_text() == before
    main([*FIT, "--ckpt_path", "last", "--trainer.max_steps", "4"])
    assert yaml.safe_load(config.read_text())["trainer"]["max_steps"] == 4


def test_options_that_may_differ_from_a_checkpoints_may_where_it_is_validated(capsys: Any) -> None:
    main(FIT)
    last = str(RUN / "version_0" / "checkpoints" / "last.ckpt")
    validate = ["validate", *FIT[1:], "--ckpt_path", last, "--model.betas", "[0.1, 0.9]"]
    refused(*validate)
    assert "let them differ by --allow_changes [betas]" in said(capsys)
    main([*validate, "--allow_changes", "[betas]"])


def test_validation_by_time_is_the_trainers_affair() -> None:
    main([*FIT, "--trainer.val_check_interval", "00:00:10:00"])
    assert (RUN / "version_0" / "checkpoints" / "last.ckpt").is_file()


def test_options_that_lightning_takes_are_taken() -> None:
    data = ["--trainer.check_val_every_n_epoch", "1", "--trainer.limit_val_batches", "1"]
    main([*FIT, *data, "--data.steps_per_epoch", "2"])  # the default, every 1,000 batches, is none of so many
    main([*FIT, "--trainer.enable_progress_bar", "true", "--trainer.callbacks", "TQDMProgressBar"])
    assert (RUN / "version_1" / "checkpoints" / "last.ckpt").is_file()


def test_the_options_of_a_resumed_run_begin_a_new_one() -> None:
    logged = [*FIT, "--trainer.logger", "CSVLogger"]
    main(logged)
    main([*logged, "--ckpt_path", "last", "--trainer.max_steps", "4"])
    run = RUN / "version_0"
    again = yaml.safe_load((run / "config.yaml").read_text())
    assert again["ckpt_path"] == "last"
    assert again["trainer"]["logger"]["init_args"]["save_dir"] == "lightning_logs"
    before = (run / "checkpoints" / "last.ckpt").read_bytes()
    main(["fit", "--config", str(run / "config.yaml"), "--ckpt_path", "null", "--trainer.max_steps", "1"])
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == before
    assert (RUN / "version_1" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["generate"], "ckpt"),
        (["evaluate"], "data"),
        (["augment"], "data"),
        (["fit", "--config", "latin.yaml"], "--config: not a YAML file in UTF-8"),
        ([*FIT, "--trainer.val_check_interval", "0"], "val_check_interval must be above 0"),
        ([*FIT, "--previews.per_class", "0"], "previews.per_class must be at least 1, not 0"),
        ([*FIT, "--trainer.overfit_batches", "1"], "overfit_batches: give the data a per_class instead"),
        ([*FIT, "--trainer.gradient_clip_val", "1"], "give --model.clip instead"),
        ([*FIT, "--trainer.accumulate_grad_batches", "2"], "give --model.accumulate instead"),
        (
            [*FIT, "--trainer.logger.save_dir", "logs"],
            "--trainer.logger: save_dir is an option of no class yet: name that before it, --trainer.logger CSVLogger",
        ),
        ([*FIT, "--trainer.precision", "64-true"], "precision 64-true: a GAN trains in 32-true"),
        ([*FIT, "--trainer.strategy", "fsdp"], "fsdp"),
        ([*FIT, "--trainer.strategy", "ddp_spawn", "--trainer.devices", "2"], "not by spawn or fork"),
        ([*FIT, "--trainer.callbacks", "LearningRateFinder"], "LearningRateFinder knows automatic optimisation alone"),
        ([*FIT, "--trainer.default_root_dir", "/proc/x"], "/proc/x"),
        ([*FIT, "--ckpt_path", ""], "--ckpt_path '': give last, best or the path"),
        ([*FIT, "--ckpt_path", "last", "--trainer.logger", "false"], "with no logger give the path of the checkpoint"),
        (["validate", *FIT[1:], "--init_from", "a.ckpt"], "--init_from is for fit"),
        (["validate", *FIT[1:]], "validate needs --ckpt_path: last, best, or the path of a checkpoint"),
        (["predict", *FIT[1:]], "predict needs --ckpt_path"),
        ([*FIT, "--best.save_top_k", "3"], "--best.save_top_k must be 0 or 1, not 3, since best.ckpt is one file"),
        ([*FIT, "--trainer.sync_batchnorm", "true"], "layers that are told classes know no such"),
        ([*FIT, "--trainer.barebones", "true"], "a run is logged and kept"),
        ([*FIT, "--allow_changes", "lr_g"], "--allow_changes: must be a list, not lr_g: write [lr_g]"),
        (
            [*FIT, "--trainer.callbacks", "EarlyStopping"],
            "the following arguments are required: monitor",
        ),
        ([*FIT, "--trainer.callbacks", "Foo"], "--trainer.callbacks: no class 'Foo': give its import path"),
        (["fit", "--model.width", "3", "--data", "Digits"], "--model: width is an option of no class yet: name that"),
        (["fit", "--model", "DCGAN", "--data.path", "a"], "--data: path is an option of no class yet: name that"),
        ([*FIT, "--accelerator", "cpu"], "--accelerator cpu: did you mean --trainer.accelerator?"),
        (
            [
                *FIT,
                *("--trainer.callbacks", "ModelCheckpoint", "--trainer.callbacks.monitor", "score/kernel_distance"),
            ],
            "--trainer.callbacks: a second callback of the same kind and settings as one that is there: of ModelCheckp",
        ),
        ([*FIT, "--name", "../elsewhere"], "leads elsewhere: another folder by --trainer.default_root_dir"),
        ([*FIT, "--model.betas", "[2,3]"], "betas must be at least 0 and below 1, not [2.0, 3.0]"),
        (["fit"], "the following arguments are required: --data, --model"),
        (["evaluate"], "the following arguments are required: --data"),
        (["fit", "--config", "empty.yaml"], "a file of --config holds no options"),
        ([*STUDY, "--seeds", "3"], "--seeds must be a list, each a whole number, not 3: write [3] for a list of it"),
        ([*STUDY, "--imbalance", "{3: 0.1}"], "not {3: 0.1}: write [{3: 0.1}] for a list of it"),
        ([*FIT, "--data", "GANDataModule"], "GANDataModule has no rows of its own; known are "),
        ([*FIT, "--trainer.default_root_dir", "latin.yaml"], "latin.yaml"),
        (["evaluate", "--data", "Digits", "--samples", "x", "--out", "."], "out must be a file"),
        (["evaluate", "--data", "Digits", "--samples", "x", "--classifier_steps", "0"], "must be at least 1, not 0"),
        (["evaluate", "--data", "Digits", "--samples", "x", "--seed", "-4"], "seed must be at least 0, not -4"),
    ],
    ids=lambda v: " ".join(v[-2:]) if isinstance(v, list) else "",
)
def test_mistakes_get_one_line(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("latin.yaml").write_bytes(b"name: caf\xe9\n")
    Path("empty.yaml").touch()
    refused(*args)
    assert message in said(capsys)


@pytest.mark.parametrize(
    "callback",
    [["--best.monitor", "foo"], ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "foo"]],
)
def test_scores_that_nobody_logs_are_named(callback: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    scored = ["--trainer.limit_val_batches", "1", "--trainer.val_check_interval", "1", "--scores.steps", "2"]
    refused(*FIT, *scored, *callback)
    assert "foo" in said(capsys)


def test_no_checkpoints_where_none_are_wanted() -> None:
    main([*FIT, "--trainer.enable_checkpointing", "false"])
    assert not list(Path().rglob("*.ckpt"))


def test_generate_refuses_before_it_loses_anything(capsys: pytest.CaptureFixture[str]) -> None:
    main(FIT)
    ckpt = ["generate", "--ckpt", str(RUN / "version_0" / "checkpoints" / "last.ckpt"), "--n", "10"]
    capsys.readouterr()
    for devices in ("abc", "1.5"):
        refused(*ckpt, "--out", "new", "--accelerator", "cpu", "--devices", devices)
        assert "devices" in said(capsys)
    begun = Path("begun", ".partial", "request.json")
    for content in ("{", "[]"):
        begun.parent.mkdir(parents=True, exist_ok=True)
        begun.write_text(content)
        refused(*ckpt, "--out", "begun")
        assert f"{begun} is damaged: remove {begun.parent}" in said(capsys)
    Path("odd").mkdir()
    Path("odd", "manifest.json").write_text(json.dumps({"request": {}, "schema": "x"}))
    main([*ckpt, "--out", "odd", "--overwrite", "--accelerator", "cpu", "--progress", "false"])
    assert Path("odd", "0").is_dir()


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    goes_on = "stopped: the same command goes on where it was"
    for verb, stop, code, message in (
        ("evaluate", Stopped(130), 130, "stopped"),
        ("augment", Stopped(130), 130, goes_on),
        ("augment", Stopped(143), 143, goes_on),  # of a GAN that saved first
    ):

        def stopped(*_: object, stop: BaseException = stop) -> None:
            raise stop

        monkeypatch.setattr(parsing, "run_verb", stopped)
        with pytest.raises(SystemExit) as end:
            main([verb])
        assert end.value.code == code
        assert capsys.readouterr().err == f"ganaug {verb}: {message}\n"


def test_classes_that_cannot_be_written_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.jsonl").write_text('{"text": "a b", "label": "x\\ud800"}\n{"text": "a", "label": "y"}\n' * 20)
    refused("fit", "--model", "SeqGAN", "--data", "TextFile", "--data.path", "a.jsonl")
    assert "the class 'x\\ud800' is not Unicode, and could not be written: rename it" in said(capsys)
    np.savez("a.npz", x=np.zeros((40, 8, 8), dtype=np.uint8), y=np.array([b"a\xff", b"b"] * 20))
    refused("fit", "--model", "DCGAN", "--data", "ImageArrays", "--data.path", "a.npz")
    assert "a.npz: y holds bytes that are not UTF-8" in said(capsys)
    np.savez("a.npz", x=np.zeros((40, 8, 8), dtype=np.uint8), y=np.array([1.0, np.inf] * 20))
    refused("fit", "--model", "DCGAN", "--data", "ImageArrays", "--data.path", "a.npz")
    assert "a.npz: y has inf in row 1: labels are whole numbers or strings" in said(capsys)


@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["fitt"], 2)])
def test_help_and_wrong_subcommands_load_nothing_heavy(words: list[str], status: int) -> None:
    program = f"""
import sys
from ganaug.cli import main
try:
    main({words})
finally:
    assert not {{"torch", "numpy", "jsonargparse"}} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT).returncode == status
