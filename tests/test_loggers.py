"""Loggers as people name them: previews and scores reach each, and a run's folder is where it is looked for."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, WandbLogger
from PIL import Image

from ganaug.cli import main
from ganaug.kind import kind_of
from ganaug.loggers import set_aside, show
from tests import test_callbacks
from tests.gans.timegan import test_model as test_timegan

RUN = [
    "fit", "--model", "DCGAN", "--data", "Digits", "--model.width", "4", "--trainer.accelerator", "cpu",
    "--trainer.enable_progress_bar", "false", "--trainer.val_check_interval", "2", "--scores.steps", "2",
    "--trainer.log_every_n_steps", "1", "--previews.every_n_steps", "2", "--previews.per_class", "2",
    "--trainer.limit_val_batches", "1",
]  # fmt: skip


def test_a_csv_logger_without_further_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lightning_logs" / "dcgan_digits" / "version_0"
    for steps in ("2", "4"):  # what the first has written is kept
        main([*RUN, "--trainer.logger", "CSVLogger", "--trainer.max_steps", steps, "--ckpt_path", "last"])
    for name, steps in (("metrics_1.csv", ["0", "1"]), ("metrics.csv", ["2", "3"])):
        with (folder / name).open() as file:
            rows = list(csv.DictReader(file))
        assert [row["step"] for row in rows if row["loss/d"]] == steps
        assert sum(bool(row["score/kernel_distance"]) for row in rows) == 1
    assert (folder / "checkpoints" / "last.ckpt").exists()
    previews = sorted((folder / "previews").iterdir())
    assert [path.stem for path in previews] == ["real-00000000", "samples-00000001", "samples-00000003"]
    assert np.asarray(Image.open(previews[1])).shape[2] == 3


def test_beside_another_logger_the_run_has_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from lightning.pytorch.loggers import Logger\n"
        "class Mine(Logger):\n"
        "    name, version = 'mine', 0\n"
        "    def log_metrics(self, metrics, step=None): print('mine', step, *metrics)\n"
        "    def log_hyperparams(self, params, *args, **kwargs): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("ganaug.runtime.outside.IMPORTED", [])  # else processes of later tests look for it
    main(["--import", "mine", *RUN, "--trainer.logger", "mine.Mine", "--trainer.max_steps", "2"])
    assert "score/kernel_distance" in capsys.readouterr().out
    folder = tmp_path / "lightning_logs" / "dcgan_digits" / "version_0"
    assert (folder / "checkpoints" / "last.ckpt").exists()
    assert list(folder.glob("events*"))
    sys.modules.pop("mine")


def test_a_logger_whose_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main([*RUN, "--trainer.logger", "CometLogger"])  # no extra brings comet_ml
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("ganaug fit: error: ")
    assert "comet" in line
    assert list(tmp_path.iterdir()) == []


class Board:
    """What wandb and MLflow are handed."""

    def __init__(self) -> None:
        self.seen = []

    def log_image(self, *args, **kwargs) -> None:
        self.seen.append(("image", args, kwargs))

    def log_text(self, *args, **kwargs) -> None:
        self.seen.append(("text", args, kwargs))


def shown(kind: str):
    """Something to show of sentences, or of series."""
    data = test_callbacks.Letters(rows=20) if kind == "text" else test_timegan.Waves(batch_size=4)
    data.setup()
    return kind_of(data.schema).preview(data.schema, next(data.train.batches(4)))


def test_tables_and_figures_for_wandb_and_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, figure = shown("text"), shown("series")
    wandb, board = object.__new__(WandbLogger), Board()
    monkeypatch.setattr(WandbLogger, "log_image", board.log_image)
    monkeypatch.setattr(WandbLogger, "log_text", board.log_text)
    mlflow = object.__new__(MLFlowLogger)
    monkeypatch.setattr(MLFlowLogger, "experiment", board)
    monkeypatch.setattr(MLFlowLogger, "run_id", "7")
    for logger in (wandb, mlflow):
        show(logger, "samples", table, 3)
        show(logger, "samples", figure, 3)
    one, two, three, four = board.seen
    assert one == ("text", ("samples", ["class", "sentence"], [list(row) for row in table]), {"step": 3})
    assert three[0] == "text"
    assert three[1][0] == "7"
    assert three[1][2] == "samples/00000003.md"
    assert two[2] == {"step": 3}
    assert four[2] == {"key": "samples", "step": 3}
    for picture in (two[1][1][0], four[1][1]):
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
    show(CSVLogger(tmp_path, name="a", version=0), "samples", table, 3)
    assert (tmp_path / "a" / "version_0" / "previews" / "samples-00000003.md").read_text().startswith("| class |")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["WandbLogger", "--trainer.logger.offline", "true"], ["MLFlowLogger"]])
def test_real_loggers(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their packages are at hand; both write to this machine alone."""
    pytest.importorskip({"WandbLogger": "wandb", "MLFlowLogger": "mlflow"}[words[0]])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    main([*RUN, "--trainer.max_steps", "2", "--trainer.logger", *words])
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    if words[0] == "MLFlowLogger":
        assert any(name.endswith("metrics/score/kernel_distance") for name in names)
        assert any("artifacts/images/samples" in name for name in names)
    else:
        assert any("wandb/offline-run" in name and "media/images/samples" in name for name in names)


def test_metrics_that_are_set_aside_never_replace_others(tmp_path: Path) -> None:
    for name in ("metrics", "metrics_2"):
        (tmp_path / f"{name}.csv").write_text(name)
    set_aside(tmp_path / "metrics.csv")
    assert {path.stem: path.read_text() for path in tmp_path.iterdir()} == {
        "metrics_2": "metrics_2",
        "metrics_3": "metrics",
    }
