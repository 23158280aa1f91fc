"""Columns of words that change within a series: learnt as categories, written as their words, scored."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from datamodules import InputError, SeriesFile
from datamodules.schema import Schema
from datamodules.series.store import read_series, write_series
from ganaug import TimeGAN, evaluate, generate
from ganaug.classifiers.training import fit_features
from ganaug.metrics.series import frequency_distance
from tests.gan_contract import trainer

STATES = ["idle", "run", "stop"]


def table(series: int = 40, steps: int = 12) -> pd.DataFrame:
    """Idle in the first half; then running, at a speed, or stopped."""
    rng = np.random.default_rng(0)
    t = np.tile(np.arange(steps), series)
    state = np.where(t < steps // 2, "idle", rng.choice(["run", "stop"], series * steps))
    speed = np.round(np.where(state == "run", 50, 0) + rng.normal(size=len(t)), 1)
    return pd.DataFrame({"id": np.repeat(np.arange(series), steps), "t": t, "speed": speed, "state": state})


def read(folder: Path, rows: pd.DataFrame, **options) -> SeriesFile:
    rows.to_csv(folder / "a.csv", index=False)
    return SeriesFile(folder / "a.csv", id_column="id", time_column="t", **options)


def test_words_come_back_cell_by_cell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        module = read(tmp_path, table())
    assert "learnt as categories: state" in caplog.text
    schema = module.schema
    assert schema.categories == ((), ("idle", "run", "stop"))
    assert (schema.features, schema.places, schema.widths) == (4, [0, 1], [1, 3])
    assert Schema.from_dict(schema.to_dict()) == schema
    rows = module.load()[0].fields
    assert set(rows["x"][..., 1:].sum(-1).unique().tolist()) == {1.0}
    write_series(schema, [{**rows, "index": torch.arange(40)}], tmp_path / "out")
    assert pd.read_csv(tmp_path / "out" / "samples.csv").equals(table())
    again, _ = read_series(tmp_path / "out", schema)
    torch.testing.assert_close(again["x"], rows["x"])
    with pytest.raises(InputError, match="cannot be written as npz"):
        write_series(schema, [{**rows, "index": torch.arange(40)}], tmp_path / "npz", "npz")
    other = table().replace({"state": {"stop": "halt"}})
    other.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"column state: 'halt' is not one of 'idle', 'run', 'stop'"):
        read_series(tmp_path / "b.csv", schema)


def test_the_word_before_goes_on_where_one_is_missing(tmp_path: Path) -> None:
    rows = table()
    rows.loc[[3, 8, 12], "state"] = None
    with pytest.raises(InputError, match="column state: no value"):
        read(tmp_path, rows)
    module = read(tmp_path, rows, missing="mask")
    fields = module.load()[0].fields
    found = module.schema.frame(np.arange(40), fields)["state"]
    assert (found[3], found[12]) == ("idle", "idle")
    assert found[8] == found[7]
    assert fields["observed"][0, 3].tolist() == [1, 0, 0, 0]
    assert float(fields["observed"].sum()) == 40 * 12 * 4 - 9


def test_words_of_a_whole_series_or_of_each_row_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = table().assign(
        site=lambda given: given["id"].map("site {}".format), note=lambda given: given.index.map("n{}".format)
    )
    with caplog.at_level("INFO"):
        module = read(tmp_path, rows)
    assert module.schema.columns == ("speed", "state")
    assert "no numbers, left out: site, note" in caplog.text


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    data = read(folder, table(120), batch_size=32)
    model = TimeGAN(data.schema, hidden=12, layers=1, autoencoder_steps=60, supervisor_steps=20)
    run = trainer(140)
    run.fit(model, data)
    run.save_checkpoint(folder / "a.ckpt")
    return folder


def test_samples_are_words(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def learnt(*args, **options):
        asked.append(options["steps"])
        return fit_features(*args, **options)

    monkeypatch.setattr("ganaug.evaluation.series.fit_features", learnt)
    generate(trained / "a.ckpt", tmp_path / "made", n=30, accelerator="cpu", progress=False)
    made = pd.read_csv(tmp_path / "made" / "samples.csv")
    assert list(made.columns) == ["id", "t", "speed", "state"]
    assert set(made["state"]) <= set(STATES)
    result = evaluate(
        data=SeriesFile(trained / "a.csv", id_column="id", time_column="t"),
        samples=tmp_path / "made", out=None, repeats=0, classifier_steps=5, accelerator="cpu",
    )["scores"]  # fmt: skip
    assert asked == [5]
    for name in ("word_frequency_distance", "word_transition_distance"):
        assert 0 <= result[name]["floor"] < 0.2
        assert result[name]["floor"] <= result[name]["synthetic"] <= 1


def test_samples_are_settled(trained: Path) -> None:
    from ganaug import load

    model = load(trained / "a.ckpt")
    batch = model.sample(model.latent(torch.arange(9), 0), torch.zeros(9, dtype=torch.long))
    assert set(batch["x"][..., 1:].flatten().tolist()) == {0.0, 1.0}
    assert (batch["x"][..., 1:].sum(-1) == 1).all()


def test_frequencies_against_hand_counts() -> None:
    one = torch.eye(2)[torch.tensor([[0, 0, 1, 1], [0, 1, 0, 0]])]
    two = torch.eye(2)[torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0]])]
    length = torch.tensor([4, 2])
    assert frequency_distance(one, length, one, length) == 0
    assert frequency_distance(one, length, two, length) == pytest.approx(3 / 6)  # of aabb and ab three are b
    assert frequency_distance(one, length, two, length, steps=2) == pytest.approx(
        3 / 4
    )  # of aa, ab, bb and ab one is aa
