"""Arguments checked against their type hints before anything is made of them; classes that remember theirs."""

from __future__ import annotations

import collections.abc as abc
import functools
import inspect
import math
import os
import types
from abc import ABCMeta
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from datamodules.errors import InputError, reason_of

P = ParamSpec("P")
R = TypeVar("R")
UNIONS = (Union, types.UnionType)
LARGEST = 2**16  # of widths, lengths and other sizes that something is made of
WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    Path: "a path",
    Any: "anything",
    abc.Callable: "a class or function",
}


class Within(NamedTuple):
    """The range of a number, as a part of its hint: ``Annotated[int, Within(1, 256)]``.

    Attributes:
        least: the least that it may be, or with ``above`` what it must be above.
        most: the most that it may be, or with ``below`` what it must be below.
        above: whether ``least`` itself is out.
        below: whether ``most`` itself is out.
    """

    least: float
    most: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether the number lies in the range."""
        low = self.least < value if self.above else self.least <= value
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """In words; a limit that no one comes near is left out."""
        if self.most >= 2**31:
            return f"{'above' if self.above else 'at least'} {self.least:,}"
        if not self.above and not self.below:
            return f"from {self.least:,} to {self.most:,}"
        low, high = "above" if self.above else "at least", "below" if self.below else "at most"
        return f"{low} {self.least:,} and {high} {self.most:,}"

    def wanted(self, value: float) -> str:
        """What is wanted in the place of a number outside: the end that it is beyond, if that is enough to say."""
        if self.above or self.below:
            return str(self)
        return f"at most {self.most:,}" if value > self.most else f"at least {self.least:,}"


Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Size = Annotated[int, Within(1, LARGEST)]  # of what networks and rows are made of
Depth = Annotated[int, Within(1, 256)]
BatchSize = Annotated[int, Within(1, 2**20)]
Processes = Annotated[int, Within(1, 1024)]
Seed = Annotated[int, Within(0, 2**64 - 1)]
Positive = Annotated[float, Within(0, above=True)]
Weight = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1, below=True)]
Probability = Annotated[float, Within(0, 1)]
Fraction = Annotated[float, Within(0, 1, above=True)]
File = Annotated[Path, "file"]
Folder = Annotated[Path, "folder"]


class Misfit(Exception):
    """A value is not what its hint says; if it is but for its range, the range is what it says."""


def adapted(value: Any, hint: Any) -> Any:
    """The value, with numpy's numbers and arrays made plain ones, so that a checkpoint can hold them.

    A bool is no number, and NaN and infinity are none. Hints that say nothing of plain values let everything pass. A
    number lies in the range that its hint has.

    Raises:
        Misfit: it is not of the hint's type.
    """
    if isinstance(value, np.generic) and hint is not Any:
        value = value.item()
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, str | TypeVar):
        return value
    if origin is Annotated:
        value = adapted(value, inner[0])
        for range_ in inner[1:]:
            if isinstance(range_, Within) and not range_.holds(value):
                raise Misfit(range_.wanted(value))
        return value
    if origin in UNIONS:
        reasons: list[object] = []
        for one in sorted(inner, key=lambda kind: plain(kind) is float):  # whole numbers before others
            try:
                return adapted(value, one)
            except Misfit as misfit:
                reasons += misfit.args
        raise Misfit(*reasons[:1])
    if origin is Literal:
        fits = any(type(value) is type(one) and value == one for one in inner)
    elif hint is float:
        fits = isinstance(value, Real) and not isinstance(value, bool) and _finite(value)
    elif hint is int:
        fits = isinstance(value, Integral) and not isinstance(value, bool)
    elif hint is None or hint is type(None):
        fits = value is None
    elif hint is Path:
        fits = isinstance(value, str | os.PathLike)
    elif origin is abc.Callable or hint is abc.Callable:
        fits = callable(value)
    elif isinstance(kind := origin or hint, type) and issubclass(kind, abc.Mapping):
        return _mapping(value, kind, inner)
    elif isinstance(kind, type) and kind in (list, tuple, abc.Sequence):
        return _sequence(value, inner, fixed=kind is tuple and inner[-1:] != (...,))
    else:
        fits = isinstance(value, kind) if isinstance(kind, type) else True
    if not fits:
        raise Misfit
    return value


def plain(hint: Any) -> Any:
    """A hint without its range."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _mapping(value: Any, kind: type, inner: tuple[Any, ...]) -> Any:
    if not isinstance(value, kind | Mapping):
        raise Misfit
    if not inner:
        return value
    pairs = cast(Mapping[Any, Any], value)
    return {adapted(name, inner[0]): adapted(item, inner[1]) for name, item in pairs.items()}


def _sequence(value: Any, inner: tuple[Any, ...], fixed: bool) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, abc.Sequence) or isinstance(value, str | bytes):
        raise Misfit
    if fixed and inner and len(value) != len(inner):
        raise Misfit
    items = [adapted(item, hint) for item, hint in zip(value, inner if fixed else inner[:1] * len(value), strict=False)]
    same = not inner or all(new is old for new, old in zip(items, value, strict=True))
    return value if same else type(value)(items) if isinstance(value, list | tuple) else items


