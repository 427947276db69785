"""Hands finished calls and alerts to the user's emitters, off the path of a request."""

import asyncio
import inspect
import logging
import os
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aden.core.record import AlertEvent, CallRecord

logger = logging.getLogger("aden")
Event = TypeVar("Event")
Emitter = Callable[[CallRecord], object]
AlertHandler = Callable[[AlertEvent], object]

QUEUE_EVENTS = 10_000
ASYNC_TIMEOUT_S = 10.0

_Job = tuple[Callable[[object], object], object]


class Dispatcher:
    """A bounded queue and one thread that calls the emitters in order.

    A coroutine of an async emitter runs on the event loop in which the call was settled, where its
    own sessions live, else on the thread's loop. An emitter that raises is logged once.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._queue: queue.Queue[_Job] = queue.Queue(QUEUE_EVENTS)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._blamed: set[object] = set()
        self.dropped = 0

    def put(self, emitter: Callable[[Event], object] | None, event: Event) -> None:
        """Hand *event* over; never blocks, never raises."""
        if emitter is None:
            return
        if os.getpid() != self._pid:  # threads do not survive a fork
            self._start()
        loop = _running_loop()
        if loop is not None and _is_async(emitter):
            task = loop.create_task(self._await(emitter, event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            self._queue.put_nowait((emitter, event))  # type: ignore[arg-type]
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                logger.error("aden: an emitter is too slow: events are dropped")
            return
        self._ensure_thread()

    def flush(self, timeout_s: float) -> bool:
        """Wait until the queue is empty; False where *timeout_s* was not enough."""
        if os.getpid() != self._pid:
            return True
        deadline = time.monotonic() + timeout_s
        while self._queue.unfinished_tasks:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    async def aflush(self, timeout_s: float) -> None:
        """Wait for the coroutines that run on this loop."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aden-emit", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            emitter, event = self._queue.get()
            try:
                result = emitter(event)
                if inspect.isawaitable(result):
                    asyncio.run(_bounded(result))
            except Exception as error:
                self._blame(emitter, error)
            finally:
                self._queue.task_done()

    async def _await(self, emitter: Callable[[Event], object], event: Event) -> None:
        try:
            result = emitter(event)
            if inspect.isawaitable(result):
                await _bounded(result)
        except Exception as error:
            self._blame(emitter, error)

    def _blame(self, emitter: object, error: BaseException) -> None:
        if emitter not in self._blamed:
            self._blamed.add(emitter)
            logger.error("aden: %r raised and is not logged again", emitter, exc_info=error)


async def _bounded(result: Awaitable[object]) -> None:
    async with asyncio.timeout(ASYNC_TIMEOUT_S):
        await result


def _is_async(emitter: object) -> bool:
    return inspect.iscoroutinefunction(emitter) or inspect.iscoroutinefunction(
        getattr(emitter, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
