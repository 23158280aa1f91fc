import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageArrays, ImageFolder, ImageSchema, InputError, TextFile, TextSchema
from datamodules.files.manifest import folder_names, read_manifest, write_manifest
from datamodules.images.store import read_images, write_images
from datamodules.text.schema import SPECIAL, build_vocabulary
from datamodules.text.store import read_texts, write_texts
from ganaug.evaluation.contact_sheet import contact_sheet

UNSAFE = ("猫", "Cat", "cat", "a/b", "..", "", "CON", "100%", "end ", "x:y|z", "é")


def batch(index, x, y) -> dict[str, torch.Tensor]:
    """A shard of samples."""
    return {"index": torch.as_tensor(index), "x": x, "y": torch.as_tensor(y)}


def schema(height=28, width=28, channels=1, classes=UNSAFE, image_size=32) -> ImageSchema:
    return ImageSchema(classes=classes, height=height, width=width, channels=channels, image_size=image_size)


def samples(schema: ImageSchema, n=22, seed=0):
    """Pictures as the source has them, one shard of them as a model gives them, and their classes."""
    shape = (n, schema.height, schema.width, schema.channels)
    pictures = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    y = np.arange(n) % schema.num_classes
    return pictures, batch(np.arange(n), schema.prepare({"x": schema.encode(pictures)})["x"], y), y


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
    rows = module.load()[0].__getitems__(list(range(len(y))))
    np.testing.assert_array_equal(module.schema.decode(rows["x"]), expected)
    np.testing.assert_array_equal(rows["y"], ids)


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
    rows = module.load()[0].__getitems__(list(range(len(y))))
    np.testing.assert_array_equal(module.schema.decode(rows["x"]), pictures)


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
    pictures, shard, _ = samples(described, n=4)
    write_images(described, [shard | {"y": torch.tensor([2, 2, 0, 2])}], tmp_path, "folder")
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
    with pytest.raises(InputError, match="no class for the folder 'b': those that it names have 'a', 'z'"):
        read_images(tmp_path)


def test_shards_arrive_in_any_number_and_indices_are_kept(tmp_path):
    described = schema(classes=())
    pictures, shard, _ = samples(described, n=6)
    shard["index"] += 100
    shards = [{name: field[i : i + 2] for name, field in shard.items()} for i in (4, 0, 2)]
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


# ---- sentences -------------------------------------------------------------------------------------------------------

TEXTS = [
    'she said "no, thanks".',
    "一入深宮裏 無由得見春",
    "comma, comma",
    "'",
    "ab",
    "<b> & \\n",
    "x . x. 🙂",
    "NaN",
]


def text_schema(tokenizer="char", classes=UNSAFE, texts=TEXTS) -> TextSchema:
    vocabulary, _ = build_vocabulary(texts, tokenizer, 1, 0)
    return TextSchema(classes=classes, vocabulary=tuple(vocabulary), max_length=40, tokenizer=tokenizer)


def sentences(schema: TextSchema, texts=TEXTS):
    """The texts as one shard, in which each class has some."""
    texts = [text for text in texts for _ in range(3)]
    return texts, batch(np.arange(len(texts)), schema.encode(texts)[0], np.arange(len(texts)) % schema.num_classes)


@pytest.mark.parametrize("tokenizer", ["char", "word"])
@pytest.mark.parametrize("classes", [UNSAFE, ()])
@pytest.mark.parametrize("format", ["jsonl", "csv", "txt"])
def test_sentences_are_read_back(tmp_path, tokenizer, classes, format):
    described = text_schema(tokenizer, classes)
    expected, shard = sentences(described)
    ids = shard["y"]
    shards = [{name: field[i::2] for name, field in shard.items()} for i in (1, 0)]
    write_texts(described, iter(shards), tmp_path / "new" / "folder", format)
    out = tmp_path / "new" / "folder"
    wanted = sorted(f"{name}.txt" for name in folder_names(classes)) if format == "txt" else []
    assert files(out) == (wanted or [f"samples.{format}"])
    write_manifest(out, {"schema": described.to_dict()})
    order = np.argsort(ids, kind="stable") if format == "txt" else np.arange(len(ids))

    found, y, names = read_texts(out)
    assert found == [expected[i] for i in order]
    assert names == classes
    if classes:
        np.testing.assert_array_equal(y, ids[order])
    else:
        assert y is None

    module = TextFile(out, tokenizer=tokenizer)
    fields = module.load()[0].fields
    assert module.schema.decode(fields["x"]) == [" ".join(expected[i].split()) for i in order]
    assert module.schema.classes == classes
    np.testing.assert_array_equal(fields["y"], ids[order])


