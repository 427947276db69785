"""Interrupts a piece of code at each place in turn where a signal's handler can raise."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType


class Struck(BaseException):
    """What the handler raises: like Ctrl-C, or SystemExit at SIGTERM."""


def struck(act: Callable[[int], object]) -> Iterator[int]:
    """Call *act* with 1, 2, …, each time interrupted one place later, until it comes to its end.

    The places are those at which the interpreter looks for signals: where a function of Python
    begins, and where one of C has returned.
    """
    for place in count(1):
        if _came_to_its_end(place, act):
            return
        yield place


def _came_to_its_end(place: int, act: Callable[[int], object]) -> bool:
    left = place + 1  # `sys.setprofile` is the first that returns

    def look(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal left
        if event in ("call", "c_return"):
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
