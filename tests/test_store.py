import json

import numpy as np
import pytest
from PIL import Image

from datamodules import ImageArrays, ImageFolder, ImageSchema, InputError
from datamodules.store import (
    contact_sheet,
    folder_names,
    read_images,
    read_manifest,
    write_images,
    write_manifest,
)

UNSAFE = ("猫", "Cat", "cat", "a/b", "..", "", "CON", "100%", "end ", "x:y|z", "é")


def schema(height=28, width=28, channels=1, classes=UNSAFE, image_size=32) -> ImageSchema:
    return ImageSchema(classes=classes, height=height, width=width, channels=channels, image_size=image_size)


def samples(schema: ImageSchema, n=22, seed=0):
    """Pictures as the source has them, one shard of them as a model gives them, and their classes."""
    shape = (n, schema.height, schema.width, schema.channels)
    pictures = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    y = np.arange(n) % schema.num_classes
    return pictures, (np.arange(n), schema.prepare({"x": schema.encode(pictures)})["x"], y), y


def files(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def by_class(pictures, y):
    """In the order in which a folder is read: class by class, in each by index."""
    order = np.argsort(y, kind="stable")
    return pictures[order], y[order]


# ---- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (17, 23), (32, 32)])
def test_a_folder_is_read_back_pixel_by_pixel(tmp_path, height, width, channels):
    described = schema(height, width, channels)
    pictures, shard, y = samples(described)
    write_images(described, [shard], tmp_path, "folder")
    write_manifest(tmp_path, {"schema": described.to_dict()})
    Image.new("L", (5, 5)).save(tmp_path / "grid.png")
    expected, ids = by_class(pictures, y)

    x, found, classes = read_images(tmp_path)
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(found, ids)
    assert classes == UNSAFE

    module = ImageFolder(tmp_path)
    assert module.schema == described
    batch = module.load()[0].__getitems__(list(range(len(y))))
    np.testing.assert_array_equal(module.schema.decode(batch["x"]), expected)
    np.testing.assert_array_equal(batch["y"], ids)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (17, 23), (9, 9)])
def test_an_npz_is_read_back_pixel_by_pixel(tmp_path, height, width, channels):
    described = schema(height, width, channels)
    pictures, shard, y = samples(described)
    write_images(described, [shard], tmp_path, "npz")
    assert files(tmp_path) == ["samples.npz"]
    for path in (tmp_path, tmp_path / "samples.npz"):
        x, found, classes = read_images(path)
        np.testing.assert_array_equal(x, pictures)
        np.testing.assert_array_equal(found, y)
        assert classes == UNSAFE
    module = ImageArrays(tmp_path / "samples.npz", image_size=32)
    assert module.schema == described
    batch = module.load()[0].__getitems__(list(range(len(y))))
    np.testing.assert_array_equal(module.schema.decode(batch["x"]), pictures)


@pytest.mark.parametrize("format", ["folder", "npz"])
def test_without_classes(tmp_path, format):
    described = schema(17, 23, 3, classes=())
    pictures, shard, _ = samples(described, n=5)
    write_images(described, [shard], tmp_path, format)
    x, y, classes = read_images(tmp_path)
    np.testing.assert_array_equal(x, pictures)
    assert y is None
    assert classes == ()
    if format == "folder":
        assert files(tmp_path) == [f"{i:08d}.png" for i in range(5)]
        assert not ImageFolder(tmp_path).schema.labelled
    else:
        assert not ImageArrays(tmp_path / "samples.npz").schema.labelled


def test_without_a_manifest_the_folders_name_the_classes(tmp_path):
    described = schema(classes=("10", "9", "猫"))
    _, shard, _ = samples(described, n=6)
    write_images(described, [shard], tmp_path, "folder")
    assert files(tmp_path)[:2] == ["10/00000000.png", "10/00000003.png"]
    assert read_images(tmp_path)[2] == ("10", "9", "猫")


def test_a_class_without_samples_keeps_its_id(tmp_path):
    described = schema(classes=("a", "b", "c"))
    pictures, (index, x, _), _ = samples(described, n=4)
    write_images(described, [(index, x, np.array([2, 2, 0, 2]))], tmp_path, "folder")
    write_manifest(tmp_path, {"schema": described.to_dict()})
    assert {path.name for path in tmp_path.iterdir()} == {"a", "c", "manifest.json"}
    found, y, classes = read_images(tmp_path)
    assert y.tolist() == [0, 2, 2, 2]
    assert classes == ("a", "b", "c")
    np.testing.assert_array_equal(found, pictures[[2, 0, 1, 3]])


