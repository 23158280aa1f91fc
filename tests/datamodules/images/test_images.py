import hashlib
import pickle
import struct
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from jsonargparse import ArgumentParser
from PIL import Image

from datamodules import CIFAR10, MNIST, Digits, FashionMNIST, GANDataModule, ImageArrays, ImageFolder, InputError
from datamodules.images.files import read_picture
from datamodules.images.folder import PictureFiles
from datamodules.rows import stored_rows
from tests.data_contract import DataModuleContract, WorkersContract, assert_same, rows

CLASSES = ("cat", "dog", "鸟")


def pixels(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def refused(make, *expected: str) -> str:
    """The one line that ``make`` is refused with; it must hold all that is expected."""
    with pytest.raises(InputError) as error:
        make()
    message = str(error.value)
    assert "\n" not in message
    for part in expected:
        assert part in message
    return message


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def class_folders(root, n=12, shape=(12, 10, 3)):
    for c, name in enumerate(CLASSES):
        for i, picture in enumerate(pixels(n, *shape, seed=c)):
            save(root / name / f"图 {i}.png", picture)
    return root


def loaded(module) -> GANDataModule:
    module.setup()
    return module


def everything(module) -> dict[str, torch.Tensor]:
    """All rows of the source in its own order."""
    return rows(module.load()[0])


# ---- the contract ----------------------------------------------------------------------------------------------------


class TestDigits(DataModuleContract):
    def make(self, tmp_path, **options):
        return Digits(**options)

    def test_what_it_holds(self):
        module = loaded(Digits(image_size=32))
        assert sum(len(table) for table in (module.train, module.val, module.test)) == 1797
        assert module.schema.classes == tuple("0123456789")
        x = everything(Digits())["x"]
        assert (x.min(), x.max()) == (-1, 1)


class TestFolder(WorkersContract):
    def make(self, tmp_path, **options):
        root = tmp_path / "pictures"
        return ImageFolder(root if root.exists() else class_folders(root), **options)


class TestFolderReadAtEachBatch(TestFolder):
    def make(self, tmp_path, **options):
        return super().make(tmp_path, in_memory=False, **options)

    def test_it_reads_the_same_pictures(self, tmp_path):
        lazy, held = (loaded(TestFolder.make(self, tmp_path, in_memory=in_memory)) for in_memory in (False, True))
        assert isinstance(lazy.train, PictureFiles)
        assert_same(rows(lazy.train), rows(held.train))
        assert_same(lazy.val[0], held.val[0])


class TestFolderWithoutClasses(DataModuleContract):
    def make(self, tmp_path, **options):
        for i, picture in enumerate(pixels(20, 9, 9)):
            save(tmp_path / "flat" / f"{i}.png", picture)
        return ImageFolder(tmp_path / "flat", **options)


class TestFolderWithTestFolder(DataModuleContract):
    def make(self, tmp_path, **options):
        for name in ("train", "test"):
            if not (tmp_path / name).exists():
                class_folders(tmp_path / name, n=8 if name == "train" else 3)
        return ImageFolder(tmp_path / "train", test_path=tmp_path / "test", **options)


class TestArrays(DataModuleContract):
    def make(self, tmp_path, **options):
        np.savez(tmp_path / "a.npz", x=pixels(40, 12, 10, 3), y=np.arange(40) % 4 * 5)
        return ImageArrays(tmp_path / "a.npz", **options)


class TestArraysWithoutLabels(DataModuleContract):
    def make(self, tmp_path, **options):
        np.savez_compressed(tmp_path / "a.npz", x=pixels(40, 12, 10))
        return ImageArrays(str(tmp_path / "a.npz"), **options)


class TestArraysWithTestSplit(DataModuleContract):
    def make(self, tmp_path, **options):
        np.savez(
            tmp_path / "a.npz",
            x_train=pixels(40, 8, 8),
            y_train=np.array(CLASSES)[np.arange(40) % 3],
            x_test=pixels(9, 8, 8, seed=1),
            y_test=np.array(CLASSES)[np.arange(9) % 3],
        )
        return ImageArrays(tmp_path / "a.npz", **options)


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def write_mnist(root, name="MNIST"):
    for split, n, seed in (("train", 60, 0), ("t10k", 20, 1)):
        write_idx(root / name / "raw" / f"{split}-images-idx3-ubyte", pixels(n, 28, 28, seed=seed))
        write_idx(root / name / "raw" / f"{split}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8))


class TestMNIST(DataModuleContract):
    def make(self, tmp_path, **options):
        write_mnist(tmp_path)
        return MNIST(root=tmp_path, download=False, **options)

    def test_it_gives_the_pixels_of_the_files(self, tmp_path):
        module = self.make(tmp_path)
        batch = everything(module)
        np.testing.assert_array_equal(module.schema.decode(batch["x"])[..., 0], pixels(60, 28, 28))
        assert batch["y"].tolist() == list(range(10)) * 6
        assert len(loaded(module).test) == 20

    def test_files_cut_short_are_refused(self, tmp_path):
        module = self.make(tmp_path)
        file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
        file.write_bytes(file.read_bytes()[:1000])
        refused(module.setup, "MNIST", str(file.parent))


class TestFashionMNIST(DataModuleContract):
    def make(self, tmp_path, **options):
        write_mnist(tmp_path, "FashionMNIST")
        return FashionMNIST(root=str(tmp_path), download=False, **options)


class TestCIFAR10(DataModuleContract):
    @pytest.fixture(autouse=True)
    def batches(self, tmp_path, monkeypatch):
        """Batches in the original's format; torchvision is told the sums of these files instead of the original's."""
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()

        def write(name, content):
            data = pickle.dumps(content)
            (folder / name).write_bytes(data)
            return hashlib.md5(data, usedforsecurity=False).hexdigest()

        source = torchvision.datasets.CIFAR10
        for attribute, n in (("train_list", 12), ("test_list", 20)):
            sums = [
                [name, write(name, {"data": pixels(n, 3072, seed=seed), "labels": [i % 10 for i in range(n)]})]
                for seed, (name, _) in enumerate(getattr(source, attribute))
            ]
            monkeypatch.setattr(source, attribute, sums)
        meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", {"label_names": []})}
        monkeypatch.setattr(source, "meta", meta)

    def make(self, tmp_path, **options):
        return CIFAR10(root=tmp_path, download=False, **options)

    def test_it_gives_the_pixels_of_the_files(self, tmp_path):
        module = self.make(tmp_path)
        x = module.schema.decode(everything(module)["x"])
        np.testing.assert_array_equal(x[:12], pixels(12, 3072).reshape(12, 3, 32, 32).transpose(0, 2, 3, 1))
        assert len(x) == 60
        assert module.schema.class_name(9) == "truck"


@pytest.mark.parametrize("module", [MNIST, FashionMNIST, CIFAR10])
def test_what_cannot_be_downloaded_says_what_to_do(module, tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route\nto host")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    data = module(root=tmp_path)
    assert data.schema.num_classes == 10  # known without the files
    for act in (data.prepare_data, data.setup):
        refused(act, module.__name__, str(tmp_path), "could not be downloaded", "ImageArrays")

    def nowhere(*args, **kwargs):
        raise URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr("urllib.request.urlopen", nowhere)
    refused(data.setup, "could not be downloaded (Name or service not known): place the original files there")
    refused(module(root=tmp_path, download=False).setup, "download is off", str(tmp_path))


# ---- size and fit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "options", "size", "fit"),
    [
        ((28, 28), {}, 32, "pad"),
        ((32, 32), {}, 32, "pad"),
        ((5, 3), {}, 8, "pad"),
        ((200, 150), {}, 128, "resize"),
        ((200, 150), {"image_size": 256}, 256, "pad"),
        ((28, 28), {"image_size": 16}, 16, "resize"),
        ((28, 28), {"image_size": 64, "fit": "resize"}, 64, "resize"),
        ((28, 28), {"image_size": 64}, 64, "pad"),
    ],
)
def test_the_square_and_how_pictures_get_into_it(tmp_path, shape, options, size, fit):
    np.savez(tmp_path / "a.npz", x=pixels(10, *shape))
    module = ImageArrays(tmp_path / "a.npz", **options)
    assert (module.schema.image_size, module.schema.fit) == (size, fit)
    assert (module.schema.height, module.schema.width) == shape
    assert everything(module)["x"].shape == (10, 1, size, size)


def test_spaces_around_labels_make_no_classes(tmp_path, caplog):
    labels = np.array(["cat", "cat ", " dog", "dog"] * 5)
    for y in (labels, np.char.encode(labels)):
        np.savez(tmp_path / "a.npz", x=pixels(20, 8, 8), y=y)
        caplog.clear()
        with caplog.at_level("INFO"):
            module = ImageArrays(tmp_path / "a.npz")
        assert module.schema.classes == ("cat", "dog")
        assert "a.npz: y: 10 labels have spaces around them, and are taken without: 'cat ', ' dog'" in caplog.text
    labels[7] = "   "
    np.savez(tmp_path / "a.npz", x=pixels(20, 8, 8), y=labels)
    refused(lambda: ImageArrays(tmp_path / "a.npz"), "a.npz: y, row 7: the label is empty")


def test_impossible_squares_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=pixels(10, 28, 28))
    for size in (0, 4, 48, 512, -8):
        refused(lambda size=size: ImageArrays(tmp_path / "a.npz", image_size=size), "image_size", str(size))
    refused(lambda: ImageArrays(tmp_path / "a.npz", image_size=16, fit="pad"), "28×28", "fit", "image_size of 32")
    refused(lambda: ImageArrays(tmp_path / "a.npz", fit="stretch"), "fit", "stretch")
    refused(lambda: Digits(image_size=7), "image_size")


@pytest.mark.parametrize("module", [Digits, MNIST, FashionMNIST, CIFAR10, ImageFolder, ImageArrays])
def test_the_command_line_knows_every_option_and_explains_it(module, capsys):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(GANDataModule, "data")
    with pytest.raises(SystemExit):
        parser.parse_args([f"--data.help={module.__name__}"])
    text = " ".join(capsys.readouterr().out.split())
    for option in ("image_size", "fit", "batch_size", "seed", "imbalance", "per_class", "num_workers"):
        assert f"--data.{option}" in text
    assert "side of the square" in text
    assert "(few-shot)" in text


# ---- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((6, 12, 10), (12, 10, 1)),
        ((6, 12, 10, 1), (12, 10, 1)),
        ((6, 12, 10, 3), (12, 10, 3)),
        ((6, 12, 10, 4), (12, 10, 4)),
        ((6, 12, 10, 2), (12, 10, 2)),
        ((6, 1, 12, 10), (12, 10, 1)),
        ((6, 3, 12, 10), (12, 10, 3)),
        ((6, 5, 12, 10), (12, 10, 5)),
    ],
)
def test_the_axis_of_the_channels_is_found(tmp_path, shape, expected):
    x = pixels(*shape)
    np.savez(tmp_path / "a.npz", x=x)
    module = ImageArrays(tmp_path / "a.npz")
    schema = module.schema
    assert (schema.height, schema.width, schema.channels) == expected
    pictures = schema.decode(everything(module)["x"])
    channels_first = len(shape) == 4 and shape[1] == expected[2]
    np.testing.assert_array_equal(pictures, x.transpose(0, 2, 3, 1) if channels_first else x.reshape(6, *expected))


