"""Text metrics against nltk on small random sentences, and against what can be worked out by hand."""

import math
import random

import pytest

from ganaug.metrics.text import bleu, copies, distinct, novelty, self_bleu

A, B, C = [1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15]


def draw(count: int, seed: int, longest: int = 8, vocabulary: int = 5, shortest: int = 1) -> list[list[int]]:
    """Sentences with many n-grams in common and many repeated within one, some of them duplicates."""
    rng = random.Random(seed)
    return [rng.choices(range(vocabulary), k=rng.randint(shortest, longest)) for _ in range(count)]


def nltk_bleu(references, hypothesis, max_n: int) -> list[float]:
    score = pytest.importorskip("nltk.translate.bleu_score")
    weights = [(1 / n,) * n for n in range(2, max_n + 1)]
    smooth = score.SmoothingFunction().method1
    return [score.sentence_bleu(references, hypothesis, w, smoothing_function=smooth) for w in weights]


def mean_by_order(rows: list[list[float]]) -> dict[int, float]:
    return {n: sum(column) / len(rows) for n, column in enumerate(zip(*rows, strict=True), 2)}


# ---- BLEU ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_bleu_agrees_with_nltk(seed):
    hypotheses = draw(12, seed, vocabulary=2 + seed % 7)
    references = draw(1 + seed % 9, 1000 + seed, longest=3 + seed % 10, vocabulary=2 + seed % 4)
    expected = mean_by_order([nltk_bleu(references, hypothesis, 5) for hypothesis in hypotheses])
    assert bleu(hypotheses, references) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_bleu_of_single_sentences_agrees_with_nltk(seed):
    references = draw(1 + seed % 4, seed, shortest=0)
    for hypothesis in draw(8, 1000 + seed, vocabulary=6, shortest=0):
        expected = dict(enumerate(nltk_bleu(references, hypothesis, 5), 2))
        assert bleu([hypothesis], references) == pytest.approx(expected, abs=1e-9)


def test_bleu_by_hand():
    assert bleu([A, B], [B, C, A]) == pytest.approx(dict.fromkeys(range(2, 6), 1))
    assert bleu([A], [B, C]) == dict.fromkeys(range(2, 6), 0)
    assert bleu([A, B], [A], max_n=2) == pytest.approx({2: 0.5})
    # 3 of 4 words and 1 of 3 pairs are found, no triple of 2; the reference is one word longer.
    expected = {2: (3 / 4 * 1 / 3) ** (1 / 2), 3: (3 / 4 * 1 / 3 * 0.1 / 2) ** (1 / 3)}
    assert bleu([[1, 2, 9, 3]], [A], max_n=3) == pytest.approx({n: math.exp(-1 / 4) * p for n, p in expected.items()})


def test_a_repeated_word_counts_as_often_as_in_one_reference():
    # Two of four from the second reference, not three from both; one of three pairs.
    assert bleu([[1, 1, 1, 1]], [[1, 2, 3, 4], [1, 1, 2, 3]], max_n=2) == pytest.approx({2: (2 / 4 * 1 / 3) ** 0.5})


def test_sentences_shorter_than_the_order():
    assert bleu([[1, 2]], [[1, 2]], max_n=4) == pytest.approx({2: 1, 3: 0.1 ** (1 / 3), 4: 0.1 ** (2 / 4)})
    assert bleu([[]], [A]) == dict.fromkeys(range(2, 6), 0)
    assert bleu([[], A], [A], max_n=2) == pytest.approx({2: 0.5})


def test_brevity_is_judged_by_the_closest_reference_and_of_two_by_the_shorter():
    assert bleu([[1, 2, 3]], [A[:2], A[:4]], max_n=2) == pytest.approx({2: 1})
    assert bleu([[1, 2, 3]], [A[:1], A[:4]], max_n=2) == pytest.approx({2: math.exp(1 - 4 / 3)})


def test_any_tokens_will_do():
    words = [["a", "cat", "sat"], ["a", "cat", "ran", "off"], ["the", "cat"]]
    ids = [[0, 1, 2], [0, 1, 3, 4], [5, 1]]
    assert self_bleu(words) == self_bleu(ids)
    assert bleu(words[:1], words[1:]) == bleu([tuple(ids[0])], ids[1:])
    assert distinct(["abab", "ba"], 2) == 2 / 4


