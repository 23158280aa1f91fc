"""Two processes at work on the same folder, one of them at a given moment of the other."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from unittest.mock import patch


def interleaved(function: Callable, line: int, other: Callable[[], object]) -> Callable[..., bool]:
    """The function, in which another process does something before a line of it; 1 is the first line that it runs.

    It returns whether it has come to that line.
    """

    def run(*given: Any) -> bool:
        left, before = line, sys.gettrace()

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code is not function.__code__:
                return None
            left -= event == "line"
            if left == 0 and event == "line":
                with patch("os.getpid", return_value=1):
                    sys.settrace(before)
                    other()
                    sys.settrace(trace)
            return trace

        sys.settrace(trace)
        try:
            function(*given)
        finally:
            sys.settrace(before)
        return left <= 0

    return run
