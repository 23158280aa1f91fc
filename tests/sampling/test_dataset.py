import io
import pickle
from pathlib import Path

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader
from torchvision.datasets import FakeData
from torchvision.transforms import ToTensor

from datamodules import Grammar, ImageSchema, InputError, Signals
from datamodules.images.store import read_images
from datamodules.text.store import read_texts
from ganaug import DCGAN, GAN, SeqGAN, TimeGAN
from ganaug.commands.generate import generate
from ganaug.sampling.dataset import SyntheticDataset
from tests.gan_contract import trainer


def saved(model: GAN, path: Path) -> Path:
    """A checkpoint of a model, as a run leaves it before its first step."""
    run = trainer(0)
    run.strategy.connect(model)
    run.save_checkpoint(path, weights_only=False)
    return path


def pictures(**options) -> DCGAN:
    schema = ImageSchema(classes=("a", "b", "c"), height=8, width=8, channels=1, image_size=8)
    model = DCGAN(schema, latent_dim=8, width=4, **options).eval()
    for network in (model.generator, model.ema.network):
        for weight in network.parameters():
            weight.data *= 10 if weight.ndim > 1 else 1  # untrained, all pictures would be grey
    return model


def sentences() -> SeqGAN:
    return SeqGAN(Grammar(sentences=60).schema, embedding=8, hidden=8, layers=1, seed=3).eval()


def series() -> TimeGAN:
    data = Signals(kinds=["sinusoid", "ar"], series=20, length=12)
    return TimeGAN(data.schema, hidden=6, layers=2).eval()


MODELS = [pictures, sentences, series]


def alike(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1 / 127.5 + 1e-6 if name == "x" else 0)


def batch_of(items: list) -> dict:
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


@pytest.mark.parametrize("make", MODELS)
def test_a_row_is_a_function_of_seed_and_number(make) -> None:
    rows = SyntheticDataset(make(), n=9, seed=5)
    whole = batch_of(rows.__getitems__(list(range(9))))
    alike(batch_of([rows[7], rows[2]]), {name: field[[7, 2]] for name, field in whole.items()})
    alike(batch_of(list(rows)), whole)  # iteration ends by itself
    in_parts = SyntheticDataset(make(), n=9, seed=5, batch_size=2)
    alike(batch_of(in_parts.__getitems__(list(range(9)))), whole)
    assert not torch.equal(batch_of(list(SyntheticDataset(make(), n=9, seed=6)))["x"], whole["x"])
    assert whole["y"].tolist() == rows.targets.tolist() == [i % rows.schema.num_classes for i in range(9)]


@pytest.mark.parametrize("make", MODELS)
def test_any_loader_takes_it(make) -> None:
    rows = SyntheticDataset(make(), per_class=3)
    whole = batch_of(list(rows))
    batches = list(DataLoader(rows, batch_size=4))
    alike({name: torch.cat([batch[name] for batch in batches]) for name in whole}, whole)
    cached = SyntheticDataset(make(), per_class=3, cache=True)
    alike(next(iter(DataLoader(cached, batch_size=len(cached)))), whole)
    alike(batch_of(list(pickle.loads(pickle.dumps(rows)))), whole)  # as spawned workers get it


def test_items_as_tuples_go_together_with_torchvision_s() -> None:
    rows = SyntheticDataset(pictures(), n=6, as_tuple=True)
    plain = SyntheticDataset(pictures(), n=6)
    theirs = FakeData(4, image_size=tuple(plain[0]["x"].shape), num_classes=2, transform=ToTensor())
    joined = ConcatDataset([theirs, rows])
    x, y = next(iter(DataLoader(joined, batch_size=10)))
    assert torch.equal(x[4:], torch.stack([row["x"] for row in plain]))
    assert y[4:].tolist() == plain.targets.tolist()


def test_worker_processes_change_nothing() -> None:
    rows = SyntheticDataset(pictures(), n=8)
    helped = list(DataLoader(rows, batch_size=4, num_workers=1))
    alike(helped[1], batch_of(rows.__getitems__([4, 5, 6, 7])))


def test_pictures_are_those_that_generate_writes(tmp_path: Path) -> None:
    ckpt = saved(pictures(), tmp_path / "model.ckpt")
    generate(ckpt, tmp_path / "out", n=7, labels="c,a", seed=4, accelerator="cpu", progress=False, format="npz")
    written, y, _ = read_images(tmp_path / "out")
    rows = SyntheticDataset(ckpt, n=7, labels="c,a", seed=4)
    batch = batch_of(list(rows))
    assert batch["y"].tolist() == y.tolist() == [2, 0, 2, 0, 2, 0, 2]
    assert (abs(rows.schema.decode(batch["x"]).astype(int) - written.astype(int)) <= 1).all()
    assert written.std() > 20  # not all grey
    assert batch["x"].dtype == torch.float32
    stored = batch_of(list(SyntheticDataset(ckpt, n=7, labels="c,a", seed=4, prepared=False)))
    assert stored["x"].dtype == torch.uint8
    assert torch.equal(rows.schema.prepare(stored)["x"], batch["x"])  # as grey values allow, like real rows


def test_sentences_are_those_that_generate_writes(tmp_path: Path) -> None:
    ckpt = saved(sentences(), tmp_path / "model.ckpt")
    generate(ckpt, tmp_path / "out", per_class=3, seed=4, accelerator="cpu", progress=False)
    texts, y, _ = read_texts(tmp_path / "out")
    rows = SyntheticDataset(ckpt, per_class=3, seed=4)
    batch = batch_of(list(rows))
    assert rows.schema.decode(batch["x"]) == texts
    assert batch["y"].tolist() == y.tolist()
    assert torch.equal(batch["length"], rows.schema.lengths(batch["x"]))


def test_a_model_without_classes_says_so() -> None:
    rows = SyntheticDataset(pictures(preset="paper"), n=4)
    assert rows.schema.classes == ()
    assert rows.targets.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 3, "per_class": 2}, "give n or per_class, not both"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"per_class": 2.5}, "per_class must be a whole number or null, not 2.5"),
        ({"labels": [0.7]}, "labels must be text or a list, each text or a whole number or null, not"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"seed": "a"}, "seed must be a whole number, not 'a'"),
        ({"labels": "a,z"}, "unknown label 'z'"),
    ],
)
def test_bad_options_are_one_line(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        SyntheticDataset(pictures(), **options)
    assert "\n" not in str(error.value)


def test_bad_checkpoints_and_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint at"):
        SyntheticDataset(tmp_path / "none.ckpt")
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(io.BytesIO(b"PK").getvalue())
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        SyntheticDataset(broken)
    rows = SyntheticDataset(pictures(), n=2)
    assert torch.equal(rows[-1]["x"], rows[1]["x"])
    for row in (2, -3):
        with pytest.raises(IndexError):
            rows[row]


def test_drawing_leaves_the_random_state_alone() -> None:
    rows = SyntheticDataset(pictures(), n=2)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    rows[1]
    assert torch.equal(torch.get_rng_state(), before)
