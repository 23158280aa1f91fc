import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules import GANDataModule, TextFile
from datamodules.files.manifest import write_manifest
from datamodules.text.reading import TextSource
from tests.data_contract import DataModuleContract, WorkersContract
from tests.datamodules.images.test_images import refused

ALL = {"val_fraction": 0.0, "test_fraction": 0.0}  # every row is for training
LABELS = ("question", "order", "猫")
WORDS = ["the", "cat", "dog", "sees", "runs,", "don't", "stop.", "3.5", "km", "well-known"]
POEMS = ["一入深宮裏 無由得見春", "一公持一鉢 相復度遙岑", "一切眼昏瘴 皆因熱所傷", "春來草更深"]


def sentences(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 7))) for _ in range(n)]


def labelled(n: int, seed: int = 0) -> list[dict[str, str]]:
    return [{"text": text, "label": LABELS[i % 3]} for i, text in enumerate(sentences(n, seed))]


def alike(n: int, seed: int = 0) -> list[dict[str, str]]:
    """Sentences that hold every word, two or three times, so that any of them teach the same vocabulary."""
    rng = np.random.default_rng(seed)
    mixed = [rng.permutation(WORDS * int(rng.integers(2, 4))) for _ in range(n)]
    return [{"text": " ".join(["so", *words]), "label": LABELS[i % 3]} for i, words in enumerate(mixed)]


