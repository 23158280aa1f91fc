"""Networks of one's own: models do with them what all must; checkpoints name them; what does not fit gets one line."""

import pickle
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from datamodules import Digits, GANDataModule, ImageSchema, InputError
from ganaug import DCGAN, GAN, SeqGAN, SyntheticDataset, TimeGAN, load
from ganaug.commands.export import export
from ganaug.gans.finetune import begin_from
from tests.gan_contract import Stop, equal, trainer
from tests.gans import own_networks as own
from tests.gans.dcgan import test_model as dcgan
from tests.gans.seqgan import test_model as seqgan
from tests.gans.test_finetune import Some
from tests.gans.timegan import test_model as timegan

HERE = "tests.gans.own_networks"
STEPS = dict.fromkeys(("embedder", "generator", "supervisor"), own.Codes) | {
    "recovery": own.Steps,
    "discriminator": partial(own.Steps, width=5),
}


class TestDCGAN(dcgan.TestDCGAN):
    fake_gpu = False  # it looks at values

    def make(self, data: GANDataModule, **options: Any) -> DCGAN:
        networks = {"generator": partial(own.Painter, width=4), "discriminator": own.Viewer}
        return DCGAN(data.schema, latent_dim=8, **networks | options)


class TestTimeGAN(timegan.TestTimeGAN):
    def make(self, data: GANDataModule, **options: Any) -> TimeGAN:
        return timegan.make(data, **STEPS | options)


class TestTimeGANOfOneLength(timegan.TestPaper):
    def make(self, data: GANDataModule, **options: Any) -> TimeGAN:
        return super().make(data, **STEPS | {"discriminator": own.Featureless, "embedder": None} | options)


class TestSeqGAN(seqgan.TestSeqGAN):
    def make(self, data: GANDataModule, **options: Any) -> SeqGAN:
        small = {name: value for name, value in seqgan.SMALL.items() if name not in ("filters", "d_embedding")}
        networks = {"generator": partial(own.Counting, depth=2), "discriminator": own.Reader}
        return SeqGAN(data.schema, **small | networks | options)


# ---- checkpoints


def small(schema: ImageSchema, **options: Any) -> DCGAN:
    return DCGAN(schema, **{"latent_dim": 4, "generator": partial(own.Painter, width=4), **options})


def saved(model: GAN, path: Path, data: GANDataModule | None = None) -> Path:
    run = trainer(2, logger=False)
    run.fit(model, data or Digits(per_class=4, batch_size=4))
    run.save_checkpoint(path)
    return path


def line(make: Any) -> str:
    with pytest.raises(InputError) as error:
        make()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("network", [partial(own.Painter, width=4), own.Asking], ids=["plain", "asking"])
def test_a_checkpoint_names_the_network_and_its_options(network: Any, tmp_path: Path) -> None:
    model = small(Digits().schema, generator=network)
    path = saved(model, tmp_path / "a.ckpt")
    content = torch.load(path, weights_only=True)
    if network is not own.Asking:
        named = {"class_path": f"{HERE}.Painter", "init_args": {"width": 4, "gain": 1.0}}
        assert content["ganaug"]["arguments"]["generator"] == content["hyper_parameters"]["generator"] == named
    assert content["ganaug"]["unsaved"] == []
    again = load(path)
    assert type(again.generator) is type(model.generator)
    assert equal(again.state_dict(), model.state_dict())
    assert dict(again.hparams) == dict(model.hparams)
    twin = pickle.loads(pickle.dumps(SyntheticDataset(again, per_class=1))).model
    assert equal(twin.state_dict(), model.state_dict())
    assert saved(again, tmp_path / "b.ckpt").is_file()
    assert equal(load(tmp_path / "b.ckpt").state_dict(), again.state_dict())


