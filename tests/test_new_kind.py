"""A kind of data from outside goes through every verb, and is asked for no more than the base classes say."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import GANDataModule, InputError, Schema
from datamodules.store import Store, read_samples, store_of
from ganaug import GAN, augment, evaluate, generate, load
from ganaug.classifiers import Classifier
from ganaug.cli import main
from ganaug.commands.inspect import inspect as inspect_data
from ganaug.kind import Kind, kind_of
from tests.data_contract import WorkersContract
from tests.gan_contract import GANContract
from tests.points import PointGAN, PointSchema, PointSets

KINDS = ["image", "text", "series", "points"]


class TestPointSets(WorkersContract):
    def make(self, tmp_path: Path, **options) -> GANDataModule:
        return PointSets(**{"sets": 40, **options})

    def check_points(self, batch, schema) -> None:
        assert batch["x"].shape[1:] == (schema.points, 2)
        assert batch["x"].dtype == torch.float32


class TestPointGAN(GANContract):
    def data(self, **options) -> GANDataModule:
        return PointSets(**{"sets": 40, "batch_size": 8, **options})

    def make(self, data: GANDataModule, **options) -> GAN:
        return PointGAN(data.schema, **options)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_complete(name: str) -> None:
    """What a kind leaves to its base would raise, or be asked of it in vain."""
    schema = Schema._kinds[name]
    kind, store = kind_of(schema), store_of(schema)
    assert issubclass(kind.classifier, Classifier)
    needed = [
        method
        for method, function in vars(Kind).items()
        if isinstance(function, staticmethod) and "raise NotImplementedError" in inspect.getsource(function)
    ]
    assert needed == ["preview", "facts", "gallery"]
    assert all(getattr(kind, method) is not getattr(Kind, method) for method in needed)
    assert all(getattr(store, method) is not getattr(Store, method) for method in ("write", "read"))
    assert store.formats
    assert kind.gallery_note


def test_a_kind_that_nobody_has_told_of() -> None:
    class Voices(Schema):
        kind = "voices"

    with pytest.raises(InputError, match="there is no Kind of voices data"):
        kind_of(Voices())
    with pytest.raises(InputError, match="there is no Store of voices data"):
        store_of(Voices())
    del Schema._kinds["voices"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = (
            "--import tests.points fit --data PointSets --model PointGAN --trainer.max_steps 300 --trainer.accelerator"
        )
        main([*words.split(), "cpu", "--previews.every_n_steps", "100", "--trainer.val_check_interval", "150"])
    (found,) = folder.glob("lightning_logs/*/*/checkpoints/last.ckpt")
    assert (found.parent / "best.ckpt").exists()  # it was scored
    return found


def test_generate_and_evaluate(checkpoint: Path, tmp_path: Path) -> None:
    out = generate(checkpoint, tmp_path / "out", per_class=50, progress=False)
    assert sorted(file.name for file in out.iterdir()) == ["manifest.json", "samples.npz"]
    rows, labelled = read_samples(out, load(checkpoint).schema)
    assert labelled
    assert rows["y"].bincount().tolist() == [50, 50]
    radius = rows["x"].norm(dim=2).sum(1) / rows["length"]
    assert radius[rows["y"] == 0].mean() > radius[rows["y"] == 1].mean() + 0.2  # rings are wider than discs
    scores = evaluate(PointSets(), samples=out, out=tmp_path / "scores.json", progress=False)["scores"]
    assert scores["class_fidelity"]["floor"] > 0.95
    assert np.isfinite(scores["frechet_distance"]["to_test"])


def test_inspect(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    inspect_data(PointSets(), out=tmp_path / "page.html")
    assert "4 to 8 of at most 8" in capsys.readouterr().out
    assert "5 points" in (tmp_path / "page.html").read_text()


def test_augment(tmp_path: Path) -> None:
    report = augment(
        data=PointSets(),
        model=PointGAN,
        per_class=[10],
        seeds=[0, 1],
        gan_steps=30,
        classifier_steps=20,
        ratios=[1.0],
        arms=["real", "classical", "gan", "classical_gan"],
        out=tmp_path / "study",
        workers=1,
        accelerator="cpu",
    )
    assert report is not None
    assert len(json.loads((tmp_path / "study" / "summary.json").read_text())["summary"]["settings"]) == 1
    assert "How many points each has." in (tmp_path / "study" / "report.html").read_text()


def test_smote_says_that_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smote"):
        augment(data=PointSets(), model=PointGAN, out=tmp_path / "study", arms=["real", "smote"], per_class=[10])


def test_the_schema_is_plain() -> None:
    schema = PointSchema(classes=("a",), points=3)
    assert Schema.from_dict(schema.to_dict()) == schema