def write(path, content):
    """The file, from bytes, text, or rows for a .jsonl or .csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list) and path.suffix == ".jsonl":
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    if isinstance(content, list):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(content[0]))
            writer.writeheader()
            writer.writerows(content)
        return path
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(module: TextFile, table=0) -> list[str]:
    return module.schema.decode(module.load()[table].fields["x"])


# ---- the contract ----------------------------------------------------------------------------------------------------


class TestLabelled(WorkersContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        return TextFile(write(tmp_path / "a.jsonl", alike(60)), **options)


class TestChinese(DataModuleContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        poems = np.random.default_rng(0).permuted([list("一入深宮裏無由得見春")] * 20, axis=1)
        return TextFile(write(tmp_path / "a.txt", "\n".join(map("".join, poems))), tokenizer="char", **options)


class TestPieces(DataModuleContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        pytest.importorskip("tokenizers")
        file = write(tmp_path / "a.csv", alike(60))
        return TextFile(file, tokenizer="bpe", vocabulary_size=258, **options)


class TestWithTestFile(DataModuleContract):
    def make(self, tmp_path, **options) -> GANDataModule:
        train, test = write(tmp_path / "a.jsonl", alike(40)), write(tmp_path / "b.csv", alike(11, seed=1))
        return TextFile(train, test, **options)


# ---- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", ["word", "char", "bpe"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "txt"])
def test_every_sentence_comes_back(tmp_path, tokenizer, ending):
    if tokenizer == "bpe":
        pytest.importorskip("tokenizers")
    wanted = ['say "yes", or\u2028no', "comma, comma,,", "'", "wheel . wheel.", "café 世界 🙂", "a\ufffdb", "\x00end x"]
    rows = [{"text": text, "label": "x"} for text in wanted]
    module = TextFile(
        write(tmp_path / f"a.{ending}", "\n".join(wanted) if ending == "txt" else rows), tokenizer=tokenizer, **ALL
    )
    assert texts(module) == [" ".join(text.split()) for text in wanted]
    assert module.schema.classes == (() if ending == "txt" else ("x",))


@pytest.mark.parametrize("ending", ["jsonl", "csv", "txt"])
@pytest.mark.parametrize("lines", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_marks_and_line_ends_do_not_matter(tmp_path, ending, lines, mark):
    content = {
        "txt": ["one cat", "two"],
        "csv": ["text,label", "one cat,x", "two,x"],
        "jsonl": ['{"text": "one cat", "label": "x"}', '{"text": "two", "label": "x"}'],
    }[ending]
    for last in (b"", lines):
        module = TextFile(write(tmp_path / f"a.{ending}", mark + lines.join(map(str.encode, content)) + last))
        assert texts(module) == ["one cat", "two"]


def test_columns_that_are_not_used_are_named(tmp_path, caplog):
    with caplog.at_level("INFO"):
        file = write(tmp_path / "a.csv", "text, label,note\na b,x,1\nb a,y,2\n")
        assert TextFile(file).schema.classes == ("x", "y")
        assert f"{file}:1: left out: note\n" in caplog.text
        other = write(tmp_path / "b.csv", "text,Label\na b,x\nb a,y\n")
        assert TextFile(other).schema.classes == ()
    assert "left out: Label; there are no labels, unless label_column names them" in caplog.text


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize(("separator", "name"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs")])
def test_what_separates_the_columns_is_found_out_and_said(tmp_path, ending, separator, name, caplog):
    lines = [("label", "text"), ("x", "a, b; c"), ("y", 'say "no"'), ("x", "3;4")]
    file = tmp_path / f"a.{ending}"
    with file.open("w", newline="") as opened:
        csv.writer(opened, delimiter=separator).writerows(lines)
    with caplog.at_level("INFO"):
        source = TextSource(file)
    assert source.texts == [text for _, text in lines[1:]]
    assert source.classes == ("x", "y")
    usual = {"csv": ",", "tsv": "\t"}[ending] == separator
    assert (f"{file}: the columns are separated by {name}, and are read so" in caplog.text) is not usual


def test_encodings(tmp_path, caplog):
    for encoding in ("cp1252", "utf-16", "utf-8", "latin-1"):
        content = "text,label\ncafé,x\nnaïve,y\n".encode(encoding)
        file, test = write(tmp_path / "a.csv", content), write(tmp_path / "b.csv", content)
        assert texts(TextFile(file, test, encoding=encoding, **ALL)) == ["café", "naïve"]
    with caplog.at_level("INFO"):
        TextSource(write(tmp_path / "a.txt", "cafe\n"), encoding="cp1252")
        TextSource(write(tmp_path / "a.txt", "\ufeffcafé\n"), encoding="utf-8-sig")
        assert "could be UTF-8" not in caplog.text
        TextSource(write(tmp_path / "a.txt", "café\n"), encoding="cp1252")
    assert "a.txt: read as cp1252, and could be UTF-8: leave encoding out if letters look wrong" in caplog.text


def test_quotes_between_tabs(tmp_path, caplog):
    whole = write(tmp_path / "a.tsv", 'text\tlabel\n"a\tb"\tx\n"say ""no"""\ty\n')
    with caplog.at_level("INFO"):
        assert TextSource(whole).texts == ["a\tb", 'say "no"']
        assert "a quote that" not in caplog.text
        stray = write(tmp_path / "b.tsv", 'text\tlabel\na\tx\n"no" she said\ty\n5" long\tx\n"open\ty\n')
        source = TextSource(stray)
    assert source.texts == ["a", '"no" she said', '5" long', '"open']
    assert source.classes == ("x", "y")
    assert f"{stray}:3: a quote that does not enclose a whole text: all are taken for letters" in caplog.text


def test_languages_without_spaces_are_told_of_the_tokenizer_char(tmp_path, caplog):
    hint = "have no space in them, and the tokenizer word takes what no space divides for a word: use tokenizer char"
    file = write(tmp_path / "a.txt", "今天天气很好，我们去公园\n他喜欢吃苹果和香蕉\na b\n" * 4)
    with caplog.at_level("INFO"):
        TextFile(file)
        assert f"{file}: 8 of 12 sentences {hint}" in caplog.text
        caplog.clear()
        TextFile(
            write(tmp_path / "c.txt", "一入深宮裏 無由得見春 題詩花葉上\n一公持一鉢 相復度遙岑\n今天 天气 很 好\n" * 4)
        )
        assert "spaces divide the text into pieces like '一入深宮裏', each of which the tokenizer word" in caplog.text
        caplog.clear()
        TextFile(write(tmp_path / "d.txt", "今天 天气 很 好 莫名其妙\n他 喜欢 吃 苹果 和 香蕉\n" * 4))
        assert "use tokenizer char" not in caplog.text
        TextFile(file, tokenizer="char")
        TextFile(write(tmp_path / "b.txt", "हिन्दी में\nजी\nएक दो\n" * 4))
    assert hint not in caplog.text