def test_defaults_that_change_later_do_not_change_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(small(Digits().schema, generator=own.Painter), tmp_path / "a.ckpt")

    class Painter(own.Painter):
        def __init__(self, schema, latent_dim, num_classes, width=16, gain=3.0, another=True) -> None:
            super().__init__(schema, latent_dim, num_classes, width, gain)

    Painter.__module__, Painter.__qualname__ = HERE, "Painter"
    monkeypatch.setattr(own, "Painter", Painter)
    again = load(path)
    assert again.generator.gain == 1.0
    assert again.generator.read.out_features == 8


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            {"class_path": "nowhere.to.be.Found", "init_args": {}},
            r"nowhere\.to\.be\.Found, .*: import nowhere\.to\.be first, on the command line by --import nowhere",
        ),
        ({"class_path": "__main__.Found", "init_args": {}}, "a script that was run: define it in a module"),
        ({"class_path": "os.system", "init_args": {}}, "os.system, which has not been imported"),
        ({"class_path": f"{HERE}.painter", "init_args": {}}, "has not been imported"),
        ({"class_path": f"{HERE}.nn.Linear", "init_args": {}}, "has not been imported"),
        (
            {"class_path": f"{HERE}.Painter", "init_args": {"depth": 3}},
            "Painter has no option depth: known are width, gain",
        ),
        ({"class_path": f"{HERE}.Painter", "init_args": {"width": 5}}, "should be"),
        ({"class_path": f"{HERE}.Half", "init_args": {"width": 4, "gain": 1.0}}, "must give float32"),
        (
            {"class_path": f"{HERE}.Painter", "init_args": {"width": 4, "gain": 2.0}},
            "generator was .* would now become",
        ),
        ({"class_path": f"{HERE}.Painter"}, "names no network"),
        ({"class_path": 3, "init_args": {}}, "names no network"),
        ({}, "names no network"),
        ("text", "generator must be a class or function or null, not 'text'"),
        (None, "is unknown|is missing"),
    ],
)
def test_checkpoints_with_other_networks_get_one_line(said: Any, why: str, tmp_path: Path) -> None:
    path = saved(small(Digits().schema), tmp_path / "a.ckpt")
    content = torch.load(path, weights_only=True)
    content["ganaug"]["arguments"]["generator"] = said
    torch.save(content, path)
    with pytest.raises(InputError, match=why) as error:
        load(path)
    assert "\n" not in str(error.value)


def test_what_no_checkpoint_can_name_works_and_is_said_to_be_unsaved(tmp_path: Path) -> None:
    class Local(own.Painter):
        pass

    makes = {
        Local: "is defined inside a function",
        own.painter: "is a function and no class",
        (lambda *given: own.Painter(*given)): "is defined inside a function",
        partial(own.Painter, gain=torch.tensor(1.0)): "its gain cannot be written as text and numbers",
    }
    data = Digits(per_class=4, batch_size=4)
    for make, why in makes.items():
        with pytest.warns(UserWarning, match=f"generator cannot be named in a checkpoint, .*: .*{why}"):
            model = small(data.schema, generator=make)
        path = saved(model, tmp_path / "a.ckpt")
        content = torch.load(path, weights_only=True)
        assert content["ganaug"]["unsaved"] == ["generator"]
        reason = content["ganaug"]["reasons"]["generator"]
        assert reason.partition(" ")[2] == why or reason == why
        assert f"can say how its generator ({reason}) is made: a run of" in line(lambda path=path: load(path))
        trainer(3).fit(small(data.schema, generator=make), data, ckpt_path=path)
    assert "Painter" in line(lambda: trainer(3).fit(small(data.schema, generator=Local), data, ckpt_path=path))


def test_another_network_is_no_resumption(tmp_path: Path) -> None:
    data = Digits(per_class=4, batch_size=4)
    path = saved(small(data.schema), tmp_path / "a.ckpt")
    for other in (own.Asking, partial(own.Painter, width=4, gain=2.0), None):
        said = line(lambda other=other: trainer(3).fit(small(data.schema, generator=other), data, ckpt_path=path))
        before, now = f"'{HERE}.Painter'", f"'{HERE}.Asking'" if other is own.Asking else None
        change = (
            "generator.gain 1.0 there, 2.0 here"
            if isinstance(other, partial)
            else f"generator {before} there, {now} here"
        )
        assert "does not fit this run: " in said
        assert f"{change}: resume" in said
    gentler = small(data.schema, generator=partial(own.Painter, width=4, gain=0.5))
    gentler.allow_changes = ["generator"]
    trainer(3).fit(gentler, data, ckpt_path=path)


