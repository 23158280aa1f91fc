"""Two small languages whose every sentence can be judged, drawn from context-free grammars; Grammar."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch

from datamodules.base import GANDataModule
from datamodules.errors import InputError
from datamodules.rows import Table
from datamodules.text.schema import SPECIAL, TextSchema, split

Stack = tuple[str, ...]  # the symbols that are still to come
Language = Literal["everyday", "seven"]

# ---- everyday: questions, orders and reports -------------------------------------------------------------------------
# A variable in braces makes a rule for each of its values, the same value wherever it stands in the rule, so that
# agreement reaches across whatever lies between. A symbol with a question mark behind it may be left out.

CLASSES = ("question", "order", "report")
VARIABLES = {
    "n": ("sg", "pl"),  # number of the phrase
    "m": ("sg", "pl"),  # number of another phrase inside
    "f": ("base", "sg", "pl", "past"),  # form of the verb
    "k": ("person", "beast"),  # what the phrase speaks of
    "j": ("person", "beast"),  # what another phrase inside speaks of
    "c": ("food", "thing"),
}
RULES = {
    # The auxiliary agrees with the subject behind it, the verb does not; "what" and "who" take the object away.
    "question": """
        Do.{n} Asked.{n}.{k} Does.base.{k} today? ? | did Asked.{n}.{k} Does.base.{k} yesterday ?
        | will Asked.{n}.{k} Does.base.{k} tomorrow ? | where Do.{n} Asked.{n}.{k} Rest.base today? ?
        | what Do.{n} Asked.{n}.{k} Eat.base today? ? | what did Asked.{n}.person Make.base yesterday ?
        | who Do.{n} Asked.{n}.{k} Chase.base today? ? | who will Asked.{n}.{k} Chase.base tomorrow ?
        | who Acts.sg.person today ? | who Acts.past.person yesterday ?
        | which Noun.{n}.{k} Post.{n}.{k}? Does.{n}.{k} today ?
        | which Noun.{n}.{k} Post.{n}.{k}? Does.past.{k} yesterday ?
    """,
    # The bare verb, without a subject.
    "order": """
        please? Deed When? Stop | please? do not Deed When? Stop | please? never Deed Stop
        | please? either Acts.base.person or Acts.base.person Stop
    """,
    # The verb agrees with the time, at either end of the sentence, and with the subject.
    "report": """
        Subject.{n}.{k} Does.{n}.{k} today . | today Subject.{n}.{k} Does.{n}.{k} .
        | Subject.{n}.{k} Does.past.{k} yesterday . | yesterday Subject.{n}.{k} Does.past.{k} .
        | Subject.{n}.{k} will Does.base.{k} tomorrow . | tomorrow Subject.{n}.{k} will Does.base.{k} .
    """,
    "Deed": "Acts.base.person | Chase.base Short.{n}.{k} that Did.{n}.{k}",
    # With "either" and "neither" the verb agrees with the nearer noun.
    "Subject.{n}.{k}": """
        Phrase.{n}.{k} | either Short.{m}.{k} or Short.{n}.{k} | neither Short.{m}.{k} nor Short.{n}.{k}
    """,
    "Subject.pl.{k}": "both Short.{n}.{k} and Short.{m}.{k}",
    "Asked.{n}.{k}": "Phrase.{n}.{k}",
    "Asked.pl.{k}": "both Short.{n}.{k} and Short.{m}.{k}",
    "Phrase.{n}.{k}": "Short.{n}.{k} | Short.{n}.{k} Post.{n}.{k}",
    "Post.{n}.{k}": "Spot | that Did.{n}.{k} | that Bare.{m}.{j} Chase.{m}",
    "Short.{n}.{k}": "Det.{n} Adj? Noun.{n}.{k}",
    "Short.{n}.{c}": "Det.{n} Adj? Noun.{n}.{c}",
    "Bare.{n}.{k}": "Det.{n} Noun.{n}.{k}",
    "Bare.{n}.{c}": "Det.{n} Noun.{n}.{c}",
    "Spot": "Near Det.{n} Noun.{n}.place",
    # Food alone is eaten, and persons alone make things.
    "Does.{f}.{k}": "Rest.{f} | Acts.{f}.{k}",
    "Acts.{f}.{k}": "Rest.{f} Spot | Eat.{f} Short.{n}.food Spot? | Chase.{f} Short.{n}.{j} Spot?",
    "Acts.{f}.person": "Make.{f} Short.{n}.thing Spot?",
    "Did.{f}.{k}": "Rest.{f} Spot | Eat.{f} Bare.{n}.food | Chase.{f} Bare.{n}.{j}",
    "Did.{f}.person": "Make.{f} Bare.{n}.thing",
}
WORDS = {
    "Do.sg": "does",
    "Do.pl": "do",
    "When": "now tomorrow",
    "Stop": ". !",
    "Det.sg": "the this one",
    "Det.pl": "the these two",
    "Adj": "old small quiet",
    "Near": "near behind",
}
NOUNS = {  # singular/plural
    "person": "boy/boys girl/girls farmer/farmers teacher/teachers",
    "beast": "dog/dogs cat/cats horse/horses mouse/mice",
    "food": "apple/apples cake/cakes carrot/carrots",
    "thing": "picture/pictures box/boxes kite/kites",
    "place": "house/houses river/rivers tree/trees",
}
VERBS = {  # base and plural/singular/past
    "Rest": "sleep/sleeps/slept wait/waits/waited run/runs/ran",
    "Eat": "eat/eats/ate steal/steals/stole find/finds/found",
    "Chase": "chase/chases/chased see/sees/saw follow/follows/followed",
    "Make": "paint/paints/painted build/builds/built carry/carries/carried",
}

SEVEN = ["hello", "world", "deep", "learning", "GAN", "text", "data"]


class ContextFree:
    """A context-free grammar without left recursion or empty rules: draws sentences, and recognises them exactly.

    Sentences are lists of words. A symbol that neither has rules nor is a category is a word itself.

    Args:
        rules: by symbol, its alternatives, each a list of sequences of symbols that count as one when drawing.
        words: by category, its words.
    """

    def __init__(self, rules: Mapping[str, list[list[tuple[str, ...]]]], words: Mapping[str, list[str]]) -> None:
        self.rules, self.words = rules, words
        self._moves: dict[Stack, dict[str, list[tuple[str, Stack]]]] = {}
        self._counts: dict[str, int] = {}

    @property
    def terminals(self) -> list[str]:
        """Every word, sorted."""
        symbols = {symbol for lines in self.rules.values() for line in lines for rule in line for symbol in rule}
        literal = symbols - self.rules.keys() - self.words.keys()
        return sorted(literal.union(*self.words.values()))

    def count(self, symbol: str) -> int:
        """The number of derivations from a symbol; of words, where none derives in two ways. It must be finite."""
        if symbol not in self._counts:
            expansions = (rule for line in self.rules.get(symbol, ()) for rule in line)
            total = sum(math.prod(map(self.count, rule)) for rule in expansions)
            self._counts[symbol] = total if symbol in self.rules else len(self.words.get(symbol, (symbol,)))
        return self._counts[symbol]

    def draw(self, start: str, rng: np.random.Generator) -> list[str]:
        """A sentence: each alternative of a symbol as likely as the others."""
        stack, sentence = [start], []
        while stack:
            symbol = stack.pop()
            if symbol in self.rules:
                stack.extend(reversed(_one(_one(self.rules[symbol], rng), rng)))
            else:
                sentence.append(_one(self.words.get(symbol, [symbol]), rng))
        return sentence

    def parse(self, start: str, sentence: list[str]) -> tuple[str, ...] | None:
        """The category of each word, in the first derivation there is, or None where there is none."""
        paths: dict[Stack, tuple[str, ...]] = {(start,): ()}  # by what is still to come, what has been
        for word in sentence:
            following: dict[Stack, tuple[str, ...]] = {}
            for stack, categories in paths.items():
                for category, rest in self._next(stack).get(word, ()):
                    following.setdefault(rest, (*categories, category))
            paths = following
        return paths.get(())

    def _next(self, stack: Stack) -> dict[str, list[tuple[str, Stack]]]:
        """By the word that may come next: its categories, each with the symbols that must then follow."""
        if stack not in self._moves:
            moves: dict[str, list[tuple[str, Stack]]] = {}
            for category, rest in self._leftmost(stack):
                for word in self.words.get(category, [category]):
                    moves.setdefault(word, []).append((category, rest))
            self._moves[stack] = moves
        return self._moves[stack]

    def _leftmost(self, stack: Stack) -> Iterator[tuple[str, Stack]]:
        if not stack:
            return
        symbol, *rest = stack
        if symbol not in self.rules:
            yield symbol, tuple(rest)
            return
        for line in self.rules[symbol]:
            for rule in line:
                yield from self._leftmost((*rule, *rest))


def _one(choices: list[Any], rng: np.random.Generator) -> Any:
    return choices[0] if len(choices) == 1 else choices[rng.integers(len(choices))]


def everyday() -> ContextFree:
    """Questions, orders and reports about people and animals."""
    words = {category: text.split() for category, text in WORDS.items()}
    for kind, text in NOUNS.items():
        forms = zip(*(noun.split("/") for noun in text.split()), strict=True)
        words |= {f"Noun.{number}.{kind}": list(form) for number, form in zip(("sg", "pl"), forms, strict=True)}
    for verb, text in VERBS.items():
        base, singular, past = (list(form) for form in zip(*(v.split("/") for v in text.split()), strict=True))
        words |= {f"{verb}.base": base, f"{verb}.pl": base, f"{verb}.sg": singular, f"{verb}.past": past}
    rules: dict[str, list[list[tuple[str, ...]]]] = {}
    for key, text in RULES.items():
        for own in _settings(key):
            lines = rules.setdefault(_filled(key, own), [])
            for line in text.split("|"):
                line = _filled(line, own)
                variants = [_filled(line, setting).split() for setting in _settings(line)]
                lines.append([tuple(chosen) for variant in variants for chosen in _with_and_without(variant)])
    return ContextFree(rules, words)


def _settings(text: str) -> list[dict[str, str]]:
    names = sorted(set(re.findall(r"{(\w)}", text)))
    return [dict(zip(names, v, strict=True)) for v in itertools.product(*(VARIABLES[name] for name in names))]


def _filled(text: str, setting: dict[str, str]) -> str:
    return re.sub(r"{(\w)}", lambda found: setting.get(found[1], found[0]), text)


def _with_and_without(symbols: list[str]) -> Iterator[list[str]]:
    options = [[[s[:-1]], []] if len(s) > 1 and s.endswith("?") else [[s]] for s in symbols]
    return (list(itertools.chain.from_iterable(chosen)) for chosen in itertools.product(*options))


def seven() -> ContextFree:
    """Five of seven words in a row, none directly after itself."""
    rules: dict[str, list[list[tuple[str, ...]]]] = {"sentence": [[(word, f"4 after {word}")] for word in SEVEN]}
    for left, word in itertools.product(range(1, 5), SEVEN):
        others = [other for other in SEVEN if other != word]
        rules[f"{left} after {word}"] = [[(o, f"{left - 1} after {o}") if left > 1 else (o,)] for o in others]
    return ContextFree(rules, {})


class Grammar(GANDataModule):
    """Different sentences of a made-up language that tells right from wrong.

    ``everyday``: about a hundred English words, sentences of 4 to 18 tokens in three classes, more than a million in
    each. What is right depends on words far apart: number across relative clauses and places, either with or, the
    tense with the time, who can eat or build what. ``seven``: five of seven words in a row, none directly after itself;
    9,072 sentences and no classes.

    Args:
        sentences: how many, as evenly over the classes as can be. Of the default 3,000 the splits leave 2,160 to train
            on.
        language: everyday or seven.
        kwargs: the options of :class:`GANDataModule`; another ``seed`` draws other sentences.

    Raises:
        InputError: the language has not that many sentences.
    """

    schema: TextSchema

    def __init__(self, sentences: int = 3000, language: Language = "everyday", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        classes, self._language = (CLASSES, everyday()) if language == "everyday" else ((), seven())
        self._starts = classes or ("sentence",)
        least, most = len(self._starts), len(self._starts) * min(map(self._language.count, self._starts))
        if not least <= sentences <= most:
            raise InputError(f"sentences: the language {language} has {least:,} to {most:,} to give, not {sentences:,}")
        rng = np.random.default_rng((self.seed, 23))
        shares = [len(share) for share in np.array_split(np.arange(sentences), len(self._starts))]
        texts = [self._distinct(start, share, rng) for start, share in zip(self._starts, shares, strict=True)]
        self._y = torch.arange(len(shares)).repeat_interleave(torch.tensor(shares))
        self._word = {_spelled(word): word for word in self._language.terminals}  # by token
        self.schema = TextSchema(
            classes=classes,
            vocabulary=(*SPECIAL, *self._word),
            max_length=max(len(split(text, "word")) for of_class in texts for text in of_class) + 1,
        )
        self._x, self._length = self.schema.encode(itertools.chain.from_iterable(texts))

    def _distinct(self, start: str, number: int, rng: np.random.Generator) -> list[str]:
        found: dict[str, None] = {}  # a set that keeps its order
        while len(found) < number:
            found["".join(map(_spelled, self._language.draw(start, rng))).removeprefix(" ")] = None
        return list(found)

    def load(self) -> tuple[Table, None]:
        """Every sentence: ``x`` int64 (N, T), ``length`` and ``y`` int64 (N,); there is no test split."""
        return Table({"x": self._x, "length": self._length, "y": self._y}), None

    def template(self, sentence: str, label: str | int | None = None) -> tuple[str, ...] | None:
        """The category of each token, or None where the sentence is wrong.

        Args:
            sentence: as :meth:`TextSchema.decode` writes it.
            label: name or number of the class it must belong to; None for any.

        Raises:
            InputError: there is no such class.
        """
        starts = self._starts
        if label is not None and self.schema.labelled:
            starts = (starts[self.schema.class_id(label)],)
        words = [self._word.get(token, "") for token in split(self.schema.normalise(sentence), "word")]
        templates = (self._language.parse(start, words) for start in starts)
        return next((template for template in templates if template is not None), None)

    def is_valid(self, sentence: str, label: str | int | None = None) -> bool:
        """Whether the sentence is right, and of the class; exact. See :meth:`template`."""
        return self.template(sentence, label) is not None


def _spelled(word: str) -> str:
    """A word as a token: with the space before it, that punctuation does not have."""
    return f" {word}" if word[0].isalnum() else word