def test_what_a_very_long_sentence_costs_is_said(tmp_path, caplog):
    def said(*lines: str) -> str:
        caplog.clear()
        with caplog.at_level("INFO"):
            module = TextFile(write(tmp_path / "a.txt", "\n".join(lines)))
        assert module.schema.max_length == max(len(line.split()) for line in lines) + 1
        return caplog.text

    usual = ["a b c d e", "a b c"] * 100
    costs = f"{tmp_path / 'a.txt'}:201: the longest sentence has 50 tokens, 99 % have at most 5; every batch is padded"
    text = said(*usual, "a " * 50)
    assert costs in text
    assert "about 10 times the work: max_length 5 leaves out 1 of 201 sentences" in text
    assert "longest" not in said(*usual, "a " * 20)  # four times as long
    assert "longest" not in said(*["a " * 400] * 20)  # like most
    assert "max_length 250 leaves out 1 of 301" in said(*["a " * 250] * 300, "a " * 400)


def test_line_breaks_within_a_field_become_spaces(tmp_path):
    file = write(tmp_path / "a.csv", 'label,text\nx,"one\n two"\nx,two\nx,""\n')
    refused(lambda: TextFile(file), f"{file}:5: an empty sentence")
    assert texts(TextFile(file, skip_empty=True)) == ["one two", "two"]


def test_columns_can_be_named(tmp_path):
    rows = [{"id": i, "body": text, "kind": i % 2} for i, text in enumerate(sentences(8))]
    for ending in ("csv", "jsonl"):
        module = TextFile(write(tmp_path / f"a.{ending}", rows), text_column="body", label_column="kind", **ALL)
        assert texts(module) == sentences(8)
        assert module.schema.classes == ("0", "1")
        unlabelled = TextFile(tmp_path / f"a.{ending}", text_column="body")
        assert not unlabelled.schema.labelled


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 9, -1], ("-1", "9", "10")),
        (["10", "9", "1"], ("1", "9", "10")),
        (["b", "10", "9"], ("10", "9", "b")),
        (["01", "1", "2"], ("01", "1", "2")),
    ],
)
def test_numbers_keep_their_order(tmp_path, ending, labels, classes):
    file = write(tmp_path / f"a.{ending}", [{"text": "a b", "label": label} for label in labels * 2])
    assert TextFile(file).schema.classes == classes


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_spaces_around_labels_make_no_classes(tmp_path, ending, caplog):
    names = ["open", "open ", "closed", "\u00a0closed"]
    rows = [{"text": f"ticket {i}", "label": names[i % 4]} for i in range(20)]
    file = write(tmp_path / f"a.{ending}", rows)
    with caplog.at_level("INFO"):
        source = TextSource(file)
    assert source.classes == ("closed", "open")
    assert source.y.tolist() == [1, 1, 0, 0] * 5
    assert caplog.text.count("labels have spaces") == 1
    assert f"{file}: 10 labels have spaces around them, and are taken without: 'open ', '\\xa0closed'" in caplog.text
    numbers = write(tmp_path / f"b.{ending}", [{"text": "a", "label": label} for label in ("10", " 9", "9 ")])
    assert TextSource(numbers).classes == ("9", "10")
    refused(
        lambda: TextSource(write(tmp_path / f"c.{ending}", [*rows, {"text": "a", "label": "  "}])), "label is empty"
    )


def test_classes_of_a_manifest_keep_their_spaces(tmp_path):
    write(tmp_path / "samples.jsonl", [{"text": "a", "label": label} for label in ("open", "open ", " open")])
    write_manifest(tmp_path, {"schema": {"kind": "text", "classes": ["open ", "open"]}})
    assert TextSource(tmp_path).y.tolist() == [1, 0, 1]


def test_headers_of_files_that_were_joined_are_no_rows(tmp_path, caplog):
    file = write(tmp_path / "a.csv", "text,label\na,x\n\ufefftext, label\ntext,y\nlabel,x\ntext,label\n")
    with caplog.at_level("INFO"):
        source = TextSource(file)
    assert (source.texts, source.classes) == (["a", "text", "label"], ("x", "y"))
    assert f"{file}: the header is there again 2 times, first {file}:3: left out" in caplog.text
    assert TextSource(write(tmp_path / "b.csv", "text\na\ntext\n")).texts == ["a", "text"]  # a sentence


