"""Hand out what a process still holds, on every path on which Python still runs at its end."""

import atexit
import multiprocessing.util
import os
import threading
from collections.abc import Callable

_flush: Callable[[], object] | None = None
_armed_in: set[int] = set()


class _Anchor:
    """Lives as long as the module; `register_after_fork` holds it weakly."""


_anchor = _Anchor()


def arm(flush: Callable[[], object]) -> None:
    """Call *flush* at the end of this process and of the ones forked from it.

    ``atexit`` does not run in multiprocessing's fork and forkserver children before Python 3.13;
    ``multiprocessing.util.Finalize`` does, if it was registered in the child.
    """
    global _flush  # noqa: PLW0603 - the latest configuration flushes
    _flush = flush
    _arm_here(None)


def _arm_here(_anchor: object) -> None:
    if os.getpid() in _armed_in:
        return
    _armed_in.add(os.getpid())
    multiprocessing.util.Finalize(None, _run, exitpriority=50)
    atexit.register(_run)


def _after_fork(anchor: object) -> None:
    if _flush is not None:
        _arm_here(anchor)


multiprocessing.util.register_after_fork(_anchor, _after_fork)


def _run() -> None:
    if _flush is not None:
        _flush()


def bounded(work: Callable[[], object], timeout_s: float) -> bool:
    """Run *work* on a daemon thread; False where it did not end in time.

    OpenTelemetry's own ``force_flush`` ignores its time-out.
    """
    thread = threading.Thread(target=work, name="aden-flush", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter no longer starts threads
        return False
    thread.join(timeout_s)
    return not thread.is_alive()
