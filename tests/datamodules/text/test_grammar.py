import itertools

import numpy as np
import pytest
import torch

from datamodules import Grammar, InputError
from tests.data_contract import DataModuleContract, counted
from tests.datamodules.images.test_images import refused

CLASSES = ("question", "order", "report")


@pytest.fixture(scope="module")
def everyday() -> Grammar:
    return Grammar(sentences=1500)


def drawn(module: Grammar) -> list[tuple[str, int]]:
    fields = module.load()[0].fields
    return list(zip(module.schema.decode(fields["x"]), fields["y"].tolist(), strict=True))


class TestEveryday(DataModuleContract):
    def make(self, tmp_path, **options):
        return Grammar(sentences=90, **options)


class TestSeven(DataModuleContract):
    def make(self, tmp_path, **options):
        return Grammar(sentences=60, language="seven", **options)

    def test_five_words_none_after_itself(self):
        module = Grammar(sentences=500, language="seven")
        for sentence, y in drawn(module):
            words = sentence.split(" ")
            assert len(words) == 5
            assert all(a != b for a, b in itertools.pairwise(words))
            assert module.template(sentence, y) == tuple(words)
        assert module.schema.vocabulary[2:] == (" GAN", " data", " deep", " hello", " learning", " text", " world")
        for wrong in ("deep deep learning text data", "hello world deep learning", "hello world deep learning gan", ""):
            assert not module.is_valid(wrong)
        assert not module.is_valid("hello world deep learning GAN text")

    def test_all_there_are(self):
        module = Grammar(sentences=7 * 6**4, language="seven")
        assert len({sentence for sentence, _ in drawn(module)}) == 7 * 6**4
        refused(lambda: Grammar(sentences=7 * 6**4 + 1, language="seven"), "1 to 9,072", "not 9,073")


def test_sentences_are_different_and_evenly_spread(everyday):
    pairs = drawn(everyday)
    assert len({sentence for sentence, _ in pairs}) == 1500
    assert np.bincount([y for _, y in pairs]).tolist() == [500] * 3
    assert torch.bincount(Grammar(sentences=10).load()[0].fields["y"]).tolist() == [4, 3, 3]
    lengths = everyday.load()[0].fields["length"] - 1
    assert lengths.max() + 1 == everyday.schema.max_length
    assert 4 <= lengths.min() <= lengths.max() <= 18
    assert everyday.schema.classes == CLASSES


def test_the_vocabulary_is_the_whole_language(everyday):
    vocabulary = everyday.schema.vocabulary
    assert 80 <= len(vocabulary) - 2 <= 110
    assert len(set(vocabulary)) == len(vocabulary)
    assert Grammar(sentences=3).schema.vocabulary == vocabulary
    assert {" the", " either", " mice", ".", "?"} <= set(vocabulary)
    assert 1 not in everyday.load()[0].fields["x"]


def test_each_class_has_more_than_a_million_sentences(everyday):
    assert min(everyday._language.count(name) for name in CLASSES) > 1_000_000


def test_another_seed_draws_other_sentences():
    a, b = (Grammar(sentences=90, seed=seed).load()[0] for seed in (0, 1))
    assert len(counted(a) & counted(b)) < 9


def test_what_is_drawn_is_right_in_its_class_alone(everyday):
    for sentence, y in drawn(everyday):
        assert [everyday.is_valid(sentence, label) for label in range(3)] == [label == y for label in range(3)]
        assert everyday.is_valid(sentence)
        template = everyday.template(sentence, CLASSES[y])
        assert template is not None
        assert template == everyday.template(sentence)
        assert len(template) == len(everyday.schema.ids(sentence))