def test_whole_floats_are_whole_numbers(tmp_path):
    rows = [{"text": "a", "label": label} for label in (2.0, 1.0, 2, 1)]
    assert TextFile(write(tmp_path / "a.jsonl", rows)).schema.classes == ("1", "2")


def test_the_test_file_shares_classes_and_vocabulary(tmp_path, caplog):
    train = write(tmp_path / "a.jsonl", labelled(30))
    test = write(tmp_path / "b.jsonl", [{"text": "the zebra sees", "label": "猫"}, {"text": "a gnu", "label": "order"}])
    with caplog.at_level("INFO"):
        module = TextFile(train, test)
    assert "3 of 5 tokens (60.00%) are not in the vocabulary, in 2 of 2 sentences" in caplog.text
    assert str(test) in caplog.text
    assert [module.schema.class_name(c) for c in module.load()[1].fields["y"]] == ["猫", "order"]
    assert texts(module, 1)[0] == "the\ufffd sees"
    assert " zebra" not in module.schema.vocabulary


def test_rare_words_become_unknown(tmp_path, caplog):
    file = write(tmp_path / "a.txt", "a a b\na a c c\n")
    with caplog.at_level("INFO"):
        module = TextFile(file, min_count=2)
    assert module.schema.vocabulary[2:] == (" a", " c")
    assert "1 of 7 tokens (14.29%) are not in the vocabulary, in 1 of 2 sentences" in caplog.text
    refused(lambda: TextFile(file, min_count=9), str(file), "choose a smaller min_count")


@pytest.mark.parametrize("tokenizer", ["word", "char", "bpe"])
def test_longer_sentences_are_left_out_and_counted(tmp_path, tokenizer):
    if tokenizer == "bpe":
        pytest.importorskip("tokenizers")
    train = write(tmp_path / "a.txt", "a b\na b c\nb rare words stand in here\n")
    test = write(tmp_path / "b.txt", "a\na b c d e f\n")
    with pytest.warns(UserWarning, match="1 of . sentences left out: they have more than 5 tokens") as caught:
        module = TextFile(train, test, tokenizer=tokenizer, max_length=5)
    assert [str(file) in str(one.message) for file, one in zip((train, test), caught, strict=True)] == [True, True]
    assert (texts(module), texts(module, 1)) == (["a b", "a b c"], ["a"])
    assert module.schema.max_length == 6
    if tokenizer == "word":
        assert " rare" not in module.schema.vocabulary


def test_the_longest_sentence_of_both_files_sets_the_length(tmp_path):
    module = TextFile(write(tmp_path / "a.txt", "a b\n"), write(tmp_path / "b.txt", "a b a b\n"))
    assert module.schema.max_length == 5
    assert [table.fields["length"].tolist() for table in module.load()] == [[3], [5]]


def test_lower_case(tmp_path):
    module = TextFile(write(tmp_path / "a.txt", "The CAT\nthe cat\n"), lowercase=True)
    assert texts(module) == ["the cat"] * 2
    assert len(module.schema.vocabulary) == 4


def test_empty_lines_are_refused_or_counted(tmp_path, caplog):
    for name, content in {
        "a.txt": "one\n\n \t\ntwo\n",
        "a.jsonl": '{"text": "one"}\n\n{"text": " "}\n{"text": "two"}\n',
        "a.csv": 'text\none\n\n" "\ntwo\n',
    }.items():
        file = write(tmp_path / name, content)
        line = 3 if name == "a.csv" else 2
        refused(lambda file=file: TextFile(file), f"{file}:{line}: an empty sentence", "skip_empty")
        caplog.clear()
        with caplog.at_level("INFO"):
            assert texts(TextFile(file, skip_empty=True)) == ["one", "two"]
        assert f"empty sentences skipped: 2, the first {file}:{line}" in caplog.text
        assert len(TextSource(file, empty="keep").texts) == 4


