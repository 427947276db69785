"""What ends our code from outside of it: no mistake of ours, and not ours to keep."""

import signal
from functools import partial
from traceback import walk_tb
from types import CodeType


def interrupts(error: BaseException) -> bool:
    """Whether *error* is the caller's own way to stop: Ctrl-C, a cancellation, an alarm.

    A signal's handler may raise anywhere, and any class (an alarm's `TimeoutError`, Celery's
    `SoftTimeLimitExceeded`); it is known by its frame.
    """
    if not isinstance(error, Exception):
        return True
    handlers = {_code_of(signal.getsignal(each)) for each in signal.valid_signals()}
    return any(frame.f_code in handlers for frame, _ in walk_tb(error.__traceback__))


def _code_of(handler: object) -> CodeType | None:
    """What runs when a program's *handler* is called; None for the interpreter's own."""
    while isinstance(handler, partial):
        handler = handler.func
    if not callable(handler):
        return None
    for called in (getattr(handler, "__func__", handler), type(handler).__call__):
        if isinstance(code := getattr(called, "__code__", None), CodeType):
            return code
    return None
