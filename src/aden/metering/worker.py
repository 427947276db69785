"""A thread with a queue, off the path of a request."""

import logging
import queue
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("aden")


class Worker:
    """Does what is queued in order, and what is put off at its time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._runs = False
        self._is_over = False
        # A SimpleQueue: unlike Queue it may be fed in a destructor, which the garbage collector
        # runs in the middle of anything, this queue's own methods included.
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._late: list[tuple[float, Callable[[], object]]] = []  # the thread's own

    def start(self) -> bool:
        """Begin, unless it has begun; False where no thread can be had now."""
        self._runs = self._runs or begins(self._run, self._name)
        return self._runs

    def put(self, work: Callable[[], object]) -> None:
        """Have *work* done after what is queued; safe in a destructor."""
        self._queue.put(work)

    def put_off(self, work: Callable[[], object], at: float) -> None:
        """Have *work* done at the monotonic second *at*, sooner if there is a `mark`."""
        self._queue.put(lambda: self._late.append((at, work)))

    @property
    def waiting(self) -> int:
        """How much is queued."""
        return self._queue.qsize()

    def mark(self) -> threading.Event:
        """Set when all that is queued or put off now is done."""
        done = threading.Event()
        self._queue.put(self._hurry)
        self._queue.put(done.set)
        return done

    def end(self) -> None:
        """Let the thread go once all is done that is queued or put off; safe in a destructor."""
        self._queue.put(self._end)

    def _end(self) -> None:
        self._hurry()
        self._is_over = True

    def _run(self) -> None:
        while self._late or not self._is_over:
            try:
                self._next()()
            except BaseException:  # also SystemExit, by which the thread would end unseen
                logger.exception("aden: work on the thread %s failed", self._name)

    def _next(self) -> Callable[[], object]:
        """What is due, else what comes first."""
        wait_s = None
        if self._late:
            first = min(self._late, key=lambda late: late[0])
            wait_s = first[0] - time.monotonic()
            if wait_s <= 0:
                self._late.remove(first)
                return first[1]
        try:
            return self._queue.get(timeout=wait_s)
        except queue.Empty:
            return nothing

    def _hurry(self) -> None:
        self._late = [(0.0, work) for _, work in self._late]


def begins(run: Callable[[], object], name: str) -> bool:
    """Run it on a daemon thread; False where none can be had: whoever needs it next tries again."""
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True


def nothing() -> None:
    """Nothing is due."""
