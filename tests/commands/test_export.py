"""A generator as a program of its own: the same samples, for any number of rows, and what is refused."""

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch

from datamodules import InputError
from datamodules.schema import Schema
from ganaug.cli import main
from ganaug.commands.export import Sample, export
from ganaug.gans.base import GAN
from ganaug.gans.loading import load
from tests.gan_contract import trainer
from tests.gans.dcgan import test_model as test_dcgan
from tests.gans.seqgan import test_model as test_seqgan
from tests.gans.timegan import test_model as test_timegan

KINDS = {
    "dcgan": (test_dcgan.make, test_dcgan.Squares, {}),
    "dcgan-paper": (test_dcgan.make, test_dcgan.Squares, {"preset": "paper", "width": 8}),
    "seqgan": (test_seqgan.make, test_seqgan.Letters, {}),
    "seqgan-transformer": (
        test_seqgan.make,
        test_seqgan.Letters,
        {"generator": "transformer", "heads": 2, "layers": 2, "conditional": False},
    ),
    "timegan": (test_timegan.make, test_timegan.Waves, {}),
    "timegan-lstm": (
        test_timegan.make,
        test_timegan.Waves,
        {"cell": "lstm", "skip": True, "static": "generate", "conditional": False},
    ),
}


@pytest.fixture(scope="module")
def ckpt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the kind after a few steps."""
    make, source, options = KINDS[request.param]
    data = source()
    data.setup()
    run = trainer(6)
    run.fit(make(data, **options), data)
    path = tmp_path_factory.mktemp(request.param) / "last.ckpt"
    run.save_checkpoint(path)
    return path


each = pytest.mark.parametrize("ckpt", KINDS, indirect=True)
one = pytest.mark.parametrize("ckpt", ["dcgan"], indirect=True)


def rows(model: GAN, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return model.latent(torch.arange(count), seed=11), torch.arange(count) % model.schema.num_classes


@each
def test_pt2_gives_the_samples(ckpt: Path, tmp_path: Path) -> None:
    out = export(ckpt, tmp_path / "new" / "model.pt2")
    notes = {"schema": "", "checkpoint_sha256": ""}
    exported = torch.export.load(out, extra_files=notes)
    program, model = exported.module(), load(ckpt)
    assert Schema.from_dict(json.loads(notes["schema"])) == model.schema
    assert notes["checkpoint_sha256"] == hashlib.sha256(ckpt.read_bytes()).hexdigest()
    for count in (1, 3, 17):
        made, wanted = program(*rows(model, count)), model.sample(*rows(model, count))
        assert list(made) == list(wanted)
        for name, field in wanted.items():
            torch.testing.assert_close(made[name], field, rtol=0, atol=1e-5)
    assert not [name for name in exported.state_dict if "discriminator" in name]
    assert [path.name for path in out.parent.iterdir()] == ["model.pt2"]


@each
def test_onnx_gives_the_samples(ckpt: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = export(ckpt, tmp_path / "model.onnx")
    session, model = onnxruntime.InferenceSession(out), load(ckpt)
    notes = session.get_modelmeta().custom_metadata_map
    assert Schema.from_dict(json.loads(notes["schema"])) == model.schema
    assert notes["checkpoint_sha256"] == hashlib.sha256(ckpt.read_bytes()).hexdigest()
    names = [output.name for output in session.get_outputs()]
    assert [put.name for put in session.get_inputs()] == ["latent", "labels"]
    for count in (1, 3, 17):
        latent, labels = rows(model, count)
        made = session.run(None, {"latent": latent.numpy(), "labels": labels.numpy()})
        wanted = model.sample(latent, labels)
        assert names == list(wanted)
        for name, field in zip(names, made, strict=True):
            torch.testing.assert_close(torch.from_numpy(field), wanted[name], rtol=0, atol=1e-5)


@one
def test_what_differs_is_not_written(ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Sample.forward

    def darker(self, latent, labels):
        made = sample(self, latent, labels)
        return {**made, "x": torch.where(labels[:, None, None, None] == 1, made["x"] - 0.01, made["x"])}

    monkeypatch.setattr(Sample, "forward", darker)
    with pytest.raises(InputError, match="does not give the samples of this DCGAN"):
        export(ckpt, tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


@one
def test_what_torch_cannot_export_is_one_line(ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sample, "forward", lambda self, latent, labels: {"x": latent if labels.any() else -latent})
    with pytest.raises(InputError, match=r"DCGAN: sample cannot be written as \.pt2: ") as error:
        export(ckpt, tmp_path / "model.pt2")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@one
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "model.zip"}, "--out model.zip: the name must end in .pt2 or .onnx"),
        ({"ckpt": "none.ckpt"}, "no checkpoint at none.ckpt"),
        ({"ckpt": "text.ckpt"}, "text.ckpt cannot be read as a checkpoint"),
        ({"out": "text.ckpt/model.pt2"}, "text.ckpt"),
    ],
)
def test_bad_input_is_one_line(
    ckpt: Path,
    tmp_path: Path,
    options: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.ckpt").write_text("no checkpoint")
    given = {"ckpt": str(ckpt), "out": "model.pt2"} | options
    with pytest.raises(SystemExit) as end:
        main(["export", "--ckpt", given["ckpt"], "--out", given["out"]])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ganaug export: error: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["text.ckpt"]


@one
def test_onnx_without_its_packages(ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'ganaug\[onnx\]'"):
        export(ckpt, tmp_path / "model.onnx")