# ---- self-BLEU -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_self_bleu_agrees_with_nltk_and_with_bleu_against_the_others(seed):
    sentences = draw(2 + seed % 11, seed, longest=2 + seed % 9, vocabulary=1 + seed % 6, shortest=seed % 2)
    others = [sentences[:i] + sentences[i + 1 :] for i in range(len(sentences))]
    rows = [list(bleu([s], rest, max_n=4).values()) for s, rest in zip(sentences, others, strict=True)]
    assert self_bleu(sentences) == pytest.approx(mean_by_order(rows), abs=1e-12)
    rows = [nltk_bleu(rest, s, 4) for s, rest in zip(sentences, others, strict=True)]
    assert self_bleu(sentences) == pytest.approx(mean_by_order(rows), abs=1e-9)


def test_self_bleu_by_hand():
    assert self_bleu([A] * 7) == pytest.approx({2: 1, 3: 1, 4: 1})
    assert self_bleu([A, B, C]) == {2: 0, 3: 0, 4: 0}
    assert self_bleu([A, A, A, B]) == pytest.approx({2: 3 / 4, 3: 3 / 4, 4: 3 / 4})
    # Three ones in one sentence, two in the other: 2 of 3 words and 1 of 2 pairs; 2 of 2, 1 of 1, but short by a word.
    expected = ((2 / 3 * 1 / 2) ** 0.5 + math.exp(1 - 3 / 2)) / 2
    assert self_bleu([[1, 1, 1], [1, 1]], max_n=2) == pytest.approx({2: expected})


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_distinct_by_hand():
    assert distinct([A, B], 1) == distinct([A, B], 3) == 1
    assert distinct([A, A, A, A], 2) == 1 / 4
    assert distinct([[1, 1, 1], [1, 2]], 1) == 2 / 5
    assert distinct([[1, 1, 1], [1, 2], [1]], 2) == 2 / 3  # nothing runs over from one sentence to the next


def test_copies_and_novelty_by_hand():
    assert (copies([A, B], [A, B, C]), novelty([A, B], [A, B, C])) == (1, 0)
    assert (copies([A, B], [C]), novelty([A, B], [C])) == (0, 1)
    assert copies([A, A, A, B], [A]) == 3 / 4
    assert novelty([A, A, A, B], [A]) == 1 / 2
    assert copies([A[:3], [*A, 6], A[::-1]], [A]) == 0  # word for word, from the first to the last
    assert copies([tuple(A)], [A]) == 1


# ---- all of them -----------------------------------------------------------------------------------------------------


def everything(sentences, references) -> list[float]:
    return [
        *bleu(sentences, references).values(),
        *self_bleu(sentences).values(),
        distinct(sentences, 2),
        copies(sentences, references),
        novelty(sentences, references),
    ]


def test_order_does_not_matter_and_all_are_shares():
    sentences, references = draw(60, 0), draw(40, 1)
    scores = everything(sentences, references)
    assert all(0 < score < 1 for score in scores)
    for seed in range(5):
        rng = random.Random(seed)
        assert everything(rng.sample(sentences, 60), rng.sample(references, 40)) == scores


@pytest.mark.parametrize("function", [bleu, copies, novelty])
def test_nothing_to_score_or_to_compare_with_is_refused(function):
    with pytest.raises(ValueError, match=r"^no sentences to score$"):
        function([], [A])
    with pytest.raises(ValueError, match=r"^no sentences to compare with$"):
        function([A], [])


@pytest.mark.parametrize("function", [self_bleu, lambda a: distinct(a, 1)])
def test_no_sentences_are_refused(function):
    with pytest.raises(ValueError, match=r"^no sentences to score$"):
        function([])


def test_what_has_no_answer_is_refused():
    with pytest.raises(ValueError, match="at least 2 are needed"):
        self_bleu([A])
    with pytest.raises(ValueError, match="no sentence has 6 tokens"):
        distinct([A, B], 6)
    for score in (lambda: bleu([A], [A], max_n=1), lambda: self_bleu([A, A], max_n=1)):
        with pytest.raises(ValueError, match="order 1: the order should be at least 2"):
            score()
    with pytest.raises(ValueError, match="order 0: the order should be at least 1"):
        distinct([A], 0)
