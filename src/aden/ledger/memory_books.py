"""What a ledger keeps and what each verb does to it: the executable specification of all stores.

No lock, no clock, no queue: `memory` has them. Each method is one atomic step at the time *now*.
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aden.core.record import CallRecord
from aden.core.window import Rolling, Window
from aden.ledger.journal import Keep
from aden.ledger.operator import AUDIT_ENTRIES, AuditEntry, Held, Marks
from aden.ledger.protocol import AlertClaim, Ask, Balance, Charge, Grant, Refusal, Settlement
from aden.ledger.rules import (
    OUTPUTS_HALVED_AT,
    RETAIN_S,
    UNCONFIRMED_S,
    alert_id,
    alert_key,
    choose,
    forget_at,
    output_bucket,
    retry_after_ms,
)

Key = tuple[str, str]
"""Budget and window."""


@dataclass(slots=True)
class Booked:
    """What one window of one budget holds."""

    settled: int = 0
    unconfirmed: int = 0
    held: int = 0
    forget_at: float = 0.0
    """When nobody asks for it any more; 0: never."""

    @property
    def spent(self) -> int:
        """Settled, and what may have been spent."""
        return self.settled + self.unconfirmed


_NOTHING = Booked()


@dataclass(slots=True)
class Operation:
    """One call, as far as the ledger remembers it."""

    state: Literal["open", "unconfirmed", "settled"]
    holds: tuple[Charge, ...] = ()
    at_risk: tuple[int, ...] = ()
    until: float = 0.0
    """When its lease ends, or when it is forgotten."""
    sent: bool = True


@dataclass(slots=True)
class Alert:
    """An alert that somebody raises or has raised."""

    id: str
    until: float | None
    """Before this time nobody else may claim it; None: for good."""
    raised: bool
    forget_at: float | None


class Books:
    """Balances, operations, alerts, the journal and the audit table."""

    def __init__(self, keep: Keep) -> None:
        self.windows: dict[Key, Booked] = {}
        self.operations: dict[str, Operation] = {}
        self.marks: dict[str, Marks] = {}
        self.alerts: dict[tuple[str, str, int, int], Alert] = {}
        self.audit: deque[AuditEntry] = deque(maxlen=AUDIT_ENTRIES)
        self.journal: deque[tuple[float, CallRecord]] = deque(maxlen=keep.calls)
        self.outputs: dict[str, dict[int, int]] = {}
        self.descriptions: dict[str, str] = {}
        self._journal_s = keep.seconds
        self._leases: list[tuple[float, str]] = []
        self._aging: list[tuple[float, Key]] = []
        self._fading: list[tuple[float, tuple[str, str, int, int]]] = []

    def reserve(self, now: float, ask: Ask) -> Grant | Refusal:
        """Hold the first option that fits, all its lines or none."""
        self.expire(now)
        self.drop(now, ask.operation)
        balances: dict[str, Balance] = {}
        for option in ask.options:
            for line in option.lines:
                if line.budget not in balances:
                    balances[line.budget] = self._balance(line.budget, line.window, now)
        verdict = choose(ask, balances)
        seen = tuple(balances.values())
        if verdict.option is None:
            wait_ms = retry_after_ms(verdict, balances[verdict.budget], now)
            return Refusal(ask.operation, verdict.reason, verdict.budget, seen, wait_ms)
        holds, at_risk = [], []
        for line in ask.options[verdict.option].lines:
            hold = Charge(line.budget, balances[line.budget].window_id, line.amount)
            holds.append(hold)
            at_risk.append(line.at_risk)
            self.add(now, hold, held=line.amount)
        operation = Operation("open", tuple(holds), tuple(at_risk))
        self.remember(ask.operation, operation, now + ask.lease_ms / 1000)
        return Grant(ask.operation, verdict.option, operation.holds, seen)

    def settle(self, now: float, settlement: Settlement) -> None:
        """Replace an operation's hold by its charges; the first word stays."""
        operation = self.operations.get(settlement.operation)
        if operation is None or operation.state != "settled":
            self.drop(now, settlement.operation)
            for charge in settlement.charges:
                self.add(now, charge, settled=charge.amount)
            self.remember(settlement.operation, Operation("settled"), now + RETAIN_S)
            if settlement.output is not None:
                model, tokens = settlement.output
                histogram = self.outputs.setdefault(model, {})
                bucket = output_bucket(tokens)
                histogram[bucket] = histogram.get(bucket, 0) + 1
                if histogram[bucket] >= OUTPUTS_HALVED_AT:
                    halved = {edge: seen // 2 for edge, seen in histogram.items() if seen > 1}
                    self.outputs[model] = halved
            if settlement.record is not None:
                self.journal.append((now, settlement.record))
        self._forget(now)

    def renew(self, now: float, progress: Mapping[str, Sequence[int]], lease_ms: int) -> None:
        """Extend the lease of each operation and note its progress, one amount a hold.

        One whose lease has ended meanwhile lives after all: it holds again what it held.
        """
        for name, amounts in progress.items():
            operation = self.operations.get(name)
            if operation is None or operation.state == "settled":
                continue
            if operation.state == "unconfirmed":
                for hold, amount in zip(operation.holds, operation.at_risk, strict=True):
                    self.add(now, hold, held=hold.amount, unconfirmed=-amount)
                operation.state = "open"
            self.remember(name, operation, now + lease_ms / 1000)
            if len(amounts) == len(operation.holds):
                operation.at_risk = tuple(amounts)

    def mark_sent(self, now: float, name: str, sent: bool) -> None:
        """Note whether the request has left."""
        if name in self.operations:
            self.operations[name].sent = sent

    def extend(self, now: float, name: str, amounts: Sequence[int]) -> None:
        """Raise an operation's holds to *amounts*; never lowers, never refuses."""
        operation = self.operations.get(name)
        if operation is None or operation.state != "open" or len(amounts) != len(operation.holds):
            return
        raised = []
        for hold, amount in zip(operation.holds, amounts, strict=True):
            grown = max(hold.amount, amount)
            self.add(now, hold, held=grown - hold.amount)
            raised.append(replace(hold, amount=grown))
        operation.holds = tuple(raised)

    def balances(self, now: float, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """What the current window of each budget holds."""
        self.expire(now)
        return tuple(self._balance(key, window, now) for key, window in budgets)

    def true_up(self, now: float, spent: Sequence[Charge]) -> None:
        """Raise what is spent in each window to at least the amount; never lowers."""
        self.expire(now)
        for charge in spent:
            found = self.windows.get((charge.budget, charge.window_id), _NOTHING)
            missing = charge.amount - found.spent
            self.add(now, charge, settled=max(0, missing))

    def claim_alert(
        self, now: float, balance: Balance, threshold: int, lease_ms: int
    ) -> AlertClaim | None:
        """The alert, for the first who asks; again, when a lease or a rolling window has ended."""
        budget, window_id, epoch = balance.budget, balance.window_id, balance.epoch
        if epoch != self.marks.get(budget, Marks()).epoch:
            return None
        key = (budget, alert_key(window_id)[0], threshold, epoch)
        alert = self.alerts.get(key)
        if alert is not None and (alert.until is None or now < alert.until):
            return None
        name = alert_id(budget, window_id, threshold, epoch)
        if alert is not None and not alert.raised:
            name = alert.id  # who claimed it died: the same alert
        keep = forget_at(window_id, now)
        self.alerts[key] = Alert(name, now + lease_ms / 1000, raised=False, forget_at=keep)
        if keep is not None:
            heapq.heappush(self._fading, (keep, key))
        return AlertClaim(budget, window_id, threshold, name)

    def acknowledge_alert(self, now: float, claim: AlertClaim) -> None:
        """It was raised; a rolling window may raise it again after its own length."""
        series, again_s = alert_key(claim.window_id)
        epoch = self.marks.get(claim.budget, Marks()).epoch
        alert = self.alerts.get((claim.budget, series, claim.threshold, epoch))
        if alert is not None and alert.id == claim.id and not alert.raised:
            alert.raised = True
            alert.until = None if again_s is None else now + again_s

    def held(self, now: float) -> tuple[Held, ...]:
        """The open and the unconfirmed operations."""
        self.expire(now)
        return tuple(
            Held(name, each.state, each.sent, each.until, each.holds, each.at_risk)
            for name, each in sorted(self.operations.items())
            if each.state != "settled"
        )

    def open_holds(self, now: float) -> int:
        """How many operations hold something now."""
        living = (each.state == "open" and each.until >= now for each in self.operations.values())
        return sum(living)

    def _balance(self, key: str, window: Window, now: float) -> Balance:
        marks = self.marks.get(key)
        if window.rolling is not None:
            balance = self._rolling_balance(key, window.rolling, now)
        else:
            span = window.at(now)
            found = self.windows.get((key, span.id), _NOTHING)
            balance = Balance(
                key, span.id, span.ends_at, found.settled, found.unconfirmed, found.held
            )
        return replace(balance, **marks._asdict()) if marks else balance

    def _rolling_balance(self, key: str, rolling: Rolling, now: float) -> Balance:
        current = oldest = rolling.start(now)
        parts = []
        for start in reversed(rolling.starts(now)):
            part = self.windows.get((key, rolling.id(start)))
            if part is not None and (part.settled or part.unconfirmed or part.held):
                parts.append(part)
                oldest = start
        return Balance(
            key,
            rolling.id(current),
            rolling.slice(oldest).ends_at,
            sum(part.settled for part in parts),
            sum(part.unconfirmed for part in parts),
            sum(part.held for part in parts),
        )

    def add(
        self, now: float, charge: Charge, *, held: int = 0, settled: int = 0, unconfirmed: int = 0
    ) -> None:
        """Change what a window holds; this counts as its use."""
        if not (held or settled or unconfirmed):
            return
        key = (charge.budget, charge.window_id)
        if (window := self.windows.get(key)) is None:
            window = self.windows[key] = Booked()
        if held:
            window.held += held
        if settled:
            window.settled += settled
        if unconfirmed:
            window.unconfirmed += unconfirmed
        self._keep(now, key, window, unconfirmed=unconfirmed > 0)

    def _keep(self, now: float, key: Key, window: Booked, *, unconfirmed: bool) -> None:
        until = forget_at(key[1], now, unconfirmed=unconfirmed)
        if until is not None and until > window.forget_at:
            window.forget_at = until
            heapq.heappush(self._aging, (until, key))

    def remember(self, name: str, operation: Operation, until: float) -> None:
        """Keep an operation until its lease ends or nobody asks for it any more."""
        operation.until = until
        self.operations[name] = operation
        heapq.heappush(self._leases, (until, name))

    def drop(self, now: float, name: str) -> None:
        """Take back what an operation holds, or what was booked for it as unconfirmed."""
        operation = self.operations.pop(name, None)
        if operation is None or operation.state == "settled":
            return
        for hold, amount in zip(operation.holds, operation.at_risk, strict=True):
            if operation.state == "open":
                self.add(now, hold, held=-hold.amount)
            else:
                self.add(now, hold, unconfirmed=-amount)

    def expire(self, now: float) -> None:
        """Book holds whose lease ran out: their progress as unconfirmed, nothing if unsent."""
        while self._leases and self._leases[0][0] < now:
            until, name = heapq.heappop(self._leases)
            operation = self.operations.get(name)
            if operation is None or operation.until != until:
                continue  # dropped or renewed since: then a newer entry stands for it
            if operation.state == "open" and operation.sent:
                for hold, amount in zip(operation.holds, operation.at_risk, strict=True):
                    self.add(now, hold, held=-hold.amount, unconfirmed=amount)
                operation.state = "unconfirmed"
                self.remember(name, operation, now + UNCONFIRMED_S)
            elif operation.state == "open":
                self.drop(now, name)
            else:
                del self.operations[name]

    def _forget(self, now: float) -> None:
        """Let go of windows and alerts of long ago, and of the journal's oldest lines."""
        while self._aging and self._aging[0][0] < now:
            until, key = heapq.heappop(self._aging)
            window = self.windows.get(key)
            if window is None or window.forget_at != until:
                continue
            if window.held:  # a call that has been open all the time
                self._keep(now, key, window, unconfirmed=True)
            else:
                del self.windows[key]
        while self._fading and self._fading[0][0] < now:
            until, name = heapq.heappop(self._fading)
            if name in self.alerts and self.alerts[name].forget_at == until:
                del self.alerts[name]
        while self.journal and self.journal[0][0] < now - self._journal_s:
            self.journal.popleft()
