"""Hands finished calls and alerts to the user's emitters, off the path of a request."""

import asyncio
import inspect
import logging
import os
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from aden.core.record import AlertEvent, CallRecord

logger = logging.getLogger("aden")
Event = TypeVar("Event")
Emitter = Callable[[CallRecord], object]
AlertHandler = Callable[[AlertEvent], object]

QUEUE_EVENTS = 10_000
ASYNC_TIMEOUT_S = 10.0


class Dispatcher:
    """A bounded queue and one thread that calls the emitters in order.

    A coroutine of an async emitter runs on the event loop in which the call was settled, where its
    own sessions live; where none runs, or it is closed meanwhile, on a loop of the thread. An
    emitter that raises is logged once.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        # A SimpleQueue: unlike Queue it may be fed in a destructor, which the garbage collector
        # runs in the middle of anything, this queue's own methods included.
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._late: list[tuple[float, Callable[[], object]]] = []  # the thread's own
        self._tasks: dict[asyncio.Task[None], Callable[[], object]] = {}
        self._blamed: dict[int, object] = {}
        self.dropped = 0

    def put(
        self,
        emitter: Callable[[Event], object] | None,
        event: Event,
        owner: object = None,
    ) -> None:
        """Hand *event* over; never blocks, never raises. *owner* is blamed for what is raised."""
        if emitter is None:
            return
        self.ready()
        loop = running_loop()
        if loop is not None and is_async(emitter):
            task = loop.create_task(self._await(emitter, event))
            self._tasks[task] = partial(self.call, emitter, event)
            task.add_done_callback(self._task_ended)
        elif self._queue.qsize() < QUEUE_EVENTS:
            self._queue.put(partial(self.call, emitter, event, owner, loop))
        else:
            self.dropped += 1
            if self.dropped == 1:
                logger.error("aden: an emitter is too slow: events are dropped")

    def soon(self, work: Callable[[], object]) -> None:
        """Have *work* done by the thread, which `ready` has started; safe in a destructor."""
        self._queue.put(work)

    def later(self, work: Callable[[], object], at: float) -> None:
        """Have *work* done by the thread at the monotonic second *at*, sooner if it is flushed.

        Never blocks.
        """
        self.ready()
        self._queue.put(partial(self._put_off, at, work))

    def ready(self) -> None:
        """Start the thread unless it runs; threads do not survive a fork."""
        if os.getpid() != self._pid:
            self._start()
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aden-emit", daemon=True)
                self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that is queued now is done; False where *timeout_s* was not enough."""
        if os.getpid() != self._pid or self._thread is None:
            return True
        self._rescue()
        done = threading.Event()
        self._queue.put(self._hurry)
        self._queue.put(done.set)
        return done.wait(timeout_s)

    async def aflush(self, timeout_s: float) -> None:
        """Wait for the coroutines that run on this loop."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def _run(self) -> None:
        while True:
            try:
                self._next()()
            except BaseException:  # also SystemExit, by which the thread would end unseen
                logger.exception("aden: work on the emitters' thread failed")

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
            return _nothing

    def _put_off(self, at: float, work: Callable[[], object]) -> None:
        self._late.append((at, work))

    def _hurry(self) -> None:
        self._late = [(0.0, work) for _, work in self._late]

    def call(
        self,
        emitter: Callable[[Event], object],
        event: Event,
        owner: object = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Call *emitter* on the thread; its coroutine runs on *loop*, if that still runs."""
        try:
            result = emitter(event)
            if not inspect.isawaitable(result):
                return
            if loop is not None and loop.is_running():
                loop.call_soon_threadsafe(self._take_home, result, owner or emitter)
            else:
                asyncio.run(_bounded(result))
        except BaseException as error:  # sys.exit() in an emitter is no end of this process
            self._blame(owner or emitter, error)

    def _take_home(self, result: Awaitable[object], owner: object) -> None:
        """Await on the running loop what the thread was given for an event that was put there."""
        task = asyncio.get_running_loop().create_task(self._watch(result, owner))
        self._tasks[task] = _nothing
        task.add_done_callback(self._task_ended)

    async def _watch(self, result: Awaitable[object], owner: object) -> None:
        try:
            await _bounded(result)
        except Exception as error:
            self._blame(owner, error)

    async def _await(self, emitter: Callable[[Event], object], event: Event) -> None:
        try:
            result = emitter(event)
            if inspect.isawaitable(result):
                await _bounded(result)
        except Exception as error:
            self._blame(emitter, error)

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        again = self._tasks.pop(task)
        if task.cancelled():  # its loop was closed under it
            self._queue.put(again)

    def _rescue(self) -> None:
        """Begin anew, on the thread, what a loop that is closed by now will never finish."""
        for task in list(self._tasks):
            if task.get_loop().is_closed():
                self._queue.put(self._tasks.pop(task))

    def _blame(self, emitter: object, error: BaseException) -> None:
        if id(emitter) not in self._blamed:
            self._blamed[id(emitter)] = emitter  # kept, so that nothing else gets its id
            logger.error("aden: %r raised and is not logged again", emitter, exc_info=error)


def _nothing() -> None:
    """Nothing is due; or a coroutine that was cut off cannot be begun anew (others claim it)."""


async def _bounded(result: Awaitable[object]) -> None:
    async with asyncio.timeout(ASYNC_TIMEOUT_S):
        await result


def is_async(function: object) -> bool:
    """Whether calling it gives a coroutine: emitters and hooks may be either."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread; None where none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
