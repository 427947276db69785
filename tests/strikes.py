"""Interrupts a piece of code at each place in turn where a signal's handler can raise."""

import gc
import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import CodeType, FrameType


class Struck(BaseException):
    """What the handler raises: like Ctrl-C, or SystemExit at SIGTERM."""


class AlarmError(Exception):
    """What an alarm's handler raises: like the time limit of a task queue."""


Handler = Callable[[int, FrameType | None], None]


def interrupt(_signum: int, _frame: FrameType | None) -> None:
    """A handler of Ctrl-C."""
    raise Struck


def alarm(_signum: int, _frame: FrameType | None) -> None:
    """A handler of an alarm; it has to be set for one, for that is how it is known."""
    raise AlarmError


def struck(
    act: Callable[[int], object],
    *,
    after: str | None = None,
    every: int = 1,
    handler: Handler = interrupt,
    ours: bool = False,
) -> Iterator[int]:
    """Call *act* with 1, 2, …, each time interrupted one place later, until it comes to its end.

    The places are those at which the interpreter looks for signals: where a function of Python
    begins, and where one of C has returned.

    Args:
        act: What is interrupted.
        after: The function from whose beginning on the places count; None: all.
        every: How many places are passed over, and one.
        handler: What raises there.
        ours: Only in functions of Aden; an HTTP client does not survive it everywhere.
    """
    for place in count(1, every):
        if _came_to_its_end(place, act, after, handler, ours):
            return
        yield place


def _came_to_its_end(
    place: int, act: Callable[[int], object], after: str | None, handler: Handler, ours: bool
) -> bool:
    left = place + (after is None)  # `sys.setprofile` is the first that returns
    counts = after is None

    def look(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal left, counts
        counts = counts or frame.f_code.co_name == after
        if counts and event in ("call", "c_return") and (not ours or _is_ours(frame)):
            left -= 1
            if not left:
                handler(0, frame)

    try:
        gc.disable()  # a finalizer that it ran there would swallow what is raised
        sys.setprofile(look)
        act(place)
    except (Struck, AlarmError):
        return False
    finally:
        sys.setprofile(None)
        gc.enable()
    return left > 0  # else something has swallowed it


Mistake = tuple[str, CodeType]
"""A function of ours by its name, and what it runs."""


def below_the_door(act: Callable[[], object]) -> list[Mistake]:
    """The functions of Aden that functions of Aden enter on this thread while *act* runs."""
    found: dict[CodeType, str] = {}

    def look(frame: FrameType, event: str, _arg: object) -> None:
        above = frame.f_back
        if event == "call" and above is not None and _is_ours(frame) and _is_ours(above):
            found.setdefault(frame.f_code, _name(frame))

    try:
        sys.setprofile(look)
        act()
    finally:
        sys.setprofile(None)
    return [(name, code) for code, name in found.items()]


def mistaken(code: CodeType, error: Exception, act: Callable[[], object]) -> bool:
    """Call *act*; the first entry of *code* from Aden raises *error*. Whether there was one."""
    came = False

    def look(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal came
        above = frame.f_back
        if came or event != "call" or frame.f_code is not code:
            return
        if above is not None and _is_ours(above):
            came = True
            raise error

    try:
        sys.setprofile(look)
        act()
    finally:
        sys.setprofile(None)
    return came


def _is_ours(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__"))
    return module.startswith("aden.") and not module.startswith("aden.testing")


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals['__name__']}:{frame.f_code.co_qualname}"
