"""The range of pictures that are more than bytes, their transparency, and pictures in which there is nothing to see."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from datamodules import ImageArrays, ImageFolder
from datamodules.images.blank import Look
from datamodules.images.ranges import Extent, found_range
from datamodules.images.store import read_images, write_images
from tests.datamodules.images.test_images import everything, loaded, pixels, refused, save


def ramp(low: float, high: float, n: int = 6, side: int = 16) -> np.ndarray:
    """(n, side, side) from low to high, both of which are there."""
    return np.linspace(low, high, n * side * side).reshape(n, side, side)


@pytest.mark.parametrize(
    ("x", "ends", "said"),
    [
        (np.array([0, 4000], np.uint16), (0, 4095), "12 of 16 bits: scaled by 4095"),
        (np.array([0, 4095], np.int32), (0, 4095), "12 of 32 bits"),
        (np.array([5, 1023], np.uint16), (0, 1023), "10 of 16 bits"),
        (np.array([0, 65535], np.uint16), (0, 65535), "16 of 16 bits"),
        (np.array([0, 200]), (0, 255), "8 of 64 bits"),
        (np.array([0, 3], np.uint16), (0, 255), "8 of 16 bits"),
        (np.array([-1024, 3071], np.int16), (-1024, 3071), "from -1024 to 3071"),
        (np.array([0.0, 0.9]), (0, 1), ""),
        (np.array([0.0, 1.0]), (0, 1), ""),
        (np.array([False, True]), (0, 1), ""),
        (np.array([0.0, 1 / 255]), (0, 1 / 255), "from 0 to 0.003922"),
        (np.array([-0.9, 1.0]), (-1, 1), "-1 is black"),
        (np.array([0.0, 254.5]), (0, 255), "scaled by 255"),
        (np.array([0.0, 255.0]), (0, 255), "whole numbers of 8 bits"),
        (np.array([0.0, 4000.0], np.float32), (0, 4095), "whole numbers of 12 bits"),
        (np.array([-3.5, 7.25]), (-3.5, 7.25), "from -3.5 to 7.25"),
    ],
)
def test_the_range_that_is_used(x, ends, said):
    found = found_range(Extent.of(x))
    assert (found.low, found.high) == ends
    assert said in found.said
    assert bool(said) == bool(found.said)


def test_a_range_reaches_from_black_to_white():
    found = found_range(Extent.of(np.array([0, 4000], np.uint16)))
    assert found.pixels(np.array([0, 16, 2048, 4095, 5000])).tolist() == [0, 1, 128, 255, 255]


@pytest.mark.parametrize("kind", ["png", "tif", "npz", "float"])
def test_twelve_bits_keep_their_grey_levels(tmp_path, caplog, kind):
    x = ramp(100, 4000).astype(np.uint16)
    if kind in ("npz", "float"):
        np.savez(tmp_path / "a.npz", x=x if kind == "npz" else (x / 4095 / 255).astype(np.float32))
        module = ImageArrays(tmp_path / "a.npz")
    else:
        for i, picture in enumerate(x):
            save(tmp_path / f"{i}.{kind}", picture if kind == "png" else picture.astype(np.int32))
        module = ImageFolder(tmp_path)
    with caplog.at_level("INFO"):
        pictures = module.schema.decode(everything(module)["x"])[..., 0]
    assert len(np.unique(pictures)) > 240
    if kind == "float":  # from the least to the most
        assert "pictures run from" in caplog.text
        assert (pictures.min(), pictures.max()) == (0, 255)
    else:
        np.testing.assert_array_equal(pictures, np.rint(x * (255 / 4095)).astype(np.uint8))
        assert "pictures use 12 of" in caplog.text
        assert "samples are written in 8 bits" in caplog.text


def test_bytes_say_nothing(tmp_path, caplog):
    np.savez(tmp_path / "a.npz", x=pixels(6, 8, 8))
    save(tmp_path / "f" / "a.png", pixels(8, 8))
    with caplog.at_level("INFO"):
        loaded(ImageArrays(tmp_path / "a.npz"))
        loaded(ImageFolder(tmp_path / "f"))
    assert "range" not in caplog.text


def test_a_range_is_one_for_all_pictures_of_a_source(tmp_path):
    for i, top in enumerate((500, 4000)):  # each alone would be stretched to its own
        save(tmp_path / f"{i}.png", ramp(0, top, 1)[0].astype(np.uint16))
    x = everything(ImageFolder(tmp_path))["x"]
    assert x[0].max() < -0.7
    assert x[1].max() > 0.9
    lazy = loaded(ImageFolder(tmp_path, in_memory=False, val_fraction=0, test_fraction=0))
    assert (lazy.train[0]["x"] == x[0]).all()


def test_value_range_settles_it_and_refuses_what_lies_outside(tmp_path, caplog):
    x = ramp(0, 3000).astype(np.uint16)
    np.savez(tmp_path / "a.npz", x=x)
    for i, picture in enumerate(x):
        save(tmp_path / "f" / f"{i}.png", picture)
    for make in (
        lambda **o: ImageArrays(tmp_path / "a.npz", **o),
        lambda **o: ImageFolder(tmp_path / "f", **o),
    ):
        module = make(value_range=(0, 6000))
        caplog.clear()
        with caplog.at_level("INFO"):
            assert module.schema.decode(everything(module)["x"]).max() == 128
        assert "scaled from 0 to 6000, and samples are written in 8 bits" in caplog.text
        refused(lambda make=make: make(value_range=[5, 5]), "value_range", "lower number first")
    outside = "pixels from 2000 to 2400, and value_range is 0 to 2000"
    x[3:] = 0
    x[4] = ramp(2000, 2400, 1)[0]
    np.savez(tmp_path / "a.npz", x=x)
    refused(loaded_later(ImageArrays(tmp_path / "a.npz", value_range=(0, 2000))), "a.npz: x has", outside, "in row 4")
    save(tmp_path / "g" / "b.png", x[4])
    for on_error in ("raise", "skip"):  # the picture is sound
        asked = ImageFolder(tmp_path / "g", value_range=(0, 2000), on_error=on_error)
        refused(loaded_later(asked), "b.png", outside, "set value_range")


def loaded_later(module):
    return lambda: loaded(module)


def test_value_range_is_for_bytes_too(tmp_path):
    masks = (pixels(6, 8, 8) > 127).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=masks)
    for i, mask in enumerate(masks):
        save(tmp_path / "f" / f"{i}.png", mask)
    for module in (
        ImageArrays(tmp_path / "a.npz", value_range=(0, 1)),
        ImageFolder(tmp_path / "f", value_range=(0, 1)),
    ):
        np.testing.assert_array_equal(module.schema.decode(everything(module)["x"])[..., 0], masks * 255)
    save(tmp_path / "g" / "c.png", pixels(8, 8, 3))
    refused(loaded_later(ImageFolder(tmp_path / "g", value_range=(0, 1))), "for grey pictures", "RGB")


def test_test_pictures_beyond_the_range_are_cut_off_and_counted(tmp_path):
    train, test = ramp(0, 1000).astype(np.uint16), ramp(0, 3000).astype(np.uint16)
    np.savez(tmp_path / "a.npz", x_train=train, x_test=test)
    for part, x in (("train", train), ("test", test)):
        for i, picture in enumerate(x):
            save(tmp_path / "f" / part / f"{i}.png", picture)
    for module in (ImageArrays(tmp_path / "a.npz"), ImageFolder(tmp_path / "f")):
        with pytest.warns(UserWarning, match="4 of 6 pictures .* cut off there: set value_range"):
            rows, held, _ = module.load()
        assert rows.fields["x"].max() == 249
        assert held.fields["x"].max() == 255


def test_arrays_of_other_types_in_another_split_have_their_own_range(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=pixels(6, 8, 8), x_test=(pixels(6, 8, 8) / 255).astype(np.float32))
    rows, held, _ = ImageArrays(tmp_path / "a.npz").load()
    assert (rows.fields["x"] == held.fields["x"]).all()


def test_whole_numbers_and_floats_of_bytes_are_read_as_they_are(tmp_path):
    x = pixels(6, 8, 8)
    for dtype in (int, np.int32, np.uint16, np.float32):
        np.savez(tmp_path / "a.npz", x=x.astype(dtype))
        module = ImageArrays(tmp_path / "a.npz")
        np.testing.assert_array_equal(module.schema.decode(everything(module)["x"])[..., 0], x)


def deep_colour(path, x):
    """A PNG of 16 bits a channel, which Pillow does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = b"".join(b"\0" + row.astype(">u2").tobytes() for row in x)
    head = struct.pack(">IIBBBBB", x.shape[1], x.shape[0], 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_sixteen_bit_colour_is_said_and_refused_where_it_is_dark(tmp_path):
    x = np.random.default_rng(0).integers(0, 65536, (8, 8, 3))
    deep_colour(tmp_path / "a.png", x)
    module = ImageFolder(tmp_path)
    with pytest.warns(UserWarning, match="1 of 1 pictures are of 16-bit colour"):
        read = module.schema.decode(everything(module)["x"])[0]
    np.testing.assert_array_equal(read, (x >> 8).astype(np.uint8))
    with pytest.warns(UserWarning, match="1 of 1 pictures are of 16-bit colour, of which the upper 8 bits are read"):
        samples, _, _ = read_images(tmp_path)
    np.testing.assert_array_equal(samples[0], read)
    x[:, :3] = 0  # to the left there is nothing, in grey neither
    deep_colour(tmp_path / "a.png", x)
    with pytest.warns(UserWarning, match="16-bit colour"):
        loaded_later(ImageFolder(tmp_path, channels=1))()
    deep_colour(tmp_path / "a.png", x >> 4)
    for read in (loaded_later(ImageFolder(tmp_path)), lambda: read_images(tmp_path)):
        refused(read, "colour of 16 bits, of which only 12 are used")


def test_sixteen_bit_colour_of_a_ppm_is_said(tmp_path):
    x = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6\n8 8\n65535\n" + x.tobytes())
    Image.fromarray((x >> 8).astype(np.uint8)).save(tmp_path / "b.ppm")
    with pytest.warns(UserWarning, match="1 of 2 pictures are of 16-bit colour"):
        loaded_later(ImageFolder(tmp_path))()


# ---- transparency ----------------------------------------------------------------------------------------------------


def icons(root, n=4, opaque=0):
    """Black; the shape is in the transparency."""
    for i, shape in enumerate(pixels(n, 12, 12)):
        shape = np.full_like(shape, 255) if i < opaque else shape
        save(root / f"{i}.png", np.dstack([np.zeros((12, 12, 3), np.uint8), shape]))
    return root


def test_a_shape_in_the_transparency_is_kept_and_written(tmp_path, caplog):
    with caplog.at_level("INFO"):
        module = ImageFolder(icons(tmp_path / "icons"))
    assert module.schema.channels == 4
    assert "transparent in parts" in caplog.text
    batch = everything(module)
    x = module.schema.decode(batch["x"])
    np.testing.assert_array_equal(x[..., 3], pixels(4, 12, 12))
    write_images(module.schema, [{**batch, "index": batch["y"].cumsum(0)}], tmp_path / "out")
    assert Image.open(tmp_path / "out" / "00000000.png").mode == "RGBA"


def test_where_some_are_opaque_or_channels_say_so_it_is_laid_on_white(tmp_path, caplog):
    with caplog.at_level("INFO"):
        mixed = ImageFolder(icons(tmp_path / "mixed", opaque=1))
        x = mixed.schema.decode(everything(mixed)["x"])
    assert mixed.schema.channels == 3
    assert "transparent parts of 3 of 4 pictures are laid on white; channels 4 keeps" in caplog.text
    np.testing.assert_allclose(x[1:, ..., 0], 255 - pixels(4, 12, 12)[1:], atol=1)
    grey = ImageFolder(icons(tmp_path / "icons"), channels=1)
    assert (grey.schema.channels, everything(grey)["x"].shape[1]) == (1, 1)
    pictures, _, _ = read_images(tmp_path / "icons", channels=3)
    np.testing.assert_allclose(pictures[..., 0], 255 - pixels(4, 12, 12), atol=1)


def test_opaque_pictures_with_a_transparency_are_plain(tmp_path, caplog):
    with caplog.at_level("INFO"):
        module = loaded(ImageFolder(icons(tmp_path, opaque=4)))
    assert module.schema.channels == 3
    assert "white" not in caplog.text


# ---- nothing to see --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.repeat(pixels(1, 8, 8), 6, axis=0), ["are all alike"]),
        (pixels(6, 8, 8) // 20, ["are nearly black"]),
        (pixels(6, 8, 8) // 128 * 200, ["have 2 grey levels in all"]),
        (np.zeros((6, 8, 8), np.uint8), ["are all alike", "are nearly black", "1 grey level in all"]),
        (pixels(6, 8, 8), []),
        (pixels(1, 8, 8), []),
    ],
)
def test_pictures_with_nothing_to_see_get_one_warning(tmp_path, x, said):
    np.savez(tmp_path / "a.npz", x=x)
    for i, picture in enumerate(x):
        save(tmp_path / "f" / f"{i}.png", picture)
    for module in (ImageArrays(tmp_path / "a.npz"), ImageFolder(tmp_path / "f")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module.load()
        found = [str(one.message) for one in caught if "the pictures" in str(one.message)]
        assert len(found) == bool(said)
        assert all(part in found[0] for part in said)


def test_a_look_ends_when_enough_was_seen():
    look = Look()
    assert look.warning() == ""
    for picture in pixels(3, 8, 8):
        look.at(picture)
    assert look.enough
    assert look.count == 3
