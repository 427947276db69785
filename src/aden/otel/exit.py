"""Hand out what a process still holds, on every path on which Python still runs at its end."""

import atexit
import contextlib
import multiprocessing.util
import os
import threading
import time
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
    """Also where it was armed right after the fork: multiprocessing has cleared that since."""
    if _flush is not None:
        _armed_in.discard(os.getpid())
        _arm_here(anchor)


multiprocessing.util.register_after_fork(_anchor, _after_fork)


def _run() -> None:
    if _flush is not None:
        _flush()


class Background:
    """Work on daemon threads, all at once, that is waited for only so long.

    OpenTelemetry's own ``force_flush`` ignores its time-out.
    """

    def __init__(self, *works: Callable[[], object]) -> None:
        self._threads = []
        self._gave_up = False
        for work in works:
            thread = threading.Thread(target=work, name="aden-flush", daemon=True)
            with contextlib.suppress(RuntimeError):  # the interpreter no longer starts threads
                thread.start()
                self._threads.append(thread)

    @property
    def running(self) -> bool:
        """Whether some of it is not done."""
        return any(thread.is_alive() for thread in self._threads)

    def wait(self, deadline: float) -> bool:
        """Wait until the monotonic *deadline*; False where that was not enough, now or before."""
        if not self._gave_up:
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            self._gave_up = self.running
        return not self.running
