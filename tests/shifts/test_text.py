"""Sentences as people type them."""

import random

import pytest
import torch

from datamodules.text.schema import UNKNOWN, TextSchema, build_vocabulary
from ganaug.shifts.text import ORDER, SHIFTS, slip

TEXTS = ["who wrote the longest letter", "where is the river", "a", "don't ask how many people live there"] * 6


def sentences(tokenizer: str = "word") -> tuple[TextSchema, dict[str, torch.Tensor]]:
    vocabulary, bpe = build_vocabulary(TEXTS, tokenizer, 1, 300)
    longest = {"word": 8, "char": 38}[tokenizer]
    schema = TextSchema(
        vocabulary=tuple(vocabulary), max_length=longest, tokenizer=tokenizer, bpe=bpe, classes=("a", "b")
    )
    x, length = schema.encode(TEXTS)
    return schema, {"x": x, "length": length, "y": torch.arange(len(x)) % 2}


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("tokenizer", ["word", "char"])
def test_rows_stay_rows(name: str, tokenizer: str) -> None:
    schema, rows = sentences(tokenizer)
    before = rows["x"].clone()
    found = SHIFTS[name](rows, schema, 3)
    assert torch.equal(rows["x"], before)
    assert (found["x"].shape, found["x"].dtype) == (before.shape, torch.int64)
    assert torch.equal(found["y"], rows["y"])
    assert torch.equal(found["length"], schema.lengths(found["x"])), "the end and what comes after it stay so"
    assert int(found["length"].min()) >= 1
    assert bool((found["x"] != before).any())
    assert torch.equal(SHIFTS[name](rows, schema, 3)["x"], found["x"])


def test_each_does_what_it_is_called_by() -> None:
    schema, rows = sentences()
    assert bool((SHIFTS["drop"].change(rows, schema, 0.4)["length"] < rows["length"]).any())
    swapped = SHIFTS["swap"].change(rows, schema, 0.4)["x"]
    assert torch.equal(swapped.sort(1)[0], rows["x"].sort(1)[0])
    for name in ("unknown", "typos"):
        found = SHIFTS[name].change(rows, schema, 1.0)["x"]
        assert int((found == UNKNOWN).sum()) > 60, name
    typed = SHIFTS["typos"].change(rows, schema, 0.0)
    assert torch.equal(typed["x"], rows["x"])
    assert torch.equal(typed["length"], rows["length"])


def test_a_slip_is_one_of_three() -> None:
    made = {slip("abcd", random.Random(seed)) for seed in range(200)}
    assert made == {"bacd", "acbd", "abdc", "bcd", "acd", "abd", "aabcd", "abbcd", "abccd"}
    assert {slip(word, random.Random(0)) for word in ("", "a", "of", "12")} == {"", "a", "of", "12"}


def test_rows_without_an_end_can_only_change_their_order() -> None:
    schema = TextSchema(vocabulary=("a", "b", "c", "d"), max_length=6, ends=False, classes=("u", "v"))
    x = torch.randint(4, (9, 6), generator=torch.Generator().manual_seed(0))
    rows = {"x": x, "length": torch.full((9,), 6), "y": torch.arange(9) % 2}
    found = ORDER["swap"](rows, schema, 0)
    assert torch.equal(found["x"].sort(1)[0], x.sort(1)[0])
    assert torch.equal(found["length"], rows["length"])