def test_a_label_seen_once_is_named(tmp_path):
    file = write(tmp_path / "a.jsonl", [*labelled(9), {"text": "alone", "label": "hermit"}])
    with pytest.warns(UserWarning, match="without a row to test on, so that scores say little of them: hermit$"):
        TextFile(file).setup()


@pytest.mark.parametrize("tokenizer", ["word", "char", "bpe"])
def test_the_vocabulary_is_that_of_the_training_rows(tmp_path, caplog, tokenizer):
    if tokenizer == "bpe":
        pytest.importorskip("tokenizers")
    rows = [{"text": f"{chr(0x4E00 + i) * 3} the", "label": LABELS[i % 3]} for i in range(30)]
    file = write(tmp_path / "a.jsonl", rows)
    with caplog.at_level("INFO"):
        module = TextFile(file, tokenizer=tokenizer, vocabulary_size=400, per_class=2, seed=3)
    module.setup()
    train, val, test = (module.schema.decode(getattr(module, part).fields["x"]) for part in ("train", "val", "test"))
    assert len(train) == 6
    held = [text for text in (row["text"] for row in rows) if text not in train]
    tokens = {c for text in held for c in text} - set("the ")
    if tokenizer == "bpe":  # which writes anything, by bytes if it must
        assert all(text in held for text in val + test)
        assert max(len(module.schema.ids(text)) for text in train) < min(len(module.schema.ids(text)) for text in held)
        return
    assert not any(c in token for c in tokens for token in module.schema.vocabulary)
    unknown = "\ufffd" if tokenizer == "word" else "\ufffd" * 3
    assert val + test == [f"{unknown} the"] * len(val + test)
    assert "in 24 of 30 sentences" in caplog.text
    assert module.again(seed=4).schema.vocabulary != module.schema.vocabulary


def test_the_vocabulary_is_that_of_the_rows_outside_the_fold(tmp_path):
    rows = [{"text": f"word{i} the", "label": LABELS[i % 3]} for i in range(30)]
    module = TextFile(write(tmp_path / "a.jsonl", rows), per_class=5).again(fold=(1, 3))
    module.setup()
    assert len(module.schema.vocabulary) == 2 + 1 + len(module.train)
    assert set(module.schema.decode(module.val.fields["x"])) == {"\ufffd the"}
    assert (len(module.train), len(module.val)) == (10, 5)


def test_pieces_are_learnt_from_what_is_short_enough_and_trained_on(tmp_path):
    pytest.importorskip("tokenizers")
    rng = np.random.default_rng(0)
    lines = [" ".join("".join(rng.choice(list("abcd"), 4)) for _ in range(k % 9 + 1)) for k in range(120)]
    options = {"tokenizer": "bpe", "vocabulary_size": 300}
    with pytest.warns(UserWarning, match="sentences left out"):
        module = TextFile(write(tmp_path / "a.txt", "\n".join(lines)), max_length=15, **options)
    module.setup()
    train = module.schema.decode(module.train.fields["x"])
    assert max(len(module.schema.ids(text)) for text in train) <= 15
    alone = TextFile(write(tmp_path / "b.txt", "\n".join(train)), **options, **ALL)
    assert (module.schema.bpe, module.schema.vocabulary) == (alone.schema.bpe, alone.schema.vocabulary)


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_by_its_manifest(tmp_path):
    write(tmp_path / "samples.jsonl", [{"text": f"a {c}", "label": c} for c in ["zeta", "alpha"] * 2])
    assert TextFile(tmp_path).schema.classes == ("alpha", "zeta")
    write_manifest(tmp_path, {"schema": {"kind": "text", "classes": ["zeta", "none", "alpha"]}})
    module = TextFile(tmp_path)
    assert module.schema.classes == ("zeta", "none", "alpha")
    assert module.load()[0].fields["y"].tolist() == [0, 2, 0, 2]
    write_manifest(tmp_path, {"schema": {"kind": "text", "classes": ["zeta"]}})
    refused(
        lambda: TextFile(tmp_path), "samples.jsonl:2", "the class 'alpha' is not among those of manifest.json, 'zeta'"
    )


def test_a_file_for_each_class(tmp_path):
    for name, content in {"b.txt": "x y\nx\n", "10.txt": "z\nz\n", ".hidden.txt": "no\n", "grid.png": "no"}.items():
        write(tmp_path / name, content)
    module = TextFile(tmp_path)
    assert module.schema.classes == ("10", "b")
    assert texts(module) == ["z", "z", "x y", "x"]
    write_manifest(tmp_path, {"schema": {"kind": "text", "classes": ["b"]}})
    refused(lambda: TextFile(tmp_path), "manifest.json names no class for the file 10.txt")


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("a.txt", "", {}, ["a.txt: no sentences"]),
        ("a.jsonl", "", {}, ["a.jsonl: no sentences"]),
        ("a.csv", "", {}, ["a.csv: no sentences"]),
        ("a.csv", "text,label\n", {}, ["a.csv: no sentences"]),
        ("a.txt", "\n\n", {"skip_empty": True}, ["a.txt: no sentences"]),
        ("a.docx", "x", {}, ["a.docx: .docx is none of .jsonl, .csv, .tsv, .txt, .xlsx, .parquet"]),
        ("a", "x", {}, ["a: no ending is none of"]),
        (
            "a.txt",
            b"good\nb\xe9d\n",
            {},
            [
                "a.txt:2: not UTF-8, at byte 6",
                "0xe9",
                "save the file in UTF-8, or name its encoding, such as encoding cp1252",
            ],
        ),
        ("a.jsonl", "a b".encode("utf-16"), {}, ["a.jsonl:1: no JSON"]),  # read by its mark
        ("a.txt", "a\n", {"encoding": "klingon"}, ["encoding: there is no 'klingon'; usual are utf-8"]),
        ("a.txt", "a\n", {"encoding": "hex"}, ["encoding: there is no 'hex'"]),
        ("a.txt", b"a\n\x81\n", {"encoding": "cp1252"}, ["a.txt:2: not CP1252, at byte 2"]),
        ("a.txt", b"abc", {"encoding": "utf-16"}, ["a.txt:1: not UTF-16"]),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', {}, ["a.jsonl:2: no JSON"]),
        ("a.jsonl", "[" * 100_000, {}, ["a.jsonl:1: no JSON"]),
        ("a.jsonl", '{"text": "a"}\n["b"]\n', {}, ["a.jsonl:2: a list", "an object"]),
        ("a.jsonl", "3\n", {}, ["a.jsonl:1: the number 3"]),
        ("a.jsonl", '{"text": "a"}\n{"text": 5}\n', {}, ["a.jsonl:2: text is the number 5: a string is needed"]),
        ("a.jsonl", '{"text": null}\n', {}, ["a.jsonl:1: text is null"]),
        ("a.jsonl", '{"text": "a"}\n{"txt": "b"}\n', {}, ["a.jsonl:2: text is missing"]),
        ("a.jsonl", '{"text": "\\ud83d"}\n', {}, ["a.jsonl:1: text holds half a character"]),
        ("a.jsonl", '{"body": "a", "kind": 1}\n', {}, ["a.jsonl:1: no column text", "body, kind", "text_column"]),
        ("a.jsonl", "{}\n", {}, ["a.jsonl:1: no column text: the columns are (none)"]),
        ("a.csv", "body,kind\na,1\n", {}, ["a.csv:1: no column text", "body, kind", "text_column"]),
        ("a.csv", "text,kind\na,1\n", {"label_column": "x"}, ["a.csv:1: no column x", "text, kind", "label_column"]),
        ("a.jsonl", '{"text": "a"}\n', {"label_column": "x"}, ["a.jsonl:1: no column x", "columns are text"]),
        ("a.txt", "a\n", {"label_column": "x"}, ["a.txt: a .txt has no columns"]),
        ("a.csv", "text,text\na,b\n", {}, ["a.csv:1: the column text is there twice"]),
        ("a.csv", 'text,label\n"a\nb",x\nc,d,x\n', {}, ["a.csv:4: 3 fields, where the header names 2", "quotes"]),
        ("a.csv", "text,label\na;x\n", {}, ["a.csv:2: 1 fields", "semicolons separate the row's, commas the header's"]),
        ("a.csv", "text;label\na;b;x\n", {}, ["a.csv:2: 3 fields", "put quotes around texts that hold semicolons"]),
        ("a.csv", "body;label\na;x\n", {}, ["a.csv:1: no column text: the columns are body, label;"]),
        ("a.csv", "text;x\ttext\na;x\ta\n", {}, ["a.csv:1: no column text"]),
        ("a.csv", 'text,label\na,x\n"b,x\nc,x\n', {}, ["a.csv:3: no CSV", "check the quotes"]),
        ("a.csv", 'text,label\n"a"b,x\n', {}, ["a.csv:2: no CSV"]),
        ("a.csv", "text,label\na,x\nb,\n", {}, ["a.csv:3: label is empty"]),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": null}\n', {}, ["a.jsonl:2: label is empty"]),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', {}, ["a.jsonl:2: label is empty"]),
        ("a.jsonl", '{"text": "a"}\n{"text": "b", "label": 1}\n', {}, ["a.jsonl:2", "label all or none"]),
        ("a.jsonl", '{"text": "a", "label": ["x"]}\n', {}, ["a.jsonl:1: label is a list", "strings or whole numbers"]),
        ("a.jsonl", '{"text": "a", "label": 0.5}\n', {}, ["a.jsonl:1: label is the number 0.5"]),
        ("a.jsonl", '{"text": "a", "label": true}\n', {}, ["a.jsonl:1: label is true or false"]),
        ("a.txt", "a b c\nd e f\n", {"max_length": 2}, ["a.txt: every sentence has more than 2 tokens"]),
        ("a.csv", "text,label\na b,x\na,y\n", {"max_length": 1}, ["every sentence of class x has more than 1 tokens"]),
        ("a.txt", "a\n", {"max_length": 0}, ["max_length must be at least 1, not 0"]),
        ("a.txt", "a\n", {"min_count": 0}, ["min_count must be at least 1, not 0"]),
        ("a.txt", "a\n", {"tokenizer": "sentence"}, ["tokenizer must be word, char or bpe, not 'sentence'"]),
        ("a.txt", "a\n", {"tokenizer": "bpe", "vocabulary_size": 99}, ["vocabulary_size must be at least 258"]),
    ],
)
def test_what_cannot_be_read_gets_one_line(tmp_path, name, content, options, expected):
    refused(lambda: TextFile(write(tmp_path / name, content), **options), *expected)


def test_missing_files_and_folders_without_samples(tmp_path):
    refused(lambda: TextFile(tmp_path / "none.txt"), f"no file {tmp_path / 'none.txt'}")
    write(tmp_path / "notes.md", "x")
    refused(lambda: TextFile(tmp_path), f"{tmp_path}: no samples.jsonl")


def test_test_files_must_have_the_same_classes(tmp_path):
    plain = write(tmp_path / "plain.txt", "a\nb\n")
    train = write(tmp_path / "a.jsonl", labelled(9))
    other = write(tmp_path / "b.jsonl", [{"text": "a", "label": "other"}])
    refused(
        lambda: TextFile(train, other),
        f"{other}: the class 'other' is not among those of {train}, 'order', 'question', '猫'",
    )
    refused(lambda: TextFile(train, plain), f"{plain}: no labels")
    refused(lambda: TextFile(plain, other), f"{other}: the class 'other' is not among those of {plain}")


def test_the_tokenizers_library_is_only_needed_for_pieces(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    file = write(tmp_path / "a.txt", "a\nb\n")
    TextFile(file)
    refused(lambda: TextFile(file, tokenizer="bpe"), "pip install 'ganaug[bpe]'")


def test_options_from_a_command_line(tmp_path):
    file = write(tmp_path / "a.jsonl", labelled(30))
    parser = ArgumentParser()
    parser.add_subclass_arguments(GANDataModule, "data")
    args = ["--data=TextFile", f"--data.path={file}", "--data.tokenizer=char", "--data.batch_size=8"]
    module = parser.instantiate_classes(parser.parse_args(args)).data
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert batch["x"].shape == (8, module.schema.max_length)
    assert torch.equal(module.schema.lengths(batch["x"]), batch["length"])


def test_files_that_are_splits_are_no_classes(tmp_path, caplog):
    for name in ("train", "test"):
        write(tmp_path / f"{name}.txt", "a cat\na dog\n")
    refused(lambda: TextFile(tmp_path), "test, train look like splits", "as path and test_path")
    for name in ("pos", "neg"):
        write(tmp_path / "classes" / f"{name}.txt", "a cat\na dog\n")
    with caplog.at_level("INFO"):
        assert TextFile(tmp_path / "classes", **ALL).schema.classes == ("neg", "pos")
    assert "a class for each .txt: 'neg', 'pos'" in caplog.text
    write(tmp_path / "classes" / "neutral.txt", "")
    refused(lambda: TextFile(tmp_path / "classes"), "neutral.txt: a class without sentences")
    refused(lambda: TextFile(tmp_path / "train.txt", tmp_path / "train.txt"), "itself", "trained on")


def test_bars_and_long_texts_are_read_and_tabs_are_not_blamed(tmp_path):
    assert texts(TextFile(write(tmp_path / "a.csv", "text|label\na cat|x\na dog|y\n"), **ALL)) == ["a cat", "a dog"]
    long = "word " * 30_000
    assert TextSource(write(tmp_path / "b.csv", f"text,label\n{long},x\na dog,y\n")).texts[0] == long
    stray = write(tmp_path / "a.tsv", 'text\tlabel\n"hello" said\ta\n"a whole\tcell"\tb\n')
    refused(lambda: TextSource(stray), "a.tsv:3: 3 fields, where the header names 2: put quotes around texts")


def test_a_line_for_excel_names_the_separator(tmp_path):
    file = write(tmp_path / "a.csv", "sep=;\ntext;label\na, b;x\n;y\nc;x\n")
    refused(lambda: TextFile(file), "a.csv:4: an empty sentence")
    assert texts(TextFile(file, skip_empty=True)) == ["a, b", "c"]


@pytest.mark.parametrize("end", ["xlsx", "parquet"])
def test_tables_of_sentences_that_are_no_text(tmp_path, end, caplog):
    rows = [{"text": f"NA  {k}\nwords, 007", "label": k % 3, "site": f"s{k % 4}", "n": k / 2} for k in range(24)]
    frame = pd.DataFrame(rows)

    def table(frame):
        getattr(frame, {"xlsx": "to_excel", "parquet": "to_parquet"}[end])(tmp_path / f"a.{end}", index=False)
        return tmp_path / f"a.{end}"

    with caplog.at_level("INFO"):
        module = TextFile(table(frame), group="site")
    assert "left out: n" in caplog.text
    plain = TextFile(write(tmp_path / "b.csv", rows), group="site")
    assert module.schema == plain.schema
    assert texts(module) == texts(plain)
    assert module.groups().tolist() == plain.groups().tolist()
    refused(lambda: TextFile(table(frame), encoding="cp1252"), f"a.{end}: encoding is for files of text")
    refused(lambda: TextFile(table(frame), text_column="title"), f"a.{end}: no column title")
    where = f"a.{end}:3" if end == "xlsx" else f"a.{end}, row 1"
    for column, message in (
        ("text", ": an empty sentence"),
        ("label", ": label is empty"),
        ("site", ": site is empty"),
    ):
        gap = frame.astype(object).mask((frame.index.to_numpy() == 1)[:, None] & (frame.columns == column), None)
        refused(lambda gap=gap: TextFile(table(gap), group="site"), where + message)
    if end == "parquet":
        for cells, message in (
            ([b"x"] * 24, "row 0, column label: \"b'x'\" is no text"),
            ([[1]] * 24, "row 0, column label"),
            (np.arange(24) + 0.5, "is neither a word nor a whole number"),
        ):
            refused(lambda cells=cells: TextFile(table(frame.assign(label=list(cells)))), message)
        refused(lambda: TextFile(table(frame), text_column="n"), "the column n holds no text")
        assert TextFile(table(frame.assign(label=frame.label.astype(float)))).schema.classes == ("0", "1", "2")
