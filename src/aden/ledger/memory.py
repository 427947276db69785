"""The ledger in this process's memory: whose turn it is to use the `Books`."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar, TypeVarTuple

from aden.core.forks import see_through_forks
from aden.core.interruption import interrupts
from aden.core.record import CallRecord
from aden.core.window import Window
from aden.errors import LedgerUnavailable
from aden.ledger.journal import Keep
from aden.ledger.memory_books import Books
from aden.ledger.memory_orders import carry_out
from aden.ledger.operator import Account, AuditEntry, Held, Order, accounts_of
from aden.ledger.protocol import (
    ALERT_LEASE_MS,
    AlertClaim,
    Ask,
    Balance,
    Charge,
    Grant,
    Reach,
    Refusal,
    Settlement,
)
from aden.ledger.rules import percentile_of
from aden.ledger.taken import taken

logger = logging.getLogger("aden.ledger")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TURN_S = 0.25


class MemoryLedger:
    """Balances under one lock. Shared by the threads of one process, gone with it.

    A destructor may settle while its own thread is inside the ledger (the garbage collector runs
    anywhere). So what must not wait is put into a queue, and whoever has the lock next empties it
    before anything else.
    """

    url = "memory:"
    reach: Reach = "process"

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        keep: Keep = Keep(),  # noqa: B008 - immutable
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._paused = False
        self._put_off: deque[Callable[[float], None]] = deque()
        self.keep = keep
        self.books = Books(keep)
        see_through_forks(self)

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Hold the first option that fits, all its lines or none."""
        return self._in_turn(self.books.reserve, ask)

    async def areserve(self, ask: Ask) -> Grant | Refusal:
        """`reserve`: memory never makes the loop wait."""
        return self.reserve(ask)

    def settle(self, settlement: Settlement) -> None:
        """Replace an operation's hold by its charges."""
        self._soon(partial(self.books.settle, settlement=settlement))

    def renew(self, progress: Mapping[str, Sequence[int]], lease_ms: int = 60_000) -> None:
        """Extend the lease of each operation and note its progress, one amount a hold."""
        self._soon(partial(self.books.renew, progress=dict(progress), lease_ms=lease_ms))

    def mark_sent(self, operation: str, *, sent: bool) -> None:
        """Note whether the request has left."""
        self._soon(partial(self.books.mark_sent, name=operation, sent=sent))

    def extend(self, operation: str, amounts: Sequence[int]) -> None:
        """Raise an operation's holds to *amounts*; never lowers, never refuses."""
        self._soon(partial(self.books.extend, name=operation, amounts=tuple(amounts)))

    def balances(self, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """What the current window of each budget holds."""
        return self._in_turn(self.books.balances, budgets)

    def true_up(self, spent: Sequence[Charge]) -> None:
        """Raise what is spent in each window to at least the amount; never lowers."""
        self._in_turn(self.books.true_up, spent)

    def typical_output(self, model: str) -> int | None:
        """A high percentile of this model's output tokens; None while fewer than 8 were seen."""
        return self._in_turn(lambda _: percentile_of(self.books.outputs.get(model, {})))

    def claim_alert(
        self, balance: Balance, threshold: int, lease_ms: int = ALERT_LEASE_MS
    ) -> AlertClaim | None:
        """The alert, for the one that is to raise it."""
        return self._in_turn(self.books.claim_alert, balance, threshold, lease_ms)

    def acknowledge_alert(self, claim: AlertClaim) -> None:
        """It was raised: nobody may claim it again."""
        self._soon(partial(self.books.acknowledge_alert, claim=claim))

    def order(self, order: Order) -> bool:
        """Carry out what an operator orders, and note it."""
        return self._in_turn(partial(carry_out, self.books, order=order))

    def accounts(self) -> tuple[Account, ...]:
        """Every budget that something was booked or ordered for."""
        return self._in_turn(self._accounts)

    def _accounts(self, now: float) -> tuple[Account, ...]:
        self.books.expire(now)
        rows = [
            (budget, window_id, found.settled, found.unconfirmed, found.held)
            for (budget, window_id), found in self.books.windows.items()
        ]
        return accounts_of(rows, self.books.marks, now)

    def holds(self) -> tuple[Held, ...]:
        """The open and the unconfirmed operations."""
        return self._in_turn(self.books.held)

    def open_holds(self) -> int:
        """How many operations hold something now."""
        return self._in_turn(self.books.open_holds)

    def audit(self) -> Iterator[AuditEntry]:
        """What operators ordered, oldest first."""
        return iter(self._in_turn(lambda _: list(self.books.audit)))

    def describe(self, notes: Mapping[str, str]) -> None:
        """Keep a text for each budget's id."""
        self._soon(lambda now: self.books.descriptions.update(notes))

    def descriptions(self) -> Mapping[str, str]:
        """The latest text of each budget's id."""
        return self._in_turn(lambda _: dict(self.books.descriptions))

    def journal(self, since: float = 0.0) -> Iterator[CallRecord]:
        """The settled calls, oldest first."""
        kept = self._in_turn(lambda _: list(self.books.journal))
        return (record for at, record in kept if at >= since)

    def flush(self, timeout_s: float) -> bool:
        """Nothing is put off for longer than a turn lasts."""
        return True

    def close(self) -> None:
        """Nothing to let go of."""

    def _in_turn(self, work: Callable[[float, *Ts], T], *asked: *Ts) -> T:
        for _ in taken(self._lock, TURN_S):
            try:
                self._catch_up()
                return work(self._clock(), *asked)
            finally:
                self._lock.release()
        # Only what interrupted this very thread's turn gets here: a destructor, a signal.
        raise LedgerUnavailable(f"{self.url} is in use by the thread that asks")

    def _soon(self, work: Callable[[float], None]) -> None:
        self._put_off.append(work)
        for _ in taken(self._lock, 0):
            try:
                self._catch_up()
            finally:
                self._lock.release()
            return

    def _catch_up(self) -> None:
        """Undo what a step has left that came to no end, and empty the queue.

        What is interrupted stays first in it, and may be carried out twice.
        """
        self.books.undo()
        while self._put_off:
            try:
                self._put_off[0](self._clock())
            except Exception as error:
                if interrupts(error):
                    raise
                logger.exception("aden: the ledger could not be written")
            self._put_off.popleft()
            self.books.undo()

    def before_fork(self) -> None:
        """Wait for a turn's end: forked in the middle of it, a child would never get its own."""
        self._paused = self._lock.acquire(timeout=TURN_S)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Go on, with what the parent had."""
        self._paused = False
        self._lock = threading.Lock()
