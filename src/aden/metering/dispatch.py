"""Hands finished calls and alerts to who is to know, off the path of a request."""

import asyncio
import contextlib
import inspect
import logging
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from aden.core.event_loop import running_loop
from aden.core.forks import see_through_forks
from aden.core.record import AlertEvent, CallRecord
from aden.metering.worker import Worker, nothing

logger = logging.getLogger("aden")
Event = TypeVar("Event")
Emitter = Callable[[CallRecord], object]
AlertHandler = Callable[[AlertEvent], object]
Again = Callable[[], object]

QUEUE_EVENTS = 10_000
ASYNC_TIMEOUT_S = 10.0


class Dispatcher:
    """Bounded queues, and threads that call the emitters in order.

    Our own work, alert handlers and emitters have a thread each, so that a user's that hangs keeps
    no dropped stream from being settled. A coroutine of an async emitter runs on the event loop in
    which the call was settled, where its own sessions live; where none runs, or it is closed
    meanwhile, on a loop of the thread. An emitter that raises is logged once.
    """

    def __init__(self) -> None:
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Start anew: neither the parent's threads nor what waits for them is the child's."""
        self._ours = Worker("aden-work")
        self._alerts = Worker("aden-alert")
        self._emits = Worker("aden-emit")
        self._workers = self._ours, self._alerts, self._emits
        # Whose stream is open keeps us, so the threads are there for it; then nobody needs them.
        weakref.finalize(self, _end, self._workers).atexit = False
        self._runs = False
        self._lock = threading.Lock()
        # What is to run, and runs, on loops of others, and how it is begun anew.
        self._sent: dict[Awaitable[object], tuple[asyncio.AbstractEventLoop, Again]] = {}
        self._tasks: dict[asyncio.Task[None], Again] = {}
        self._blamed: dict[int, object] = {}
        self.dropped = 0

    def put(
        self,
        emitter: Callable[[Event], object] | None,
        event: Event,
        owner: object = None,
        *,
        home: asyncio.AbstractEventLoop | None = None,
        ours: bool = False,
    ) -> None:
        """Hand *event* over; never blocks, never raises.

        Args:
            emitter: What takes it; None: nobody.
            event: What is handed over.
            owner: Is blamed for what is raised, instead of the emitter.
            home: The loop of its coroutine, where that is not the one that runs here.
            ours: It is no user's, and returns at once.
        """
        if emitter is None:
            return
        self.ready()
        worker = self._ours if ours else self._theirs(event)
        loop = home or running_loop()
        if loop is not None and home is None and is_async(emitter):
            task = loop.create_task(self._await(emitter, event))
            self._begun(task, self._anew(emitter, event))
        elif worker.waiting < QUEUE_EVENTS:
            worker.put(partial(self._call, emitter, event, owner, loop))
        else:
            self.dropped += 1
            if self.dropped == 1:
                logger.error("aden: an emitter is too slow: events are dropped")

    def soon(self, work: Callable[[], object]) -> None:
        """Have our own *work* done by a thread that `ready` has started; safe in a destructor."""
        self._ours.put(work)

    def later(self, work: Callable[[], object], at: float) -> None:
        """Have our own *work* done at the monotonic second *at*, sooner if it is flushed.

        Never blocks.
        """
        self.ready()
        self._ours.put_off(work, at)

    def ready(self) -> None:
        """Start the threads unless they run, all at once: the end of a process starts none."""
        if self._runs:
            return
        with self._lock:
            self._runs = all(worker.start() for worker in self._workers)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that is queued now is done; False where *timeout_s* was not enough."""
        if not self._runs:
            return not any(worker.waiting for worker in self._workers)
        deadline = time.monotonic() + timeout_s
        self._rescue()
        in_time = self._ours.mark().wait(timeout_s)  # it has something to tell
        told = [self._alerts.mark(), self._emits.mark()]
        return all(each.wait(max(0.0, deadline - time.monotonic())) for each in told) and in_time

    async def aflush(self, timeout_s: float) -> None:
        """Wait for the coroutines that run on this loop."""
        here = asyncio.get_running_loop()
        if own := [task for task in list(self._tasks) if task.get_loop() is here]:
            await asyncio.wait(own, timeout=timeout_s)

    def _call(
        self,
        emitter: Callable[[Event], object],
        event: Event,
        owner: object = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Call *emitter* on its thread; its coroutine runs on *loop*, if that still runs."""
        try:
            result = emitter(event)
            if not inspect.isawaitable(result):
                return
            if loop is None or not self._send(result, loop, emitter, event, owner):
                asyncio.run(_bounded(result))
        except BaseException as error:  # sys.exit() in an emitter is no end of this process
            self._blame(owner or emitter, error)

    def _send(
        self,
        result: Awaitable[object],
        loop: asyncio.AbstractEventLoop,
        emitter: Callable[[Event], object],
        event: Event,
        owner: object,
    ) -> bool:
        """Have *result* awaited on *loop*; False where that runs no more.

        It may be closed at any step of this: whoever takes it out of what is sent answers for it.
        """
        self._sent[result] = loop, self._anew(emitter, event, owner)
        if loop.is_running():
            with contextlib.suppress(RuntimeError):  # closed since
                loop.call_soon_threadsafe(self._take_home, result, owner or emitter)
                return True
        return self._sent.pop(result, None) is None

    def _theirs(self, event: object) -> Worker:
        return self._alerts if isinstance(event, AlertEvent) else self._emits

    def _anew(
        self, emitter: Callable[[Event], object], event: Event, owner: object = None
    ) -> Again:
        """Has the thread begin with *event*, whose loop has ended."""
        return partial(self._theirs(event).put, partial(self._call, emitter, event, owner))

    def _take_home(self, result: Awaitable[object], owner: object) -> None:
        """Await on the running loop what the thread was given for an event that was put there."""
        if sent := self._sent.pop(result, None):
            loop, again = sent
            self._begun(loop.create_task(self._watch(result, owner)), again)

    def _begun(self, task: asyncio.Task[None], again: Again) -> None:
        self._tasks[task] = again
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
        again = self._tasks.pop(task, nothing)  # another thread may rescue as well
        if task.cancelled() or not task.done():  # its loop was closed under it
            again()

    def _rescue(self) -> None:
        """Begin anew, on the thread, what a loop that is closed by now will never finish."""
        for task in list(self._tasks):
            if task.get_loop().is_closed():
                self._task_ended(task)  # the loop may not have come to tell it
        for result, (loop, _) in list(self._sent.items()):
            if loop.is_closed() and (sent := self._sent.pop(result, None)):
                if inspect.iscoroutine(result):
                    result.close()
                _, again = sent
                again()

    def _blame(self, emitter: object, error: BaseException) -> None:
        if id(emitter) not in self._blamed:
            self._blamed[id(emitter)] = emitter  # kept, so that nothing else gets its id
            logger.error("aden: %r raised and is not logged again", emitter, exc_info=error)


def _end(workers: Iterable[Worker]) -> None:
    for worker in workers:
        worker.end()


async def _bounded(result: Awaitable[object]) -> None:
    async with asyncio.timeout(ASYNC_TIMEOUT_S):
        await result


def is_async(function: object) -> bool:
    """Whether calling it gives a coroutine: emitters and hooks may be either."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )
