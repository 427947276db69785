"""The threads off a call's path: bounded, in order, safe in destructors, at home after a fork."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from aden.core.record import AlertEvent
from aden.metering import dispatch
from aden.metering.dispatch import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable


class Hanging:
    """Takes an event and does not come back until it is let go."""

    def __init__(self) -> None:
        self._begun, self._gate = threading.Event(), threading.Event()

    def __call__(self, _event: object = None) -> None:
        self._begun.set()
        self._gate.wait(60)

    def begun(self) -> bool:
        """Wait until it hangs."""
        return self._begun.wait(60)

    def let_go(self) -> None:
        """It comes back."""
        self._gate.set()


def test_events_come_in_the_order_in_which_they_were_put() -> None:
    """One thread, one queue."""
    got: list[int] = []
    dispatcher = Dispatcher()
    for number in range(200):
        dispatcher.put(got.append, number)
    assert dispatcher.flush(2)
    assert got == list(range(200))


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_whatever_an_emitter_raises_others_are_told_after_it(
    error: BaseException, complaints: Callable[[], list[str]]
) -> None:
    """The thread goes on."""
    got: list[int] = []
    dispatcher = Dispatcher()

    def leave(_event: int) -> None:
        raise error

    async def leave_later(_event: int) -> None:
        raise error

    for emitter in (leave, got.append, leave_later, got.append):
        dispatcher.put(emitter, 1)
    assert dispatcher.flush(5)
    assert got == [1, 1]
    assert len(complaints()) == 2


def test_a_full_queue_drops_counts_and_says_so_once(complaints: Callable[[], list[str]]) -> None:
    """An emitter that hangs must not eat the memory."""
    hang = Hanging()
    got: list[int] = []
    dispatcher = Dispatcher()
    dispatcher.put(hang, 0)
    assert hang.begun()
    for number in range(dispatch.QUEUE_EVENTS + 5):
        dispatcher.put(got.append, number)
    hang.let_go()
    assert dispatcher.flush(60)
    assert dispatcher.dropped == 5
    assert len(got) + dispatcher.dropped == dispatch.QUEUE_EVENTS + 5
    assert complaints() == ["aden: an emitter is too slow: events are dropped"]


def test_what_must_be_done_is_not_dropped_by_a_full_queue() -> None:
    """A settlement is no event: it goes into the queue however long that is."""
    hang = Hanging()
    done: list[int] = []
    dispatcher = Dispatcher()
    dispatcher.ready()
    dispatcher.soon(hang)
    assert hang.begun()
    for number in range(dispatch.QUEUE_EVENTS + 5):
        dispatcher.soon(lambda number=number: done.append(number))  # type: ignore[misc]
    hang.let_go()
    assert dispatcher.flush(10)
    assert len(done) == dispatch.QUEUE_EVENTS + 5


def test_what_is_put_off_is_done_at_its_time_and_sooner_where_it_is_flushed() -> None:
    """The earlier first; what comes meanwhile does not wait for it."""
    done: list[str] = []
    at_its_time = threading.Event()
    dispatcher = Dispatcher()
    soon = time.monotonic() + 0.05
    dispatcher.later(lambda: done.append("in an hour"), soon + 3_600)
    dispatcher.later(at_its_time.set, soon)
    assert at_its_time.wait(30)
    assert time.monotonic() >= soon
    dispatcher.soon(lambda: done.append("work"))
    assert dispatcher.flush(5)
    assert done == ["work", "in an hour"]


def test_an_emitter_that_hangs_holds_up_neither_our_own_work_nor_alerts() -> None:
    """A stream that was dropped is settled, the server is told, and whoever is to know is told."""
    hang = Hanging()
    done: list[str] = []
    dispatcher = Dispatcher()
    dispatcher.put(hang, 0)
    assert hang.begun()
    dispatcher.soon(lambda: done.append("settled"))
    dispatcher.put(lambda _: done.append("server"), 0, ours=True)
    dispatcher.put(lambda event: done.append(event.message), AlertEvent("info", "alert"))
    assert not dispatcher.flush(2)
    hang.let_go()
    assert sorted(done) == ["alert", "server", "settled"]
    assert dispatcher.flush(60)


def test_an_alert_handler_that_hangs_holds_up_neither_our_own_work_nor_emitters() -> None:
    """It is the user's code as well."""
    hang = Hanging()
    done: list[str] = []
    dispatcher = Dispatcher()
    dispatcher.put(hang, AlertEvent("info", "alert"))
    assert hang.begun()
    dispatcher.soon(lambda: done.append("settled"))
    dispatcher.put(done.append, "event")
    assert not dispatcher.flush(2)
    hang.let_go()
    assert sorted(done) == ["event", "settled"]
    assert dispatcher.flush(60)


