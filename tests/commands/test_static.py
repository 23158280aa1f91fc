"""Series with attributes that somebody asked for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datamodules import Digits, InputError, SeriesFile
from ganaug import DCGAN, TimeGAN, generate, load
from ganaug.sampling.wanted import wanted_rows
from tests.gan_contract import trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a model that is told attributes, and of one that draws them."""
    root = tmp_path_factory.mktemp("static")
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "id": np.repeat(np.arange(30), 6), "v": rng.normal(size=180).round(2),
            "age": np.repeat(rng.integers(20, 90, 30), 6), "sex": np.repeat(rng.choice(["f", "m"], 30), 6),
            "zip": np.repeat([f"{k:05}" for k in range(30)], 6),
        }
    )  # fmt: skip
    table.to_csv(root / "a.csv", index=False)
    for static in ("condition", "generate"):
        data = SeriesFile(root / "a.csv", id_column="id", static_columns=["age", "sex", "zip"], batch_size=8)
        model = TimeGAN(data.schema, hidden=4, layers=1, autoencoder_steps=1, supervisor_steps=1, static=static)
        run = trainer(4)
        run.fit(model, data)
        run.save_checkpoint(root / f"{static}.ckpt")
    return root


def test_samples_have_the_attributes_that_were_asked_for(folder: Path, tmp_path: Path) -> None:
    generate(folder / "condition.ckpt", tmp_path / "a", n=9, static="age=30, sex=f", accelerator="cpu", progress=False)
    generate(
        folder / "condition.ckpt",
        tmp_path / "b",
        n=9,
        static={"age": 80, "sex": "f"},
        accelerator="cpu",
        progress=False,
    )
    young, old = (pd.read_csv(tmp_path / name / "samples.csv", dtype={"zip": str}) for name in "ab")
    assert set(young["age"]) == {30}
    assert set(old["age"]) == {80}
    assert set(young["sex"]) == {"f"}
    assert young["zip"].nunique() > 3  # drawn
    assert (young["zip"] == old["zip"]).all()
    assert (young["v"] != old["v"]).any()  # the model was told


def test_a_table_of_wanted_rows(folder: Path, tmp_path: Path) -> None:
    wanted = pd.DataFrame({"sex": ["m", "f", "f"], "age": [25, 70, 33]})
    wanted.to_csv(tmp_path / "wanted.csv", index=False)
    generate(folder / "condition.ckpt", tmp_path / "a", rows=tmp_path / "wanted.csv", accelerator="cpu", progress=False)
    made = pd.read_csv(tmp_path / "a" / "samples.csv").groupby("id").first()
    assert made[["sex", "age"]].reset_index(drop=True).equals(wanted)
    for change, words in (
        ({"sex": ["m", "x", "f"]}, "wanted.csv:3: static: sex 'x' is not one of 'f', 'm'"),
        ({"shoes": [1, 2, 3]}, "no column 'shoes' can be asked for; known are age, sex, zip"),
    ):
        wanted.assign(**change).to_csv(tmp_path / "wanted.csv", index=False)
        with pytest.raises(InputError, match=words):
            generate(folder / "condition.ckpt", tmp_path / "b", rows=tmp_path / "wanted.csv", accelerator="cpu")
    with pytest.raises(InputError, match="leave --n out"):
        generate(folder / "condition.ckpt", tmp_path / "b", rows=tmp_path / "wanted.csv", n=3, accelerator="cpu")


@pytest.mark.parametrize("end", ["csv", "xlsx", "parquet"])
def test_wanted_numbers_need_not_be_whole(end: str, folder: Path, tmp_path: Path) -> None:
    wanted = pd.DataFrame({"age": [25.5, 70.25], "sex": ["m", "f"]})
    file = tmp_path / f"wanted.{end}"
    if end == "csv":
        wanted.to_csv(file, index=False, sep=";", decimal=",")
    else:
        {"xlsx": wanted.to_excel, "parquet": wanted.to_parquet}[end](file, index=False)
    model = load(folder / "condition.ckpt")
    asked = wanted_rows(model, file)[1]["static"]
    first, offset, scale = asked[:, 0], model.schema.static_offset[0], model.schema.static_scale[0]
    np.testing.assert_allclose(first * scale + offset, wanted["age"], rtol=1e-6)
    gap = wanted.assign(age=[25.5, None])
    gap.to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(InputError, match=r"gap\.csv:3, column age: the cell is empty"):
        wanted_rows(model, tmp_path / "gap.csv")


def test_a_table_of_wanted_classes(tmp_path: Path) -> None:
    data = Digits(batch_size=8)
    model = DCGAN(data.schema, width=4)
    run = trainer(1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "wanted.csv").write_text("label\n7\n7\n2\n")
    generate(tmp_path / "a.ckpt", tmp_path / "a", rows=tmp_path / "wanted.csv", accelerator="cpu", progress=False)
    made = sorted(str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").glob("*/*.png"))
    assert made == ["2/00000002.png", "7/00000000.png", "7/00000001.png"]
    (tmp_path / "wanted.csv").write_text("label\n7\n11\n")
    with pytest.raises(InputError, match=r"wanted.csv:3: .*'11'"):
        generate(tmp_path / "a.ckpt", tmp_path / "b", rows=tmp_path / "wanted.csv", accelerator="cpu", progress=False)


@pytest.mark.parametrize(
    ("static", "words"),
    [
        ("height=3", "static: no attribute 'height': known are age, sex, zip"),
        ("sex=x", "sex 'x' is not one of 'f', 'm'"),
        ("zip=7", "zip '7' is not one of '00000'"),
        ("age=old", "age is a number, not 'old'"),
        ("age", "give it as name=value"),
    ],
)
def test_what_cannot_be_asked_gets_one_line(folder: Path, tmp_path: Path, static: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        generate(folder / "condition.ckpt", tmp_path / "a", n=2, static=static, accelerator="cpu", progress=False)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_that_draws_them_refuses(folder: Path, tmp_path: Path) -> None:
    words = ["generate", "--ckpt", folder / "generate.ckpt", "--out", "a", "--n", "2", "--static", "age=30"]
    done = subprocess.run(
        [sys.executable, "-m", "ganaug.cli", *map(str, words)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "this model draws attributes itself" in done.stderr.splitlines()[-1]