def test_an_unclear_axis_is_refused_and_a_layout_settles_it(tmp_path):
    for shape in ((6, 10, 10, 10), (6, 3, 12, 3)):
        np.savez(tmp_path / "a.npz", x=pixels(*shape))
        refused(lambda: ImageArrays(tmp_path / "a.npz"), "unclear", "layout", str(shape))
    for layout, expected in (("NHWC", (3, 12, 3)), ("NCHW", (12, 3, 3))):
        np.savez(tmp_path / "a.npz", x=pixels(6, 3, 12, 3), layout=layout)
        schema = ImageArrays(tmp_path / "a.npz").schema
        assert (schema.height, schema.width, schema.channels) == expected
    np.savez(tmp_path / "a.npz", x=pixels(6, 3, 12, 3), layout="CHWN")
    refused(lambda: ImageArrays(tmp_path / "a.npz"), "layout", "CHWN")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1_are_pixels(tmp_path, dtype):
    x = pixels(2000, 8, 8)
    np.savez(tmp_path / "a.npz", x=(x / 255).astype(dtype))
    module = ImageArrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(module.schema.decode(everything(module)["x"])[..., 0], x)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([10, 2, 10, 2]), ("2", "10")),
        (np.array([10, 2, 10, 2], np.uint8), ("2", "10")),
        (np.array([10.0, 2.0, 10.0, 2.0]), ("2", "10")),
        (np.array([2**53, 2, 2**53, 2], np.uint64), ("2", "9007199254740992")),
        (np.array([[10], [2], [10], [2]]), ("2", "10")),
        (np.array(["犬", "cat", "犬", "cat"]), ("cat", "犬")),
        (np.array([b"dog", b"cat", b"dog", b"cat"]), ("cat", "dog")),
    ],
)
def test_labels_of_any_plain_type(tmp_path, y, classes):
    np.savez(tmp_path / "a.npz", x=pixels(4, 8, 8), y=y)
    module = ImageArrays(tmp_path / "a.npz")
    assert module.schema.classes == classes
    assert everything(module)["y"].tolist() == [1, 0, 1, 0]


