"""The one exception whose message is written for the person at the keyboard."""

import difflib
from collections.abc import Collection, Sequence


class InputError(ValueError):
    """Something that was given cannot be used.

    The message is a single line: what is wrong, where, and what to do. The command line prints it as it is and
    exits with status 2; from Python it is an ordinary ``ValueError``.
    """


def named_once(what: str, names: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """The names, each known and given once.

    Raises:
        InputError: one is not, of the option ``what``.
    """
    for name in names:
        if name not in known:
            raise InputError(f"{what}: there is no {name!r}; known are {', '.join(known)}")
    if len(set(names)) < len(names):
        raise InputError(f"{what}: give each once, not {', '.join(names)}")
    return tuple(names)


def names_like(name: str, known: Collection[str]) -> str:
    """Which names there are instead of one that there is not, and which of them may have been meant."""
    near = difflib.get_close_matches(name, known, 1, 0.7)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{guess}known are {', '.join(known)}" if known else "there are none"


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