@pytest.mark.parametrize("format", ["jsonl", "csv", "txt"])
def test_sentences_may_be_empty_or_begin_with_spaces(tmp_path, format):
    described = TextSchema(vocabulary=(*SPECIAL, "a", " "), max_length=3, tokenizer="char")
    x = torch.tensor([[0, 0, 0], [3, 2, 0], [2, 3, 0], [2, 2, 2]])
    write_texts(described, [batch(np.arange(4), x, np.zeros(4, int))], tmp_path, format)
    assert read_texts(tmp_path) == (["", " a", "a ", "aaa"], None, ())
    with pytest.raises(InputError, match="an empty sentence"):
        TextFile(tmp_path)
    module = TextFile(tmp_path, skip_empty=True, val_fraction=0.0, test_fraction=0.0)
    assert module.schema.decode(module.load()[0].fields["x"]) == ["a", "a", "aaa"]


def test_what_is_in_the_files(tmp_path):
    described = text_schema(classes=("猫", "b"), texts=["一, 二", 'a "b"'])
    shard = batch(np.array([7, 3]), described.encode(["一, 二", 'a "b"'])[0], np.array([0, 1]))
    for format in ("jsonl", "csv", "txt"):
        write_texts(described, [shard], tmp_path, format)
    contents = {name: (tmp_path / name).read_bytes().decode() for name in files(tmp_path)}
    assert contents == {
        "samples.jsonl": '{"text": "a \\"b\\"", "label": "b"}\n{"text": "一, 二", "label": "猫"}\n',
        "samples.csv": 'text,label\r\n"a ""b""",b\r\n"一, 二",猫\r\n',
        "猫.txt": "一, 二\n",
        "b.txt": 'a "b"\n',
    }
    write_texts(replace(described, classes=()), [shard], tmp_path / "plain", "csv")
    assert (tmp_path / "plain" / "samples.csv").read_bytes().startswith(b'text\r\n"a ""b"""\r\n')


def test_of_an_index_that_comes_again_the_last_counts(tmp_path):
    described = text_schema(classes=(), texts=["abc"])
    shards = [batch(np.array([1, 0]), described.encode([first, "b"])[0], np.zeros(2, int)) for first in "ac"]
    write_texts(described, shards, tmp_path)
    assert read_texts(tmp_path)[0] == ["b", "c"]


def test_a_class_without_sentences_keeps_its_id(tmp_path):
    described = text_schema(classes=("a", "samples", "c"), texts=["x"])
    write_texts(described, [batch(np.arange(2), described.encode(["x", "xx"])[0], np.array([2, 1]))], tmp_path, "txt")
    write_manifest(tmp_path, {"schema": described.to_dict()})
    assert files(tmp_path) == ["c.txt", "manifest.json", "samples.txt"]
    texts, y, classes = read_texts(tmp_path)
    assert (texts, y.tolist(), classes) == (["xx", "x"], [1, 2], ("a", "samples", "c"))


def test_sentences_that_cannot_be_written_get_one_line(tmp_path):
    described = TextSchema(vocabulary=(*SPECIAL, "a", "\n"), max_length=3, tokenizer="char")
    shard = batch(np.arange(1), torch.tensor([[2, 3, 2]]), np.zeros(1, int))
    for format in ("jsonl", "csv"):
        write_texts(described, [shard], tmp_path / format, format)
        assert read_texts(tmp_path / format)[0] == ["a\na"]
    with pytest.raises(InputError, match=r"line break.*choose jsonl or csv") as error:
        write_texts(described, [shard], tmp_path / "txt", "txt")
    assert "\n" not in str(error.value)
    assert files(tmp_path / "txt") == []
    with pytest.raises(InputError, match="format must be jsonl, txt or csv, not xml"):
        write_texts(described, [shard], tmp_path, "xml")
    with pytest.raises(InputError, match="cannot make the folder"):
        write_texts(described, [shard], tmp_path / "csv" / "samples.csv")


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
