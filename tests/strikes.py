"""Interrupts a piece of code at each place in turn where a signal's handler can raise."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType


class Struck(BaseException):
    """What the handler raises: like Ctrl-C, or SystemExit at SIGTERM."""


def struck(
    act: Callable[[int], object], *, after: str | None = None, every: int = 1
) -> Iterator[int]:
    """Call *act* with 1, 2, …, each time interrupted one place later, until it comes to its end.

    The places are those at which the interpreter looks for signals: where a function of Python
    begins, and where one of C has returned.

    Args:
        act: What is interrupted.
        after: The function from whose beginning on the places count; None: all.
        every: How many places are passed over, and one.
    """
    for place in count(1, every):
        if _came_to_its_end(place, act, after):
            return
        yield place


def _came_to_its_end(place: int, act: Callable[[int], object], after: str | None) -> bool:
    left = place + (after is None)  # `sys.setprofile` is the first that returns
    counts = after is None

    def look(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal left, counts
        counts = counts or frame.f_code.co_name == after
        if counts and event in ("call", "c_return"):
            left -= 1
            if not left:
                raise Struck

    try:
        sys.setprofile(look)
        act(place)
    except Struck:
        return False
    finally:
        sys.setprofile(None)
    return True
