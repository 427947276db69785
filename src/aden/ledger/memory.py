"""The ledger in this process's memory: the executable specification of the others."""

import heapq
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from aden.core.record import CallRecord
from aden.core.window import Rolling, Window
from aden.errors import LedgerUnavailable
from aden.ledger.journal import line_of, records_of
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Reach, Refusal, Settlement
from aden.ledger.rules import choose, output_bucket, percentile_of, retry_after_ms

logger = logging.getLogger("aden.ledger")

RETAIN_S = 86_400.0
"""How long an operation is remembered after its last word, so that repeats change nothing."""
JOURNAL_CALLS = 100_000
TURN_S = 0.25


@dataclass(slots=True)
class _Operation:
    state: str  # open | unconfirmed | settled
    holds: tuple[Charge, ...] = ()
    at_risk: tuple[int, ...] = ()
    lease_until: float = 0.0
    sent: bool = True


class MemoryLedger:
    """Balances under one lock. Shared by the threads of one process, gone with it.

    A destructor may settle while its own thread is inside the ledger (the garbage collector runs
    anywhere). So what must not wait is put into a queue, and whoever has the lock next empties it
    before anything else.
    """

    url = "memory:"
    reach: Reach = "process"

    def __init__(
        self, clock: Callable[[], float] = time.time, *, journal_calls: int = JOURNAL_CALLS
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._paused = False
        self._put_off: deque[Callable[[float], None]] = deque()
        self._balances: dict[tuple[str, str], Balance] = {}
        self._operations: dict[str, _Operation] = {}
        self._leases: list[tuple[float, str]] = []
        self._outputs: dict[str, dict[int, int]] = {}
        self._alerts: set[tuple[str, str, int]] = set()
        self._journal: deque[str] = deque(maxlen=journal_calls)
        _LEDGERS.add(self)

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Hold the first option that fits, all its lines or none."""
        with self._turn() as now:
            self._expire(now)
            self._drop_hold(ask.operation)
            windows = {line.budget: line.window for option in ask.options for line in option.lines}
            balances = {key: self._balance(key, window, now) for key, window in windows.items()}
            verdict = choose(ask, balances)
            seen = tuple(balances.values())
            if verdict.option is None:
                wait_ms = retry_after_ms(verdict, balances[verdict.budget], now)
                return Refusal(ask.operation, verdict.reason, verdict.budget, seen, wait_ms)
            lines = ask.options[verdict.option].lines
            holds = tuple(
                Charge(line.budget, balances[line.budget].window_id, line.amount) for line in lines
            )
            for hold in holds:
                self._add(hold, held=hold.amount)
            operation = _Operation("open", holds, tuple(line.at_risk for line in lines))
            self._remember(ask.operation, operation, now + ask.lease_ms / 1000)
            return Grant(ask.operation, verdict.option, holds, seen)

    async def areserve(self, ask: Ask) -> Grant | Refusal:
        """`reserve`: memory never makes the loop wait."""
        return self.reserve(ask)

    def settle(self, settlement: Settlement) -> None:
        """Replace an operation's hold by its charges."""
        line = line_of(settlement.record)
        self._soon(partial(self._settle, settlement=settlement, line=line))

    def renew(self, progress: Mapping[str, Sequence[int]], lease_ms: int = 60_000) -> None:
        """Extend the lease of each operation and note its progress, one amount a hold."""
        self._soon(partial(self._renew, progress=dict(progress), lease_ms=lease_ms))

    def mark_sent(self, operation: str, *, sent: bool) -> None:
        """Note whether the request has left."""
        self._soon(partial(self._mark_sent, name=operation, sent=sent))

    def extend(self, operation: str, amounts: Sequence[int]) -> None:
        """Raise an operation's holds to *amounts*; never lowers, never refuses."""
        self._soon(partial(self._extend, name=operation, amounts=tuple(amounts)))

    def balances(self, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """What the current window of each budget holds."""
        with self._turn() as now:
            self._expire(now)
            return tuple(self._balance(key, window, now) for key, window in budgets)

    def typical_output(self, model: str) -> int | None:
        """A high percentile of this model's output tokens."""
        with self._turn():
            return percentile_of(self._outputs.get(model, {}))

    def claim_alert(self, budget: str, window_id: str, threshold: int) -> bool:
        """True for the first claim of this alert in this window."""
        with self._turn():
            claim = (budget, window_id, threshold)
            if claim in self._alerts:
                return False
            self._alerts.add(claim)
            return True

    def journal(self) -> tuple[CallRecord, ...]:
        """The settled calls, oldest first."""
        with self._turn():
            lines = list(self._journal)
        return records_of(lines)

    def flush(self, timeout_s: float) -> bool:
        """Nothing is put off for longer than a turn lasts."""
        return True

    def close(self) -> None:
        """Nothing to let go of."""

    @contextmanager
    def _turn(self) -> Iterator[float]:
        """Have the ledger to oneself; gives the time."""
        if not self._lock.acquire(timeout=TURN_S):
            # Only what interrupted this very thread's turn gets here: a destructor, a signal.
            raise LedgerUnavailable(f"{self.url} is in use by the thread that asks")
        try:
            self._catch_up()
            yield self._clock()
        finally:
            self._lock.release()

    def _soon(self, work: Callable[[float], None]) -> None:
        self._put_off.append(work)
        if self._lock.acquire(blocking=False):
            try:
                self._catch_up()
            finally:
                self._lock.release()

    def _catch_up(self) -> None:
        while self._put_off:
            work = self._put_off.popleft()
            try:
                work(self._clock())
            except Exception:
                logger.exception("aden: the ledger could not be written")

    def _settle(self, now: float, *, settlement: Settlement, line: str | None) -> None:
        operation = self._operations.get(settlement.operation)
        if operation is not None and operation.state == "settled":
            return
        self._drop_hold(settlement.operation)
        for charge in settlement.charges:
            self._add(charge, settled=charge.amount)
        self._remember(settlement.operation, _Operation("settled"), now + RETAIN_S)
        if settlement.output is not None:
            model, tokens = settlement.output
            histogram = self._outputs.setdefault(model, {})
            bucket = output_bucket(tokens)
            histogram[bucket] = histogram.get(bucket, 0) + 1
        if line is not None:
            self._journal.append(line)

    def _renew(self, now: float, *, progress: Mapping[str, Sequence[int]], lease_ms: int) -> None:
        for name, amounts in progress.items():
            operation = self._operations.get(name)
            if operation is None or operation.state != "open":
                continue
            self._remember(name, operation, now + lease_ms / 1000)
            if len(amounts) == len(operation.holds):
                operation.at_risk = tuple(amounts)

    def _mark_sent(self, now: float, *, name: str, sent: bool) -> None:
        if name in self._operations:
            self._operations[name].sent = sent

    def _extend(self, now: float, *, name: str, amounts: Sequence[int]) -> None:
        operation = self._operations.get(name)
        if operation is None or operation.state != "open" or len(amounts) != len(operation.holds):
            return
        raised = []
        for hold, amount in zip(operation.holds, amounts, strict=True):
            grown = max(hold.amount, amount)
            self._add(hold, held=grown - hold.amount)
            raised.append(replace(hold, amount=grown))
        operation.holds = tuple(raised)

    def _balance(self, key: str, window: Window, now: float) -> Balance:
        if window.rolling is not None:
            return self._rolling_balance(key, window.rolling, now)
        span = window.at(now)
        found = self._balances.get((key, span.id))
        return (
            replace(found, ends_at=span.ends_at) if found else Balance(key, span.id, span.ends_at)
        )

    def _rolling_balance(self, key: str, rolling: Rolling, now: float) -> Balance:
        current = rolling.slice(rolling.start(now))
        balance = Balance(key, current.id, None)
        for start in rolling.starts(now):
            span = rolling.slice(start)
            part = self._balances.get((key, span.id))
            if part is None or not (part.settled or part.unconfirmed or part.held):
                continue
            balance = replace(
                balance,
                ends_at=balance.ends_at or span.ends_at,
                settled=balance.settled + part.settled,
                unconfirmed=balance.unconfirmed + part.unconfirmed,
                held=balance.held + part.held,
            )
        return replace(balance, ends_at=balance.ends_at or current.ends_at)

    def _add(
        self, charge: Charge, *, held: int = 0, settled: int = 0, unconfirmed: int = 0
    ) -> None:
        key = (charge.budget, charge.window_id)
        old = self._balances.get(key) or Balance(charge.budget, charge.window_id, None)
        self._balances[key] = replace(
            old,
            held=old.held + held,
            settled=old.settled + settled,
            unconfirmed=old.unconfirmed + unconfirmed,
        )

    def _remember(self, name: str, operation: _Operation, until: float) -> None:
        operation.lease_until = until
        self._operations[name] = operation
        heapq.heappush(self._leases, (until, name))

    def _drop_hold(self, name: str) -> None:
        """Take back what an operation holds, or what was booked for it as unconfirmed."""
        operation = self._operations.pop(name, None)
        if operation is None or operation.state == "settled":
            return
        for hold, amount in zip(operation.holds, operation.at_risk, strict=True):
            if operation.state == "open":
                self._add(hold, held=-hold.amount)
            else:
                self._add(hold, unconfirmed=-amount)

    def _expire(self, now: float) -> None:
        """Book holds whose lease ran out: their progress as unconfirmed, nothing if unsent."""
        while self._leases and self._leases[0][0] < now:
            until, name = heapq.heappop(self._leases)
            operation = self._operations.get(name)
            if operation is None or operation.lease_until != until:
                continue  # dropped or renewed since: then a newer entry stands for it
            if operation.state == "open" and operation.sent:
                for hold, amount in zip(operation.holds, operation.at_risk, strict=True):
                    self._add(hold, held=-hold.amount, unconfirmed=amount)
                operation.state = "unconfirmed"
                self._remember(name, operation, now + RETAIN_S)
            elif operation.state == "open":
                self._drop_hold(name)
            else:
                del self._operations[name]

    def _before_fork(self) -> None:
        self._paused = self._lock.acquire(timeout=TURN_S)

    def _after_fork_in_parent(self) -> None:
        if self._paused:
            self._paused = False
            self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._paused = False
        self._lock = threading.Lock()


_LEDGERS: "weakref.WeakSet[MemoryLedger]" = weakref.WeakSet()


def _all_before_fork() -> None:
    for ledger in list(_LEDGERS):
        ledger._before_fork()


def _all_after_fork_in_parent() -> None:
    for ledger in list(_LEDGERS):
        ledger._after_fork_in_parent()


def _all_after_fork_in_child() -> None:
    for ledger in list(_LEDGERS):
        ledger._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    # A child that is forked in the middle of another thread's turn would never get its own.
    os.register_at_fork(
        before=_all_before_fork,
        after_in_parent=_all_after_fork_in_parent,
        after_in_child=_all_after_fork_in_child,
    )