def test_what_is_cut_short_goes_on_or_is_stirred_is_wrong(everyday):
    rng = np.random.default_rng(0)
    for sentence, y in drawn(everyday):
        words = sentence[:-1].split(" ")
        for cut in range(len(words)):
            assert not everyday.is_valid(" ".join(words[:cut]), y)
        for wrong in (
            sentence[:-1],
            f"{sentence} the",
            f"{sentence} {sentence}",
            f"the {sentence}",
            words[0] + sentence[-1],
        ):
            assert not everyday.is_valid(wrong, y)
        stirred = " ".join(rng.permutation(words)) + sentence[-1]
        assert stirred == sentence or len(words) < 8 or not everyday.is_valid(stirred, y)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        # number, across a clause and across a place
        ("the dogs that chase the cat sleep today.", "the dogs that chase the cat sleeps today."),
        ("the dogs that chase the cat sleep today.", "the dogs that chases the cat sleep today."),
        ("the dog near the rivers sleeps today.", "the dog near the rivers sleep today."),
        ("the boys that this girl sees run today.", "the boys that this girl see run today."),
        ("these boys build one kite today.", "this boys build one kite today."),
        # pairs of words, and the nearer noun
        ("either the boys or the girl runs today.", "either the boys or the girl run today."),
        ("either the boys or the girl runs today.", "either the boys nor the girl runs today."),
        ("neither the boy nor the girl slept yesterday.", "neither the boy or the girl slept yesterday."),
        ("both the boy and the girl wait today.", "both the boy and the girl waits today."),
        ("both the boy and the girl wait today.", "the boy and the girl wait today."),
        # the time and the form of the verb
        ("yesterday the horse behind the house ran.", "yesterday the horse behind the house runs."),
        ("the cat will eat the cake tomorrow.", "the cat will eat the cake yesterday."),
        ("the cat will eat the cake tomorrow.", "the cat will ate the cake tomorrow."),
        ("the cat ate the cake yesterday.", "the cat ate the cake tomorrow."),
        # the auxiliary of a question
        ("does the girl near the houses eat the apples?", "do the girl near the houses eat the apples?"),
        ("does the girl near the houses eat the apples?", "does the girl near the houses eats the apples?"),
        ("what do the mice eat today?", "what do the mice eat the apple today?"),
        ("what did the girl build yesterday?", "what did the dog build yesterday?"),
        ("which girls that see the cat sleep today?", "which girls that see the cat sleeps today?"),
        # orders
        (
            "please never chase the dogs that sleep near the river!",
            "please never chase the dogs that sleeps near the river!",
        ),
        ("please do not eat the cake now.", "please not do eat the cake now."),
        ("please do not eat the cake now.", "please do not ate the cake now."),
        ("either eat one cake or wait near the tree.", "either eat one cake and wait near the tree."),
        # what is eaten, and who builds
        ("the dogs eat the carrots today.", "the dogs eat the boxes today."),
        ("the girl paints the boxes today.", "the horse paints the boxes today."),
        ("the girl sees the horse today.", "the girl sees the apple today."),
        ("the girl sleeps today.", "the girl sleeps the horse today."),
        # spelling
        ("the girl sleeps today.", "The girl sleeps today."),
        ("the girl sleeps today.", "the girl sleeps today ."),
        ("the girl sleeps today.", "the girl dances today."),
        ("the girl sleeps today.", "the girl sleeps today?"),
        ("the girl sleeps today.", "girl the sleeps today."),
        ("the girl sleeps today.", ""),
    ],
)
def test_one_word_makes_it_wrong(everyday, right, wrong):
    assert everyday.is_valid(right)
    assert not everyday.is_valid(wrong)


def test_most_changes_of_a_word_are_noticed(everyday):
    rng = np.random.default_rng(0)
    words = everyday.schema.words[1:]
    noticed = []
    for x, y in zip(*(everyday.load()[0].fields[name] for name in ("x", "y")), strict=True):
        ids = everyday.schema.sequences(x[None])[0]
        ids[rng.integers(len(ids))] = rng.choice(words)
        sentence = everyday.schema.decode(torch.tensor([ids]))[0]
        noticed.append(not everyday.is_valid(sentence, int(y)))
    assert np.mean(noticed) > 0.9


def test_templates_leave_the_words_out(everyday):
    template = everyday.template("the old dogs sleep today.", "report")
    assert template == ("Det.pl", "Adj", "Noun.pl.beast", "Rest.pl", "today", ".")
    assert everyday.template("two small mice wait today.", 2) == template
    assert everyday.template("two small mouse wait today.", 2) is None
    assert everyday.template("two small mice wait today.", 0) is None


def test_what_cannot_be_asked_gets_one_line(everyday):
    refused(lambda: Grammar(language="latin"), "language must be everyday or seven, not 'latin'")
    refused(lambda: Grammar(sentences=2), "3 to", "not 2")
    refused(lambda: Grammar(sentences=0, language="seven"), "not 0")
    with pytest.raises(InputError, match="unknown label 'poem': the classes are 'question', 'order', 'report'"):
        everyday.is_valid("the girl sleeps today.", "poem")
