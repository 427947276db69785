"""What ends our code from outside of it: no mistake of ours, and not ours to keep."""

import signal
from traceback import walk_tb
from types import CodeType


def interrupts(error: BaseException) -> bool:
    """Whether *error* is the caller's own way to stop: Ctrl-C, a cancellation, an alarm.

    A signal's handler may raise anywhere, and any class (an alarm's `TimeoutError`, Celery's
    `SoftTimeLimitExceeded`); it is known by its frame.
    """
    if not isinstance(error, Exception):
        return True
    handlers = _handlers()
    return any(frame.f_code in handlers for frame, _ in walk_tb(error.__traceback__))


def _handlers() -> set[CodeType]:
    """The code of whatever the program has set for its signals."""
    found = map(signal.getsignal, signal.valid_signals())
    bare = (getattr(handler, "__func__", handler) for handler in found)
    codes = (getattr(handler, "__code__", None) for handler in bare)
    return {code for code in codes if code is not None}
