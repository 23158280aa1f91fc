"""``generate`` and ``evaluate`` on a small trained model, as functions and as a command line."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import Grammar, ImageArrays, ImageFolder, InputError, TextFile
from datamodules.files.manifest import write_manifest
from datamodules.images.store import read_images
from datamodules.text.store import read_texts
from ganaug import DCGAN, SeqGAN, TimeGAN, load
from ganaug.commands.evaluate import evaluate
from ganaug.commands.generate import _claim, generate
from ganaug.kind import kind_of
from ganaug.sampling.resample import MODELS
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares
from tests.gans.seqgan.test_model import make as make_seqgan
from tests.gans.timegan.test_model import Waves
from tests.interleaving import interleaved
from tests.test_callbacks import Letters, Unigrams

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Left and right squares, 300 steps: enough to tell them apart."""
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    data = Squares(rows=120, size=16, batch_size=32)
    model = DCGAN(data.schema, width=16, latent_dim=8, augment="", lr_g=4e-4, lr_d=4e-4, ema_decay=0.9)
    run = trainer(300)
    run.fit(model, data)
    run.save_checkpoint(path, weights_only=False)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without classes."""
    path = tmp_path_factory.mktemp("plain") / "last.ckpt"
    data = Squares(labelled=False, size=16)
    run = trainer(2)
    run.fit(DCGAN(data.schema, width=8, latent_dim=8), data)
    run.save_checkpoint(path, weights_only=False)
    return path


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {str(p.relative_to(folder)): np.array(Image.open(p)) for p in folder.rglob("[0-9]*.png")}


def make(ckpt: Path, out: Path, **options) -> Path:
    return generate(ckpt, out, accelerator="cpu", devices=1, progress=False, **options)


# ---- what is written ----


def test_folder(ckpt: Path, tmp_path: Path) -> None:
    out = make(ckpt, tmp_path / "out", per_class=6)
    found = pictures(out)
    assert sorted(found) == sorted(f"{('left', 'right')[i % 2]}/{i:08d}.png" for i in range(12))
    assert all(p.shape == (16, 16) for p in found.values())
    for name, picture in found.items():  # the class in the folder's name is the class in the picture
        left, right = picture[:, :8].mean(), picture[:, 8:].mean()
        assert (left > right) == name.startswith("left")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"] == {"left": 6, "right": 6}
    assert manifest["request"]["seed"] == 0
    assert len(manifest["request"]["checkpoint_sha256"]) == 64
    assert torch.__version__.startswith(manifest["versions"]["torch"])
    assert Image.open(out / "grid.png").size[0] > 100
    assert not (out / ".partial").exists()
    module = ImageFolder(out)
    assert module.schema.classes == ("left", "right")


def test_npz_holds_the_same_samples(ckpt: Path, tmp_path: Path) -> None:
    folder = make(ckpt, tmp_path / "folder", n=7)
    npz = make(ckpt, tmp_path / "npz", n=7, format="npz")
    x, y, classes = read_images(npz)
    for name, picture in pictures(folder).items():
        i = int(Path(name).stem)
        assert np.array_equal(x[i, ..., 0], picture)
        assert classes[y[i]] == Path(name).parent.name
    assert ImageArrays(npz / "samples.npz").schema.classes == ("left", "right")


def test_labels_by_name_and_number(ckpt: Path, tmp_path: Path) -> None:
    by_name = pictures(make(ckpt, tmp_path / "a", n=3, labels="right"))
    by_number = pictures(make(ckpt, tmp_path / "b", n=3, labels=[1]))
    assert set(by_name) == {f"right/{i:08d}.png" for i in range(3)}
    assert all(np.array_equal(by_name[k], by_number[k]) for k in by_name)


def test_sample_i_does_not_depend_on_the_batch_or_on_how_many(ckpt: Path, tmp_path: Path) -> None:
    whole = pictures(make(ckpt, tmp_path / "a", n=20, batch_size=20))
    few = pictures(make(ckpt, tmp_path / "b", n=9, batch_size=4))
    for name, picture in few.items():
        assert np.abs(whole[name].astype(int) - picture).max() <= 1  # a last bit may round the other way
    other = pictures(make(ckpt, tmp_path / "c", n=9, seed=1))
    assert not any(np.array_equal(other[name], few[name]) for name in few)


def test_truncation_makes_samples_alike(ckpt: Path, tmp_path: Path) -> None:
    def spread(**options) -> float:
        out = make(ckpt, tmp_path / str(len(options)), n=40, labels="left", **options)
        return np.stack(list(pictures(out).values())).astype(float).std(0).mean()

    assert spread(truncation=0.1) < 0.5 * spread()


def test_without_classes(plain: Path, tmp_path: Path) -> None:
    out = make(plain, tmp_path / "out", n=5)
    assert sorted(pictures(out)) == [f"{i:08d}.png" for i in range(5)]
    assert ImageFolder(out).schema.classes == ()
    with pytest.raises(InputError, match="without classes"):
        make(plain, tmp_path / "other", n=5, labels="left")


def test_what_is_known_of_series_longer_than_the_data_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, run = Waves(fixed=True), trainer(1)
    run.fit(TimeGAN(data.schema, hidden=6), data)
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    said = "length 20: the model has seen series of at most 8 steps; further on there is no slower movement"
    for length in (None, 8, 20):
        with caplog.at_level("INFO"):
            make(tmp_path / "a.ckpt", tmp_path / str(length), n=2, length=length, format="npz")
        assert (said in caplog.text) == (length == 20)
    assert np.load(tmp_path / "20" / "samples.npz")["x"].shape == (2, 20, 2)


# ---- interruption, and other people's files ----


def test_goes_on_where_it_stopped(ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pictures(make(ckpt, tmp_path / "whole", n=10, batch_size=2))
    drawn: list[int] = []
    sample = DCGAN.sample

    def dies(self, latent, labels, **options):
        if len(drawn) == 7:  # the first of all is drawn before, to see whether it can be
            raise KeyboardInterrupt
        drawn.extend(labels.tolist())
        return sample(self, latent, labels, **options)

    monkeypatch.setattr(DCGAN, "sample", dies)
    with pytest.raises(SystemExit):
        make(ckpt, tmp_path / "out", n=10, batch_size=2)
    assert not (tmp_path / "out" / "manifest.json").exists()
    drawn.clear()
    out = make(ckpt, tmp_path / "out", n=10, batch_size=2)
    assert len(drawn) == 1 + 4
    monkeypatch.undo()
    found = pictures(out)
    assert found.keys() == whole.keys()
    assert all(np.array_equal(found[name], whole[name]) for name in whole)


def test_another_generation_is_not_overwritten(ckpt: Path, tmp_path: Path) -> None:
    out = make(ckpt, tmp_path / "out", n=4)
    before = (out / "manifest.json").stat().st_mtime_ns
    make(ckpt, out, n=4)  # the same again is no work
    assert (out / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="--overwrite"):
        make(ckpt, out, n=6)
    make(ckpt, out, n=2, labels="left", overwrite=True)
    assert sorted(pictures(out)) == ["left/00000000.png", "left/00000001.png"]


def test_a_folder_that_lacks_its_samples_is_not_complete(ckpt: Path, tmp_path: Path) -> None:
    for format, name in (("npz", "samples.npz"), ("folder", "left/00000000.png")):
        out = make(ckpt, tmp_path / format, n=4, format=format)
        (out / name).unlink()
        with pytest.raises(InputError, match=r"lacks files that were written there: .* --overwrite"):
            make(ckpt, out, n=4, format=format)
        make(ckpt, out, n=4, format=format, overwrite=True)
        assert (out / name).is_file()


def test_a_file_of_ones_own_beside_samples_is_kept(ckpt: Path, tmp_path: Path) -> None:
    out = make(ckpt, tmp_path / "out", n=4, format="npz")
    (out / "samples.mine.xlsx").write_text("mine")
    make(ckpt, out, n=2, format="npz", overwrite=True)
    assert (out / "samples.mine.xlsx").read_text() == "mine"
    folder = make(ckpt, tmp_path / "folder", n=4)
    for name in pictures(folder):
        (folder / name).with_name("mine.txt").write_text("mine")
    make(ckpt, folder, n=2, format="npz", overwrite=True)
    assert not pictures(folder)
    assert {p.name for p in folder.glob("*/*")} == {"mine.txt"}


def test_what_cannot_be_drawn_on_replaces_and_claims_nothing(ckpt: Path, tmp_path: Path) -> None:
    out = make(ckpt, tmp_path / "out", n=4)
    before = pictures(out)
    for device in ({"accelerator": "gpu"}, {"accelerator": "cpu", "devices": "x"}):
        for folder in (out, tmp_path / "new"):
            with pytest.raises(InputError):
                generate(ckpt, folder, n=6, overwrite=True, progress=False, **device)
    assert pictures(out).keys() == before.keys()
    assert not (tmp_path / "new").exists()
    make(ckpt, tmp_path / "new", n=2)


@pytest.mark.parametrize("there", ["nothing", "samples", "half"])
def test_processes_that_begin_at_the_same_time_share_the_folder(there: str, tmp_path: Path) -> None:
    """Whatever another has come to at every line, of a new folder and of one whose samples are replaced."""
    request, old = {"seed": 1}, {"seed": 0, "labels": ["left"]}
    for line in itertools.count(1):
        out = tmp_path / str(line)
        begun = out / ".partial" / "request.json"
        if there != "nothing":
            assert _claim(out, old, False)
            (begun.parent / "000000000000.pt").touch()
            (out / "left").mkdir()
        if there == "samples":
            shutil.rmtree(begun.parent)
            write_manifest(out, {"request": old, "schema": {"classes": ["left"]}})
        given = out, request, there != "nothing"
        if not interleaved(_claim, line, partial(_claim, *given))(*given):
            break
        assert json.loads(begun.read_text()) == request
        assert [p.relative_to(out) for p in out.rglob("*") if p.is_file()] == [begun.relative_to(out)]
        assert not (out / "left").exists()
    assert line > 10


def test_other_files_are_never_touched(ckpt: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not generated here"):
            make(ckpt, tmp_path, n=2, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 1, "per_class": 1}, "not both"),
        ({"n": 0}, "at least 1"),
        ({"labels": "left,up"}, "unknown label 'up': the classes are 'left', 'right'"),
        ({"labels": "left,0"}, "each label once"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch_size"),
        ({"truncation": -1.0}, "truncation"),
    ],
)
def test_bad_requests_get_one_line(ckpt: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make(ckpt, tmp_path / "out", **options)
    assert "\n" not in str(error.value)


# ---- scores ----

QUICK = {"accelerator": "cpu", "progress": False, "classifier_steps": 150}


@pytest.fixture(scope="module")
def data() -> Squares:
    return Squares(rows=300, size=16)


def test_scores_of_a_checkpoint(ckpt: Path, data: Squares, tmp_path: Path) -> None:
    result = evaluate(data, ckpt=ckpt, out=tmp_path / "scores.json", **QUICK)
    assert json.loads((tmp_path / "scores.json").read_text()) == result
    assert result["extractor"].startswith("classifier-")
    assert result["counts"] == {"synthetic": 216, "train": 216, "test": 60}
    scores = result["scores"]
    assert scores["class_fidelity"]["synthetic"] > 0.5  # a toy of 300 steps; what it measures is tested below
    assert scores["class_fidelity"]["floor"] == scores["cas"]["trained_on_real"] > 0.95
    assert 0 <= scores["cas"]["trained_on_synthetic"] <= 1
    for name in ("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"):
        assert {"to_train", "floor", "rows"} <= scores[name].keys()
        assert scores[name]["rows"] == 60
    assert scores["frechet_distance"]["to_test"] > scores["frechet_distance"]["floor"]


def none_of_ours(*_, **__) -> torch.device | None:
    """In place of ``current_accelerator``: one that is not there for ganaug, none for torch's own code."""
    return torch.device("xpu") if sys._getframe(1).f_globals["__name__"].startswith("ganaug") else None


