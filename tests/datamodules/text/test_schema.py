import json
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
import torch

from datamodules import Schema, TextSchema
from datamodules.text.schema import END, SPECIAL, UNKNOWN, build_vocabulary, split
from tests.datamodules.images.test_images import refused

TEXTS = [
    "the cat sees the wheel.",
    "the cat sees the wheel .",
    "What 's new, pussy-cat?",
    "don't pay 3.50 or 1,000!!",
    '"so," she said -- "café’s"',
    "深宮裏 無由得見春",
    "snake_case ... 🙂🙂",
    "a\ufffdb \ufffd",
    "\x00end of \x00unknown",
]


def schema(tokenizer="word", texts=TEXTS, min_count=1, size=300, **options) -> TextSchema:
    if tokenizer == "bpe":
        pytest.importorskip("tokenizers")
    vocabulary, bpe = build_vocabulary(texts, tokenizer, min_count, size)
    options = {"max_length": 60, **options}
    return TextSchema(vocabulary=tuple(vocabulary), tokenizer=tokenizer, bpe=bpe, **options)


@pytest.mark.parametrize("tokenizer", ["word", "char", "bpe"])
def test_sentences_come_back(tokenizer):
    described = schema(tokenizer)
    x, length = described.encode(TEXTS)
    assert described.decode(x) == TEXTS
    assert torch.equal(described.lengths(x), length)
    assert described.sequences(x) == [described.ids(text) for text in TEXTS]
    assert length.tolist() == [len(described.ids(text)) + 1 for text in TEXTS]
    assert all(row[n - 1 :].eq(END).all() for row, n in zip(x, length, strict=True))
    if tokenizer != "word":
        assert UNKNOWN not in x
    assert described.vocabulary[:2] == SPECIAL
    assert Schema.from_dict(json.loads(json.dumps(described.to_dict()))) == described


def test_words_carry_the_space_before_them():
    assert split("The wheel.", "word") == [" The", " wheel", "."]
    assert split("don't pay 3.50 , well-known", "word") == [" don't", " pay", " 3.50", " ,", " well-known"]
    assert split("深 宮", "char") == ["深", " ", "宮"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("हिन्दी में एक वाक्य।", [" हिन्दी", " में", " एक", " वाक्य", "।"]),
        ("ที่นี่ ดี", [" ที่นี่", " ดี"]),
        ("cafe\u0301s, de\u0301ja\u0300-vu", [" cafe\u0301s", ",", " de\u0301ja\u0300-vu"]),
        ("שָׁלוֹם عَرَبِيّ", [" שָׁלוֹם", " عَرَبِيّ"]),
        ("می\u200cخواهم क्\u200dष", [" می\u200cخواهم", " क्\u200dष"]),
        ("3.5\u0301 \u0301a ❤\ufe0f!", [" 3.5\u0301", " \u0301", "a", " ❤\ufe0f", "!"]),
    ],
)
def test_combining_marks_belong_to_their_word(text, tokens):
    assert split(text, "word") == tokens
    assert schema(texts=[text]).vocabulary[2:] == tuple(sorted(set(tokens)))
    assert schema(texts=[text]).decode(schema(texts=[text]).encode([text])[0]) == [text]


def test_vocabularies_of_marks_on_their_own_go_on_working():
    old = (*SPECIAL, " ह", "ि", "न", "्", "द", "ी", " and", " cafe", "\u0301")  # as they were once learnt
    described = TextSchema(vocabulary=old, max_length=20)
    for text in ("हिन्दी and cafe\u0301", "cafe\u0301", "and"):
        x, _ = described.encode([text])
        assert UNKNOWN not in x
        assert described.decode(x) == [text]
    assert described.decode(torch.tensor([[2, 3, 4, 5, 0]])) == ["हिन्"]


def test_every_letter_is_in_a_token():
    rng = np.random.default_rng(0)
    letters = list("aé\u0301िन्'’-.,35\u200c\u200dด่❤\ufe0f_! \u0903")
    for _ in range(2000):
        text = " ".join("".join(rng.choice(letters, 12)).split())
        for marks in (True, False):
            assert "".join(split(text, "word", marks)) == f" {text}"
        assert not any(unicodedata.category(token[0]).startswith("M") for token in split(text, "word"))


@pytest.mark.parametrize("tokenizer", ["word", "char", "bpe"])
def test_white_space_and_case_are_normalised(tokenizer):
    described = schema(tokenizer, lowercase=True, texts=["the cat sees"])
    assert described.decode(described.encode(["  The\t CAT\n sees\u3000"])[0]) == ["the cat sees"]


@pytest.mark.parametrize("tokenizer", ["word", "char"])
def test_what_is_not_in_the_vocabulary_is_unknown(tokenizer):
    described = schema(tokenizer, texts=["ab ab cd", "ab"], min_count=2)
    wanted = {"word": "ab\ufffd", "char": "ab\ufffd\ufffd\ufffd"}[tokenizer]
    x, length = described.encode(["ab cd" if tokenizer == "word" else "abxyz"])
    assert described.decode(x) == [wanted]
    assert UNKNOWN in x
    assert UNKNOWN not in described.words
    assert END in described.words
    assert length[0] == len(described.ids(wanted)) + 1


def test_pieces_know_every_letter():
    described = schema("bpe", texts=["only latin letters here"])
    text = "未知 🙂 ж"
    assert described.decode(described.encode([text])[0]) == [text]
    assert UNKNOWN not in described.ids(text)


def test_the_most_frequent_tokens_come_first():
    assert build_vocabulary(["b a b", "c a b"], "word", 2, 0) == ([*SPECIAL, " b", " a"], "")


def test_lengths_end_at_the_first_end():
    described = schema(max_length=4)
    x = torch.tensor([[5, 6, 0, 0], [5, 0, 6, 7], [0, 5, 6, 7], [5, 6, 7, 8]])
    assert described.lengths(x).tolist() == [3, 2, 1, 4]
    assert [len(row) for row in described.sequences(x)] == [2, 1, 0, 4]
    assert described.decode(x)[2] == ""


def test_a_row_may_be_full():
    described = schema(max_length=3)
    x, length = described.pad([[4, 5, 6], [4, 5], [4]])
    assert x.tolist() == [[4, 5, 6], [4, 5, 0], [4, 0, 0]]
    assert length.tolist() == [3, 3, 2]
    assert torch.equal(described.lengths(x), length)


@pytest.mark.parametrize("tokens", [[], [4, 5, 6, 7]])
def test_what_does_not_fit_gets_one_line(tokens):
    refused(
        lambda: schema(max_length=3).pad([[4], tokens]), f"sentence 2 has {len(tokens)} tokens: there should be 1 to 3"
    )


def test_sentences_of_one_length():
    described = TextSchema(vocabulary=(" 0", " 1", " 2"), max_length=3, ends=False)
    x, length = described.encode(["0 2 1", "0 0 0"])
    assert x.tolist() == [[0, 2, 1], [0, 0, 0]]
    assert length.tolist() == described.lengths(x).tolist() == [3, 3]
    assert described.decode(x) == ["0 2 1", "0 0 0"]
    assert described.words == [0, 1, 2]
    refused(lambda: described.encode(["0 1"]), "sentence 1 has 2 tokens: there should be 3")
    refused(lambda: described.encode(["0 1 7"]), "'7' is not one of the 3 words")


def test_pieces_are_the_same_each_time():
    assert schema("bpe") == schema("bpe")
    assert len(schema("bpe", size=262).vocabulary) == 262
    assert replace(schema("bpe"), max_length=9) != schema("bpe")