def described(hint: Any, inside: bool = False) -> str:
    """A hint's types in words; of a list inside a list, if not of a set length, no more than that it is one."""
    hint = plain(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in UNIONS:
        return " or ".join(dict.fromkeys(described(one, inside) for one in inner))
    if origin is Literal:
        return ", ".join(map(str, inner[:-1])) + (" or " if inner[1:] else "") + str(inner[-1])
    kind = type(None) if hint is None else origin or hint
    if isinstance(kind, type) and issubclass(kind, abc.Mapping):
        of = f" of {described(inner[0], True)} to {described(inner[1], True)}" if inner and not inside else ""
        return f"a mapping{of}"
    if kind in (list, tuple, abc.Sequence):
        fixed = kind is tuple and bool(inner) and inner[-1] is not ...
        if inside and fixed:
            return f"[{', '.join(described(one, True) for one in inner)}]"
        if inside or not inner:
            return "a list"
        if fixed:
            return f"a list of {len(inner)}: {', '.join(described(one, True) for one in inner)}"
        return f"a list, each {described(inner[0], True)}"
    return WORDS.get(kind) or _a(getattr(kind, "__name__", str(kind)))


def _a(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def shown(value: Any) -> str:
    """A value in a message of one line; of anything but plain values, what it is."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | Real | abc.Mapping | abc.Sequence | type(None)):
        return _a(type(value).__name__)
    text = " ".join(repr(list(value) if isinstance(value, tuple) else value).split())
    return text if len(text) <= 80 else f"{text[:77]}…"


def check(name: str, value: Any, hint: Any) -> Any:
    """See :func:`adapted`.

    Raises:
        InputError: what the option ``name`` must be.
    """
    try:
        return adapted(value, hint)
    except Misfit as misfit:
        wanted = misfit.args[0] if misfit.args else described(hint)
        raise InputError(f"{name} must be {wanted}, not {shown(value)}") from None


def in_range(name: str, value: float | None, least: float, most: float = math.inf) -> None:
    """Refuse a number out of its range; None is an option that was left out.

    Raises:
        InputError: what the option ``name`` must be.
    """
    limits = Within(least, most)
    if value is not None and not limits.holds(value):
        raise InputError(f"{name} must be {limits.wanted(value)}, not {shown(value)}")


@functools.cache
def hints(called: Callable[..., Any]) -> dict[str, Any]:
    """Hints by name of what a function takes; of a class, what its constructor and those behind its ``**kwargs`` do."""
    found: dict[str, Any] = {}
    for function in _constructors(called) if isinstance(called, type) else [called]:
        try:
            its = get_type_hints(function, include_extras=True)
        except Exception:  # names that are there for a type checker alone
            continue
        kinds = inspect.signature(function).parameters
        variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        found = {name: its[name] for name in kinds if name in its and kinds[name].kind not in variable} | found
    return found


def _constructors(cls: type) -> list[Callable[..., Any]]:
    found: list[Callable[..., Any]] = []
    for base in cls.__mro__:
        function = vars(base).get("__init__")
        if isinstance(function, types.FunctionType):
            found.append(function)
            if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
                break
    return found


def bound(called: Callable[..., Any], *args: Any, **kwargs: Any) -> inspect.BoundArguments:
    """Arguments as the function, or the class's constructor, takes them, checked.

    Raises:
        InputError: one of them is not what its hint says.
        TypeError: as Python's own, one is missing or unknown.
    """
    whose = (None, *args) if isinstance(called, type) else args
    found = inspect.signature(called.__init__ if isinstance(called, type) else called).bind(*whose, **kwargs)  # type: ignore[misc]
    known, of = hints(called), getattr(called, "options_of", "")
    for name, value in found.arguments.items():
        if found.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            value.update({each: check(each, given, known.get(each, Any)) for each, given in value.items()})
        elif name in known:
            found.arguments[name] = check(f"{of}{name}", value, known[name])
    return found


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose arguments are checked against its hints when it is called."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        its = bound(function, *args, **kwargs)
        return function(*its.args, **its.kwargs)

    return call


class Remembering(ABCMeta):
    """Of a class whose arguments are checked before an object is made, and whose objects know them.

    By its call, and not in ``__new__`` or ``__init__``, whose signatures the command line reads. A class may say in
    ``options_of`` what its options are called with in front, such as ``previews.``.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """The object, and what it was made from in its ``_arguments``."""
        given = bound(cls, *args, **kwargs)
        try:
            made = super().__call__(*given.args[1:], **given.kwargs)
        except (MemoryError, RuntimeError) as error:
            if "memory" not in str(error) and not isinstance(error, MemoryError):
                raise
            reason = reason_of(error)
            raise InputError(f"{cls.__name__}: what is asked for does not fit into memory ({reason:.200})") from error
        made._arguments = {}
        for name, value in list(given.arguments.items())[1:]:
            kind = given.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:  # what a base class calls them
                made._arguments |= zip(hints(cls.__mro__[1]), value, strict=False)
            else:
                made._arguments |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
        return made
