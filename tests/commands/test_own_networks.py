"""Networks of one's own by the command line and in YAML: found, given options, and refused in a line."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ganaug import load
from ganaug.cli import main
from tests.gans import own_networks as own
from tests.gans.test_checkpoint import QUIET

HERE = "tests.gans.own_networks"
FIT = ["fit", "--data=Digits", "--data.per_class=4", "--data.batch_size=4", "--last.every_n_steps=0", *QUIET]
OUTSIDE = """
from tests.gans.own_networks import Painter, Viewer

class Sketcher(Painter):
    pass

class Untyped(Painter):
    def __init__(self, schema, latent_dim, num_classes, width=8):
        super().__init__(schema, latent_dim, num_classes, width)

class Judge(Viewer):
    def __init__(self, schema, num_classes, width=8):
        super().__init__(schema, num_classes, width)
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setattr("ganaug.runtime.outside.IMPORTED", [])
    (tmp_path / "sketches.py").write_text(OUTSIDE)
    yield
    sys.modules.pop("sketches", None)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert end.value.code == 2
    return next(line for line in capsys.readouterr().err.splitlines() if "error:" in line)


def test_a_module_that_was_not_imported_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, *FIT, "--model=DCGAN", "--model.generator=nowhere.Net")
    assert line.endswith("--model.generator: No module named 'nowhere': name it by --import")


