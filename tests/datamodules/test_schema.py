import json

import numpy as np
import pytest
import torch

from datamodules import ImageSchema, InputError, Schema
from datamodules.labels import unknown
from datamodules.schema import label_ids


def image_schema(**fields) -> ImageSchema:
    return ImageSchema(**{"height": 28, "width": 28, "channels": 1, "image_size": 32, **fields})


def pictures(n: int, height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def test_round_trip_through_json():
    schema = image_schema(classes=("猫", "dog"), fit="resize")
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


@pytest.mark.parametrize(
    "values", [{}, {"kind": "smell"}, {"kind": "image", "height": 3}, {**image_schema().to_dict(), "depth": 2}]
)
def test_unknown_schemas_are_refused(values):
    with pytest.raises(InputError, match="unknown schema") as error:
        Schema.from_dict(values)
    assert "\n" not in str(error.value)


def test_a_label_is_a_name():
    schema = image_schema(classes=("3", "cat", "5"))
    assert schema.class_id("cat") == 1
    assert schema.class_id(3) == schema.class_id("3") == 0  # the class named 3, not the fourth
    assert schema.class_name(1) == "cat"
    for label in ("mouse", 9, -1, "1.5", "2", 1, 0, 3.0, True, None):
        with pytest.raises(InputError, match=f"unknown label {label!r}: the classes are '3', 'cat', '5'$"):
            schema.class_id(label)


@pytest.mark.parametrize(
    "classes", [("01", "02", "03"), ("1", "5", "9"), ("0.5", "1.5"), ("1e3", "many"), ("-1", "+1"), ("1_0", "x")]
)
def test_where_names_are_like_numbers_a_number_is_no_position(classes):
    schema = image_schema(classes=classes)
    for label in (0, 2, "0", "2", "1.0", "010", "²"):
        with pytest.raises(InputError, match="unknown label"):
            schema.class_id(label)
    assert [schema.class_id(name) for name in classes] == list(range(len(classes)))


def test_a_number_among_names_is_a_position_and_that_is_said(caplog):
    schema = image_schema(classes=("nan", "dog", "no"))
    with caplog.at_level("INFO"):
        assert schema.class_ids("labels", ["no", 1, "0"]) == [2, 1, 0]
    assert "labels: no class is called 1: taken as a number, which is the class 'dog'" in caplog.text
    assert "labels: no class is called '0': taken as a number, which is the class 'nan'" in caplog.text
    assert "'no'" not in caplog.text
    for label in ("00", "1.0", 1.0, "-1", 3, False):
        with pytest.raises(InputError, match="unknown label"):
            schema.class_id(label)


def test_two_labels_of_one_class_are_refused():
    with pytest.raises(InputError, match=r"^labels: 'dog' and 1 are the same class: give each label once$"):
        image_schema(classes=("cat", "dog")).class_ids("labels", ["dog", 1])
    with pytest.raises(InputError, match=r"^imbalance: 3 and '3' are the same class"):
        image_schema(classes=("3", "4")).class_ids("imbalance", {3: 0.1, "3": 0.2})


def test_many_classes_make_a_short_message():
    schema = image_schema(classes=tuple(f"c{i}" for i in range(1000)))
    with pytest.raises(InputError) as error:
        schema.class_id("x")
    assert len(str(error.value)) < 300


def test_without_classes():
    schema = image_schema()
    assert (schema.num_classes, schema.labelled, schema.class_name(0)) == (1, False, "all")
    with pytest.raises(InputError, match="there are none"):
        schema.class_id("cat")


@pytest.mark.parametrize(("height", "width"), [(28, 28), (17, 23), (32, 32), (1, 31)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_padding_is_undone_exactly(height, width, channels):
    schema = image_schema(height=height, width=width, channels=channels)
    x = pictures(5, height, width, channels)
    encoded = schema.encode(x)
    assert encoded.shape == (5, channels, 32, 32)
    assert encoded.dtype == torch.uint8
    prepared = schema.prepare({"x": encoded, "y": torch.zeros(5)})["x"]
    assert prepared.min() >= -1
    assert prepared.max() <= 1
    np.testing.assert_array_equal(schema.decode(prepared), x)


def test_padding_is_black_and_centred():
    schema = image_schema(height=2, width=4, image_size=8)
    x = schema.encode(np.full((1, 2, 4, 1), 255, np.uint8))[0, 0]
    assert x[3:5, 2:6].min() == 255
    assert x.sum() == 255 * 8


def test_resizing_keeps_flat_colour_and_the_size_of_the_source():
    schema = image_schema(height=40, width=20, channels=3, image_size=16, fit="resize")
    x = np.full((3, 40, 20, 3), (10, 100, 250), np.uint8)
    encoded = schema.encode(x)
    assert encoded.shape == (3, 3, 16, 16)
    np.testing.assert_array_equal(schema.decode(schema.prepare({"x": encoded})["x"]), x)
    assert schema.encode(x[:0]).shape == (0, 3, 16, 16)


def test_decoding_clips_what_a_network_overshoots():
    schema = image_schema(height=8, width=8, image_size=8)
    x = torch.full((1, 1, 8, 8), 1.3)
    assert schema.decode(x).min() == 255
    assert schema.decode(-x).max() == 0
    assert schema.decode(x.half()).dtype == np.uint8


def test_labels_of_any_kind_become_ids():
    ids, classes = label_ids([10, 2, 10])
    assert (ids.tolist(), classes) == ([1, 0, 1], ("2", "10"))
    ids, classes = label_ids(["狗", "猫", "狗"])
    assert ids.dtype == np.int64
    assert [classes[i] for i in ids] == ["狗", "猫", "狗"]


def test_names_that_look_alike_are_pointed_out(caplog):
    composed, apart = "caf\u00e9", "cafe\u0301"
    with caplog.at_level("INFO"):
        label_ids([composed, apart, "spam", "spam\u200b", str(2**64), str(2**64 + 1)])
    assert caplog.text.count(" and ") == 2
    assert unknown(apart, "data", (composed,)) == (
        "the class 'cafe\\u0301' looks like 'caf\\xe9' of data, and has other letters: write them alike"
    )
    assert "'spam' looks like 'spam\\u200b' of data" in unknown("spam", "data", ("spam\u200b",))
