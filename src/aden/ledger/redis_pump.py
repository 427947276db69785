"""Carries out what is in a Redis ledger's queue, batch by batch, in order.

A batch is one trip to the server. Whoever has the seat carries it out: the ledger's thread, or the
event loop of one who asks while nothing else is asked. The loop sends and, when the answer is
there, reads it, which saves the two ways to the thread and back; all that is not so simple (a
connection that broke, half an answer, a loop that stands still) it leaves to the thread.
"""

import contextlib
import itertools
import logging
import queue
import threading
import time
from collections import deque
from functools import partial
from typing import Any

from aden.core.interruption import interrupts
from aden.errors import LedgerUnavailable
from aden.ledger.redis_call import LinkError, Reply
from aden.ledger.redis_link import Link
from aden.ledger.redis_outage import Outage
from aden.ledger.redis_question import Barrier, Booking, Item, Question, Stop, Work, calls_of
from aden.ledger.redis_verbs import PROBE, WrongClockError
from aden.ledger.taken import taken

logger = logging.getLogger("aden.ledger")

BATCH = 128
"""Calls a trip: few enough that the caller of the last one need not wait long."""
FEW = 8
"""Calls that an event loop sends itself."""
GRACE_S = 0.002
"""How long the thread leaves an answer to the loop that asked for it."""
GIVE_UP_S = 3_600.0
"""How long a booking is tried."""


