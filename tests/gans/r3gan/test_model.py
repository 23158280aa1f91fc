import torch

from datamodules import GANDataModule
from ganaug import R3GAN
from tests.gan_contract import GANContract, trainer
from tests.gans.dcgan.test_model import Squares
from tests.gans.timegan.test_model import Waves

torch.set_num_threads(1)
SMALL = {"latent_dim": 8, "widths": [8], "blocks": 1, "burn_in": 6}


def make(data: GANDataModule, **options) -> R3GAN:
    return R3GAN(data.schema, **SMALL | options)


class TestPictures(GANContract):
    """Augmented with a rising probability, penalties on every third batch, Adam's β₂ rising as in the presets."""

    def make(self, data: GANDataModule, **options) -> R3GAN:
        return make(data, **{"penalty_every": 3, "augment_probability": (0.0, 0.5), "beta2": (0.9, 0.99)} | options)

    def data(self, **options) -> Squares:
        return Squares(**options)


class TestAdaptive(TestPictures):
    """Adaptive augmentation, groups, noise at every place, and the paper's basis of places at full size."""

    def make(self, data: GANDataModule, **options) -> R3GAN:
        return make(
            data,
            **{"augment_probability": "ada", "ada_speed": 0.1, "expansion": 2, "group_width": 4, "noise": 1}
            | {"dense": False, "stride": 1}
            | options,
        )


class TestSeries(GANContract):
    """Series of different lengths with static attributes as conditions."""

    def make(self, data: GANDataModule, **options) -> R3GAN:
        return make(data, **{"augment": "shift,scale,offset,cutout", "augment_probability": 0.5} | options)

    def data(self, **options) -> Waves:
        return Waves(**options)


class TestGenerated(TestSeries):
    """Attributes generated along, by networks that begin and end at half the length."""

    def make(self, data: GANDataModule, **options) -> R3GAN:
        return make(data, **{"static": "generate", "dense": True, "stride": 2} | options)


class TestWholeSeries(TestSeries):
    """Series of one length, without attributes."""

    def make(self, data: GANDataModule, **options) -> R3GAN:
        return make(data, **options)

    def data(self, **options) -> Waves:
        return Waves(**options, fixed=True, static=False)


def test_a_second_run_begins_as_the_first(tmp_path) -> None:
    """Its burn-in is its own, and so are the units, lengths and attributes of its data."""
    data, other = Waves(batch_size=8), Waves(batch_size=8, seed=3)
    model = make(data, burn_in=None)
    trainer(2).fit(model, data)
    model._figures["adversarial"]["loss/d"].fill_(torch.nan)
    model._figures["adversarial"]["loss/left"] = torch.tensor(torch.nan)  # of a run that has diverged
    trainer(5).fit(model, other)
    assert int(model.progress.burn_in) == 5
    fresh = make(other, burn_in=None)
    trainer(5).fit(fresh, other)
    for name, value in model.view.state_dict().items():
        if not name.startswith("frames."):
            assert torch.equal(value, fresh.view.state_dict()[name]), name
    assert torch.equal(model.view.frames.count, fresh.view.frames.count)
