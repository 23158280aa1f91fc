"""Augmented sentences are sentences: ends, lengths and words are what they must be; shares are what they say."""

import string

import pytest
import torch
from torch import Tensor

from datamodules import TextSchema
from datamodules.schema import Batch
from datamodules.text.schema import END, SPECIAL
from ganaug.classifiers.text_augmentation import deleted, eda, inserted, swapped, word_counts

torch.set_num_threads(1)

OPERATIONS = {"swapped": swapped, "deleted": deleted, "inserted": inserted}


def schema(length: int = 12, ends: bool = True) -> TextSchema:
    return TextSchema(
        vocabulary=(*(SPECIAL if ends else ()), *string.ascii_letters),
        max_length=length,
        tokenizer="char",
        ends=ends,
    )


def sentences(n: int, given: TextSchema, seed: int = 0) -> Batch:
    """Random letters, of one to T tokens."""
    rng = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, given.max_length + 1, (n,), generator=rng).tolist()
    counts[:2] = [1, given.max_length]
    first = 2 if given.ends else 0
    counts = counts if given.ends else [given.max_length] * n
    tokens = torch.randint(first, len(given.vocabulary), (n, given.max_length), generator=rng).tolist()
    x, length = given.pad([row[:count] for row, count in zip(tokens, counts, strict=True)])
    return {"x": x, "length": length, "y": torch.arange(n) % 3}


def numbered(words: int, room: int, n: int = 4000) -> tuple[Tensor, Tensor]:
    """Rows 1, 2, … ``words``, then padding."""
    x = torch.zeros(n, words + room, dtype=torch.long)
    x[:, :words] = torch.arange(1, words + 1)
    return x, torch.full((n,), words)


def check(given: TextSchema, x: Tensor, length: Tensor) -> None:
    """What every row of sentences that end keeps to."""
    words = torch.tensor([len(row) for row in given.sequences(x)])
    assert x.dtype == length.dtype == torch.long
    assert (words >= 1).all()
    assert torch.equal(given.lengths(x), length)
    assert (x[torch.arange(x.shape[1]) >= words[:, None]] == END).all()
    assert torch.equal(word_counts(x, length, True), words)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_invariants(alpha: float, length: int) -> None:
    given = schema(length)
    for seed in range(5):
        batch = sentences(200, given, seed)
        made = eda(batch, given, alpha)
        check(given, made["x"], made["length"])
        assert made["x"].shape == batch["x"].shape
        assert torch.equal(made["y"], batch["y"])
        count = word_counts(batch["x"], batch["length"], True)
        for name, operation in OPERATIONS.items():
            x, words = operation(batch["x"], count, alpha)
            check(given, x, (words + 1).clamp(max=length))
            assert torch.equal(words, torch.tensor([len(row) for row in given.sequences(x)]))
            for before, after in zip(given.sequences(batch["x"]), given.sequences(x), strict=True):
                assert set(after) <= set(before)
                if name == "swapped":
                    assert sorted(after) == sorted(before)
                elif name == "deleted":
                    rest = iter(before)
                    assert all(token in rest for token in after)  # a part of it, in its order
                else:
                    rest = iter(after)
                    assert all(token in rest for token in before)  # the whole of it, in its order


def test_nothing_is_changed_in_place() -> None:
    batch = sentences(50, schema())
    before = {name: field.clone() for name, field in batch.items()}
    eda(batch, schema(), 0.5)
    assert all(torch.equal(batch[name], before[name]) for name in batch)


def test_alpha_of_nothing_changes_nothing() -> None:
    batch = sentences(50, schema())
    made = eda(batch, schema(), 0.0)
    assert all(torch.equal(made[name], batch[name]) for name in batch)


def test_the_share_that_is_deleted() -> None:
    x, words = numbered(20, 4)
    made, count = deleted(x, words, 0.15)
    assert 1 - count.double().mean().item() / 20 == pytest.approx(0.15, abs=0.01)
    kept = torch.stack([(made == token).any(1) for token in range(1, 21)]).double().mean(1)
    assert (kept - 0.85).abs().max() < 0.03  # each word as often


