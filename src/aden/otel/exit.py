"""Hand out what a process still holds, on every path on which Python still runs at its end."""

import atexit
import logging
import multiprocessing.util
import os
import queue
import sys
import threading
import time
from collections.abc import Callable

from aden.core.forks import call_in_children

logger = logging.getLogger("aden.otel")

_NO_THREADS_AT_THE_END = sys.version_info[:2] == (3, 12)
"""When ``atexit`` runs; 3.11 and 3.13 start some (https://github.com/python/cpython/issues/113964)."""
_STANDING_BY = 8
"""One for each provider and exporter that is flushed, so that one that hangs holds up none."""

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
    if _NO_THREADS_AT_THE_END:
        _standby.begin()
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


class _Standby:
    """Threads that were started in time, and wait for what is to be done at the end."""

    def __init__(self) -> None:
        self._threads: tuple[threading.Thread, ...] = ()

    def begin(self) -> None:
        """Start them, unless they are there."""
        if self._threads:
            return
        self._works = queue.SimpleQueue[Callable[[], object]]()
        self._threads = tuple(
            threading.Thread(target=self._run, name="aden-standby", daemon=True)
            for _ in range(_STANDING_BY)
        )
        for thread in self._threads:
            thread.start()

    def begin_again(self) -> None:
        """In a forked child none of them runs."""
        if self._threads:
            self._threads = ()
            self.begin()

    def take(self, work: Callable[[], object]) -> bool:
        """Have *work* done by one of them, by this one if it is one; False: there are none."""
        if threading.current_thread() in self._threads:
            work()
        elif self._threads:
            self._works.put(work)
        return bool(self._threads)

    def _run(self) -> None:
        while True:
            self._works.get()()


_standby = _Standby()
call_in_children(_standby.begin_again)


class _Work:
    """Runs as soon as it is made, on a thread of its own if there can be one. Never raises."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self.done = threading.Event()
        try:
            threading.Thread(target=self._run, name="aden-flush", daemon=True).start()
        except RuntimeError:  # the interpreter no longer starts threads
            if not _standby.take(self._run):
                self.done.set()

    def _run(self) -> None:
        try:
            self._work()
        except Exception:
            logger.warning("aden: telemetry could not be handed out", exc_info=True)
        finally:
            self.done.set()


class Background:
    """Work on daemon threads, all at once, that is waited for only so long.

    OpenTelemetry's own ``force_flush`` ignores its time-out.
    """

    def __init__(self, *works: Callable[[], object]) -> None:
        self._pid = os.getpid()
        self._works = [_Work(work) for work in works]
        self._gave_up = False

    @property
    def running(self) -> bool:
        """Whether some of it is not done; a forked child does none of it."""
        return os.getpid() == self._pid and not all(work.done.is_set() for work in self._works)

    def wait(self, deadline: float) -> bool:
        """Wait until the monotonic *deadline*; False where that was not enough, now or before."""
        if not self._gave_up:
            for work in self._works:
                work.done.wait(max(0.0, deadline - time.monotonic()))
            self._gave_up = self.running
        return not self.running