def test_labels_of_two_types_are_one_kind(tmp_path):
    y = np.array([7, 3, 7, 3])
    np.savez(tmp_path / "a.npz", x_train=pixels(4, 8, 8), y_train=y.astype(np.uint64), x_test=pixels(4, 8, 8), y_test=y)
    assert ImageArrays(tmp_path / "a.npz").schema.classes == ("3", "7")
    for large in (np.array([2**63 + 2, 2, 2, 2], np.uint64), np.array([2.0**60, 2, 2, 2])):
        np.savez(tmp_path / "b.npz", x=pixels(4, 8, 8), y=large)
        refused(lambda: ImageArrays(tmp_path / "b.npz"), "b.npz: y has", "in row 0, too large a number: use strings")


def test_classes_without_labels_are_said_not_to_be_read(tmp_path, caplog):
    np.savez(tmp_path / "a.npz", x=pixels(4, 8, 8), classes=["a", "b"])
    with caplog.at_level("INFO"):
        assert ImageArrays(tmp_path / "a.npz").schema.classes == ()
    assert "classes is not read, since there are no labels: name their array y" in caplog.text


def test_names_of_classes_beside_ids(tmp_path):
    np.savez(tmp_path / "a.npz", x=pixels(3, 8, 8), y=[2, 0, 2], classes=["z", "a", "猫"])
    module = ImageArrays(tmp_path / "a.npz")
    assert module.schema.classes == ("z", "a", "猫")  # their order is kept, and a class may be empty
    assert everything(module)["y"].tolist() == [2, 0, 2]


