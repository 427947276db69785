"""What a ledger keeps and what each verb does to it: the executable specification of all stores.

No lock, no clock, no queue: `memory` has them. Each method is one atomic step at the time *now*,
also where a signal's handler raises in the middle of it. What it changes in the windows is noted
and can be undone; at its end the rest is put in place by statements that call nothing, as CPython
looks for signals only at a call or the end of a loop's round. What stands in a heap in vain is
passed over.
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aden.core.record import CallRecord
from aden.core.window import Rolling, Window
from aden.ledger.journal import Keep
from aden.ledger.memory_entries import NOTHING, Alert, Booked, Key, Operation
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
        self.changes: list[tuple[Booked, int, int, int]] = []
        """What the present step has added to windows: held, settled, unconfirmed."""
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
        until = self.remember(ask.operation, now + ask.lease_ms / 1000)
        operation = Operation("open", tuple(holds), tuple(at_risk), until)
        self.changes = []
        self.operations[ask.operation] = operation
        return Grant(ask.operation, verdict.option, operation.holds, seen)

    def settle(self, now: float, settlement: Settlement) -> None:
        """Replace an operation's hold by its charges; the first word stays."""
        name = settlement.operation
        operation = self.operations.get(name)
        if operation is None or operation.state != "settled":
            self.take_back(now, operation)
            for charge in settlement.charges:
                self.add(now, charge, settled=charge.amount)
            done = Operation("settled", until=self.remember(name, now + RETAIN_S))
            told = () if settlement.record is None else ((now, settlement.record),)
            model, tokens = settlement.output or ("", 0)
            histogram = self.outputs.setdefault(model, {}) if model else {}
            bucket = output_bucket(tokens)
            seen = histogram.get(bucket, 0) + 1
            self.changes = []
            self.operations[name] = done
            self.journal += told
            histogram[bucket] = seen
            if seen >= OUTPUTS_HALVED_AT:
                halved = {edge: seen // 2 for edge, seen in histogram.items() if seen > 1}
                self.outputs[model] = halved
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
            told = len(amounts) == len(operation.holds)
            at_risk = tuple(amounts) if told else operation.at_risk
            until = self.remember(name, now + lease_ms / 1000)
            self.changes = []
            operation.state, operation.at_risk, operation.until = "open", at_risk, until

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
        holds = tuple(raised)
        self.changes = []
        operation.holds = holds

    def balances(self, now: float, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """What the current window of each budget holds."""
        self.expire(now)
        return tuple(self._balance(key, window, now) for key, window in budgets)

    def true_up(self, now: float, spent: Sequence[Charge]) -> None:
        """Raise what is spent in each window to at least the amount; never lowers."""
        self.expire(now)
        for charge in spent:
            found = self.windows.get((charge.budget, charge.window_id), NOTHING)
            missing = charge.amount - found.spent
            self.add(now, charge, settled=max(0, missing))
            self.changes = []

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
        if keep is not None:
            heapq.heappush(self._fading, (keep, key))
        self.alerts[key] = Alert(name, now + lease_ms / 1000, raised=False, forget_at=keep)
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
            found = self.windows.get((key, span.id), NOTHING)
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
        self,
        now: float,
        charge: Charge,
        *,
        held: int = 0,
        settled: int = 0,
        unconfirmed: int = 0,
    ) -> None:
        """Change what a window holds, until the step's end or `undo`; this counts as its use."""
        if not (held or settled or unconfirmed):
            return
        key = (charge.budget, charge.window_id)
        if (window := self.windows.get(key)) is None:
            window = self.windows[key] = Booked()
        self._keep(now, key, window, unconfirmed=unconfirmed > 0)
        if held:
            window.held += held
        if settled:
            window.settled += settled
        if unconfirmed:
            window.unconfirmed += unconfirmed
        self.changes.append((window, held, settled, unconfirmed))

    def undo(self) -> None:
        """Take back what a step has changed that did not come to its end."""
        while self.changes:
            window, held, settled, unconfirmed = self.changes[-1]
            window.held -= held
            window.settled -= settled
            window.unconfirmed -= unconfirmed
            del self.changes[-1]

    def _keep(self, now: float, key: Key, window: Booked, *, unconfirmed: bool) -> None:
        until = forget_at(key[1], now, unconfirmed=unconfirmed)
        if until is not None and until > window.forget_at:
            heapq.heappush(self._aging, (until, key))
            window.forget_at = until

    def remember(self, name: str, until: float) -> float:
        """Have an operation looked at when its lease ends or nobody asks for it any more."""
        heapq.heappush(self._leases, (until, name))
        return until

    def take_back(self, now: float, operation: Operation | None) -> None:
        """Take back what an operation holds, or what was booked for it as unconfirmed."""
        if operation is None or operation.state == "settled":
            return
        for hold, amount in zip(operation.holds, operation.at_risk, strict=True):
            if operation.state == "open":
                self.add(now, hold, held=-hold.amount)
            else:
                self.add(now, hold, unconfirmed=-amount)

    def drop(self, now: float, name: str) -> None:
        """Forget an operation, and take back what it holds or what was booked for it."""
        if name in self.operations:
            self.take_back(now, self.operations[name])
            self.changes = []
            del self.operations[name]

    def expire(self, now: float) -> None:
        """Book holds whose lease ran out: their progress as unconfirmed, nothing if unsent."""
        while self._leases and self._leases[0][0] < now:
            until, name = self._leases[0]
            operation = self.operations.get(name)
            if operation is not None and operation.until == until:  # else a newer entry stands
                self._expire(now, name, operation)
            heapq.heappop(self._leases)

    def _expire(self, now: float, name: str, operation: Operation) -> None:
        if operation.state != "open" or not operation.sent:
            if operation.state == "open":
                self.drop(now, name)
            else:
                del self.operations[name]
            return
        for hold, amount in zip(operation.holds, operation.at_risk, strict=True):
            self.add(now, hold, held=-hold.amount, unconfirmed=amount)
        until = self.remember(name, now + UNCONFIRMED_S)
        self.changes = []
        operation.state, operation.until = "unconfirmed", until

    def _forget(self, now: float) -> None:
        """Let go of windows and alerts of long ago, and of the journal's oldest lines."""
        while self._aging and self._aging[0][0] < now:
            until, key = self._aging[0]
            window = self.windows.get(key)
            if window is not None and window.forget_at == until:
                if window.held:  # a call that has been open all the time
                    self._keep(now, key, window, unconfirmed=True)
                else:
                    del self.windows[key]
            heapq.heappop(self._aging)
        while self._fading and self._fading[0][0] < now:
            until, name = self._fading[0]
            if name in self.alerts and self.alerts[name].forget_at == until:
                del self.alerts[name]
            heapq.heappop(self._fading)
        while self.journal and self.journal[0][0] < now - self._journal_s:
            self.journal.popleft()
