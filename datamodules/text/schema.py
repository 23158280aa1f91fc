"""TextSchema: sentences to token ids and back, without loss but for runs of spaces."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from datamodules.errors import InputError
from datamodules.options import LARGEST
from datamodules.schema import Schema

Tokenizer = Literal["word", "char", "bpe"]
END, UNKNOWN = 0, 1  # ids, where sentences end by themselves
SPECIAL = ("", "\ufffd")  # how the two are written
BLANK: dict[str, Any] = {"vocabulary": (*SPECIAL, " "), "max_length": 1}  # until the sentences have been read
# A token carries the space before it, as in GPT-2: so "wheel." and "wheel ." come back as they were.
WORD = r" ?(?:{word}(?:['’\-]{word}|(?<=\d)[.,]\d+{marks})*|[^\w\s]{marks})"


@dataclass(frozen=True, kw_only=True)
class TextSchema(Schema):
    """Sentences as rows of token ids.

    Args:
        vocabulary: the token of each id. Where ``ends``, id 0 ends a sentence and fills the rest of its row, and id 1
            stands for whatever is not in the vocabulary; it is never sampled.
        max_length: T, the length of a row: the longest sentence's tokens and, where ``ends``, one for the end.
        tokenizer: ``word``: words and punctuation marks, each with the space before it; ``char``: characters, spaces
            too; ``bpe``: pieces of words (byte-level byte pair encoding), by the tokenizers library.
        lowercase: whether the source was put in lower case.
        ends: False for sentences that all have ``max_length`` tokens, all of whose ids are words.
        bpe: what the tokenizers library needs to know, as it writes it.
    """

    kind: ClassVar[str] = "text"

    vocabulary: tuple[str, ...]
    max_length: int
    tokenizer: Tokenizer = "word"
    lowercase: bool = False
    ends: bool = True
    bpe: str = ""

    def __post_init__(self) -> None:
        """See :class:`~datamodules.schema.Schema`."""
        super().__post_init__()
        self.within(1, LARGEST, "max_length")
        least = len(SPECIAL) + 1 if self.ends else 1
        if len(self.vocabulary) < least:
            raise InputError(f"text schema: a vocabulary of {len(self.vocabulary)} tokens: at least {least} are needed")
        if self.ends and self.vocabulary[: len(SPECIAL)] != SPECIAL:
            raise InputError("text schema: the first two tokens must be those for the end and for the unknown")
        words = self.vocabulary[len(SPECIAL) if self.ends else 0 :]
        if self.tokenizer != "bpe" and len(set(words)) < len(words):
            raise InputError("text schema: a token is there twice in the vocabulary")

    @property
    def words(self) -> list[int]:
        """The ids that can be sampled."""
        return [i for i in range(len(self.vocabulary)) if not (self.ends and i == UNKNOWN)]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.vocabulary)}

    @cached_property
    def _marks_alone(self) -> bool:
        """Whether the vocabulary is of the time when combining marks were tokens of their own."""
        return any(_is_mark(token[0]) for token in self.vocabulary if token)

    def normalise(self, text: str) -> str:
        """The text as it will come back: runs of white space as one space, lower case where asked for."""
        text = " ".join(text.split())
        return text.lower() if self.lowercase else text

    def ids(self, text: str) -> list[int]:
        """Token ids of a sentence, without the end.

        Raises:
            InputError: a token that is not in the vocabulary, where no id stands for such.
        """
        text = self.normalise(text)
        if self.tokenizer == "bpe":
            return [int(i) for i in _library(self.bpe).encode(text).ids]
        tokens = split(text, self.tokenizer, marks=not self._marks_alone)
        index = self._index
        if self.ends:
            return [index.get(token, UNKNOWN) for token in tokens]
        for token in tokens:
            if token not in index:
                raise InputError(f"{token.strip()!r} is not one of the {len(self.vocabulary)} words")
        return [index[token] for token in tokens]

    def pad(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Token ids of sentences to ``x`` int64 (N, T), each ended and filled up with 0, and ``length`` int64 (N,).

        The length counts the end. A sentence of T tokens, as a generator may write, has no room for one.

        Raises:
            InputError: a sentence with no token, or with more than T; or, where none ends, not with T.
        """
        x = torch.zeros(len(sequences), self.max_length, dtype=torch.long)
        length = torch.empty(len(sequences), dtype=torch.long)
        for row, tokens in enumerate(sequences):
            count = len(tokens)
            if not count or count > self.max_length or (not self.ends and count < self.max_length):
                wanted = f"1 to {self.max_length}" if self.ends else str(self.max_length)
                raise InputError(f"sentence {row + 1} has {count} tokens: there should be {wanted}")
            x[row, :count] = torch.as_tensor(tokens)
            length[row] = min(count + self.ends, self.max_length)
        return x, length

    def encode(self, texts: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Sentences to ``x`` (N, T) and ``length`` (N,): see :meth:`ids` and :meth:`pad`."""
        return self.pad([self.ids(text) for text in texts])

    def lengths(self, x: Tensor) -> Tensor:
        """``length`` (N,) of rows (N, T): up to and with the first end."""
        if not self.ends:
            return torch.full((len(x),), x.shape[1], device=x.device)
        going = (x == END).long().cumsum(1) == 0  # (N, T)
        return (going.sum(1) + 1).clamp(max=x.shape[1])

    def sequences(self, x: Tensor) -> list[list[int]]:
        """Token ids of each row (N, T), without the end."""
        counts = (x != END).long().cumprod(1).sum(1) if self.ends else self.lengths(x)
        return [row[:n] for row, n in zip(x.tolist(), counts.tolist(), strict=True)]

    def decode(self, x: Tensor) -> list[str]:
        """Rows (N, T) to sentences."""
        if self.tokenizer == "bpe":
            return [str(_library(self.bpe).decode(row)).removeprefix(" ") for row in self.sequences(x)]
        texts = ["".join(self.vocabulary[i] for i in row) for row in self.sequences(x)]
        return [text.removeprefix(" ") if self.tokenizer == "word" else text for text in texts]


def split(text: str, tokenizer: Tokenizer, marks: bool = True) -> list[str]:
    """The tokens of a normalised text; ``marks`` says whether combining marks belong to their word."""
    return _pattern(marks).findall(f" {text}") if tokenizer == "word" else list(text)


@functools.cache
def _pattern(marks: bool) -> re.Pattern[str]:
    r"""What a token of ``word`` is. To ``re``, vowel signs and accents that follow a letter are no part of ``\w``."""
    if not marks:
        return re.compile(WORD.format(word=r"\w+", marks=""))
    signs = "".join(c for c in map(chr, (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))) if _is_mark(c))
    joined = rf"\w[\w{signs}]*(?:[\u200c\u200d]+[\w{signs}]+)*"  # joiners, within words of Persian and Hindi
    return re.compile(WORD.format(word=joined, marks=f"[{signs}]*"))


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")


def build_vocabulary(texts: Sequence[str], tokenizer: Tokenizer, min_count: int, size: int) -> tuple[list[str], str]:
    """The tokens of normalised texts, most frequent first after the two special ones, and the ``bpe`` model.

    Args:
        texts: normalised.
        min_count: tokens that occur less often are left out; of no effect on ``bpe``.
        size: of the vocabulary of ``bpe``; of no effect on the others.

    Raises:
        InputError: the tokenizers library is missing.
    """
    if tokenizer == "bpe":
        library = _tokenizers()
        model = library.Tokenizer(library.models.BPE())
        model.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        model.decoder = library.decoders.ByteLevel()
        # Of the two special tokens' names nothing can be made out of text, since they are not byte-level letters.
        trainer = library.trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=["\x00end", "\x00unknown"],
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        model.train_from_iterator(texts, trainer)
        by_id = sorted(model.get_vocab().items(), key=lambda item: item[1])
        return [*SPECIAL, *(token for token, _ in by_id[len(SPECIAL) :])], str(model.to_str())
    counts = Counter(token for text in texts for token in split(text, tokenizer))
    kept = sorted((token for token, n in counts.items() if n >= min_count), key=lambda token: (-counts[token], token))
    return [*SPECIAL, *kept], ""


@functools.lru_cache(maxsize=8)
def _library(bpe: str) -> Any:
    tokenizers = _tokenizers()
    try:
        library = tokenizers.Tokenizer.from_str(bpe)
    except Exception as error:  # it raises nothing more exact
        raise InputError(f"text schema: bpe is not what the tokenizers library wrote ({error})") from None
    library.encode_special_tokens = True  # a text that spells a special token's name is still text
    return library


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise InputError("the tokenizer bpe needs the tokenizers library: pip install 'ganaug[bpe]'") from None
    return tokenizers
