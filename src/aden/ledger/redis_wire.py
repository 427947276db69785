"""One process's way to a Redis ledger: one connection and one thread, for all callers.

Whoever wants something puts it into a queue, which never blocks and is safe in a destructor; the
thread sends all that waits in one go and reads the answers. So a burst takes a few trips, each
caller sees what it booked before, and a caller that is cancelled breaks nobody's connection. An
event loop that asks while nothing else is asked does both itself.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from aden.core.forks import see_through_forks
from aden.errors import LedgerError, LedgerSaturated, LedgerUnavailable
from aden.ledger.redis_call import Call
from aden.ledger.redis_link import Link
from aden.ledger.redis_pump import Pump
from aden.ledger.redis_question import Barrier, Booking, Item, Question, Stop, nobody

logger = logging.getLogger("aden.ledger")
T = TypeVar("T")

BACKLOG_MAX = 10_000
EXIT_WAIT_S = 2.0
STUCK = 0.5
"""Of a deadline: only a server that is silent for so long is why nothing came in time."""


class Wire:
    """The pump, the thread that runs it, and the ways to wait for it."""

    def __init__(self, make_link: Callable[[], Link], shown: str, deadline_s: float) -> None:
        self._make_link = make_link
        self._shown = shown
        self._deadline_s = deadline_s
        self._begin()
        _WIRES.add(self)
        see_through_forks(self)

    def _begin(self) -> None:
        self.pump = Pump(self._make_link(), self._shown)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._in_line = False
        self._lost = 0
        # Whoever forgets to close leaves no thread behind.
        weakref.finalize(self, self.pump.put, Stop()).atexit = False

    def ask(self, question: Question[T], at: float, wait_s: float = 0.0) -> T:
        """Wait for the answer; *at* is the server's time, as far as we know it.

        Raises:
            LedgerError: None came in time.
        """
        bell = threading.Lock()
        bell.acquire()
        question.ring = bell.release
        try:
            self.put_question(question, at)
            bell.acquire(timeout=max(self._deadline_s, wait_s))
            return self._result(question)
        except LedgerError:
            raise
        except BaseException:
            self._forsake(question)
            raise

    async def aask(self, question: Question[T], at: float) -> T:
        """`ask`, while the loop runs. Cancelled, it holds nothing."""
        loop = asyncio.get_running_loop()
        bell = loop.create_future()
        question.ring = partial(_ring, loop, threading.get_ident(), bell)
        timer = loop.call_later(self._deadline_s, _wake, bell)
        descriptor = None
        try:
            try:
                if self._word(question, at):
                    descriptor = self._send(question, loop)
                await bell
                return self._result(question)
            finally:
                timer.cancel()
                if descriptor is not None:
                    loop.remove_reader(descriptor)
                    os.close(descriptor)
                    if self.pump.is_on_its_way(question):
                        self._leave_to_thread()
        except LedgerError:
            raise
        except BaseException:
            self._forsake(question)
            raise

    def put_question(self, question: Question[Any], at: float) -> None:
        """Ask, without waiting for the answer."""
        if self._word(question, at):
            self._put(question)

    def soon(self, call: Call) -> None:
        """Have *call* booked, whatever it takes. Never blocks."""
        if self.pump.waiting() < BACKLOG_MAX:
            self._put(Booking(call))
            return
        self._lost += 1
        if self._lost % 1_000 == 1:
            logger.error("aden: %s: backlog full, %d bookings lost", self._shown, self._lost)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that waits now is booked; False where *timeout_s* was not enough."""
        if not (self.pump.waiting() or self.pump.is_on_its_way() or self._runs()):
            return True
        bell = threading.Lock()
        bell.acquire()
        self._put(Barrier(bell.release))
        return bell.acquire(timeout=max(0.0, timeout_s))

    def close(self, timeout_s: float = EXIT_WAIT_S) -> None:
        """Flush, end the thread, close the connection. Whoever comes later begins anew."""
        deadline = time.monotonic() + timeout_s
        self.flush(timeout_s)
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        self._put(Stop())
        thread.join(max(0.1, deadline - time.monotonic()))
        if not thread.is_alive() and self.pump.waiting():
            self._start()

    def _word(self, question: Question[Any], at: float) -> bool:
        """Word the question; False where the server is down, and it is answered by that."""
        outage = self.pump.outage
        if outage.is_on:
            question.finish(LedgerUnavailable(f"{self._shown} is down: {outage.why}"))
            return False
        question.call = question.verb.call(at)
        return True

    def _send(self, question: Question[Any], loop: asyncio.AbstractEventLoop) -> int | None:
        """Ask from *loop*, or have the thread ask."""
        descriptor = self.pump.send(question)
        if descriptor is None:
            self._see_to_it()
            return None
        try:
            loop.add_reader(descriptor, self._read, question, loop, descriptor)
        except BaseException as error:
            os.close(descriptor)
            self._leave_to_thread()
            if isinstance(error, NotImplementedError):
                return None
            raise
        return descriptor

    def _read(
        self, question: Question[Any], loop: asyncio.AbstractEventLoop, descriptor: int
    ) -> None:
        is_read = False
        try:
            is_read = self.pump.read(question)
        except Exception as error:  # an alarm: a loop would keep it from the one who waits
            if not question.finish(error):
                question.ring()
                raise
        finally:
            if not is_read:
                loop.remove_reader(descriptor)
                self._leave_to_thread()

    def _leave_to_thread(self) -> None:
        self._put(Barrier(nobody))

    def _result(self, question: Question[T]) -> T:
        if not question.is_finished:
            question.finish(self._too_late())
        return question.result()

    def _forsake(self, question: Question[Any]) -> None:
        """Nobody waits for the answer any more; what it granted is taken back."""
        if not question.finish(self._too_late()) and question.undo is not None:
            self.soon(question.undo())

    def _too_late(self) -> LedgerError:
        if not self._runs() or self.pump.is_stuck(STUCK * self._deadline_s):
            return LedgerUnavailable(f"{self._shown} did not answer in time")
        return LedgerSaturated(f"{self._shown} answers, but is asked more from here than it can")

    def _put(self, item: Item) -> None:
        self.pump.put(item)
        self._see_to_it()

    def _see_to_it(self) -> None:
        if not self._runs():
            self._start()

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        """See to it that somebody carries out what is in the queue. Never waits for a lock."""
        if _exit_deadline is not None:
            # A destructor at shutdown: a thread that is started now would never run, and 3.11
            # would wait for it forever.
            self._carry_out_here()
        elif self._starting.acquire(blocking=False):
            try:
                if not self._runs():
                    self._thread = self._new_thread()
                    self._thread.start()
            except RuntimeError:  # no more threads: the next who wants something tries again
                self._thread = None
            finally:
                self._starting.release()

    def _new_thread(self) -> threading.Thread:
        run = partial(_run, self.pump, self._shown)
        return threading.Thread(target=run, name="aden-ledger", daemon=True)

    def _carry_out_here(self) -> None:
        if self._in_line:
            return
        self._in_line = True
        try:
            pump = self.pump
            while pump.waiting() and _seconds_left() > 0 and not pump.outage.is_on:
                pump.step()
        finally:
            self._in_line = False

    def after_fork_in_child(self) -> None:
        """Start anew: neither the parent's connection nor its thread nor its queue is the child's.

        The client knows which process opened a connection, and closes only this one's copy of it.
        """
        self._begin()


def _run(pump: Pump, shown: str) -> None:
    while True:
        try:
            while pump.step():
                pass
            return
        except Exception:
            logger.exception("aden: %s: the ledger's thread stumbled", shown)
            time.sleep(0.1)


def _ring(loop: asyncio.AbstractEventLoop, thread: int, bell: "asyncio.Future[None]") -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed, and with it whoever waited
        if threading.get_ident() == thread:
            _wake(bell)
        else:
            loop.call_soon_threadsafe(_wake, bell)


def _wake(bell: "asyncio.Future[None]") -> None:
    if not bell.done():
        bell.set_result(None)


_WIRES: "weakref.WeakSet[Wire]" = weakref.WeakSet()
_exit_deadline: float | None = None
"""When the interpreter, which is shutting down, must not be kept any longer."""


def _seconds_left() -> float:
    return 0.0 if _exit_deadline is None else _exit_deadline - time.monotonic()


def _settle_down() -> None:
    global _exit_deadline  # noqa: PLW0603 - there is one exit
    deadline = time.monotonic() + EXIT_WAIT_S
    for wire in list(_WIRES):
        wire.close(deadline - time.monotonic())
    _exit_deadline = deadline


atexit.register(_settle_down)
