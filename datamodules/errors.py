"""The one exception whose message is written for the person at the keyboard."""


class InputError(ValueError):
    """Something that was given cannot be used.

    The message is a single line: what is wrong, where, and what to do. The command line prints it as it is and
    exits with status 2; from Python it is an ordinary ``ValueError``.
    """