class Pump:
    """The queue, what was taken out of it and waits, and the connection."""

    def __init__(self, link: Link, shown: str) -> None:
        self._link = link
        self._shown = shown
        self._inbox: deque[Item] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._seat = threading.Lock()
        self._todo: deque[Item] = deque()
        """Taken out of the inbox; for the one in the seat, as the connection is."""
        self._on_its_way: dict[Question[Any], list[Work]] = {}
        """The batch that a loop has sent to ask this, for the first who takes it out to read its
        answers: that loop or the thread."""
        self.outage = Outage(shown)
        self._sent_at: float | None = None
        self.offset_s = 0.0
        """How far the server's clock is ahead of ours; learned where it matters."""

    def put(self, item: Item) -> None:
        """Have it carried out by the thread. Never blocks, and is safe in a destructor."""
        self._inbox.append(item)
        self._bell.put(None)

    def waiting(self) -> int:
        """How much there is to do."""
        return len(self._inbox) + len(self._todo)

    def is_on_its_way(self, question: Question[Any] | None = None) -> bool:
        """Whether a loop has sent it, or anything, and nobody has read the answer yet."""
        return bool(self._on_its_way) if question is None else question in self._on_its_way

    def is_stuck(self, for_s: float) -> bool:
        """Whether the server has failed, or has not answered for so long; else it does answer."""
        sent_at = self._sent_at
        waits = sent_at is not None and time.monotonic() - sent_at >= for_s
        return waits or self.outage.pause_s() is not None

    def step(self) -> bool:
        """Wait for something to do and carry out a batch of it; False where it was to stop."""
        if not self._wait():
            return True
        late = self._sit_down()
        try:
            if late:
                self._carry_out(late, was_sent=True)
            self._gather()
            if not self._may_try():
                return self._sit_out()
            batch = self._take_batch()
            if batch:
                self._carry_out(batch)
            elif self.outage.pause_s() is not None:
                self._probe()
            elif self._todo and isinstance(self._todo[0], Stop):
                return self._stop()
            return True
        finally:
            self._seat.release()

    def send(self, question: Question[Any]) -> int | None:
        """Carry out a question from an event loop.

        Returns:
            The descriptor, for the caller to close, that can be read when `read` is to be called;
            None where the thread carries it out.
        """
        self._inbox.append(question)
        descriptor = None
        for _ in taken(self._seat, 0):
            try:
                descriptor = self._send_few(question)
            finally:
                if descriptor is None:
                    self._seat.release()
                    self._bell.put(None)
            return descriptor
        self._bell.put(None)
        return None

    def read(self, question: Question[Any]) -> bool:
        """Read the answers to what `send` has sent; False where the thread has to, or has."""
        # Taken in the head of a `for`, as `taken` does with locks, and for its reason.
        for batch in iter(partial(self._on_its_way.pop, question, None), None):
            replies = None
            try:
                replies = self._link.read(len(batch))
            finally:
                if replies is None:
                    self._on_its_way[question] = batch
            if replies is None:
                break
            self._sent_at = None
            try:
                self._answer_all(batch, replies)
            except BaseException as error:  # a signal's handler
                told = error if isinstance(error, Exception) else None
                if question.finish(told or self._unavailable("was interrupted")):
                    self._undo(question)
                raise
            finally:
                self._seat.release()
                if self._todo:
                    self._bell.put(None)
            return True
        return False

    def _send_few(self, question: Question[Any]) -> int | None:
        if self._todo or self.outage.pause_s() is not None:
            return None
        self._gather()
        if len(self._todo) > FEW or question not in self._todo:  # or the thread was quicker
            return None
        others = (item for item in self._todo if item is not question)
        # Whoever else waits for something must not depend on this loop.
        if not all(isinstance(item, Booking) for item in others):
            return None
        batch = self._take_batch()
        descriptor = None
        try:
            self._sent_at = time.monotonic()
            descriptor = self._link.send(calls_of(batch))
        except BaseException:  # a signal's handler, after it was sent perhaps
            self._undo(question)
            raise
        finally:
            if descriptor is None:
                self._sent_at = None
                self._todo.extendleft(reversed(batch))
            else:
                self._on_its_way[question] = batch
        return descriptor

    def _stop(self) -> bool:
        self._todo = deque(item for item in self._todo if not isinstance(item, Stop))
        self._link.disconnect()
        return False

    def _wait(self) -> bool:
        """Until there is something to do; False where somebody else has done it meanwhile."""
        pause_s = self.outage.pause_s()
        if self._inbox or (self._todo and (pause_s is None or self._may_try())):
            pause_s = 0.0
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=pause_s)
            while True:
                self._bell.get_nowait()
        return bool(self._inbox or self._todo) or self.outage.pause_s() is not None

    def _sit_down(self) -> list[Work] | None:
        """Take the seat, and what a loop has sent and is late with reading."""
        while not self._seat.acquire(timeout=GRACE_S):
            with contextlib.suppress(KeyError):
                return self._on_its_way.popitem()[1]
        return None

    def _gather(self) -> None:
        """Take over what is in the inbox."""
        with contextlib.suppress(IndexError):
            while True:
                self._todo.append(self._inbox.popleft())

    def _may_try(self) -> bool:
        """Nothing failed lately, the next probe is due, or a caller hopes for a better moment."""
        if not self.outage.pause_s():
            return True
        return not self.outage.is_on and any(isinstance(item, Question) for item in self._todo)

    def _sit_out(self) -> bool:
        """While the server is down, who asks is refused and what books is kept."""
        kept: deque[Item] = deque()
        stop = False
        for item in self._todo:
            if isinstance(item, Question):
                item.finish(self._unavailable(f"is down: {self.outage.why}"))
            elif isinstance(item, Stop):
                stop = True
            elif isinstance(item, Barrier) and not kept:
                item.ring()
            else:
                kept.append(item)
                if isinstance(item, Barrier) and item.is_new:
                    item.is_new = False
                    self.outage.try_now()
        self._todo = kept
        return self._stop() if stop else True

    def _take_batch(self) -> list[Work]:
        """Up to the next barrier; who does not wait any more is left out."""
        batch: list[Work] = []
        while self._todo and len(batch) < BATCH:
            item = self._todo[0]
            if isinstance(item, Barrier):
                if batch:
                    break
                item.ring()
            elif isinstance(item, Stop):
                break
            elif isinstance(item, Booking) or not item.is_finished:
                batch.append(item)
            self._todo.popleft()
        return batch

    def _carry_out(self, batch: list[Work], *, was_sent: bool = False) -> None:
        if not was_sent:
            self._sent_at = time.monotonic()
        try:
            replies = self._link.carry_out(calls_of(batch), was_sent=was_sent)
        except LinkError as error:
            self._failed(batch, error)
            return
        finally:
            self._sent_at = None
        self._answer_all(batch, replies)

    def _answer_all(self, batch: list[Work], replies: list[Reply]) -> None:
        waiting = self._count_bookings(batch)
        refused: list[Booking] = []
        passing = None
        for item, reply in zip(batch, replies, strict=True):
            if not isinstance(reply, LinkError):
                self._answer(item, reply)
                continue
            passing = reply if reply.passing else passing
            refused += self._refused(item, reply)
        self._todo.extendleft(reversed(refused))
        if passing is None:
            self.outage.over(waiting=waiting)
        else:
            self._link.disconnect()  # a replica, or a server that is full: look for a better one
            self.outage.failed(str(passing), waiting=waiting)

    def _answer(self, item: Work, reply: Reply) -> None:
        if isinstance(item, Booking):
            return
        if item.is_finished:
            self._undo(item)
            return
        outcome: tuple[Any] | LedgerUnavailable
        try:
            outcome = (item.verb.read(reply),)
        except WrongClockError as wrong:
            self.offset_s = wrong.now - time.time()
            item.tries -= 1
            if item.tries:
                item.call = item.verb.call(wrong.now)
                self._todo.appendleft(item)
                return
            outcome = self._unavailable("has a clock that jumps")
        except Exception as error:
            if interrupts(error):
                raise
            logger.exception("aden: %s: an answer cannot be read", self._shown)
            outcome = self._unavailable(f"gave an answer that cannot be read: {error!r}")
        if not item.finish(outcome):
            self._undo(item)

    def _refused(self, item: Work, error: LinkError) -> list[Booking]:
        """The server is there, but did not do this; what may work later is kept."""
        if isinstance(item, Question):
            item.finish(self._unavailable(f"refused: {error}", error))
            return []
        if error.passing:
            return [item]
        what = f"a booking ({item.call.verb}) is impossible and left out"
        logger.error("aden: %s: %s: %s", self._shown, what, error)
        return []

    def _failed(self, batch: list[Work], error: LinkError) -> None:
        """Nobody knows what became of the batch: bookings are kept, grants are taken back."""
        oldest = time.monotonic() - GIVE_UP_S
        given_up = 0
        kept: list[Item] = []
        for item in batch:
            if isinstance(item, Question):
                item.finish(self._unavailable(f"is not available: {error}", error))
                if error.was_sent:
                    self._undo(item)
            elif item.since < oldest:
                given_up += 1
            else:
                kept.append(item)
        self._todo.extendleft(reversed(kept))
        if given_up:
            logger.error(
                "aden: %s: %d bookings given up after %.0f s; leases book their holds",
                self._shown,
                given_up,
                GIVE_UP_S,
            )
        self.outage.failed(str(error), waiting=self._count_bookings([]))

    def _probe(self) -> None:
        try:
            self._link.carry_out([PROBE])
        except LinkError as error:
            self.outage.failed(str(error), waiting=0)
        else:
            self.outage.over(waiting=0)

    def _undo(self, question: Question[Any]) -> None:
        if question.undo is not None:
            self._todo.append(Booking(question.undo()))

    def _count_bookings(self, batch: list[Work]) -> int:
        return sum(isinstance(item, Booking) for item in itertools.chain(batch, self._todo))

    def _unavailable(self, why: str, cause: LinkError | None = None) -> LedgerUnavailable:
        error = LedgerUnavailable(f"{self._shown} {why}")
        error.__cause__ = cause
        return error
