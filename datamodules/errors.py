"""The one exception whose message is written for the person at the keyboard."""

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


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