def test_classes_are_matched_by_name_when_a_run_begins_from_another(tmp_path: Path) -> None:
    for network in (partial(own.Painter, width=4), own.Asking):
        before = small(Some((2, 0, 5)).schema, generator=network)
        path = saved(before, tmp_path / "a.ckpt", Some((2, 0, 5), per_class=4, batch_size=4))
        after = small(Some((5, 7, 2)).schema, generator=network, seed=1)
        assert "the classes matched by name (1 new: 7)" in begin_from(after, path)
        old, new = before.generator.label.weight, after.generator.label.weight
        assert torch.equal(new[[0, 2]], old[[2, 0]])
        torch.testing.assert_close(new[1], old.mean(0))


@pytest.mark.parametrize("kind", ["DCGAN", "TimeGAN", "SeqGAN"])
def test_export(kind: str, tmp_path: Path) -> None:
    test = {"DCGAN": TestDCGAN, "TimeGAN": TestTimeGAN, "SeqGAN": TestSeqGAN}[kind]()
    with pytest.raises(Stop.Killed):
        test.fitted(callbacks=[Stop(2, tmp_path / "a.ckpt")])
    assert export(tmp_path / "a.ckpt", tmp_path / "a.pt2").is_file()  # it compares the samples itself


# ---- refused in a line


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"generator": own.Half}, r"Half must give float32 \(2, 1, 16, 16\) for z \(2, 4\), y \(2,\), not"),
        ({"generator": own.Loud}, r"in \[-1, 1\], not up to .*tanh"),
        ({"generator": own.Noisy}, "must give the same for the same z, y: no noise of its own"),
        ({"generator": own.Deaf}, "called with z, y: too many positional"),
        ({"generator": own.Viewer}, r"Viewer, own_networks\.py, line \d+: "),
        ({"generator": partial(own.Painter, depth=2)}, "Painter has no option depth: known are width, gain"),
        ({"generator": nn.Linear}, r"generator torch\.nn\.modules\.linear\.Linear: empty\(\): argument 'size'"),
        ({"generator": nn.Identity()}, "give the class Identity, not a network"),
        ({"generator": dict}, "generator builtins.dict"),
        ({"generator": 3}, "generator must be a class or function or null, not 3"),
        ({"generator": lambda *given: 3}, "must make a torch.nn.Module, not a int"),
        ({"discriminator": own.Column}, r"must give float32 \(2,\) for x \(2, 1, 16, 16\), y \(2,\), not \(2, 1\)"),
        ({"generator": own.Painter, "prior": "uniform"}, "prior is an option of DCGAN's own generator"),
        ({"discriminator": own.Viewer, "discriminator_norm": "batch"}, "discriminator_norm is an option of"),
        ({"generator": own.Painter, "discriminator": own.Viewer, "width": 4}, "own generator and discriminator"),
        (
            {"generator": own.Painter, "discriminator": own.Viewer, "prior": "normal", "width": 4, "kernel_size": 4},
            "^prior and width and kernel_size are options of .* leave them out, or set them to null where a config",
        ),
        ({"generator": partial(own.Painter, widht=2)}, "has no option widht: did you mean width"),
        ({"generator": partial(own.Painter, 3)}, "functools.partial its options by name: .* schema, latent_dim, num"),
        ({"generator": own.Mixing}, "generator .*Mixing must give a row the same whatever rows are beside it"),
        ({"discriminator": own.Squeezed}, r"must give float32 \(1,\) for x \(1, 1, 16, 16\), y \(1,\), not \(\)"),
        ({"discriminator": partial(own.Viewer, norm=True), "gradient_penalty": 1.0}, "batch norm in D"),
    ],
)  # fmt: skip
def test_dcgan_refuses(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why) as error:
        DCGAN(Digits().schema, latent_dim=4, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"generator": own.Short}, r"Short must give float32 \(2, 8, 6\) for x \(2, 8, 16\), condition \(2, 5\), not"),
        ({"supervisor": own.Foreseeing}, "supervisor .*Foreseeing: a step depends on later ones"),
        ({"discriminator": own.Featureless}, "no methods features and out, which matching_weight needs"),
    ],
)  # fmt: skip
def test_timegan_refuses(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        timegan.make(timegan.Waves(), **options)


def test_series_of_one_length_may_be_read_both_ways() -> None:
    timegan.make(timegan.Waves(fixed=True, static=False), embedder=own.Foreseeing)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"generator": own.Forgetful}, "advance and forward give different logits at position 1"),
        ({"generator": own.Sharing}, "advance and forward give different logits at position 1"),
        (
            {"generator": own.Reader},
            "Reader cannot be made from words, length, num_classes, embedding, hidden in this order.*/protocols.py$",
        ),
        ({"generator": own.Headless}, "Headless has no head: derive it from"),
        ({"generator": "gru"}, "generator must be lstm or transformer or a class or function, not 'gru'"),
        ({"discriminator": own.Skipping, "filters": None, "d_embedding": None}, "continued and forward give different"),
        (
            {"discriminator": own.Reader},
            "d_embedding and filters are options of SeqGAN's own discriminator, which is not in use",
        ),
        (
            {"discriminator": own.Reader, "d_l2": 0.1, "filters": None, "d_embedding": None},
            "no nn.Linear dense for d_l2",
        ),
    ],
)
def test_seqgan_refuses(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        seqgan.make(seqgan.Letters(), **options)


def test_decoders_by_name_are_what_they_were() -> None:
    model = seqgan.make(seqgan.Letters(), generator="transformer", heads=2)
    assert model.hparams["generator"] == "transformer"
    assert type(model.generator).__name__ == "TransformerDecoder"


def test_a_discriminator_that_compares_pictures_is_told_of() -> None:
    with pytest.warns(UserWarning, match="Comparing mixes the rows of a batch"):
        DCGAN(Digits().schema, discriminator=own.Comparing)


def test_pictures_that_are_cut_off_are_told_of_once() -> None:
    model = small(Digits().schema, generator=own.Linear)
    latent, labels = model.latent(torch.arange(4), 0), torch.arange(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sample(latent, labels)
    model.ema.network.gain = 100.0
    with pytest.warns(UserWarning, match=r"the generator draws pictures beyond \[-1, 1\], up to .*: end it with tanh"):
        model.sample(latent, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sample(latent, labels)


def test_a_class_of_a_script_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Painter(own.Painter):
        pass

    Painter.__module__, Painter.__qualname__ = "__main__", "Painter"
    monkeypatch.setattr(sys.modules["__main__"], "Painter", Painter, raising=False)
    with pytest.warns(UserWarning, match="generator __main__.Painter is defined in a script or a notebook"):
        small(Digits().schema, generator=Painter)


def test_options_that_are_not_in_use_are_not_recorded(tmp_path: Path) -> None:
    names, data = ("prior", "width", "kernel_size", "discriminator_norm"), Digits(per_class=4, batch_size=4)
    model = small(data.schema, discriminator=own.Viewer)
    assert [model.hparams[name] for name in names] == [None] * 4
    assert small(data.schema).hparams["width"] == 64  # the discriminator's

    path = saved(model, tmp_path / "a.ckpt")  # as it was before
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"] |= dict(zip(names, ("normal", 64, 4, "spectral"), strict=True))
    torch.save(content, path)
    assert equal(load(path).state_dict(), model.state_dict())
    trainer(3).fit(small(data.schema, discriminator=own.Viewer), data, ckpt_path=path)


def test_batch_norm_in_d_sees_real_and_synthetic_pictures_apart() -> None:
    assert DCGAN(Digits().schema, discriminator=partial(own.Viewer, norm=True)).apart
    assert not DCGAN(Digits().schema, preset="paper", discriminator=own.Viewer).apart