def test_of_a_sentence_that_would_vanish_one_word_stays() -> None:
    x, words = numbered(5, 2)
    made, count = deleted(x, words, 1.0)
    assert (count == 1).all()
    assert (made[:, 0].bincount(minlength=6)[1:] / len(x) - 0.2).abs().max() < 0.03


def test_the_share_that_is_inserted_and_where() -> None:
    x, words = numbered(10, 10)
    made, count = inserted(x, words, 0.25)
    assert set((count - words).tolist()) == {2, 3}
    assert (count - words).double().mean().item() == pytest.approx(2.5, abs=0.05)
    made, count = inserted(x, words, 0.1)
    assert (count == 11).all()
    extra = torch.stack([(made == token).sum(1) - 1 for token in range(1, 11)], 1)  # (n, 10)
    assert (extra.sum(1) == 1).all()
    assert (extra.double().mean(0) - 0.1).abs().max() < 0.02  # each word as often
    for spot, word in ((0, 1), (10, 10)):  # an end is one of eleven gaps; a word beside its own copy does not show
        assert (made[:, spot] != word).double().mean().item() == pytest.approx(9 / 110, abs=0.02)


def test_no_word_is_lost_where_there_is_no_room() -> None:
    for room, wanted in ((0, 0), (1, 0), (2, 1), (3, 2), (9, 4)):
        x, words = numbered(4, room, 20)
        made, count = inserted(x, words, 1.0)
        assert (count == 4 + wanted).all()
        assert (made[:, 4 + wanted :] == END).all()
        if not wanted:
            assert torch.equal(made, x)


def test_the_share_that_is_swapped() -> None:
    x, words = numbered(10, 2)
    made, _ = swapped(x, words, 0.1)  # one pair
    moved = made[:, :10] != x[:, :10]
    assert (moved.sum(1) == 2).all()
    assert (moved.double().mean(0) - 0.2).abs().max() < 0.03  # each place as often
    made, _ = swapped(x, words, 0.25)
    # Two swaps or three, and a word may come back: it stays with 0.8 a swap and returns from elsewhere with 1/45.
    twice = 0.8 * 0.8 + 0.2 / 45
    thrice = twice * 0.8 + (1 - twice) / 45
    wanted = 10 * (1 - (twice + thrice) / 2)
    assert (made != x).sum(1).double().mean().item() == pytest.approx(wanted, abs=0.1)
    one, words = numbered(1, 3, 10)
    assert torch.equal(swapped(one, words, 1.0)[0], one)


def test_eda_draws_one_operation_a_sentence() -> None:
    given = schema(20)
    tokens = list(range(2, 12))
    x, length = given.pad([tokens] * 6000)
    made = eda({"x": x, "length": length}, given, 0.1)
    longer, shorter = made["length"] > length, made["length"] < length
    assert longer.double().mean().item() == pytest.approx(1 / 3, abs=0.03)
    assert shorter.double().mean().item() == pytest.approx((1 - 0.9**10) / 3, abs=0.03)
    same = made["length"] == length
    touched = (made["x"] != x).any(1) & same
    assert touched.double().mean().item() == pytest.approx(1 / 3, abs=0.03)


def test_an_empty_sentence_stays_empty() -> None:
    torch.manual_seed(0)
    x = torch.zeros(64, 12, dtype=torch.long)
    x[::2, :5] = torch.arange(2, 7)
    length = torch.tensor([6, 1] * 32)
    made = eda({"x": x, "length": length, "y": torch.zeros(64)}, schema(), alpha=0.9)
    assert (made["x"][1::2] == END).all()
    assert (made["length"][1::2] == 1).all()
    assert (made["length"][::2] > 1).all()


def test_sentences_that_do_not_end_are_only_swapped() -> None:
    given = schema(10, ends=False)
    batch = sentences(200, given)
    made = eda(batch, given, 0.3)
    assert torch.equal(made["length"], batch["length"])
    assert torch.equal(made["x"].sort(1).values, batch["x"].sort(1).values)
    assert (made["x"] != batch["x"]).any()


def test_the_same_seed_does_the_same() -> None:
    given = schema()
    batch, made = sentences(50, given), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(eda(batch, given, 0.3)["x"])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_no_rows() -> None:
    given = schema()
    batch = {name: field[:0] for name, field in sentences(5, given).items()}
    assert eda(batch, given)["x"].shape == (0, 12)