def test_flush_gives_up_in_time() -> None:
    """An emitter that hangs does not hang the exit."""
    gate = threading.Event()
    dispatcher = Dispatcher()
    dispatcher.put(lambda _: gate.wait(10), 0)
    assert not dispatcher.flush(0.05)
    gate.set()
    assert dispatcher.flush(2)


def test_work_that_raises_leaves_the_thread_alive(complaints: Callable[[], list[str]]) -> None:
    """The next event is delivered all the same."""
    dispatcher = Dispatcher()
    got: list[int] = []
    dispatcher.ready()
    dispatcher.soon(lambda: 1 // 0)
    dispatcher.put(got.append, 1)
    assert dispatcher.flush(2)
    assert got == [1]
    assert len(complaints()) == 1


@pytest.mark.timeout(20)
def test_work_may_be_queued_in_the_middle_of_putting() -> None:
    """The garbage collector runs destructors at any line, also where a queue's lock is held."""
    dispatcher = Dispatcher()
    dispatcher.ready()
    done: list[int] = []
    lines = 0

    def destructor(frame: Any, event: str, arg: Any) -> Any:
        nonlocal lines
        lines += 1
        dispatcher.soon(lambda: done.append(1))
        return destructor

    sys.settrace(destructor)  # it is called at each line of what `put` runs
    try:
        dispatcher.put(lambda _: None, 0)
    finally:
        sys.settrace(None)
    assert dispatcher.flush(5)
    assert len(done) == lines > 5


class Unhashable:
    """An emitter that cannot be put into a set."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, event: Any) -> None:
        raise RuntimeError("bang")


def test_an_unhashable_emitter_is_blamed_once_too(complaints: Callable[[], list[str]]) -> None:
    """An object with ``__eq__`` is an emitter like any other."""
    dispatcher, emitter = Dispatcher(), Unhashable()
    for number in range(3):
        dispatcher.put(emitter, number)
    assert dispatcher.flush(2)
    assert len(complaints()) == 1


@pytest.mark.parametrize("emitter_takes_s", [0.0, 0.01])
def test_a_closed_loop_hands_its_events_to_the_thread(emitter_takes_s: float) -> None:
    """Whether the coroutine had begun or not."""
    dispatcher = Dispatcher()
    got: list[int] = []

    async def emit(event: int) -> None:
        await asyncio.sleep(emitter_takes_s)
        got.append(event)

    async def main() -> None:
        dispatcher.put(emit, 1)
        if emitter_takes_s:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert dispatcher.flush(2)
    assert got == [1]


@pytest.mark.parametrize("begun", [True, False])
def test_a_loop_that_cuts_off_what_a_thread_sent_it_keeps_no_event(begun: bool) -> None:
    """The thread begins it anew."""
    dispatcher, called = Dispatcher(), threading.Event()
    got: list[str] = []

    async def emit(event: str) -> None:
        await asyncio.sleep(0.05)
        got.append(event)

    def emitter(event: str) -> object:
        called.set()
        return emit(event)

    async def main() -> None:
        dispatcher.put(emitter, "told", home=asyncio.get_running_loop())
        assert called.wait(10)
        await asyncio.sleep(0.02 if begun else 0)

    asyncio.run(main())
    assert dispatcher.flush(5)
    assert got == ["told"]


def test_what_a_loop_did_in_its_last_step_is_not_done_again() -> None:
    """It is closed before it comes to tell that the coroutine has ended."""
    dispatcher = Dispatcher()
    got: list[str] = []

    async def emit(event: str) -> None:
        got.append(event)

    async def put() -> None:
        dispatcher.put(emit, "told")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(put())
    loop.close()
    assert dispatcher.flush(5)
    assert got == ["told"]


class Ending:
    """A loop that was running a moment ago, and runs nothing any more."""

    def __init__(self, takes: bool) -> None:
        self._takes = takes
        self.asked = threading.Event()

    def is_running(self) -> bool:
        """As it was."""
        return True

    def is_closed(self) -> bool:
        """It is, when anybody looks."""
        return True

    def call_soon_threadsafe(self, *_: object, **__: object) -> Any:
        """What it takes is never called."""
        self.asked.set()
        if not self._takes:
            raise RuntimeError("Event loop is closed")


@pytest.mark.parametrize("takes", [True, False])
def test_a_loop_that_takes_its_last_step_keeps_no_event(takes: bool) -> None:
    """It is closed before a thread's coroutine is sent to it, or before it runs what was sent."""
    dispatcher, loop = Dispatcher(), Ending(takes)
    home: Any = loop
    got: list[str] = []

    async def emit(event: str) -> None:
        got.append(event)

    def emitter(event: str) -> object:
        return emit(event)

    dispatcher.put(emitter, "told", home=home)
    assert loop.asked.wait(10)
    assert dispatcher.flush(5)
    assert got == ["told"]


@pytest.mark.timeout(20)
def test_a_loop_waits_for_its_own_coroutines_alone() -> None:
    """Jobs that share a process end one by one, each with a loop of its own."""
    dispatcher, put = Dispatcher(), threading.Event()
    got: list[str] = []
    elsewhere = asyncio.new_event_loop()
    go_on = asyncio.Event()

    async def emit(event: str) -> None:
        await (go_on.wait() if event == "elsewhere" else asyncio.sleep(0))
        got.append(event)

    async def one_job() -> None:
        dispatcher.put(emit, "elsewhere")
        put.set()
        await dispatcher.aflush(60)

    async def another() -> None:
        dispatcher.put(emit, "here")
        await dispatcher.aflush(60)

    thread = threading.Thread(target=elsewhere.run_until_complete, args=(one_job(),))
    thread.start()
    assert put.wait(10)
    asyncio.run(another())
    assert got == ["here"]
    elsewhere.call_soon_threadsafe(go_on.set)
    thread.join(10)
    elsewhere.close()
    assert got == ["here", "elsewhere"]


def test_what_is_put_where_no_thread_can_be_started_is_done_by_a_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request pays nothing for it, and a flush says that it waits."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    dispatcher = Dispatcher()
    got: list[int] = []
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", start)
        dispatcher.put(got.append, 1)
        assert not dispatcher.flush(5)
    dispatcher.put(got.append, 2)
    assert dispatcher.flush(5)
    assert got == [1, 2]


def _emit_in_child(dispatcher: Dispatcher, answers: Any) -> None:
    dispatcher.put(answers.put, "from the child")
    dispatcher.flush(5)


def test_a_forked_child_emits_by_a_thread_of_its_own() -> None:
    """The parent's thread does not exist there, nor does what the parent had queued."""
    dispatcher = Dispatcher()
    dispatcher.put(lambda _: None, 0)
    dispatcher.flush(2)
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_emit_in_child, args=(dispatcher, answers))
    child.start()
    assert answers.get(timeout=10) == "from the child"
    child.join(10)


def test_the_threads_end_when_nobody_needs_them_any_more() -> None:
    """A process that is instrumented again and again would have thousands; work is done before."""
    done: list[str] = []
    before = set(threading.enumerate())
    dispatcher = Dispatcher()
    dispatcher.ready()
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3
    dispatcher.later(lambda: done.append("put off"), time.monotonic() + 60)
    dispatcher.soon(lambda: done.append("queued"))
    del dispatcher
    gc.collect()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert sorted(done) == ["put off", "queued"]