@pytest.mark.parametrize("kind", ["image", "text", "series"])
def test_on_a_cpu_no_other_device_is_used(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"image": Squares, "text": Letters, "series": Waves}[kind]()
    options = {"image": {"width": 8}, "text": {"hidden": 8}, "series": {"widths": [8]}}[kind]
    model, run = MODELS[kind](data.schema, **options), trainer(1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", none_of_ours)
    few = {"n": 20, "repeats": 0, "classifier_steps": 3}
    assert evaluate(data, ckpt=tmp_path / "a.ckpt", out=None, **QUICK | few)["scores"]


def test_real_data_score_at_the_floor_and_copies_are_found(data: Squares, tmp_path: Path) -> None:
    """Unseen real rows as samples: nothing memorised. Training rows as samples: all copies."""
    data.setup()
    found = {}
    for name, part in (("unseen", data.test), ("copied", data.train), ("mislabelled", data.train)):
        x = data.schema.decode(next(part.batches(1000))["x"])
        y = np.array(data.schema.classes)[part.fields["y"].numpy() ^ (name == "mislabelled")]
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
        found[name] = evaluate(data, samples=tmp_path / f"{name}.npz", out=None, **QUICK)["scores"]
    for name, least, most in (("unseen", 0.95, 1.0), ("copied", 0.95, 1.0), ("mislabelled", 0.0, 0.05)):
        assert least <= found[name]["class_fidelity"]["synthetic"] <= most
        assert least <= found[name]["cas"]["trained_on_synthetic"] <= most
    assert found["unseen"]["frechet_distance"]["to_train"] == pytest.approx(
        found["unseen"]["frechet_distance"]["floor"], rel=1e-6
    )
    for place in ("in_pixels", "in_features"):
        assert found["unseen"]["memorisation"][place]["closer"] <= 0.05
        assert found["copied"]["memorisation"][place]["copies"] == 1.0


def test_samples_of_no_class_are_shown_under_no_name(data: Squares, tmp_path: Path, monkeypatch) -> None:
    shown: list[tuple] = []
    kind = kind_of(data.schema)
    monkeypatch.setattr(kind, "figures", lambda schema, *rows: shown.append((schema.classes, rows)) or {})
    model = DCGAN(data.schema, width=4, latent_dim=4, conditional=False)
    run = trainer(1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "a.ckpt")
    options = {"out": None, "n": 6, "classifier_steps": 2, "cas": False, "accelerator": "cpu", "progress": False}
    evaluate(data, ckpt=tmp_path / "a.ckpt", **options)
    ((classes, rows),) = shown
    assert classes == ()
    assert not any(part["y"].any() for part in rows)


def test_scores_without_classes(plain: Path) -> None:
    result = evaluate(Squares(labelled=False, size=16), ckpt=plain, n=30, out=None, **QUICK)
    assert result["extractor"].startswith("rotation-")
    assert not result["scores"].keys() & {"cas", "class_fidelity"}


def test_scores_of_what_does_not_fit_get_one_line(ckpt: Path, data: Squares, tmp_path: Path) -> None:
    np.savez(tmp_path / "big.npz", x=np.zeros((4, 17, 23), np.uint8), y=np.arange(4))
    np.savez(tmp_path / "up.npz", x=np.zeros((4, 16, 16), np.uint8), y=np.array(["left", "up", "up", "left"]))
    for options, message in (
        ({}, "either ckpt"),
        ({"ckpt": ckpt, "samples": tmp_path}, "either ckpt"),
        ({"samples": tmp_path / "big.npz"}, "17×23"),
        ({"samples": tmp_path / "up.npz"}, "the class 'up' is not among"),
        ({"samples": tmp_path / "nothing"}, "nothing"),
        ({"ckpt": ckpt, "n": 1}, "n must be at least 2"),
    ):
        with pytest.raises(InputError, match=message) as error:
            evaluate(data, out=None, **QUICK, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="split of data"):
        evaluate(Squares(rows=300, size=16, seed=3), ckpt=ckpt, out=None, **QUICK)
    generate(ckpt, tmp_path / "made", n=4)
    with pytest.raises(InputError, match="split of data"):  # samples know their checkpoint
        evaluate(Squares(rows=300, size=16, seed=3), samples=tmp_path / "made", out=None, **QUICK)
    with pytest.raises(InputError, match="makes image data, --data gives text data"):
        evaluate(Grammar(sentences=60), ckpt=ckpt, out=None, **QUICK)
    with pytest.warns(UserWarning, match="trained on 86 rows, --data gives 216"):
        evaluate(data, ckpt=ckpt, out=None, n=4, **QUICK | {"classifier_steps": 2})
    with pytest.raises(InputError, match="their height, width, image_size differ"):
        evaluate(Squares(size=8), ckpt=ckpt, out=None, **QUICK)


# ---- scores of sentences ----


@pytest.fixture(scope="module")
def letters() -> Letters:
    return Letters(rows=240)


@pytest.fixture(scope="module")
def text_ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The letters of each class and how often sentences end: right, but for lengths and repetitions."""
    path = tmp_path_factory.mktemp("text") / "last.ckpt"
    data = Letters(rows=240)
    run = trainer(60)
    run.fit(Unigrams(data.schema), data)
    run.save_checkpoint(path, weights_only=False)
    return path


def write_jsonl(path: Path, texts: list[str], labels: list[str] | None) -> Path:
    rows = [{"text": t} for t in texts] if labels is None else [
        {"text": t, "label": c} for t, c in zip(texts, labels, strict=True)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


EVERY = {
    "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage", "memorisation",
    "membership", "class_spread",
    *(f"bleu_{n}" for n in (2, 3, 4, 5)), *(f"self_bleu_{n}" for n in (2, 3, 4)),
    *(f"distinct_{n}" for n in (1, 2, 3)), "copies", "novelty",
}  # fmt: skip
JUDGED = {"validity", "valid_novelty", "template_coverage"}
LM = {"lm_nll", "reverse_lm_nll"}


def test_of_a_folder_the_newest_checkpoint_inside_is_named(tmp_path: Path) -> None:
    for run in ("version_0", "version_1"):
        (folder := tmp_path / "digits" / run / "checkpoints").mkdir(parents=True)
        (folder / "last.ckpt").touch()
        os.utime(folder / "last.ckpt", (int(run[-1]), int(run[-1])))
    wrote = "that is a folder, of whose runs the last wrote .*version_1/checkpoints/last.ckpt$"
    with pytest.raises(InputError, match=wrote):
        generate(tmp_path, tmp_path / "out")


def test_text_scores_of_a_checkpoint(
    text_ckpt: Path, letters: Letters, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        result = evaluate(letters, ckpt=text_ckpt, out=tmp_path / "scores.json", **QUICK)
    assert json.loads((tmp_path / "scores.json").read_text()) == result
    assert result["extractor"] == "textcnn-on-real-train"
    assert result["counts"] == {"synthetic": 172, "train": 172, "test": 48}
    scores = result["scores"]
    assert scores.keys() == EVERY | JUDGED | LM | {"nll_test", "nll_train", "class_fidelity", "cas"}
    assert scores["memorisation"].keys() == {"in_features"}
    for name in EVERY | JUDGED:
        if "synthetic" in scores[name]:
            assert 0 <= scores[name]["synthetic"] <= 1
            assert 0 <= scores[name]["floor"] <= 1
    assert scores["validity"]["floor"] == 1
    assert 0.9 < scores["class_fidelity"]["synthetic"] <= 1
    assert 0.9 < scores["cas"]["trained_on_synthetic"] <= 1
    model = load(text_ckpt)
    with torch.no_grad():
        nll = float(model.nll(next(letters.test.batches(1000))).mean())
    assert scores["nll_test"] == pytest.approx(nll, rel=1e-6)
    assert 2 < scores["nll_train"] < 3  # of 13 letters and the end
    lines = caplog.text.splitlines()
    for label in (
        "frechet_distance to test",
        "bleu 2",
        "template coverage",
        "class fidelity",
        "CAS",
        "nll test",
        "lm nll",
    ):
        assert sum(line.startswith(label) for line in lines) == 1


def test_real_sentences_score_at_the_floor_and_copies_are_found(letters: Letters, tmp_path: Path) -> None:
    letters.setup()
    classes = np.array(letters.schema.classes)
    found = {}
    for name, part in (("unseen", letters.test), ("copied", letters.train), ("mislabelled", letters.train)):
        texts = letters.schema.decode(part.fields["x"])
        labels = classes[part.fields["y"].numpy() ^ (name == "mislabelled")].tolist()
        file = write_jsonl(tmp_path / f"{name}.jsonl", texts, labels)
        found[name] = evaluate(letters, samples=file, out=None, **QUICK)["scores"]
        assert found[name].keys() == EVERY | JUDGED | LM | {"class_fidelity", "cas"}
    for name, least, most in (("unseen", 0.95, 1.0), ("copied", 0.95, 1.0), ("mislabelled", 0.0, 0.05)):
        assert least <= found[name]["class_fidelity"]["synthetic"] <= most
        assert least <= found[name]["cas"]["trained_on_synthetic"] <= most
        assert found[name]["validity"]["synthetic"] == (0 if name == "mislabelled" else 1)
    for name, score in found["copied"].items():  # as many training sentences are the floor
        if name.startswith(("bleu", "self_bleu", "distinct", "template", "reverse_lm")):
            assert score["synthetic"] == pytest.approx(score["floor"])
    assert found["copied"]["copies"]["synthetic"] == 1
    assert found["copied"]["novelty"]["synthetic"] == found["copied"]["valid_novelty"]["synthetic"] == 0
    assert found["copied"]["memorisation"]["in_features"]["copies"] == 1
    assert found["unseen"]["copies"]["synthetic"] == found["unseen"]["copies"]["floor"] < 0.2
    assert found["unseen"]["bleu_2"]["synthetic"] == pytest.approx(1)
    assert found["unseen"]["template_coverage"]["synthetic"] == 1
    assert found["mislabelled"]["valid_novelty"]["synthetic"] == 0


def test_sentences_without_labels(tmp_path: Path) -> None:
    data = Letters(rows=240, labelled=False)
    texts = ["abc", "abca", "zzz", "amz", "nopq", "ab"]
    result = evaluate(data, samples=write_jsonl(tmp_path / "a.jsonl", texts, None), out=None, **QUICK)
    assert result["extractor"] == "corruption-textcnn-on-real-train"
    assert result["scores"].keys() == EVERY | JUDGED | LM
    assert result["scores"]["validity"] == {"synthetic": pytest.approx(5 / 6), "floor": 1.0, "rows": 6}
    assert result["scores"]["distinct_1"]["synthetic"] == 9 / 19


def test_the_oracle_is_asked(tmp_path: Path, letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Letters, "nll_oracle", lambda self, x: float((x == 0).double().mean()), raising=False)
    file = write_jsonl(tmp_path / "a.jsonl", ["abcd", "nopq"], ["early", "late"])
    quick = QUICK | {"classifier_steps": 2, "cas": False}
    scores = evaluate(letters, samples=file, out=None, **quick)["scores"]
    floor = float((letters.test.fields["x"] == 0).double().mean())
    assert scores["nll_oracle"] == {"synthetic": 0.5, "floor": pytest.approx(floor), "rows": 2}


def test_sentences_that_do_not_fit_get_one_line(text_ckpt: Path, letters: Letters, tmp_path: Path) -> None:
    early = ["early"] * 3
    for texts, labels, options, message in (
        (["abc", "abcdefghi", "ab"], early, {}, "sentence 2 has 9 tokens"),
        (["", "def", "abcdefghi"], early, {}, "sentence 3 has 9 tokens"),
        (["abc", "", " "], early, {}, "at least 2 samples"),
        (["abc", "def", "ghi"], ["early", "up", "early"], {}, "the class 'up' is not among"),
        (["abc", "def", "ghi"], early, {"inception": True}, "inception and inception_weights are for image data"),
        (["abc", "def", "ghi"], early, {"inception_weights": tmp_path}, "--data gives text data"),
    ):
        file = write_jsonl(tmp_path / "samples.jsonl", texts, labels)
        with pytest.raises(InputError, match=message) as error:
            evaluate(letters, samples=file, out=None, **QUICK, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="their classes differ"):
        evaluate(Letters(labelled=False), ckpt=text_ckpt, out=None, **QUICK)


def test_samples_without_a_token_are_left_out_and_counted(letters: Letters, tmp_path: Path) -> None:
    quick = {**QUICK, "classifier_steps": 2, "cas": False, "lm": False, "out": None}
    labels = ["late", "early", "late", "early"]
    holes = write_jsonl(tmp_path / "holes.jsonl", [" ", "abc", "", "abcd"], labels)
    whole = write_jsonl(tmp_path / "whole.jsonl", ["abc", "abcd"], ["early", "early"])
    with pytest.warns(UserWarning, match="2 of 4 samples have no token"):
        found = evaluate(letters, samples=holes, **quick)
    assert found["counts"]["synthetic"] == 2
    assert found["scores"] == evaluate(letters, samples=whole, **quick)["scores"]


# ---- sentences of SeqGAN ----


@pytest.fixture(scope="module")
def seqgan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seqgan") / "last.ckpt"
    data = Letters(rows=240)
    model = make_seqgan(data, mle_steps=150, lr_mle=0.02, hidden=16)
    run = trainer(155)
    run.fit(model, data)
    run.save_checkpoint(path, weights_only=False)
    return path


def lines(path: Path) -> list[tuple[str, str]]:
    texts, y, classes = read_texts(path)
    return sorted((classes[c], text) for c, text in zip(y, texts, strict=True))


@pytest.mark.parametrize("format", ["jsonl", "csv", "txt"])
def test_sentences_are_read_back(format: str, seqgan: Path, letters: Letters, tmp_path: Path) -> None:
    out = make(seqgan, tmp_path / "out", n=30, format=format, temperature=0.8)
    names = ["early.txt", "late.txt"] if format == "txt" else [f"samples.{format}"]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "manifest.json"])
    model = load(seqgan)
    y = torch.arange(30) % 2
    drawn = model.schema.decode(model.sample(model.latent(torch.arange(30), 0), y, temperature=0.8)["x"])
    assert lines(out) == sorted((("early", "late")[c], text) for c, text in zip(y, drawn, strict=True))
    data = TextFile(out, tokenizer="char")
    data.setup()
    assert data.schema.classes == ("early", "late")
    assert sum(len(part) for part in (data.train, data.val, data.test)) == 30
    result = evaluate(letters, samples=out, out=None, lm=False, cas=False, **QUICK)
    assert result["counts"]["synthetic"] == 30
    assert result["scores"]["class_fidelity"]["synthetic"] > 0.7


def test_sentences_go_on_where_they_stopped(seqgan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(seqgan, tmp_path / "whole", n=10, batch_size=2, format="csv")
    drawn: list[int] = []
    sample = SeqGAN.sample

    def dies(self, latent, labels, temperature=1.0, top_k=None, top_p=None):
        if len(drawn) == 7:  # the first of all is drawn before, to see whether it can be
            raise KeyboardInterrupt
        drawn.extend(labels.tolist())
        return sample(self, latent, labels, temperature, top_k, top_p)

    monkeypatch.setattr(SeqGAN, "sample", dies)
    with pytest.raises(SystemExit):
        make(seqgan, tmp_path / "out", n=10, batch_size=2, format="csv")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".partial"]
    drawn.clear()
    out = make(seqgan, tmp_path / "out", n=10, batch_size=2, format="csv")
    assert len(drawn) == 1 + 4
    assert (out / "samples.csv").read_bytes() == (whole / "samples.csv").read_bytes()


def test_another_format_leaves_no_stale_file(seqgan: Path, tmp_path: Path) -> None:
    for format in ("jsonl", "csv", "txt", "jsonl"):
        out = make(seqgan, tmp_path / "out", n=8, format=format, overwrite=True)
        names = {"early.txt", "late.txt"} if format == "txt" else {f"samples.{format}"}
        assert {p.name for p in out.iterdir()} == names | {"manifest.json"}


def test_what_was_stopped_before_its_manifest_leaves_no_stale_file(
    ckpt: Path, seqgan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object) -> None:
        raise SystemExit

    for path, name, format in ((ckpt, "pictures", "folder"), (seqgan, "sentences", "txt")):
        with monkeypatch.context() as patch:
            patch.setattr(sys.modules["ganaug.commands.generate"], "write_manifest", stops)
            with pytest.raises(SystemExit):
                make(path, tmp_path / name, n=8, format=format)
        left = {p.name for p in (tmp_path / name).iterdir()}
        assert left > {".partial"}
        with pytest.raises(InputError, match="--overwrite"):
            make(path, tmp_path / name, n=2, format=format)
        other = {"folder": "npz", "txt": "jsonl"}[format]
        make(path, tmp_path / name, n=2, format=other, overwrite=True)
        now = {p.name for p in (tmp_path / name).iterdir()}
        assert now - {"grid.png"} == {f"samples.{other}", "manifest.json"}


def test_options_of_another_kind_get_one_line(ckpt: Path, seqgan: Path, tmp_path: Path) -> None:
    for path, options, message in (
        (seqgan, {"format": "npz"}, "text samples are written as jsonl or csv or txt, not as npz"),
        (seqgan, {"truncation": 1.0}, "truncation is no option of SeqGAN"),
        (seqgan, {"temperature": 0.0}, "temperature must be above 0"),
        (ckpt, {"format": "jsonl"}, "image samples are written as folder or npz, not as jsonl"),
        (ckpt, {"temperature": 0.8}, "temperature is no option of DCGAN"),
    ):
        with pytest.raises(InputError, match=message) as error:
            make(path, tmp_path / "out", **options)
        assert "\n" not in str(error.value)


def test_sentences_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """fit on made and on own sentences, generate, evaluate the checkpoint and what it wrote."""
    from ganaug.cli import main

    monkeypatch.chdir(tmp_path)
    rows = [(f"{a} {b} .", a) for a in ("red", "blue") for b in "abcdefghijklmnopqrst"]
    write_jsonl(tmp_path / "own.jsonl", *map(list, zip(*rows, strict=True)))
    quiet = ["--accelerator", "cpu", "--progress", "false"]
    small = [
        "--model.mle_steps", "3", "--model.discriminator_steps", "1", "--model.rollouts", "2", "--trainer.max_steps",
        "5", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.limit_val_batches",
        "0", "--data.batch_size", "8",
    ]  # fmt: skip
    own = ["--data", "TextFile", "--data.path", "own.jsonl"]
    for data in (["--data", "Grammar"], own):
        main(["fit", "--model", "SeqGAN", *data, *small])
    run = Path("lightning_logs", "seqgan_textfile", "version_0")
    last = run / "checkpoints" / "last.ckpt"
    main(["generate", "--ckpt", str(last), "--out", "made", "--format", "csv", "--temperature", "0.8", *quiet])
    assert (tmp_path / "made" / "samples.csv").read_text().startswith("text,label\n")
    quick = ["--classifier_steps", "2", "--cas", "false", "--lm", "false", *quiet]
    main(["evaluate", "--samples", "made", *own, "--out", "made.json", *quick])
    main(["evaluate", "--ckpt", str(last), *own, "--out", "drawn.json", "--temperatures", "0.8,1", *quick])
    assert len(json.loads((tmp_path / "drawn.json").read_text())["temperatures"]) == 4
    assert (tmp_path / "drawn_temperatures.png").is_file()
    assert sum("tfevents" in p.name for p in run.iterdir()) == 2
    with pytest.raises(SystemExit):
        main(["evaluate", "--samples", "made", *own, "--temperatures", "1", *quick])
    assert capsys.readouterr().err.splitlines()[-1].startswith("ganaug evaluate: error: temperatures need ckpt")


# ---- the command line ----


def ganaug(*args: object, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ganaug.cli", *map(str, args)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_switches_stand_alone(ckpt: Path, tmp_path: Path) -> None:
    from ganaug.cli import main

    command = ["generate", "--ckpt", str(ckpt), "--out", str(tmp_path / "out"), "--accelerator", "cpu", "--progress"]
    main([*command, "false", "--labels", "0", "--n", "3"])
    main([*command, "false", "--overwrite", "--labels", "1,left", "--n", "2"])
    assert sorted(pictures(tmp_path / "out")) == ["left/00000001.png", "right/00000000.png"]
    main([*command, "false", "--n", "1", "--overwrite"])
    assert sorted(pictures(tmp_path / "out")) == ["left/00000000.png"]


def test_two_processes_write_what_one_writes(ckpt: Path, tmp_path: Path) -> None:
    one = pictures(make(ckpt, tmp_path / "one", n=13))
    done = ganaug(
        "generate", "--ckpt", ckpt, "--out", tmp_path / "two", "--n", 13, "--batch_size", 3,
        "--accelerator", "cpu", "--devices", 2, "--progress", "false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = pictures(tmp_path / "two")
    assert two.keys() == one.keys()
    assert all(np.abs(one[name].astype(int) - two[name]).max() <= 1 for name in one)
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["counts"] == {"left": 7, "right": 6}


def test_a_run_told_to_stop_goes_on_with_the_same_command(tmp_path: Path) -> None:
    """fit, SIGTERM in the middle, the same command; against a run that nobody stopped: the same weights."""
    command = [
        "fit", "--model", "DCGAN", "--model.width", "8", "--data", "Digits", "--data.batch_size", "16",
        "--trainer.accelerator", "cpu", "--trainer.max_steps", "600", "--trainer.limit_val_batches", "0",
        "--trainer.enable_progress_bar", "false", "--previews.every_n_steps", "0", "--last.every_n_steps", "25",
        "--ckpt_path", "last", "--trainer.default_root_dir",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "ganaug.cli", *command, tmp_path / "stopped"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    last = Path("dcgan_digits", "version_0", "checkpoints", "last.ckpt")
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None and not (tmp_path / "stopped" / last).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 143, output
    assert "told to stop" in output
    assert 25 <= torch.load(tmp_path / "stopped" / last, weights_only=True)["global_step"] < 600
    done = ganaug(*command, tmp_path / "stopped")
    assert done.returncode == 0, done.stderr
    assert "resuming from" in done.stdout
    assert ganaug(*command, tmp_path / "whole").returncode == 0
    a, b = (torch.load(tmp_path / name / last, weights_only=True) for name in ("stopped", "whole"))
    assert a["global_step"] == b["global_step"] == 600
    assert all(torch.equal(a["state_dict"][name], b["state_dict"][name]) for name in a["state_dict"])
    assert [p.name for p in (tmp_path / "stopped" / "dcgan_digits").iterdir()] == ["version_0"]
    assert load(tmp_path / "whole" / last).schema.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fly"], "unknown subcommand 'fly'"),
        (["generate", "--ckpt", "missing.ckpt", "--out", "x"], "no checkpoint at missing.ckpt"),
        (["generate", "--ckpt", "README.md", "--out", "x"], "cannot be read as a checkpoint"),
        (["generate", "--out", "x"], "ckpt"),
        (["evaluate", "--ckpt", "missing.ckpt", "--data", "Digits"], "no checkpoint at missing.ckpt"),
        (["fit", "--model", "DCGAN", "--data", "Nope"], "no class 'Nope'; known are"),
        (["fit", "--model", "CGAN", "--data", "Digits"], "no class 'CGAN'; known are DCGAN"),
        (["fit", "--model", "DCGAN", "--data", "Digits", "--trainer.max_stepz", "3"], "max_stepz"),
        (["fit", "--model", "DCGAN", "--data", "Digits", "--model.loss", "cubist"], "cubist"),
        (["fit", "--model", "DCGAN", "--data", "Digits", "--data.per_class", "5000"], "per_class"),
        (["fit", "--model", "DCGAN", "--data", "ImageFolder", "--data.path", "nowhere"], "nowhere"),
        (["fit", "--model", "DCGAN", "--data", "Grammar"], "learns from image data, --data gives text data"),
        (["fit", "--model", "SeqGAN", "--data", "Digits"], "learns from text data, --data gives image data"),
        (["fit", "--config", "nothing.yaml"], "nothing.yaml"),
        (["fit", "--model", "DCGAN", "--data", "Digits", "--trainer.accelerator", "abacus"], "abacus"),
        (["fit", "--model", "DCGAN", "--data", "Digits", "--trainer.devices", "0"], "devices"),
        (["generate", "--ckpt", "x", "--out", "x", "--accelerator", "abacus"], "abacus"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_mistakes_get_one_line_and_status_2(args: list[str], message: str, capsys, monkeypatch, tmp_path) -> None:
    from ganaug.cli import main

    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as exit:
        main([*args, *(["--trainer.default_root_dir", str(tmp_path)] if args[0] == "fit" else [])])
    assert exit.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert lines[0].startswith("ganaug")


@pytest.mark.parametrize("args", [[], ["--help"], ["fit", "--help"], ["generate", "--help"], ["evaluate", "--help"]])
def test_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from ganaug.cli import main

    if args[:1] in ([], ["--help"]):
        main(args)
    else:
        with pytest.raises(SystemExit) as exit:
            main(args)
        assert exit.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: ganaug")
    assert ("--accelerator" in text or "--trainer.accelerator" in text) == (len(args) == 2)
