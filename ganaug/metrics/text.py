"""How good, how varied and how new sentences are: pure functions on sequences of tokens.

A sentence is a sequence of tokens, a token whatever can be a key of a dictionary: ids, words, characters. Padding is
no token and should be gone. A sentence may be empty; no sentence at all is refused with an
:class:`~datamodules.errors.InputError`, a ``ValueError``, and so are orders of n-grams that mean nothing.

What a BLEU of 0.7 means depends on the data, on the tokens and on the number of references: compare it with that of
unseen real sentences against the same references, and a self-BLEU with that of as many real sentences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import accumulate, chain

from datamodules.errors import InputError

Sentence = Sequence[Hashable]
Gram = tuple[Hashable, ...]

EPSILON = 0.1  # what stands for a count of 0, as in smoothing method 1 of Chen and Cherry 2014 in nltk


def bleu(hypotheses: Sequence[Sentence], references: Sequence[Sentence], max_n: int = 5) -> dict[int, float]:
    """Mean over the hypotheses of sentence BLEU, each against all references at once: quality, blind to repetition.

    Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation", section 2, as Zhu et al.
    2018, "Texygen" (arXiv 1802.01886), use it: uniform weights, ``EPSILON`` for n-grams that match nowhere, and a
    brevity penalty by the reference of the closest length, of two the shorter. Equal to the mean of nltk's
    ``sentence_bleu(references, hypothesis, weights, SmoothingFunction().method1)``.

    It tends to grow with the number of references: compare equal numbers only. Texygen's code takes the first 500
    unless told otherwise.

    Args:
        hypotheses: N ≥ 1 sentences. One without any word of the references scores 0, an empty one too. One of fewer
            than n tokens has precision ``EPSILON`` at order n, be it a reference itself.
        references: M ≥ 1 sentences.
        max_n: the highest order, at least 2.

    Returns:
        BLEU-n in [0, 1] by n, from 2 to ``max_n``.
    """
    _check(hypotheses, references, n=max_n, least=2)
    clips = [_largest(references, n)[0] for n in range(1, max_n + 1)]
    lengths = {len(reference) for reference in references}
    closest = {length: _closest(length, lengths) for length in {len(hypothesis) for hypothesis in hypotheses}}
    return _mean_bleu(hypotheses, clips, closest)


def self_bleu(sentences: Sequence[Sentence], max_n: int = 4) -> dict[int, float]:
    """Mean of :func:`bleu` of each sentence against all the others: high where sentences are alike.

    Zhu et al. 2018, "Texygen" (arXiv 1802.01886). A sentence is left out of its own references, its duplicates are
    not. It tends to grow with the number of sentences: compare equal numbers only.

    Args:
        sentences: N ≥ 2 sentences.
        max_n: the highest order, at least 2.

    Returns:
        Self-BLEU-n in [0, 1] by n, from 2 to ``max_n``. The lower, the more varied.
    """
    _check(sentences, n=max_n, least=2)
    if len(sentences) < 2:
        raise InputError("self_bleu compares sentences with each other: at least 2 are needed")
    # Where a sentence has the largest count of an n-gram, the second largest is the most that the others have; where it
    # has less, it has at most the second largest. So that clips each sentence as its own others do.
    clips = [_largest(sentences, n)[1] for n in range(1, max_n + 1)]
    times = Counter(len(sentence) for sentence in sentences)
    closest = {
        length: length if count > 1 else _closest(length, times.keys() - {length}) for length, count in times.items()
    }
    return _mean_bleu(sentences, clips, closest)


def distinct(sentences: Sequence[Sentence], n: int) -> float:
    """Different n-grams over all n-grams of all sentences.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models" (arXiv 1510.03055);
    they divide by the number of tokens, which for n > 1 keeps the score of short sentences from 1. It falls with the
    number of sentences: compare equal numbers only.

    Args:
        sentences: N ≥ 1 sentences, one of them of n tokens or more.
        n: the order, at least 1.

    Returns:
        In (0, 1]; 1 where no n-gram occurs twice.
    """
    _check(sentences, n=n)
    grams = list(_all_grams(sentences, n))
    if not grams:
        raise InputError(f"no sentence has {n} tokens")
    return len(set(grams)) / len(grams)


def copies(sentences: Sequence[Sentence], training: Sequence[Sentence]) -> float:
    """Share of sentences that are, word for word, a training sentence.

    Short sentences recur by chance: unseen real sentences show how many copies are many.

    Args:
        sentences: N ≥ 1 sentences; duplicates count as often as they occur.
        training: M ≥ 1 sentences that the generator saw.

    Returns:
        In [0, 1].
    """
    _check(sentences, training)
    seen = _different(training)
    return sum(tuple(sentence) in seen for sentence in sentences) / len(sentences)


def novelty(sentences: Sequence[Sentence], training: Sequence[Sentence]) -> float:
    """Share of the different sentences that are no training sentence; arguments and range as in :func:`copies`.

    Without duplicates it is 1 - :func:`copies`. A copy that is repeated counts once here and every time there.
    """
    _check(sentences, training)
    made = _different(sentences)
    return len(made - _different(training)) / len(made)


def _check(*sets: Sequence[Sentence], n: int = 1, least: int = 1) -> None:
    for sentences, use in zip(sets, ("score", "compare with"), strict=False):
        if not len(sentences):
            raise InputError(f"no sentences to {use}")
    if n < least:
        raise InputError(f"n-grams of order {n}: the order should be at least {least}")


def _different(sentences: Sequence[Sentence]) -> set[Gram]:
    return {tuple(sentence) for sentence in sentences}


def _grams(sentence: Sentence, n: int) -> Iterator[Gram]:
    """The n-grams of a sentence in order; none where it has fewer than n tokens."""
    return zip(*(sentence[start:] for start in range(n)), strict=False)


def _all_grams(sentences: Sequence[Sentence], n: int) -> Iterator[Gram]:
    return chain.from_iterable(_grams(sentence, n) for sentence in sentences)


def _largest(sentences: Sequence[Sentence], n: int) -> tuple[dict[Gram, int], dict[Gram, int]]:
    """The largest and the second largest number of times that each n-gram occurs in one sentence.

    The second is that of another sentence: equal to the first where two share it, 0 where no other has the n-gram.
    """
    first: dict[Gram, int] = {}
    second: dict[Gram, int] = {}
    for sentence in sentences:
        for gram, count in Counter(_grams(sentence, n)).items():
            most = first.get(gram, 0)
            if count > most:
                first[gram], second[gram] = count, most
            elif count > second[gram]:
                second[gram] = count
    return first, second


def _closest(length: int, lengths: set[int]) -> int:
    return min(lengths, key=lambda other: (abs(other - length), other))


def _mean_bleu(
    sentences: Sequence[Sentence], clips: Sequence[Mapping[Gram, int]], closest: Mapping[int, int]
) -> dict[int, float]:
    """Mean sentence BLEU by order.

    Args:
        sentences: what to score.
        clips: for each order from 1, how many occurrences of an n-gram in one sentence count as matches.
        closest: the length of the reference that is closest to each length of a sentence.
    """
    scores = [_sentence_bleu(len(s), closest[len(s)], _matches(s, clips)) for s in sentences]
    # Summed without rounding, so that the order of the sentences does not show in the last bits.
    return {n: math.fsum(of_n) / len(scores) for n, of_n in enumerate(zip(*scores, strict=True), 1) if n > 1}


def _matches(sentence: Sentence, clips: Sequence[Mapping[Gram, int]]) -> list[int]:
    """How many n-grams of a sentence match, for each order from 1."""
    return [
        sum(min(count, clip.get(gram, 0)) for gram, count in Counter(_grams(sentence, n)).items())
        for n, clip in enumerate(clips, 1)
    ]


def _sentence_bleu(length: int, closest: int, matches: Sequence[int]) -> list[float]:
    """BLEU of a sentence for each order from 1."""
    if not matches[0]:
        return [0.0] * len(matches)
    penalty = math.exp(min(0.0, 1 - closest / length))
    logs = (math.log((match or EPSILON) / max(1, length - n)) for n, match in enumerate(matches))
    return [penalty * math.exp(total / n) for n, total in enumerate(accumulate(logs), 1)]
