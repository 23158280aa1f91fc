"""Classes of somebody else's: their options lie in the checkpoint, and their modules are imported on request."""

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules import Digits, InputError
from datamodules.images.schema import ImageSchema
from ganaug import DCGAN, GAN, SyntheticDataset, load
from ganaug.cli import main
from ganaug.gans.dcgan.model import PRESETS
from ganaug.runtime.outside import import_modules
from ganaug.study.workers import starting
from tests.gan_contract import trainer
from tests.gans.test_checkpoint import SMALL, fit, same


class Sharper(DCGAN):
    """Takes whatever DCGAN does, and says one of its options itself."""

    def __init__(self, schema: ImageSchema, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(schema, n_critic=2, **kwargs)
        self.gain = gain


class Fixed(DCGAN):
    """Takes a list of its own, one of which means something else than DCGAN's."""

    def __init__(self, schema: ImageSchema, gain: float = 1.0, width: int = 4, lr_g: float | None = None) -> None:
        super().__init__(schema, width=2 * width, latent_dim=4, lr_g=lr_g)
        self.gain = gain


class Passing(DCGAN):
    """Passes everything on."""

    def __init__(self, *args: Any, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = gain


class Asking(DCGAN):
    """Cannot be built without values of tensors, and holds one that no checkpoint has."""

    def __init__(self, schema: ImageSchema, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(schema, **kwargs)
        self.gain = float(torch.tensor(gain).item())
        self.register_buffer("twice", torch.tensor(2 * gain), persistent=False)


def saved(model: GAN, path: Path, monkeypatch: pytest.MonkeyPatch, steps: int = 1) -> Path:
    data = Digits(per_class=4, batch_size=4)
    run = trainer(steps, logger=False)
    run.fit(model, data)
    run.save_checkpoint(path)
    for name in ("lr_g", "width"):  # of another version
        monkeypatch.setitem(PRESETS["scarce"], name, PRESETS["scarce"][name] * 2)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda schema: Sharper(schema, gain=0.0, width=4),
        lambda schema: Fixed(schema, 0.0),
        lambda schema: Passing(schema, "scarce", 4, gain=0.0),
        lambda schema: Asking(schema, gain=0.0, width=4),
    ],
    ids=["kwargs", "fixed", "args", "asking"],
)
def test_a_subclass_keeps_its_options(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(Digits().schema)
    path = saved(model, tmp_path / "a.ckpt", monkeypatch)
    again = load(path)
    assert type(again) is type(model)
    assert again.gain == 0.0
    assert dict(again.hparams) == dict(model.hparams)
    assert same(dict(again.state_dict()), dict(model.state_dict()))
    twin = pickle.loads(pickle.dumps(SyntheticDataset(again, per_class=1))).model
    assert (twin.gain, dict(twin.hparams)) == (0.0, dict(model.hparams))
    if isinstance(model, Asking):
        assert again.twice == 0


def test_a_subclass_is_resumed_with_its_own_options_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Digits(per_class=4, batch_size=4)
    path = saved(Sharper(data.schema, gain=0.0, width=4, lr_g=2e-4), tmp_path / "a.ckpt", monkeypatch)
    with pytest.raises(InputError, match=r"gain 0\.0 there, 1\.0 here"):
        trainer(2).fit(Sharper(data.schema, width=4, lr_g=2e-4), data, ckpt_path=path)
    trainer(2).fit(Sharper(data.schema, gain=0.0, width=4, lr_g=2e-4), data, ckpt_path=path)


def test_options_that_have_come_to_mean_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(Fixed(Digits().schema), tmp_path / "a.ckpt", monkeypatch)
    monkeypatch.setattr(Fixed, "__init__", lambda self, schema, gain=1.0, width=4, lr_g=None: DCGAN.__init__(
        self, schema, width=2 * width, latent_dim=4, lr_g=1e-3))  # fmt: skip
    with pytest.raises(InputError, match=r"lr_g was 0\.0002 and would now become 0\.001"):
        load(path)


OUTSIDE = """
from typing import Any
from ganaug import DCGAN

class Outsider(DCGAN):
    def __init__(self, *args: Any, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = gain
"""


def test_classes_of_a_module_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setattr("ganaug.runtime.outside.IMPORTED", [])
    (tmp_path / "from_outside.py").write_text(OUTSIDE)
    monkeypatch.setitem(SMALL, "Outsider", ["--model=Outsider", "--model.gain=0", *SMALL["DCGAN"][1:]])
    ckpt = fit("Outsider", tmp_path / "run", 1, "--import", "from_outside")
    del GAN.models["Outsider"], sys.modules["from_outside"]
    generate = ["generate", f"--ckpt={ckpt}", "--out=out", "--n=2", "--accelerator=cpu", "--progress=false"]

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        assert end.value.code == 2
        return next(line for line in capsys.readouterr().err.splitlines() if "error:" in line)

    assert "holds a Outsider" in said(*generate)
    assert "--import nowhere: No module named 'nowhere'" in said(*generate, "--import=nowhere")
    (tmp_path / "broken.py").write_text("from torch import nosuch\n")
    (tmp_path / "unfinished.py").write_text("def f(:\n")
    assert "--import broken: cannot import name 'nosuch' from 'torch'" in said(*generate, "--import=broken")
    assert "--import unfinished: invalid syntax (unfinished.py, line 1)" in said(*generate, "--import=unfinished")
    assert "not the name of a module" in said("--import", "from_outside.py", *generate)
    assert "--import: name a module" in said(*generate, "--import")
    main([*generate, "--import=from_outside"])
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert load(ckpt).gain == 0
    del GAN.models["Outsider"]


@pytest.mark.slow
def test_processes_know_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "also_outside.py").write_text(OUTSIDE)
    import_modules(["also_outside"])
    with starting(1) as start:
        assert start("").submit(eval, "'Outsider' in __import__('ganaug').GAN.models").result()
    del GAN.models["Outsider"]
