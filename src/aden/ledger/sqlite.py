"""The ledger in a SQLite file that every process of a host shares.

A transaction takes microseconds, so it runs where it is asked for, also on an event loop; where a
file is busy for longer, a thread waits for it.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeVar

from aden.core.record import CallRecord
from aden.core.window import Window
from aden.ledger import sqlite_orders as orders
from aden.ledger import sqlite_verbs as verbs
from aden.ledger.journal import Keep, line_of, records_of
from aden.ledger.operator import Account, AuditEntry, Held, Order
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
from aden.ledger.sqlite_reserve import reserve
from aden.ledger.sqlite_store import Store
from aden.ledger.sqlite_transaction import Work
from aden.ledger.sqlite_waiting import ASK_AGAIN_S, Patience, Queue

T = TypeVar("T")

PAGE = 500
"""How many lines of the journal are read, or budgets trued up, in one transaction."""


class SqliteLedger:
    """Balances, holds and the journal in one file, in write-ahead-log mode.

    Raises:
        ConfigurationError: The file cannot be written, or is no ledger of this version.
    """

    reach: Reach = "host"

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        *,
        url: str | None = None,
        keep: Keep = Keep(),  # noqa: B008 - immutable
    ) -> None:
        self.url = url or f"sqlite://{path}"
        self.path = path
        self.keep = keep
        self._typical: dict[str, int | None] = {}
        self._described: dict[str, str] = {}
        self._store = Store(path, clock)
        self._renew_queue()

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Hold the first option that fits, all its lines or none."""
        return self._now(partial(reserve, ask=ask), ahead=True)

    async def areserve(self, ask: Ask) -> Grant | Refusal:
        """`reserve`; a busy file is left to a thread. Cancelled or closed, it holds nothing."""
        work = partial(reserve, ask=ask)
        try:
            return self._store.transact(work, inline=True, ahead=True)
        except (sqlite3.Error, OverflowError) as error:
            patience = Patience(self._store, self.url)
            patience.bear(error)
        answer = self._queue().put(ask, patience)
        try:
            return await asyncio.shield(asyncio.wrap_future(answer))
        except BaseException:
            answer.add_done_callback(self._release)
            raise

    def _queue(self) -> Queue:
        """Whose requests wait for a busy file in this process: none survives a fork."""
        if self._queue_of != os.getpid():
            self._renew_queue()
        return self._waiting

    def _renew_queue(self) -> None:
        self._waiting = Queue(self._store)
        self._queue_of = os.getpid()

    def _release(self, answer: "Future[Grant | Refusal]") -> None:
        """Nobody waits any more for what a thread has reserved."""
        if answer.exception() is None:
            self.settle(Settlement(answer.result().operation))

    def settle(self, settlement: Settlement) -> None:
        """Replace an operation's hold by its charges."""
        line = line_of(settlement.record)
        self._store.soon(verbs.Settle(settlement, line, self.keep))

    def renew(self, progress: Mapping[str, Sequence[int]], lease_ms: int = 60_000) -> None:
        """Extend the lease of each operation and note its progress, one amount a hold."""
        self._store.soon(partial(verbs.renew, progress=dict(progress), lease_ms=lease_ms))

    def mark_sent(self, operation: str, *, sent: bool) -> None:
        """Note whether the request has left."""
        self._store.soon(partial(verbs.mark_sent, operation=operation, sent=sent))

    def extend(self, operation: str, amounts: Sequence[int]) -> None:
        """Raise an operation's holds to *amounts*; never lowers, never refuses."""
        self._store.soon(partial(verbs.extend, operation=operation, amounts=tuple(amounts)))

    def balances(self, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """What the current window of each budget holds."""
        return self._now(partial(verbs.balances, budgets=budgets), reads=True)

    def true_up(self, spent: Sequence[Charge]) -> None:
        """Raise what is spent in each window to at least the amount; never lowers."""
        for first in range(0, len(spent), PAGE):
            some = spent[first : first + PAGE]
            self._now(partial(verbs.true_up, spent=some), reads=True)

    def typical_output(self, model: str) -> int | None:
        """A high percentile of this model's output tokens; where busy, the last one known."""
        with contextlib.suppress(sqlite3.Error):  # asked on event loops: an old figure will do
            work = partial(verbs.outputs, model=model)
            histogram = self._store.transact(work, reads=True, inline=True)
            self._typical[model] = percentile_of(histogram)
        return self._typical.get(model)

    def claim_alert(
        self, balance: Balance, threshold: int, lease_ms: int = ALERT_LEASE_MS
    ) -> AlertClaim | None:
        """The alert, for the one process that is to raise it."""
        claim = partial(
            orders.claim_alert,
            balance=balance,
            threshold=threshold,
            lease_ms=lease_ms,
        )
        return self._now(claim, reads=True)

    def acknowledge_alert(self, claim: AlertClaim) -> None:
        """It was raised: nobody may claim it again."""
        self._store.soon(partial(orders.acknowledge_alert, claim=claim))

    def order(self, order: Order) -> bool:
        """Carry out what an operator orders, and note it."""
        return self._now(partial(orders.carry_out, order=order))

    def accounts(self) -> tuple[Account, ...]:
        """Every budget that something was booked or ordered for."""
        return self._now(orders.accounts, reads=True)

    def holds(self) -> tuple[Held, ...]:
        """The open and the unconfirmed operations."""
        return self._now(orders.holds, reads=True)

    def open_holds(self) -> int:
        """How many operations hold something now."""
        return self._now(orders.open_holds, reads=True)

    def audit(self) -> Iterator[AuditEntry]:
        """What operators ordered, oldest first."""
        return iter(self._now(orders.audit, reads=True))

    def describe(self, notes: Mapping[str, str]) -> None:
        """Keep a text for each budget's id."""
        self._store.soon(partial(orders.describe, notes=dict(notes)))
        self._described = {**self._described, **notes}
        self._store.of_a_new_file = (partial(orders.describe, notes=self._described),)

    def descriptions(self) -> Mapping[str, str]:
        """The latest text of each budget's id."""
        return self._now(orders.descriptions, reads=True)

    def journal(self, since: float = 0.0) -> Iterator[CallRecord]:
        """The settled calls, oldest first, read in pages."""
        last = 0
        while True:
            page = partial(orders.journal_page, since=since, last=last, count=PAGE)
            rows = self._now(page, reads=True)
            yield from records_of(line for _, line in rows)
            if len(rows) < PAGE:
                return
            last = rows[-1][0]

    def flush(self, timeout_s: float) -> bool:
        """Carry out what was put off; False where *timeout_s* was not enough."""
        return self._store.flush(timeout_s)

    def close(self) -> None:
        """Flush and let go of the file."""
        if self._queue_of == os.getpid():
            self._waiting.close()
        self._renew_queue()
        self._store.close()

    def _now(self, work: Work[T], *, reads: bool = False, ahead: bool = False) -> T:
        """Run *work* here, asking a busy file again up to the deadline."""
        patience: Patience | None = None
        while True:
            try:
                return self._store.transact(work, reads=reads, ahead=ahead)
            except (sqlite3.Error, OverflowError) as error:
                patience = patience or Patience(self._store, self.url)
                patience.bear(error)
            reads = False  # it wanted to write after all
            time.sleep(ASK_AGAIN_S)


def remove(path: Path) -> None:
    """Delete a ledger's files (for tests and the demo)."""
    for suffix in ("", "-wal", "-shm", "-locks"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").unlink()
