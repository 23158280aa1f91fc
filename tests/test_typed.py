"""Names of classes reach the program as they were typed: on the command line, in YAML files, in Python."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import yaml
from PIL import Image

from datamodules import ImageSchema, InputError
from ganaug.cli import main
from ganaug.parsing import Parser, parsed
from ganaug.sampling.wanted import choose_labels

TRICKY = ["01", "010", "no", "1.0", "1_0", "1:30", "2024-01-01", "~", "null", "true", "Yes", "0x1F", "1e3", ".5", "+1"]
FIT = [
    "fit", "--model", "DCGAN", "--model.width", "4", "--data", "ImageFolder", "--data.path", "pictures",
    "--name", "run", "--data.batch_size", "4", "--trainer.accelerator", "cpu", "--trainer.max_steps", "1",
    "--trainer.limit_val_batches", "0", "--trainer.enable_progress_bar", "false", "--previews.every_n_steps", "0",
]  # fmt: skip
CKPT = Path("lightning_logs", "run", "version_0", "checkpoints", "last.ckpt")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pictures(*classes: str) -> None:
    """A folder for each class, of as many dark, grey and bright pictures."""
    for number, name in enumerate(classes):
        folder = Path("pictures", name)
        folder.mkdir(parents=True)
        for i in range(20):
            Image.fromarray(np.full((8, 8), 40 + 80 * number, np.uint8)).save(folder / f"{i}.png")


def reading(*args: str, **options: Any) -> Any:
    """What options of these types are given."""
    parser = Parser(prog="test")
    parser.add_argument("--config", action="config")
    for name, hint in options.items():
        parser.add_argument(f"--{name}", type=hint)
    return parsed(parser, list(args))


def from_file(text: str, **options: Any) -> Any:
    Path("options.yaml").write_text(text)
    return reading("--config", "options.yaml", **options)


Shares = Mapping[str | int, float] | None
Names = str | Sequence[str | int] | None


@pytest.mark.parametrize("name", TRICKY)
def test_names_are_as_they_were_typed(name: str) -> None:
    in_list, in_key, lists = f"[{name}, dk]", f"{{{name}: 0.1, dk: 1}}", f"[{{{name}: 0.1}}]"
    for read in (
        lambda value, **hints: reading("--x", value, **hints),
        lambda value, **hints: from_file(f"x: {value}", **hints),
    ):
        assert read(in_list, x=Names).x == [name, "dk"]
        assert read(in_list, x=Sequence[str]).x == [name, "dk"]
        assert read(in_key, x=Shares).x == {name: 0.1, "dk": 1.0}
        assert read(lists, x=Sequence[Shares]).x == [{name: 0.1}]
        if name not in ("~", "null"):  # alone they are the null of an option
            assert read(name, x=str | None).x == read(name, x=Names).x == name
    assert from_file(f"x:\n  {name}: 0.1\n", x=Shares).x == {name: 0.1}
    assert all(type(key) is str for key in from_file(f"x: {in_key}", x=Shares).x)


def test_other_options_are_read_as_before() -> None:
    assert from_file("x: 1e-4\ny: 1\nz: yes\nn: null\n", x=float, y=float, z=bool, n=int | None).as_dict() == {
        "config": from_file("x: 1", x=int).config, "x": 1e-4, "y": 1.0, "z": True, "n": None,
    }  # fmt: skip
    assert reading("--x", "[1, 2.5]", x=list[float]).x == [1.0, 2.5]
    assert reading("--x", "{2: 3}", x=dict[int, int]).x == {2: 3}
    assert from_file("x: 32", x=Literal[16, 32, "bf16"]).x == 32
    assert from_file("x: ~", x=str | None).x is None
    assert from_file("x:\ny: 1\n", x=str | None, y=int).x is None
    anything = {"a": [1, 2.5, True, None, "b", "01"], 3: {"c": 1e-3}}
    text = "{a: [1, 2.5, true, null, b, '01'], 3: {c: 1e-3}}"
    for found in (from_file(f"x: {text}", x=Any).x, reading("--x", text, x=Any).x, from_file(f"x: {text}", x=dict).x):
        assert found == anything
        assert [type(item) for item in found["a"]] == [int, float, bool, type(None), str, str]


def test_quotes_and_merged_mappings() -> None:
    assert reading("--x", "{'01': 0.1, \"no\": 1}", x=Shares).x == {"01": 0.1, "no": 1.0}
    text = "y: &few {01: 0.1, 02: 0.2}\nx:\n  <<: *few\n  02: 1\n"
    assert from_file(text, x=Shares, y=Shares).x == {"01": 0.1, "02": 1.0}


def test_a_key_that_is_there_twice_is_refused() -> None:
    for read in (lambda text: reading("--x", text, x=Shares), lambda text: from_file(f"x: {text}", x=Shares)):
        with pytest.raises(InputError, match="'01' is there twice"):
            read("{01: 0.1, 02: 1, 01: 0.2}")
    with pytest.raises(InputError, match="'x' is there twice, again in line 2: keep one"):
        from_file("x: {a: 1}\nx: {b: 1}\n", x=Shares)


def test_a_colon_without_a_space_is_pointed_out() -> None:
    for read in (lambda text: reading("--x", text, x=Shares), lambda text: from_file(f"x: {text}", x=Shares)):
        for text in ("{8:0.05}", "{8:0.05, 9:0.05}"):
            with pytest.raises(InputError, match=r"\{8:0.05\} needs a space behind the colon: \{8: 0.05\}"):
                read(text)
        assert read('{"8":0.05}').x == {"8": 0.05}


@pytest.mark.parametrize("classes", [("01", "02", "03"), ("dk", "no", "se")])
def test_a_run_makes_rare_the_class_that_was_named(classes, capsys: pytest.CaptureFixture[str], caplog) -> None:
    pictures(*classes)
    rare, counts = classes[1], f"{classes[0]} 14, {classes[1]} 3, {classes[2]} 14"
    Path("rare.yaml").write_text(f"data:\n  class_path: ImageFolder\n  init_args:\n    imbalance: {{{rare}: 0.2}}\n")
    for options in (["--data.imbalance", f"{{{rare}: 0.2}}"], ["--config", "rare.yaml"]):
        caplog.clear()
        with caplog.at_level("INFO"):
            main(
                [
                    *FIT[:1],
                    *(options if "--config" in options else []),
                    *FIT[1:],
                    *options[: 2 * ("--config" not in options)],
                ]
            )
        assert f"training rows by class: {counts}" in caplog.text
    saved = yaml.safe_load(Path("lightning_logs", "run", "version_0", "config.yaml").read_text())
    assert saved["data"]["init_args"]["imbalance"] == {rare: 0.2}
    main(["fit", "--config", str(Path("lightning_logs", "run", "version_0", "config.yaml"))])  # as it was written


def test_generate_draws_the_class_that_was_named_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("01", "02", "03")
    main(FIT)
    command = ["generate", "--ckpt", str(CKPT), "--accelerator", "cpu", "--progress", "false", "--n", "2"]
    for labels, drawn in (("01", {"01"}), ("[02]", {"02"}), ("[01, 03]", {"01", "03"}), ("03,02", {"02", "03"})):
        main([*command, "--out", labels, "--labels", labels])
        assert set(json.loads(Path(labels, "manifest.json").read_text())["counts"]) == drawn
    for labels in ("1", "010", "[1]", "0"):
        with pytest.raises(SystemExit):
            main([*command, "--out", "refused", "--labels", labels])
        name = labels.strip("[]")
        assert f"unknown label {name!r}: the classes are '01', '02', '03'" in capsys.readouterr().err
    assert not Path("refused").exists()


def test_a_name_may_hold_a_comma() -> None:
    schema = ImageSchema(height=8, width=8, channels=1, image_size=8, classes=("a", "a,b", "b"))
    model: Any = SimpleNamespace(schema=schema, conditional=True)
    assert choose_labels(model, "a,b") == [1]
    assert choose_labels(model, "b, a") == [2, 0]
    assert choose_labels(model, ["a,b", "a"]) == [1, 0]
    for nothing in ("", []):
        with pytest.raises(InputError, match="label"):
            choose_labels(model, nothing)


def test_a_study_makes_rare_the_class_that_was_named(capsys: pytest.CaptureFixture[str]) -> None:
    pictures("01", "02", "no")
    command = ["augment", "--data", "ImageFolder", "--data.path", "pictures", "--model", "DCGAN", "--out", "study"]
    command += ["--seeds", "[0]", "--list_cells"]
    main([*command, "--imbalance", "[{01: 0.1}, {no: 0.5}]"])
    Path("study.yaml").write_text("imbalance: [{01: 0.1}, {no: 0.5}]\n")
    typed = capsys.readouterr().out
    assert "01:0.1" in typed
    assert "no:0.5" in typed
    main([*command, "--config", "study.yaml"])
    assert capsys.readouterr().out == typed
    with pytest.raises(SystemExit):
        main([*command, "--imbalance", "[{1: 0.1}]"])
    assert "unknown label '1': the classes are '01', '02', 'no'" in capsys.readouterr().err
