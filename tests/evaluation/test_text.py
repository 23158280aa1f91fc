"""Scores of sentences by language models, and quality against diversity over temperatures."""

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datamodules import InputError
from datamodules.rows import stored_rows
from ganaug import DCGAN, load
from ganaug.commands.evaluate import evaluate
from ganaug.evaluation.temperatures import temperature_list, temperature_rows
from ganaug.evaluation.text import LanguageScores, fit_language_model, language_nll
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares
from tests.gans.seqgan.test_model import make
from tests.test_callbacks import Letters, Unigrams

QUICK = {"accelerator": "cpu", "progress": False, "classifier_steps": 4, "cas": False, "n": 30}


@pytest.fixture(scope="module")
def letters() -> Letters:
    data = Letters(rows=240, batch_size=8)
    data.setup()
    return data


# ---- language models ----


def test_language_models_learn_and_disturb_nothing(letters: Letters) -> None:
    train, test = stored_rows(letters.schema, letters.train), stored_rows(letters.schema, letters.test)
    state = torch.get_rng_state()
    model = fit_language_model(letters.schema, train, steps=60, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(5)
    again = fit_language_model(letters.schema, train, steps=60, seed=1)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    untrained = fit_language_model(letters.schema, train, steps=1, seed=1)
    assert language_nll(model, test) < 2.8 < language_nll(untrained, test)  # ln 13 = 2.6 and ln 28 = 3.3


def test_language_nll_against_a_plain_loop(letters: Letters) -> None:
    rows = {name: field[:20] for name, field in letters.train.fields.items()}
    model = fit_language_model(letters.schema, rows, steps=3)
    total = 0.0
    for x, length in zip(rows["x"], rows["length"].tolist(), strict=True):
        logits = model(x[None], torch.zeros(1, dtype=torch.long))[0].double()
        total -= float(logits.log_softmax(1)[torch.arange(length), x[:length]].mean()) / 20
    assert language_nll(model, rows) == pytest.approx(total, rel=1e-6)


def test_language_scores_tell_quality_from_diversity(letters: Letters) -> None:
    """Real rows score at the floor; one good sentence again and again is likely, and teaches nothing; noise is not."""
    train, test = stored_rows(letters.schema, letters.train), stored_rows(letters.schema, letters.test)
    scores = LanguageScores(letters.schema, train, test, steps=60)
    same = scores(train)
    assert same["lm_nll"]["floor"] == same["reverse_lm_nll"]["floor"]
    assert same["reverse_lm_nll"]["synthetic"] == same["reverse_lm_nll"]["floor"]
    assert same["reverse_lm_nll"]["rows"] == len(train["y"])
    one = scores({name: field[:1].repeat_interleave(50, 0) for name, field in train.items()})
    assert one["lm_nll"]["synthetic"] < same["lm_nll"]["floor"] + 0.3
    assert one["reverse_lm_nll"]["synthetic"] > one["reverse_lm_nll"]["floor"] + 0.5
    assert one["reverse_lm_nll"]["rows"] == 50
    x = torch.randint(2, 28, (50, 8), generator=torch.Generator().manual_seed(0))
    noise = scores({"x": x, "length": torch.full((50,), 8), "y": torch.zeros(50, dtype=torch.long)})
    assert noise["lm_nll"]["synthetic"] > same["lm_nll"]["floor"] + 0.3


def test_they_can_be_left_out(letters: Letters, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("abc\nnop\nabcd\n")
    options = {"samples": file, "out": None, **QUICK, "n": None}
    assert {"lm_nll", "reverse_lm_nll"} <= evaluate(letters, **options)["scores"].keys()
    assert not {"lm_nll", "reverse_lm_nll"} & evaluate(letters, lm=False, **options)["scores"].keys()


# ---- temperatures ----


def trained(folder: Path, data: Letters, **options) -> Path:
    """A checkpoint in a run's folder, as ``fit`` leaves it."""
    path = folder / "version_3" / "checkpoints" / "last.ckpt"
    model = make(data, **{"mle_steps": 60, "discriminator_steps": 2, "lr_mle": 0.02, "lr_g": 0.02} | options)
    run = trainer(70)
    run.fit(model, data)
    run.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory, letters: Letters) -> Path:
    return trained(tmp_path_factory.mktemp("run"), letters)


SCORED = {
    "bleu_4", "self_bleu_4", "lm_nll", "reverse_lm_nll", "nll_test", "validity", "valid_novelty", "template_coverage"
}  # fmt: skip


def test_curves_of_a_model_and_of_what_likelihood_had_reached(
    ckpt: Path, letters: Letters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Letters, "nll_oracle", lambda self, x: float((x == 0).double().mean()), raising=False)
    with caplog.at_level("INFO"):
        result = evaluate(letters, ckpt=ckpt, out=tmp_path / "s.json", temperatures="0.3, 1.0", **QUICK)
    assert json.loads((tmp_path / "s.json").read_text()) == result
    rows = result["temperatures"]
    assert [(r["model"], r["temperature"]) for r in rows] == [
        ("adversarial", 0.3), ("adversarial", 1.0), ("mle", 0.3), ("mle", 1.0)
    ]  # fmt: skip
    assert all(r.keys() == SCORED | {"model", "temperature", "nll_oracle"} for r in rows)
    assert all(math.isfinite(r[name]) for r in rows for name in SCORED)
    for cold, warm in (rows[:2], rows[2:]):
        assert cold["self_bleu_4"] > warm["self_bleu_4"]
        assert cold["nll_test"] > warm["nll_test"]
    assert rows[1]["nll_test"] == pytest.approx(result["scores"]["nll_test"])
    for name in SCORED - {"nll_test"}:  # the samples at 1 are those that all other scores are of
        assert rows[1][name] == pytest.approx(result["scores"][name]["synthetic"])
    assert rows[3] != rows[1] | {"model": "mle"}
    assert sum(line.startswith(("adversarial  ", "mle   ")) for line in caplog.text.splitlines()) == 4
    assert Image.open(tmp_path / "s_temperatures.png").size[0] > 1500
    events = EventAccumulator(str(ckpt.parent.parent), size_guidance={"images": 0})
    events.Reload()
    assert [e.step for e in events.Images("temperatures")] == [70]


def test_equal_weights_give_equal_rows(ckpt: Path, letters: Letters) -> None:
    model = load(ckpt)
    model.ema.network.load_state_dict(model.mle.network.state_dict())
    train, test = stored_rows(letters.schema, letters.train), stored_rows(letters.schema, letters.test)
    latent, y = model.latent(torch.arange(20), 0), torch.arange(20) % 2
    known = {"data": letters, "train": train, "test": test, "labelled": True, "seed": 0}
    rows = temperature_rows(model, [0.5, 2.0], lambda m, t: m.sample(latent, y, temperature=t), **known)
    assert [{**row, "model": "mle"} for row in rows[:2]] == rows[2:]
    assert rows[0] != rows[1]


def test_without_a_phase_of_likelihood_there_is_one_curve(letters: Letters, tmp_path: Path) -> None:
    path = trained(tmp_path, letters, mle_steps=0)
    path = path.rename(tmp_path / "alone.ckpt")
    result = evaluate(letters, ckpt=path, out=tmp_path / "s.json", temperatures=[1], lm=False, **QUICK)
    (row,) = json.loads((tmp_path / "s.json").read_text())["temperatures"]
    assert (row["model"], row["temperature"]) == ("adversarial", 1)
    assert row.keys() == SCORED - {"lm_nll", "reverse_lm_nll"} | {"model", "temperature"}
    assert result["temperatures"] == [row]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone.ckpt", "s.json", "s_temperatures.png", "version_3"]


def test_temperatures_that_cannot_be_had_get_one_line(ckpt: Path, letters: Letters, tmp_path: Path) -> None:
    model = load(ckpt)
    assert temperature_list(None, "image", None) == []
    assert temperature_list("[0.7,1]", "text", model) == temperature_list((0.7, 1), "text", model) == [0.7, 1]
    for given in ("", "warm", "0.5,0", "-1", "nan", "inf", "1,1.0", []):
        with pytest.raises(InputError, match="different numbers above 0"):
            temperature_list(given, "text", model)
    (tmp_path / "a.txt").write_text("abc\nnop\n")
    squares = Squares()
    for data, options, message in (
        (letters, {"samples": tmp_path / "a.txt"}, "temperatures need ckpt"),
        (squares, {"samples": tmp_path}, "temperatures are for text data, --data gives image data"),
    ):
        with pytest.raises(InputError, match=message) as error:
            evaluate(data, temperatures="1.0", out=None, **QUICK | {"n": None} | options)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="Unigrams samples at none"):
        temperature_list("1", "text", Unigrams(letters.schema))
    with pytest.raises(InputError, match="text data"):
        temperature_list("1", "image", DCGAN(squares.schema, width=8, latent_dim=8))