def test_a_folder_that_the_manifest_does_not_know_is_refused(tmp_path):
    described = schema(classes=("a", "b"))
    write_images(described, [samples(described)[1]], tmp_path, "folder")
    write_manifest(tmp_path, {"schema": schema(classes=("a", "z")).to_dict()})
    with pytest.raises(InputError, match="no class for the folder b"):
        read_images(tmp_path)


def test_shards_arrive_in_any_number_and_indices_are_kept(tmp_path):
    described = schema(classes=())
    pictures, (index, x, y), _ = samples(described, n=6)
    shards = [(index[i : i + 2] + 100, x[i : i + 2], y[i : i + 2]) for i in (4, 0, 2)]
    write_images(described, iter(shards), tmp_path / "new" / "folder", "folder")
    np.testing.assert_array_equal(read_images(tmp_path / "new" / "folder")[0], pictures)
    assert files(tmp_path / "new" / "folder")[-1] == "00000105.png"
    write_images(described, shards, tmp_path / "npz", "npz")
    with np.load(tmp_path / "npz" / "samples.npz") as archive:
        assert archive["index"].tolist() == list(range(100, 106))  # however the work was shared out
        np.testing.assert_array_equal(archive["x"], pictures[..., 0])


def test_writing_again_is_harmless(tmp_path):
    described = schema()
    _, shard, _ = samples(described)
    for format in ("folder", "npz"):
        write_images(described, [shard], tmp_path / format, format)
        before = files(tmp_path / format)
        other, shard, y = samples(described, seed=1)
        write_images(described, [shard], tmp_path / format, format)
        assert files(tmp_path / format) == before
        write_manifest(tmp_path / "folder", {"schema": described.to_dict()})
        expected = by_class(other, y)[0] if format == "folder" else other
        np.testing.assert_array_equal(read_images(tmp_path / format)[0], expected)


def test_other_picture_folders_are_read_too(tmp_path):
    for name, size in (("a.png", (20, 30)), ("b.png", (40, 16))):
        Image.new("RGB", size, "red").save(tmp_path / name)
    x, y, _ = read_images(tmp_path)
    assert x.shape == (2, 16, 16, 3)
    assert (x == (255, 0, 0)).all()
    assert y is None
    assert read_images(tmp_path, channels=1)[0].shape == (2, 16, 16, 1)
    np.savez(tmp_path / "s.npz", x_train=x, y_train=["u", "v"], x_test=x, y_test=["v", "u"])
    x, y, classes = read_images(tmp_path / "s.npz")
    assert (len(x), y.tolist(), classes) == (4, [0, 1, 1, 0], ("u", "v"))


# ---- half-written files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["folder", "npz"])
def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch, format):
    def full(*args, **kwargs):
        file = args[1] if format == "folder" else args[0]
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    described = schema()
    if format == "folder":
        monkeypatch.setattr(Image.Image, "save", full)
    else:
        monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        write_images(described, [samples(described)[1]], tmp_path, format)
    assert files(tmp_path) == []


def test_a_failed_rewrite_leaves_the_old_manifest(tmp_path):
    write_manifest(tmp_path, {"a": 1})
    with pytest.raises(TypeError):
        write_manifest(tmp_path, {"a": object()})
    assert read_manifest(tmp_path) == {"a": 1}
    assert files(tmp_path) == ["manifest.json"]


def test_what_a_killed_run_left_is_passed_over(tmp_path):
    described = schema(classes=())
    pictures, shard, _ = samples(described, n=2)
    write_images(described, [shard], tmp_path, "folder")
    (tmp_path / ".00000002.png.123.tmp").write_bytes(b"half")
    np.testing.assert_array_equal(read_images(tmp_path)[0], pictures)


@pytest.mark.parametrize(
    ("channels", "out", "format", "message"),
    [
        (2, "out", "folder", "2 channels cannot be written as PNG: choose the format npz"),
        (1, "file", "folder", "cannot make the folder"),
        (1, "file", "npz", "cannot make the folder"),
        (1, "out", "zip", "format must be folder or npz"),
    ],
)
def test_what_cannot_be_written_gets_one_line(tmp_path, channels, out, format, message):
    (tmp_path / "file").write_text("in the way")
    described = schema(channels=channels)
    with pytest.raises(InputError, match=message) as error:
        write_images(described, [samples(described)[1]], tmp_path / out, format)
    assert "\n" not in str(error.value)