def test_the_command_line_and_yaml(
    elsewhere: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    network = ["--model.generator=sketches.Sketcher", "--model.generator.width=4"]
    options = ["--import=sketches", "--model=DCGAN", "--model.latent_dim=4", f"--trainer.default_root_dir={tmp_path}/a"]
    main([*FIT, *options, *network, "--trainer.max_steps=2"])
    ckpt = tmp_path / "a" / "checkpoints" / "last.ckpt"

    Path("model.yaml").write_text(
        "model:\n  class_path: DCGAN\n  init_args:\n    latent_dim: 4\n    generator:\n"
        "      class_path: sketches.Sketcher\n      init_args:\n        width: 4\n"
    )
    on = [
        f"--trainer.default_root_dir={tmp_path}/b",
        "--trainer.max_steps=3",
        "--import=sketches",
        f"--ckpt_path={ckpt}",
    ]
    main([*FIT, *on, "--config=model.yaml"])
    other = said(capsys, *FIT, *on, "--config=model.yaml", "--model.generator.width=5")
    assert "does not fit this run: generator.width 4 there, 5 here: resume" in other
    main([*FIT, *on, "--config=model.yaml", "--model.generator.gain=0.5", "--allow_changes=[generator.gain]"])
    assert "changed on resume: generator.gain 1.0 -> 0.5" in caplog.text
    assert "no option generator.gian; did you mean generator.gain?" in said(
        capsys, *FIT, *on, "--config=model.yaml", "--allow_changes=[generator.gian]"
    )
    assert "Option 'wide' is not accepted" in said(capsys, *FIT, *options, *network, "--model.generator.wide=5")
    assert "has no attribute 'Scribbler'" in said(capsys, *FIT, *options, "--model.generator=sketches.Scribbler")
    half = said(capsys, *FIT, *options, f"--model.generator={HERE}.Half")
    assert "must give float32 (2, 1, 16, 16)" in half

    generate = ["generate", f"--ckpt={ckpt}", "--out=out", "--n=3", "--accelerator=cpu", "--progress=false"]
    del sys.modules["sketches"]
    assert "sketches.Sketcher, which has not been imported" in said(capsys, *generate)
    assert "sketches" not in sys.modules
    main([*generate, "--import=sketches"])
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    network = {"class_path": "sketches.Sketcher", "init_args": {"width": 4, "gain": 1.0}}
    assert manifest["networks"] == {"generator": network}


AUGMENT = ["augment", "--data=Digits", "--per_class=[4]", "--seeds=[0]", "--gan_steps=1", "--ratios=[1.0]",
           "--arms=[real,gan]", "--classifier_steps=1", "--accelerator=cpu", "--progress=false"]  # fmt: skip
DRAWING = ["--import=sketches", "--model=DCGAN", "--model.latent_dim=4"]


def test_a_study_asks_for_no_type_hints(elsewhere: None, tmp_path: Path) -> None:
    networks = ["generator=sketches.Untyped", "generator.width=4", "discriminator=sketches.Judge",
                "discriminator.width=4"]  # fmt: skip
    main([*AUGMENT, *DRAWING, *(f"--model.{one}" for one in networks), "--out=study"])
    assert '"sketches.Judge"' in (tmp_path / "study" / "study.json").read_text()


@pytest.mark.parametrize("verb", [FIT, [*AUGMENT, "--out=study"]], ids=["fit", "augment"])
@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["=sketches.Untyped", ".widht=4"], ": Option 'widht' is not accepted: did you mean width? known are width"),
        (["=sketches.Untyped", ".latent_dim=4"], ": Option 'latent_dim' is not accepted: known are width"),
        (["=sketches.Sketcher", ".width=x"], ".width must be a whole number, not x"),
        (
            [".width=8"],
            ": width is an option of no class yet: name that before it, --model.generator my_module.MyClass",
        ),
        (["=3"], " must be a class or function or null, not 3"),
        (["={class_path: sketches.Untyped, width: 4}"], ": options of a class stand below its init_args"),
    ],
)
def test_options_of_networks_are_refused_in_a_line(
    elsewhere: None, verb: list[str], options: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = said(capsys, *verb, *DRAWING, *(f"--model.generator{one}" for one in options))
    assert f"error: --model.generator{line}" in given
    assert "NestedArg" not in given


def test_yaml_with_options_beside_the_class(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    network = "    generator:\n      class_path: sketches.Sketcher\n      width: 4\n"
    Path("model.yaml").write_text("model:\n  class_path: DCGAN\n  init_args:\n" + network)
    line = said(capsys, *FIT, "--import=sketches", "--config=model.yaml")
    assert "--model.generator: options of a class stand below its init_args, not beside its class_path" in line
    Path("model.yaml").write_text("model:\n  class_path: DCGAN\n  latent_dim: 4\n")
    assert "--model: options of a class stand below its init_args" in said(capsys, *FIT, "--config=model.yaml")


def test_help_of_a_network_lists_its_own_options(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["fit", *DRAWING, "--model.generator.help=sketches.Sketcher"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert text.startswith("sketches.Sketcher\n")
    assert "  --model.generator.gain" in text
    assert not any(name in text for name in ("schema", "latent_dim", "num_classes"))
    line = said(capsys, "fit", "--import=sketches", "--model.generator.help=sketches.Sketcher")
    assert "--model: generator.help is an option of no class yet: name that before it, --model DCGAN" in line


def test_seqgan_takes_a_decoder_by_name_or_by_class(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["fit", "--model=SeqGAN", "--model.embedding=4", "--model.hidden=4", "--model.mle_steps=1",
             "--model.discriminator_steps=1", "--model.rollouts=1", "--data=Grammar", "--data.sentences=200",
             "--data.per_class=4", "--data.batch_size=4", "--last.every_n_steps=0", "--trainer.max_steps=3",
             *QUIET]  # fmt: skip
    main(
        [
            *small,
            f"--model.generator={HERE}.Counting",
            "--model.generator.depth=2",
            f"--model.discriminator={HERE}.Reader",
        ]
    )
    assert type(load("checkpoints/last.ckpt").generator) is own.Counting
    main([*small, "--model.generator=transformer", "--trainer.default_root_dir=b"])
    assert "--model.generator" in said(capsys, *small, "--model.generator=gru")


def test_help_does_not_list_all_networks_of_torch(capsys: pytest.CaptureFixture[str]) -> None:
    for model, count in (("DCGAN", 2), ("TimeGAN", 5), ("SeqGAN", 2)):
        with pytest.raises(SystemExit):
            main(["fit", f"--model.help={model}"])
        text = capsys.readouterr().out
        networks = text.partition("Networks of your own:\n")[2].partition("\n\n")[0]
        assert sum(line.startswith("  --") for line in networks.splitlines()) == count - (model == "SeqGAN")
        assert text.count(".help NAME") == count
        assert "torch.nn" not in text


@pytest.mark.slow
def test_a_study_in_processes(elsewhere: None, tmp_path: Path) -> None:
    main(["augment", "--import=sketches", "--data=Digits", "--model=DCGAN", "--model.latent_dim=4",
          "--model.generator=sketches.Sketcher", "--out=study", "--per_class=[4]", "--seeds=[0,1]", "--gan_steps=2",
          "--ratios=[1.0]", "--arms=[real,gan]", "--classifier_steps=2", "--workers=2", "--accelerator=cpu",
          "--progress=false"])  # fmt: skip
    assert (tmp_path / "study" / "report.html").is_file()
