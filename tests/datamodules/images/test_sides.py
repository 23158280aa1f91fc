"""Pictures that are no squares, and large ones: from files through networks and back."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import GANDataModule, ImageArrays, ImageFolder, ImageSchema, Schema, Table
from datamodules.images.sides import cropped_size, halvings, is_drawable, usual_size
from datamodules.images.store import read_images, write_images
from datamodules.rows import stored_rows
from ganaug import DCGAN
from ganaug.classifiers.image import ImageClassifier
from ganaug.classifiers.image_augmentation import flipped, randaugmented, rotated, shifted
from ganaug.evaluation.contact_sheet import contact_sheet
from ganaug.gans.dcgan.networks import Discriminator, Generator, innermost, stage_channels
from ganaug.gans.diffaug.images import augment
from tests.data_contract import DataModuleContract
from tests.datamodules.images.test_images import everything, loaded, pixels, refused, save
from tests.gan_contract import GANContract, trainer
from tests.gans.dcgan.test_model import Squares

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((28, 28), 32),
        ((100, 70), 128),
        ((200, 150), 128),
        ((5, 3), 8),
        ((16, 9), 16),
        ((128, 64), (128, 64)),
        ((64, 128), (64, 128)),
        ((96, 256), (96, 256)),
        ((28, 100), (32, 104)),
        ((33, 8), (36, 8)),
        ((130, 20), (136, 24)),
        ((1024, 512), (256, 128)),
        ((300, 1000), (96, 256)),
        ((2000, 10), (256, 8)),
    ],
)
def test_the_usual_size(shape, size):
    found = usual_size(*shape)
    assert found == size
    both = (size, size) if isinstance(size, int) else size
    assert is_drawable(both)
    assert halvings(found) >= 1


@pytest.mark.parametrize(
    ("size", "start", "count"),
    [
        (8, (4, 4), 1),
        (64, (4, 4), 4),
        (128, (4, 4), 5),
        (256, (4, 4), 6),
        ((128, 64), (8, 4), 4),
        ((96, 256), (3, 8), 5),
        ((24, 24), (3, 3), 3),
        ((36, 8), (9, 2), 2),
        ((256, 8), (32, 1), 3),
    ],
)
def test_networks_begin_at_a_small_rectangle(size, start, count):
    assert (innermost(size), len(stage_channels(size, 2))) == (start, count)
    generator = Generator(size, 2, 3, 8, 2, 4, "normal")
    x = generator(torch.randn(2, 8), torch.tensor([0, 2]))
    assert x.shape[2:] == ((size, size) if isinstance(size, int) else size)
    for norm in ("spectral", "batch", "none"):
        for kernel_size in (4, 5):
            assert Discriminator(size, 2, 3, 2, kernel_size, norm)(x, torch.tensor([0, 2])).shape == (2,)


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ({(20, 60), (90, 40)}, (16, 16)),
        ({(300, 200), (250, 220)}, (128, 128)),
        ({(64, 128), (70, 150)}, (64, 128)),
        ({(400, 200), (300, 130)}, (256, 128)),
        ({(100, 400), (120, 500)}, (64, 256)),
        ({(5, 6), (7, 6)}, (8, 8)),
    ],
)
def test_the_size_to_crop_to(sizes, size):
    assert cropped_size(sizes) == size


def test_a_schema_of_a_rectangle_and_of_a_square():
    fields = {"height": 100, "width": 60, "channels": 3}
    schema = ImageSchema(**fields, image_size=(104, 64))
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    assert ImageSchema(**fields, image_size=[104, 64]) == schema
    square = ImageSchema(**fields, image_size=(128, 128))
    assert square == ImageSchema(**fields, image_size=128)
    assert square.to_dict()["image_size"] == 128  # as in checkpoints from before there were rectangles
    assert Schema.from_dict({"kind": "image", "classes": [], **fields, "image_size": 128, "fit": "pad"}) == square
    refused(lambda: ImageSchema(**fields, image_size=(0, 8)), "image_size")
    refused(lambda: ImageSchema(**fields, image_size=(8, 8, 8)), "image_size")


@pytest.mark.parametrize("fit", ["pad", "resize"])
def test_a_rectangle_is_undone_exactly(fit):
    size = (104, 64) if fit == "pad" else (200, 120)
    schema = ImageSchema(height=100, width=60, channels=3, image_size=size, fit=fit)
    x = pixels(3, 100, 60, 3)
    encoded = schema.encode(x)
    assert encoded.shape == (3, 3, *size)
    np.testing.assert_array_equal(schema.decode(schema.prepare({"x": encoded})["x"]), x)


def test_sources_of_rectangles(tmp_path, caplog):
    x = pixels(10, 40, 96, 3)
    np.savez(tmp_path / "a.npz", x=x)
    for i, picture in enumerate(x):
        save(tmp_path / "f" / f"{i}.png", picture)
    for make in (lambda **o: ImageArrays(tmp_path / "a.npz", **o), lambda **o: ImageFolder(tmp_path / "f", **o)):
        caplog.clear()
        with caplog.at_level("INFO"):
            module = make()
        assert "pictures of 40×96 (height×width) are seen at 48×96" in caplog.text
        batch = everything(module)
        assert batch["x"].shape == (10, 3, 48, 96)
        np.testing.assert_array_equal(module.schema.decode(batch["x"]), x)
        assert make(image_size=128).schema.size == (128, 128)
        assert make(image_size=(40, 96)).schema.size == (40, 96)
        small = make(image_size=[20, 48])
        assert (small.schema.fit, everything(small)["x"].shape) == ("resize", (10, 3, 20, 48))
        for wrong in ([40, 97], [4, 96], [40, 512]):
            refused(lambda make=make, wrong=wrong: make(image_size=wrong), "image_size", "multiples of 4")
        refused(lambda make=make: make(image_size=[32, 96], fit="pad"), "40×96 do not fit in 32×96")
    lazy = loaded(ImageFolder(tmp_path / "f", in_memory=False))
    assert lazy.train[0]["x"].shape == (3, 48, 96)


def test_pictures_that_no_usual_square_holds_are_scaled_down_and_that_is_said(tmp_path, caplog):
    np.savez(tmp_path / "a.npz", x=pixels(4, 200, 180))
    with caplog.at_level("INFO"):
        ImageArrays(tmp_path / "a.npz")
        assert "200×180 (height×width) are seen at 128×128, scaled down" in caplog.text
        assert "image_size 256 would hold them" in caplog.text
        caplog.clear()
        ImageArrays(tmp_path / "a.npz", image_size=64)
    assert "seen at" not in caplog.text


def test_wide_pictures_of_different_sizes_are_cropped_to_a_rectangle(tmp_path):
    for i, width in enumerate((64, 70, 80)):
        save(tmp_path / f"{i}.png", pixels(33, width))
    module = ImageFolder(tmp_path)
    assert (module.schema.height, module.schema.width, module.schema.size) == (32, 64, (32, 64))
    assert everything(module)["x"].shape == (3, 1, 32, 64)
    assert read_images(tmp_path)[0].shape == (3, 32, 64, 1)


class TestArraysOfRectangles(DataModuleContract):
    def make(self, tmp_path, **options):
        np.savez(tmp_path / "a.npz", x=pixels(40, 12, 30, 3), y=np.arange(40) % 4)
        return ImageArrays(tmp_path / "a.npz", **options)


# ---- what is done with pictures --------------------------------------------------------------------------------------


def test_augmentation_of_rectangles():
    torch.manual_seed(0)
    x = torch.rand(64, 3, 16, 48) * 2 - 1
    for change in (
        shifted,
        rotated,
        flipped,
        randaugmented,
        lambda x: augment(x, ("color", "translation", "cutout")),
    ):
        assert change(x).shape == x.shape
    dot = torch.full((500, 1, 16, 48), -1.0)
    dot[:, :, 8, 24] = 1
    place = (shifted(dot)[:, 0] == 1).nonzero()[:, 1:] - torch.tensor([8, 24])
    assert place.abs().amax(0).tolist() == [2, 6]  # an eighth of each side


def test_rotation_turns_and_does_not_shear_a_rectangle():
    x = torch.full((500, 1, 16, 48), -1.0)
    x[:, :, 8, 30] = 1
    torch.manual_seed(0)
    moved = rotated(x, 60.0)[:, 0] + 1
    grid = torch.stack(torch.meshgrid(torch.arange(16.0) - 7.5, torch.arange(48.0) - 23.5, indexing="ij"), -1)
    centre = (moved[..., None] * grid).sum((1, 2)) / moved.sum((1, 2))[:, None]
    torch.testing.assert_close(centre.norm(dim=1), torch.full((500,), (0.5**2 + 6.5**2) ** 0.5), atol=0.15, rtol=0)


@pytest.mark.parametrize("size", [(16, 48), (128, 64), 256])
def test_the_classifier_sees_rectangles(size):
    schema = ImageSchema(classes=("a", "b"), height=8, width=8, channels=1, image_size=size)
    model = ImageClassifier(schema, width=4, augment=True)
    (_, shape) = model.fields(schema)["x"]
    batch = {"x": torch.rand(3, *shape) * 2 - 1, "y": torch.tensor([0, 1, 0])}
    assert model(batch).shape == (3, 2)
    assert model.loss(batch).isfinite()
    pretext = model.pretext(batch)
    side = min(schema.size)
    assert pretext["x"].shape == (12, 1, side, side)
    assert model.features(pretext).shape == (12, 16)


def test_a_contact_sheet_of_rectangles():
    schema = ImageSchema(classes=("a", "b"), height=128, width=64, channels=1, image_size=(128, 64))
    sheet = contact_sheet(pixels(24, 128, 64, 1), np.arange(24) % 2, schema)
    assert sheet.height == 2 * (128 + 4) + 4


class Bars(Squares):
    """The bright squares in rectangles."""

    def __init__(self, shape: tuple[int, int] = (8, 24), **options) -> None:
        super().__init__(**options)
        classes = self.schema.classes
        self.schema = ImageSchema(classes=classes, height=shape[0], width=shape[1], channels=1, image_size=shape)

    def load(self):
        rng = np.random.default_rng(0)
        (height, width), y = self.schema.size, np.arange(self.rows) % 2
        x = rng.integers(0, 20, (self.rows, height, width, 1), dtype=np.uint8)
        x[y == 0, 1:-1, : width // 2] += 180
        x[y == 1, 1:-1, width // 2 :] += 180
        y = torch.from_numpy(y) if self.schema.labelled else torch.zeros(self.rows, dtype=torch.long)
        return Table({"x": self.schema.encode(x), "y": y}, self.schema.prepare), None


class TestDCGANOfRectangles(GANContract):
    def data(self, **options) -> GANDataModule:
        return Bars(**options)

    def make(self, data: GANDataModule, **options) -> DCGAN:
        return DCGAN(data.schema, **{"width": 8, "latent_dim": 8, **options})


@pytest.mark.parametrize("shape", [(32, 16), (24, 64), (256, 256)])
def test_training_and_samples_in_their_own_shape(tmp_path, shape):
    data = Bars(shape, rows=12, batch_size=4)
    model = DCGAN(data.schema, width=2, latent_dim=8)
    trainer(2).fit(model, data)
    y = torch.arange(4) % 2
    batch = {**model.sample(model.latent(torch.arange(4), 0), y), "index": torch.arange(4)}
    assert batch["x"].shape == (4, 1, *shape)
    write_images(data.schema, [batch], tmp_path)
    with Image.open(tmp_path / "left" / "00000000.png") as image:
        assert (image.height, image.width) == shape
    assert stored_rows(data.schema, data.train)["x"].shape[1:] == (1, *shape)