# ---- manifest and folder names ---------------------------------------------------------------------------------------


def test_manifest_round_trip(tmp_path):
    assert read_manifest(tmp_path) is None
    manifest = {"class": "猫", "seed": 3, "schema": schema().to_dict()}
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    text = (tmp_path / "manifest.json").read_text(encoding="utf-8")
    assert "猫" in text
    assert json.loads(text) == manifest


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[1, 2]", b'"x"'])
def test_a_broken_manifest_gets_one_line(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json") as error:
        read_manifest(tmp_path)
    assert "\n" not in str(error.value)


def test_harmless_names_stay():
    names = ["0", "10", "cat", "T-shirt_top", "猫", "été", "two words", "v1.5"]
    assert folder_names(names) == names
    assert folder_names([]) == []


def test_unsafe_names_become_safe_and_stay_apart(tmp_path):
    names = [*UNSAFE, ".", ".hidden", "CAT", "a\\b", "a%2Fb", "nul.txt", "end.", "line\nbreak", "x" * 300, "猫" * 200]
    folders = folder_names(names)
    assert len({name.casefold() for name in folders}) == len(names)
    for folder in folders:
        assert not set(folder) & set('<>:"/\\|?*\n')
        assert folder == folder.strip(" .") != ""
        (tmp_path / folder).mkdir()
    assert len(list(tmp_path.iterdir())) == len(names)
    assert folder_names(["a/b", "Cat", "cat"]) == ["a%2Fb", "Cat", "cat%2"]


# ---- contact sheet ---------------------------------------------------------------------------------------------------


def sheet(n, classes=("zero", "one"), **options):
    described = schema(**{"height": 8, "width": 8, "image_size": 8, **options}, classes=classes)
    pictures, _, y = samples(described, n=n)
    return contact_sheet(pictures, y, described), pictures


def contains(image, tile) -> bool:
    """Whether a picture, enlarged pixel by pixel, is somewhere on the sheet."""
    grid, scale = np.asarray(image.convert("L")), 64 // len(tile)
    wanted = tile.repeat(scale, 0).repeat(scale, 1)
    view = np.lib.stride_tricks.sliding_window_view(grid, wanted.shape)
    first = np.argwhere(view[:, :, 0, 0] == wanted[0, 0])
    return any((view[i, j] == wanted).all() for i, j in first)


def test_ten_pictures_are_one_strip():
    image, pictures = sheet(10)
    assert image.height < 2 * 64 < 10 * 64 <= image.width
    assert all(contains(image, picture[..., 0]) for picture in pictures)


def test_more_pictures_are_a_row_a_class():
    image, pictures = sheet(50)
    assert 2 * 64 <= image.height < 3 * 64
    assert 10 * 64 < image.width < 12 * 64
    assert contains(image, pictures[18, ..., 0])  # the tenth of its class
    assert not contains(image, pictures[20, ..., 0])


def test_without_classes_more_pictures_are_a_square():
    image, pictures = sheet(30, classes=())
    assert 5 * 64 <= image.height < image.width < 7 * 64
    assert all(contains(image, picture[..., 0]) for picture in pictures)


@pytest.mark.parametrize(("side", "shown"), [(8, 64), (28, 56), (40, 40), (64, 64), (128, 128), (200, 128)])
def test_pictures_have_a_size_that_can_be_seen(side, shown):
    image, _ = sheet(1, classes=(), height=side, width=side, image_size=128)
    assert image.height == image.width == shown + 8


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("n", [1, 60])
def test_any_channels_and_any_names(channels, n):
    names = ("猫", "", "a\nb", "x" * 500, "é", "🙂", "plain")
    image, _ = sheet(n, classes=names, channels=channels, height=5, width=9, image_size=16)
    assert image.mode == "RGB"
    assert image.width < 1200


def test_a_thousand_classes_are_cut_short():
    image, _ = sheet(2000, classes=tuple(map(str, range(1000))))
    assert image.height < 42 * 70
    with pytest.raises(InputError, match="no pictures"):
        sheet(0)