def test_the_schema_needs_no_pixels(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x=pixels(10, 8, 8), y=np.arange(10) % 2)
    reads = []
    original = np.lib.format.read_array
    monkeypatch.setattr(np.lib.format, "read_array", lambda *a, **k: reads.append(original(*a, **k)) or reads[-1])
    module = ImageArrays(tmp_path / "a.npz")
    assert [array.shape for array in reads] == [(10,)]
    module.setup()
    assert [array.shape for array in reads].count((10, 8, 8)) == 1


def with_nan():
    x = np.full((2000, 8, 8), 0.5)
    x[1500, 3, 3] = np.nan
    return x


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({}, ["no array x", "holds nothing"]),
        ({"images": pixels(4, 8, 8), "label": [0]}, ["no array x", "images, label"]),
        ({"x_test": pixels(4, 8, 8)}, ["no array x", "x_test"]),
        ({"x": pixels(4, 8)}, ["(4, 8)", "(N, H, W)"]),
        ({"x": pixels(0, 8, 8)}, ["no pictures", "(0, 8, 8)"]),
        ({"x": np.full((4, 8, 8), -7)}, ["every pixel is -7", "value_range"]),
        ({"x": np.zeros((4, 8, 8), complex)}, ["complex128"]),
        ({"x": np.array([["a"]])}, ["(1, 1)"]),
        ({"x": np.array([None, "a"], dtype=object)}, ["x holds Python objects"]),
        ({"x": np.full((4, 8, 8), 3.5)}, ["every pixel is 3.5"]),
        ({"x": with_nan()}, ["no number", "row 1500"]),
        ({"x": pixels(4, 8, 8), "y": [0, 1, 0]}, ["x has 4 rows", "(3,)"]),
        ({"x": pixels(4, 8, 8), "y": np.eye(4)}, ["(4, 4)"]),
        ({"x": pixels(4, 8, 8), "y": [0, 1, 0.5, 1]}, ["y has 0.5 in row 2"]),
        ({"x": pixels(4, 8, 8), "y": [0, 1, 1, np.nan]}, ["y has nan in row 3"]),
        ({"x": pixels(4, 8, 8), "y": np.array(["a", None, "b", 1], dtype=object)}, ["y holds Python objects"]),
        ({"x": pixels(4, 8, 8), "y": np.zeros(4, complex)}, ["y is complex128"]),
        ({"x": pixels(4, 8, 8), "y": [0, 1, 2, 5], "classes": ["a", "b", "c"]}, ["y has 5 in row 3", "0 to 2"]),
        ({"x": pixels(4, 8, 8), "y": [0, -1, 0, 0], "classes": ["a"]}, ["y has -1 in row 1"]),
        ({"x": pixels(4, 8, 8), "y": [0, 1, 0, 1], "classes": ["a", "a"]}, ["classes names a twice"]),
        ({"x": pixels(4, 8, 8), "y": ["a", "b", "a", "b"], "classes": ["a", "b"]}, ["y is <U1"]),
        ({"x_train": pixels(4, 8, 8), "x_test": pixels(4, 9, 8)}, ["8×8", "9×8", "different shapes"]),
        ({"x_train": pixels(4, 8, 8), "y_train": [0] * 4, "x_test": pixels(4, 8, 8)}, ["no array y_test"]),
    ],
)
def test_arrays_that_cannot_be_read_get_one_line(tmp_path, arrays, expected):
    np.savez(tmp_path / "a.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    refused(lambda: loaded(ImageArrays(tmp_path / "a.npz")), str(tmp_path / "a.npz"), *expected)


def test_files_that_are_no_arrays_get_one_line(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, x=pixels(100, 8, 8))
    data = whole.read_bytes()
    for name, content in (("cut.npz", data[:-100]), ("text.npz", b"hello"), ("empty.npz", b"")):
        (tmp_path / name).write_bytes(content)
        refused(lambda name=name: ImageArrays(tmp_path / name), name, "not a .npz file")
    np.save(tmp_path / "one.npy", pixels(4, 8, 8))
    refused(lambda: ImageArrays(tmp_path / "one.npy"), "one.npy", "not a .npz file")
    damaged = bytearray(data)
    damaged[2000:2100] = bytes(100)
    (tmp_path / "damaged.npz").write_bytes(damaged)
    refused(lambda: loaded(ImageArrays(tmp_path / "damaged.npz")), "damaged.npz", "the array x is damaged")
    refused(lambda: ImageArrays(tmp_path / "missing.npz"), "missing.npz", "no file")
    refused(lambda: ImageArrays(tmp_path), "is a folder", "ImageFolder")


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_pixels_names_and_order_of_a_folder(tmp_path):
    module = ImageFolder(class_folders(tmp_path, n=3))
    assert module.schema.classes == CLASSES
    batch = everything(module)
    expected = np.concatenate([pixels(3, 12, 10, 3, seed=c) for c in range(3)])
    np.testing.assert_array_equal(module.schema.decode(batch["x"]), expected)
    assert batch["y"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_classes_that_are_numbers_are_in_numeric_order(tmp_path):
    for name in ("10", "9", "1"):
        save(tmp_path / name / "a.png", pixels(8, 8))
    assert ImageFolder(tmp_path).schema.classes == ("1", "9", "10")
    save(tmp_path / "x" / "a.png", pixels(8, 8))
    assert ImageFolder(tmp_path).schema.classes == ("1", "10", "9", "x")


def test_pictures_deeper_in_a_class_and_behind_links_count(tmp_path):
    save(tmp_path / "data" / "a" / "deep" / "er" / "1.png", pixels(8, 8))
    save(tmp_path / "elsewhere" / "2.png", pixels(8, 8))
    (tmp_path / "data" / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "deep" / "circle").symlink_to(tmp_path / "data" / "a")
    save(tmp_path / "data" / "b" / "3.png", pixels(8, 8))
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data")  # where b lies
    assert everything(ImageFolder(tmp_path / "data"))["y"].tolist() == [0, 0, 1]


def test_what_is_no_picture_is_passed_over_and_counted(tmp_path, caplog):
    class_folders(tmp_path, n=2)
    for name in ("notes.txt", "cat/Thumbs.db", "cat/.hidden.png", "dog/labels.TXT"):
        (tmp_path / name).write_text("x")
    save(tmp_path / "__MACOSX" / "1.png", pixels(8, 8))
    with caplog.at_level("INFO"):
        module = ImageFolder(tmp_path)
    assert len(everything(module)["y"]) == 6
    assert "files that are no pictures passed over: 4 (2 .txt" in caplog.text


def test_folders_that_begin_with_underscores_are_classes(tmp_path):
    class_folders(tmp_path, n=2)
    save(tmp_path / "__other__" / "1.png", pixels(8, 8))
    assert ImageFolder(tmp_path).schema.classes == ("__other__", "cat", "dog", "鸟")


def test_pictures_read_from_the_disk_may_be_none(tmp_path):
    class_folders(tmp_path, n=4)
    module = ImageFolder(tmp_path, in_memory=False, val_fraction=0.0)
    module.setup()
    rows = stored_rows(module.schema, module.val)
    held = ImageFolder(tmp_path, in_memory=True, val_fraction=0.0)
    held.setup()
    same = stored_rows(held.schema, held.val)
    assert {name: (field.shape, field.dtype) for name, field in rows.items() if name in same} == {
        name: (field.shape, field.dtype) for name, field in same.items()
    }


def test_test_pictures_of_another_type_have_the_training_pictures_range(tmp_path):
    x = np.random.default_rng(0).integers(0, 4096, (40, 8, 8))
    x[0, 0, 0] = 4095
    dim = (x[:10] // 4).astype(np.int32)
    means = []
    for dtype in (np.uint16, np.int32):
        np.savez(tmp_path / "a.npz", x_train=x.astype(np.uint16), x_test=dim.astype(dtype))
        module = ImageArrays(tmp_path / "a.npz")
        module.setup()
        means.append(float(stored_rows(module.schema, module.test)["x"].float().mean()))
    assert means[0] == means[1] < 64


def test_a_class_of_the_test_pictures_alone_is_refused(tmp_path):
    x = np.zeros((6, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=[0, 1] * 3, x_test=x, y_test=[0, 1, 2] * 2)
    refused(lambda: ImageArrays(tmp_path / "a.npz"), "the class 2 is in y_test and not in y_train")


MODES = {
    "1": (1, {}),
    "L": (1, {}),
    "LA": (1, {}),
    "I;16": (1, {}),
    "P": (3, {}),
    "RGB": (3, {}),
    "RGBA": (3, {}),
    "CMYK": (3, {"suffix": ".tif"}),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_picture_is_read(tmp_path, mode):
    channels, options = MODES[mode]
    grey = np.linspace(0, 255, 144).astype(np.uint8).reshape(12, 12)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    suffix = options.get("suffix", ".png")
    image.save(tmp_path / f"a{suffix}")
    assert Image.open(tmp_path / f"a{suffix}").mode == mode
    module = ImageFolder(tmp_path)
    assert module.schema.channels == channels
    found = module.schema.decode(everything(module)["x"])[0].astype(int)
    expected = np.asarray(image.convert("L")) if mode in ("1", "P") else grey  # these two round by themselves
    np.testing.assert_array_equal(found, np.repeat(expected[..., None], channels, axis=2))


def test_16_bits_are_scaled_over_their_whole_range(tmp_path):
    deep = np.array([[0, 257, 32896, 65535]] * 4, np.uint16)
    for name in ("a.png", "a.tif"):
        read = np.asarray(read_picture(save(tmp_path / name, deep), 1).image)
        assert read[0].tolist() == [0, 1, 128, 255]


def test_floats_are_read_from_0_to_1(tmp_path):
    read = read_picture(save(tmp_path / "a.tif", np.array([[0, 0.5, 1.0]], np.float32)), 1).image
    assert np.asarray(read)[0].tolist() == [0, 128, 255]
    save(tmp_path / "b.tif", np.array([[0, np.nan]], np.float32))
    refused(lambda: read_picture(tmp_path / "b.tif", 1), "b.tif", "no number")


def test_transparent_parts_are_kept_or_laid_on_white(tmp_path, caplog):
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[..., 0] = 200
    clear[4:, :, 3] = 255
    save(tmp_path / "a.png", clear)
    with caplog.at_level("INFO"):
        whole = ImageFolder(tmp_path)
    assert "every picture is transparent in parts: channels 4" in caplog.text
    np.testing.assert_array_equal(whole.schema.decode(everything(whole)["x"])[0], clear)
    module = ImageFolder(tmp_path, channels=3)
    with caplog.at_level("INFO"):
        x = module.schema.decode(everything(module)["x"])[0]
    assert "transparent parts of 1 of 1 pictures are laid on white" in caplog.text
    assert x[:4].min() == 255
    assert (x[4:] == (200, 0, 0)).all()


def test_a_transparent_palette_colour_is_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 8, 4))
    image.save(tmp_path / "a.png", transparency=0)
    x = np.asarray(read_picture(tmp_path / "a.png", 3).image)
    assert x[:4].min() == 255
    assert (x[4:] == (200, 100, 50)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_pictures_are_turned_upright(tmp_path, suffix):
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:, :12] = 255  # white on the left, which orientation 6 turns to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / f"a{suffix}", picture, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    module = ImageFolder(tmp_path)
    assert (module.schema.height, module.schema.width) == (24, 16)
    x = module.schema.decode(everything(module)["x"])[0]
    assert x[:10].min() > 200
    assert x[14:].max() < 50


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_plain_tiff_is_turned_upright_too(tmp_path, orientation):
    (picture,) = pixels(1, 16, 24)
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    save(tmp_path / "a.tif", picture, tiffinfo={274: orientation})
    assert (np.asarray(read_picture(tmp_path / "a.tif", 1).image) == np.rot90(picture, turns)).all()
    module = ImageFolder(tmp_path)
    assert (module.schema.decode(everything(module)["x"])[0, ..., 0] == np.rot90(picture, turns)).all()


def test_of_several_pages_the_first_is_read_and_that_is_said(tmp_path, caplog):
    pages = [Image.fromarray(page) for page in pixels(3, 8, 8)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "b.png")
    with caplog.at_level("INFO"):
        x = everything(ImageFolder(tmp_path))["x"]
    assert torch.equal(x[0], x[1])
    assert "of which the first picture is read: 1, the first" in caplog.text


def test_grey_and_colour_together_are_colour(tmp_path):
    save(tmp_path / "a.png", pixels(8, 8))
    assert ImageFolder(tmp_path).schema.channels == 1
    save(tmp_path / "b.png", pixels(8, 8, 3))
    assert ImageFolder(tmp_path).schema.channels == 3
    assert everything(ImageFolder(tmp_path, channels=1))["x"].shape == (2, 1, 8, 8)


@pytest.mark.parametrize("in_memory", [True, False])
def test_pictures_of_different_sizes_are_scaled_and_cropped(tmp_path, caplog, in_memory):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255  # the middle square is white
    save(tmp_path / "a.png", wide)
    save(tmp_path / "b.png", np.full((90, 40, 3), 77, np.uint8))
    with caplog.at_level("INFO"):
        module = ImageFolder(tmp_path, in_memory=in_memory)
    assert "sizes differ (20×60 to 90×40" in caplog.text
    assert "16×16" in caplog.text
    x = module.schema.decode(everything(module)["x"])
    assert x.shape == (2, 16, 16, 3)
    assert x[0].mean() > 250
    assert (x[1] == 77).all()
    assert everything(ImageFolder(tmp_path, image_size=64))["x"].shape[-1] == 64
    refused(lambda: ImageFolder(tmp_path, fit="pad"), "differ in size", "leave fit out")


def test_small_pictures_of_different_sizes_become_8(tmp_path):
    save(tmp_path / "a.png", pixels(5, 6))
    save(tmp_path / "b.png", pixels(7, 6))
    assert ImageFolder(tmp_path).schema.image_size == 8


def break_pictures(root):
    """Two broken files: one without a picture, one that ends too early."""
    (root / "cat" / "a broken.png").write_bytes(b"not a picture")
    cut = root / "dog" / "z cut.png"
    save(cut, pixels(12, 10, 3))
    cut.write_bytes(cut.read_bytes()[:-200])


@pytest.mark.parametrize("in_memory", [True, False])
def test_broken_pictures_are_refused_or_skipped_and_counted(tmp_path, caplog, in_memory):
    class_folders(tmp_path, n=4)
    break_pictures(tmp_path)
    refused(lambda: ImageFolder(tmp_path, in_memory=in_memory), "a broken.png", "on_error")
    (tmp_path / "cat" / "a broken.png").write_bytes(b"")
    refused(lambda: ImageFolder(tmp_path, in_memory=in_memory), "a broken.png", "empty")
    with caplog.at_level("INFO"):
        module = ImageFolder(tmp_path, on_error="skip", in_memory=in_memory)
        batch = everything(module)
    assert batch["y"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert "broken pictures skipped: 1" in caplog.text
    assert "a broken.png" in caplog.text
    assert "z cut.png" in caplog.text
    (tmp_path / "cat" / "a broken.png").unlink()
    refused(ImageFolder(tmp_path, in_memory=in_memory).setup, "z cut.png", "on_error")


def test_a_class_of_broken_pictures_alone_is_refused(tmp_path):
    class_folders(tmp_path, n=2)
    (tmp_path / "bat").mkdir()
    (tmp_path / "bat" / "1.jpg").write_bytes(b"")
    refused(lambda: ImageFolder(tmp_path, on_error="skip"), "none of the pictures of class bat")


def test_a_picture_that_vanishes_is_named(tmp_path):
    module = loaded(ImageFolder(class_folders(tmp_path, n=4), in_memory=False))
    for file in tmp_path.rglob("*.png"):
        file.unlink()
    refused(lambda: module.train[0], ".png", "No such file")


def test_folders_that_cannot_be_used_get_one_line(tmp_path):
    refused(lambda: ImageFolder(tmp_path / "no"), "no folder", str(tmp_path / "no"))
    file = save(tmp_path / "a.png", pixels(8, 8))
    refused(lambda: ImageFolder(file), "is a file")
    (tmp_path / "empty").mkdir()
    refused(lambda: ImageFolder(tmp_path / "empty"), "no pictures")
    (tmp_path / "empty" / "sub").mkdir()
    (tmp_path / "empty" / "sub" / "a.txt").write_text("x")
    refused(lambda: ImageFolder(tmp_path / "empty"), "no pictures")
    root = class_folders(tmp_path / "root", n=1)
    refused(lambda: ImageFolder(root, channels=2), "channels")
    refused(lambda: ImageFolder(root, on_error="ignore"), "on_error")
    (root / "eel").mkdir()
    refused(lambda: ImageFolder(root), str(root / "eel"), "without pictures")
    (root / "eel").rmdir()
    save(root / "loose.png", pixels(8, 8))
    refused(lambda: ImageFolder(root), "loose.png", "beside the class folders")
    (root / "loose.png").rename(root / "grid.png")
    refused(lambda: ImageFolder(root), "grid.png")
    (root / "manifest.json").write_text("{")
    refused(lambda: ImageFolder(root), "manifest.json")
    (root / "manifest.json").write_text("[1]")
    refused(lambda: ImageFolder(root), "manifest.json")


def test_the_test_folder_must_have_the_same_classes(tmp_path):
    train, test = class_folders(tmp_path / "train", n=2), tmp_path / "test"
    save(test / "dog" / "1.png", pixels(12, 10, 3))
    module = ImageFolder(train, test_path=test)
    assert module.load()[1].fields["y"].tolist() == [1]
    save(test / "emu" / "1.png", pixels(12, 10, 3))
    refused(lambda: ImageFolder(train, test_path=test), f"the class 'emu' is not among those of {train}, 'cat', 'dog'")
    save(tmp_path / "flat" / "1.png", pixels(12, 10, 3))
    refused(lambda: ImageFolder(train, test_path=tmp_path / "flat"), "no class folders")
