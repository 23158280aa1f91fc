"""Splits that a source brings along."""

import numpy as np
import pytest
import torch

from datamodules import ImageArrays, ImageFolder, Table
from datamodules.images.store import read_images
from tests.data_contract import DataModuleContract, class_counts, rows
from tests.datamodules.images.test_images import loaded, pixels, refused, save
from tests.datamodules.test_base import Numbers

LEVELS = {"cat": 60, "dog": 190}


def folders(root, counts=(("train", 12), ("val", 4), ("test", 5)), classes=LEVELS):
    for k, (part, count) in enumerate(counts):
        for name, level in classes.items():
            for i, picture in enumerate(pixels(count, 8, 8, seed=k)):
                save(root / part / name / f"{i}.png", (picture // 16 + level).astype(np.uint8))
    return root


def sizes(module) -> list[list[int]]:
    return [class_counts(module, split) for split in ("train", "val", "test")]


class OwnSplits(DataModuleContract):
    def test_splits_are_stratified(self, tmp_path):
        assert len(self.ready(tmp_path, val_fraction=0.3).val) == len(self.ready(tmp_path, val_fraction=0.0).val)


class TestFolderOfSplits(OwnSplits):
    def make(self, tmp_path, **options):
        root = tmp_path / "pictures"
        return ImageFolder(root if root.exists() else folders(root), **options)


class TestMedMNISTArrays(OwnSplits):
    def make(self, tmp_path, **options):
        counts = {"train": 30, "val": 9, "test": 12}
        arrays = {f"{split}_images": pixels(n, 28, 28, 3, seed=n) for split, n in counts.items()}
        labels = {f"{split}_labels": np.arange(n, dtype=np.uint8)[:, None] % 3 for split, n in counts.items()}
        np.savez(tmp_path / "a.npz", **arrays, **labels)
        return ImageArrays(tmp_path / "a.npz", **options)

    def test_the_splits_are_those_of_the_file(self, tmp_path):
        module = self.ready(tmp_path)
        assert sizes(module) == [[10] * 3, [3] * 3, [4] * 3]
        np.testing.assert_array_equal(module.schema.decode(rows(module.val)["x"]), pixels(9, 28, 28, 3, seed=9))


def test_validation_rows_of_the_source_are_used_as_they_are():
    class WithVal(Numbers):
        def load(self):
            x = torch.arange(100, 103)
            return (*super().load(), Table({"x": x, "y": torch.zeros(3, dtype=torch.long)}))

    labels = [0, 1] * 10
    module = loaded(WithVal(labels, val_fraction=0.5, test_fraction=0.2, per_class=3, imbalance={"a": 0.34}))
    assert module.val.fields["x"].tolist() == [100, 101, 102]
    assert class_counts(module) == [1, 3]  # few-shot and imbalance are of the training rows alone
    assert class_counts(module, "test") == [2, 2]
    assert not set(module.train.fields["x"].tolist()) & set(module.test.fields["x"].tolist())


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "Testing"), ("TRAIN", "validation")])
def test_folders_that_are_splits_are_no_classes(tmp_path, caplog, names):
    counts = dict(zip(names, (10, 4, 5), strict=False))
    with caplog.at_level("INFO"):
        module = loaded(ImageFolder(folders(tmp_path, counts.items()), test_fraction=0.2))
    assert module.schema.classes == ("cat", "dog")
    held = ", test 10" if len(names) == 3 else "; test is held out of train, test_fraction 0.2"
    assert f"splits of its own: train 20, val 8{held}" in caplog.text
    assert sizes(module) == ([[10] * 2, [4] * 2, [5] * 2] if len(names) == 3 else [[8] * 2, [4] * 2, [2] * 2])
    x = module.schema.decode(rows(module.val)["x"])
    np.testing.assert_array_equal(np.sort(x[:4].ravel()), np.sort((pixels(4, 8, 8, seed=1) // 16 + 60).ravel()))


def test_train_and_test_alone_hold_out_validation(tmp_path, caplog):
    with caplog.at_level("INFO"):
        module = loaded(ImageFolder(folders(tmp_path, (("train", 10), ("test", 3)))))
    assert sizes(module) == [[9] * 2, [1] * 2, [3] * 2]
    assert "val is held out of train, val_fraction 0.1" in caplog.text


def test_splits_without_classes(tmp_path):
    for part, count in (("train", 6), ("val", 2), ("test", 3)):
        for i, picture in enumerate(pixels(count, 8, 8)):
            save(tmp_path / part / f"{i}.png", picture)
    module = loaded(ImageFolder(tmp_path))
    assert module.schema.classes == ()
    assert sizes(module) == [[6], [2], [3]]


def test_a_test_folder_beside_train_and_val(tmp_path):
    folders(tmp_path / "root", (("train", 6), ("val", 2)))
    folders(tmp_path, (("elsewhere", 3),))
    assert sizes(loaded(ImageFolder(tmp_path / "root", test_path=tmp_path / "elsewhere"))) == [
        [6] * 2,
        [2] * 2,
        [3] * 2,
    ]
    folders(tmp_path / "root", (("test", 1),))
    refused(lambda: ImageFolder(tmp_path / "root", test_path=tmp_path / "elsewhere"), "test_path", "a folder test")


def test_what_may_be_splits_and_may_be_classes_is_refused(tmp_path):
    root = folders(tmp_path)
    save(root / "loose.png", pixels(8, 8))
    refused(lambda: ImageFolder(root), "loose.png", "beside the splits")
    (root / "loose.png").unlink()
    save(root / "bus" / "a.png", pixels(8, 8))
    refused(lambda: ImageFolder(root), "train and val look like splits, but bus lies beside them")
    (root / "bus" / "a.png").unlink()  # a folder without pictures is in nobody's way
    assert ImageFolder(root).schema.classes == ("cat", "dog")
    (root / "valid").mkdir()
    (root / "val" / "cat").rename(root / "valid" / "cat")
    refused(lambda: ImageFolder(root), "two of them are the same")
    (root / "val").rename(tmp_path.with_name("away"))
    (root / "train").rename(tmp_path.with_name("away too"))
    refused(lambda: ImageFolder(root), "there is no train")


def test_a_class_called_train_is_one(tmp_path):
    for name in ("train", "bus"):
        save(tmp_path / name / "a.png", pixels(8, 8))
    assert ImageFolder(tmp_path).schema.classes == ("bus", "train")


def test_one_class_of_folders_is_pointed_out(tmp_path):
    folders(tmp_path, (("train", 3),))
    with pytest.warns(UserWarning, match="the classes are 'train', and have folders inside, such as cat and dog"):
        module = ImageFolder(tmp_path)
    assert module.schema.classes == ("train",)


def test_validation_classes_must_be_known(tmp_path):
    root = folders(tmp_path, (("train", 3), ("val", 1)))
    save(root / "val" / "emu" / "a.png", pixels(8, 8))
    refused(lambda: ImageFolder(root), "emu", str(root / "train"))


def test_samples_in_splits_are_read_together(tmp_path):
    x, y, classes = read_images(folders(tmp_path))
    assert (len(x), classes) == (42, ("cat", "dog"))
    assert [x[y == c].min() // 10 for c in (0, 1)] == [6, 19]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("x_train", "x_val"), [8, 4, 2]),
        (("x", "x_test"), [9, 1, 4]),
        (("x_train", "x_val", "x_test"), [10, 4, 4]),
        (("train_images", "val_images"), [8, 4, 2]),
    ],
)
def test_arrays_of_splits(tmp_path, caplog, names, expected):
    np.savez(tmp_path / "a.npz", **{name: pixels(10 if "train" in name or name == "x" else 4, 8, 8) for name in names})
    with caplog.at_level("INFO"):
        module = loaded(ImageArrays(tmp_path / "a.npz"))
    assert [sum(counts) for counts in sizes(module)] == expected
    assert "splits of its own" in caplog.text


def test_two_sets_of_pictures_in_one_file_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=pixels(4, 8, 8), x_train=pixels(4, 8, 8))
    refused(lambda: ImageArrays(tmp_path / "a.npz"), "holds x and x_train")


def test_arrays_that_are_not_read_are_said(tmp_path, caplog):
    np.savez(tmp_path / "a.npz", x=pixels(4, 8, 8), masks=pixels(4, 8, 8))
    with caplog.at_level("INFO"):
        ImageArrays(tmp_path / "a.npz")
    assert "not read: masks" in caplog.text


def test_a_study_of_a_source_with_splits_keeps_them(tmp_path):
    module = ImageFolder(folders(tmp_path))
    again = loaded(module.again(seed=3, per_class=2))
    assert sizes(again) == [[2] * 2, [4] * 2, [5] * 2]


@pytest.mark.parametrize("names", [("training_set", "test_set"), ("train", "dev"), ("Training", "Testing")])
def test_splits_by_other_usual_names(tmp_path, names):
    root = folders(tmp_path, ((names[0], 12), (names[1], 4)))
    assert ImageFolder(root).schema.classes == ("cat", "dog")


def test_splits_inside_of_classes_are_refused_and_classes_inside_of_others_pointed_out(tmp_path):
    for name in ("cats", "dogs"):
        folders(tmp_path / "a" / name, (("train", 3), ("test", 1)), {"": 60})
        folders(tmp_path / "b", ((name, 3),))
    refused(lambda: ImageFolder(tmp_path / "a"), "cats: test and train look like splits inside of a class")
    with pytest.warns(
        UserWarning, match="the classes are 'cats', 'dogs', and have folders inside, such as cat and dog"
    ):
        ImageFolder(tmp_path / "b")


def test_pictures_that_are_tested_on_are_not_trained_on(tmp_path):
    root = folders(tmp_path, (("cats", 3), ("test", 2)))
    refused(lambda: ImageFolder(root, test_path=root / "test"), "lies in", "would be trained on")
    refused(lambda: ImageFolder(root, test_path=root), "itself", "would be trained on")


def test_labels_in_metadata_are_said_not_to_be_read(tmp_path, caplog):
    for i, picture in enumerate(pixels(6, 8, 8)):
        save(tmp_path / f"{i}.png", picture)
    (tmp_path / "metadata.csv").write_text("file_name,label\n0.png,cat\n")
    with caplog.at_level("INFO"):
        assert ImageFolder(tmp_path).schema.classes == ()
    assert "metadata.csv: not read without the options label_column and group: label" in caplog.text


def test_labels_in_metadata_are_read_wherever_the_pictures_lie(tmp_path, caplog):
    names = [f"{'deep/er/' if i % 3 == 0 else ''}{i}.png" for i in range(24)]
    for name, picture in zip(names, pixels(24, 8, 8), strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / name, picture)
    rows = [f"{name},{'10' if i % 2 else '9'},{i % 4}" for i, name in enumerate(names)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,kind,site", *rows]) + "\n")
    module = loaded(ImageFolder(tmp_path, label_column="kind", group="site", in_memory=False))
    assert module.schema.classes == ("9", "10"), "whole numbers in their order"
    for part in (module.train, module.val, module.test, module.elsewhere):
        paths = [part.files[row].relative_to(tmp_path).as_posix() for row in part.fields["row"].tolist()]
        assert [names.index(path) % 2 for path in paths] == part.fields["y"].tolist()
    assert "deep" not in caplog.text, "a folder is no class here"


def test_labels_in_metadata_of_splits_are_matched_by_name(tmp_path):
    for split, kinds in (("train", "ab"), ("test", "b")):
        (tmp_path / split).mkdir()
        for i in range(8):
            save(tmp_path / split / f"{i}.png", pixels(1, 8, 8)[0])
        rows = "".join(f"{i}.png,{kinds[i % len(kinds)]}\n" for i in range(8))
        (tmp_path / split / "metadata.csv").write_text("file_name,kind\n" + rows)
    module = loaded(ImageFolder(tmp_path, label_column="kind"))
    assert module.test.fields["y"].tolist() == [1] * 8
    refused(lambda: ImageFolder(tmp_path / "train", label_column="sort"), "no column sort", "see label_column")
    (tmp_path / "train" / "metadata.csv").unlink()
    refused(lambda: ImageFolder(tmp_path, label_column="kind"), "label_column: no file", "0.png")


def test_tables_of_other_names_beside_pictures_are_hinted_at(tmp_path, caplog):
    save(tmp_path / "0.png", pixels(1, 8, 8)[0])
    (tmp_path / "labels.csv").write_text("filename,label\n0.png,cat\n")
    with caplog.at_level("INFO"):
        ImageFolder(tmp_path)
    assert "passed over: 1 (1 .csv); labels are read from metadata.csv, by label_column" in caplog.text
