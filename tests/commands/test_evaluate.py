"""What ``evaluate`` scores, and by which rows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import ImageArrays, InputError, SeriesArrays, TextFile
from ganaug import DCGAN, SyntheticDataset
from ganaug.commands.evaluate import draw, evaluate
from ganaug.commands.generate import generate
from ganaug.gans.base import GAN
from tests.gan_contract import trainer
from tests.gans.dcgan.test_model import Squares
from tests.gans.timegan.test_model import make as make_timegan

QUICK = {"accelerator": "cpu", "progress": False, "classifier_steps": 2, "cas": False, "out": None, "repeats": 0}


def trained(model: GAN, data, path: Path, steps: int = 1) -> Path:
    run = trainer(steps)
    run.fit(model, data)
    run.save_checkpoint(path)
    return path


def written(ckpt: Path, out: Path, **options) -> Path:
    return generate(ckpt, out, accelerator="cpu", devices=1, progress=False, **options)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """6×6 pictures of two classes, which a DCGAN sees as 8×8."""
    random = np.random.default_rng(0)
    y = np.arange(60) % 2
    np.savez(tmp_path / "a.npz", x=random.integers(0, 128, (60, 6, 6)) + 100 * y[:, None, None], y=y)
    return tmp_path / "a.npz"


@pytest.mark.parametrize("fit", ["pad", "resize"])
def test_pictures_of_a_checkpoint_are_scored_as_they_are_written(pictures: Path, tmp_path: Path, fit: str) -> None:
    data = ImageArrays(pictures, fit=fit)
    data.setup()
    model = DCGAN(data.schema, width=4, latent_dim=4)
    ckpt = trained(model, data, tmp_path / "a.ckpt")
    drawn = draw(model, data, 8, 0, "cpu")
    folder = written(ckpt, tmp_path / "out", n=8, format="npz")
    files = np.load(folder / "samples.npz")
    again = SyntheticDataset(ckpt, n=8, prepared=False)
    kept = torch.stack([again[k]["x"] for k in range(8)])
    assert torch.equal(kept, data.schema.encode(files["x"][..., None]))
    by_label = [torch.equal(drawn["x"][k], kept[k]) for k in range(8) if drawn["y"][k] == again.targets[k]]
    assert by_label
    assert all(by_label)


def test_series_of_a_checkpoint_are_scored_as_they_are_written(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    columns = np.array(["count", "flag"])
    x = np.stack([random.integers(0, 9, (40, 6)), random.integers(0, 2, (40, 6))], -1).astype(float)
    np.savez(tmp_path / "a.npz", x=x, columns=columns, dtypes=np.array(["int64", "bool"]), layout="NTF")
    data = SeriesArrays(tmp_path / "a.npz")
    data.setup()
    model = make_timegan(data)
    trained(model, data, tmp_path / "a.ckpt")
    values = data.schema.decode(draw(model, data, 8, 0, "cpu")["x"])
    scaled = draw(model, data, 8, 0, "cpu")["x"].double().numpy() * data.schema.scale + data.schema.offset
    assert np.allclose(scaled, values, atol=1e-6)  # whole numbers already


def test_training_rows_of_one_class_cannot_tell_classes(tmp_path: Path) -> None:
    """Where the other class is in the groups that are set aside."""
    x, y = np.random.default_rng(0).integers(0, 255, (60, 8, 8)), np.arange(60) // 40
    np.savez(tmp_path / "a.npz", x=x, y=y, site=y)
    np.savez(tmp_path / "b.npz", x=x, y=y)
    modules = [ImageArrays(tmp_path / "a.npz", group="site", seed=seed) for seed in range(4)]
    for module in modules:
        module.setup()
    data = next(module for module in modules if not module.train.fields["y"].any())
    with pytest.warns(UserWarning, match="no class_fidelity and no cas: all training rows are of one class"):
        scores = evaluate(data, samples=tmp_path / "b.npz", **QUICK | {"cas": True})["scores"]
    assert not {"class_fidelity", "cas"} & scores.keys()


def test_samples_say_which_rows_their_model_was_trained_on(tmp_path: Path) -> None:
    """Also when the checkpoint is gone."""
    data = Squares(size=16)
    ckpt = trained(DCGAN(data.schema, width=4, latent_dim=4), data, tmp_path / "a.ckpt")
    folder = written(ckpt, tmp_path / "out", n=6, format="npz")
    ckpt.unlink()
    for samples in (folder, folder / "samples.npz"):
        with pytest.raises(InputError, match=r"trained with data\.test_fraction 0\.2, not 0\.5: its training rows"):
            evaluate(Squares(size=16, test_fraction=0.5), samples=samples, **QUICK)
        with pytest.raises(InputError, match=r"trained on the split of data\.seed 0, not 1"):
            evaluate(Squares(size=16, seed=1), samples=samples, **QUICK)
    evaluate(Squares(size=16), samples=folder, **QUICK)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["data"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match="does not say what its model was trained on"):
        evaluate(Squares(size=16, seed=1), samples=folder, **QUICK)
    shutil.move(folder / "samples.npz", tmp_path / "other.npz")  # somebody's own
    evaluate(Squares(size=16, seed=1), samples=tmp_path / "other.npz", **QUICK)


def test_a_checkpoint_that_lost_the_seed_of_its_data_is_refused(tmp_path: Path) -> None:
    data = Squares(size=16)
    ckpt = trained(DCGAN(data.schema, width=4, latent_dim=4), data, tmp_path / "a.ckpt")
    content = torch.load(ckpt, weights_only=True)
    del content["Squares"]["seed"]
    torch.save(content, ckpt)
    with pytest.raises(InputError, match="what it says of the model's data is damaged"):
        evaluate(Squares(size=16), ckpt=ckpt, **QUICK)


def test_test_rows_that_are_training_rows_are_said(pictures: Path, tmp_path: Path) -> None:
    with np.load(pictures) as file:
        x, y = np.tile(file["x"], (4, 1, 1)), np.tile(file["y"], 4)
    np.savez(tmp_path / "twice.npz", x=x, y=y)
    with pytest.warns(UserWarning, match=r"^\d+ of \d+ test rows are training rows too, so that scores beside them"):
        evaluate(ImageArrays(tmp_path / "twice.npz"), samples=pictures, **QUICK)


def test_n_is_for_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave --n out"):
        evaluate(Squares(size=16), samples=tmp_path, n=5, **QUICK)


def test_series_of_one_step_have_no_predictive_score(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).random((40, 5, 2)), layout="NTF")
    np.savez(tmp_path / "b.npz", x=np.random.default_rng(1).random((20, 1, 2)), layout="NTF")
    data = SeriesArrays(tmp_path / "a.npz")
    options = QUICK | {"repeats": 2, "seed": 2**64 - 1}  # the largest
    assert "predictive_score" not in evaluate(data, samples=tmp_path / "b.npz", **options)["scores"]


def test_sentences_of_too_many_pieces_are_cut(tmp_path: Path) -> None:
    """As samples that end amid the bytes of a letter, which are read as more tokens than there were."""
    pytest.importorskip("tokenizers")
    (tmp_path / "a.txt").write_text("".join(f"the {w} sat\n" for w in ("cat", "dog", "hen") * 10))
    data = TextFile(tmp_path / "a.txt", tokenizer="bpe", vocabulary_size=300)
    data.setup()
    (tmp_path / "b.txt").write_text(f"the cat sat{chr(0xFFFD) * 20}\nthe dog sat\n" * 3)
    with pytest.warns(UserWarning, match=r"3 of 6 samples have more than the \d+ tokens of the data: cut"):
        assert evaluate(data, samples=tmp_path / "b.txt", lm=False, **QUICK)["counts"]["synthetic"] == 6


@pytest.mark.parametrize("options", [{"length": 3}, {"format": "csv"}])
def test_what_cannot_be_drawn_replaces_nothing(tmp_path: Path, options: dict) -> None:
    data = Squares(size=16)
    ckpt = trained(DCGAN(data.schema, width=4, latent_dim=4), data, tmp_path / "a.ckpt")
    out = written(ckpt, tmp_path / "out", n=4)
    before = sorted(path.name for path in out.rglob("*"))
    with pytest.raises(InputError):
        written(ckpt, out, n=4, overwrite=True, **options)
    assert sorted(path.name for path in out.rglob("*")) == before


def test_a_format_that_holds_such_data_is_the_default(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 255, (40, 8, 8, 2)), layout="NHWC")
    data = ImageArrays(tmp_path / "a.npz")
    ckpt = trained(DCGAN(data.schema, width=4, latent_dim=4), data, tmp_path / "a.ckpt")
    assert (written(ckpt, tmp_path / "out", n=4) / "samples.npz").is_file()
    with pytest.raises(InputError, match="such image samples are written as npz, not as folder"):
        written(ckpt, tmp_path / "other", n=4, format="folder")


def test_wanted_rows_by_a_name_as_text(tmp_path: Path) -> None:
    data = Squares(size=16)
    ckpt = trained(DCGAN(data.schema, width=4, latent_dim=4), data, tmp_path / "a.ckpt")
    (tmp_path / "wanted.csv").write_text("label\nleft\nright\n")
    out = written(ckpt, tmp_path / "out", rows=str(tmp_path / "wanted.csv"))
    assert len(list(out.rglob("0*.png"))) == 2


def test_scores_are_json_and_never_written_over_what_is_read(pictures: Path, tmp_path: Path) -> None:
    x = np.zeros((40, 6, 6), np.uint8)  # all rows are alike: distances of test rows are 0, and ratios infinite
    np.savez(tmp_path / "alike.npz", x=x, y=np.arange(40) % 2)
    out = tmp_path / "scores.json"
    options = QUICK | {"out": out}
    found = evaluate(ImageArrays(tmp_path / "alike.npz"), samples=pictures, **options)
    assert found["scores"]["memorisation"]["in_pixels"]["ratio"] == float("inf")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads(out.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["scores"]["memorisation"]["in_pixels"]["ratio"] is None
    table = tmp_path / "samples.json"
    table.write_bytes(pictures.read_bytes())
    for name, said in (("a.npz", "the name must end in .json"), ("samples.json", "is what is read: it would be lost")):
        with pytest.raises(InputError, match=said):
            evaluate(ImageArrays(pictures), samples=table, **QUICK | {"out": tmp_path / name})
