"""What this process lets through while its ledger does not answer, and for how much."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aden.budgets.budget import Match
from aden.core.forks import see_through_forks
from aden.core.window import Span, rolling_of
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Line, Option, Refusal
from aden.ledger.rules import ceiling, choose, step_below

KNOWN_MAX = 4_096


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The budget that does not let a request through unasked."""

    match: Match
    allowance: int | None
    used: int
    frozen: bool = False

    def __str__(self) -> str:
        budget = self.match.budget
        if self.frozen:
            return f"budget {budget.id!r} is frozen by an operator"
        if not self.allowance:
            return f"budget {budget.id!r} lets nothing through unasked"
        show = budget.limit.show
        return (
            f"budget {budget.id!r} lets this process spend {show(self.allowance)} unasked, of "
            f"which {show(self.used)} are taken"
        )


class Outage:
    """Answers in the ledger's place, from each budget's allowance.

    What was let through counts against the allowance until the ledger has booked it: a ledger
    carries out what one process tells it in order, so an answer to a question that was asked after
    a settlement says that the settlement is booked. Until then neither a short recovery nor a
    second outage gives the process more.
    """

    def __init__(self) -> None:
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Start anew: what the parent let through is the parent's to account for."""
        self._lock = threading.RLock()  # a destructor may settle inside a turn of its own thread
        self._known: dict[str, Balance] = {}
        self._open: dict[str, dict[str, int]] = {}
        self._used: dict[str, int] = {}
        self._settled_at = 0.0

    def heard(self, outcome: Grant | Refusal, asked_at: float) -> None:
        """The ledger answered what it was asked at *asked_at* (monotonic seconds)."""
        if len(self._known) > KNOWN_MAX:  # keys of templates come from outside
            self._known.clear()
        for balance in outcome.balances:
            self._known[balance.budget] = balance
        if not self._used:
            return
        with self._lock:
            self._take_back(outcome.operation)
            if self._settled_at < asked_at:
                self._used.clear()
                for taken in self._open.values():
                    self._count(taken)

    def answer(
        self, ask: Ask, matches: Sequence[Match], *, fail_open: bool, now: float
    ) -> Grant | NotAllowed:
        """The first option that every budget lets through unasked, at unix second *now*.

        The last balances that the ledger told still count: the ladder goes on where it stood, and
        what was exhausted stays so.
        """
        with self._lock:
            self._take_back(ask.operation)
            allowed = {m.key: m.budget.allowed_unasked(fail_open=fail_open) for m in matches}
            balances = {match.key: self._balance(match, now) for match in matches}
            options = tuple(
                Option(tuple(_line(line, allowed, balances) for line in option.lines))
                for option in ask.options
            )
            # What an operator raised is in the lines by now; it must not lift the allowance.
            plain = {key: replace(balance, raised=None) for key, balance in balances.items()}
            verdict = choose(Ask(ask.operation, options), plain)
            if verdict.option is None:
                match = next(match for match in matches if match.key == verdict.budget)
                found = balances[match.key]
                return NotAllowed(match, allowed[match.key], found.held, found.frozen)
            lines = ask.options[verdict.option].lines
            self._take(ask.operation, lines, allowed)
            holds = tuple(
                Charge(line.budget, balances[line.budget].window_id, line.amount) for line in lines
            )
            return Grant(ask.operation, verdict.option, holds, tuple(balances.values()))

    def grown(self, operation: str, amounts: Mapping[str, int]) -> None:
        """An open request has come to cost more than it was let through for."""
        if operation not in self._open:
            return
        with self._lock:
            taken = self._open.get(operation, {})
            for key, amount in taken.items():
                taken[key] = max(amount, amounts.get(key, 0))
                self._used[key] = self._used.get(key, 0) + taken[key] - amount

    def settled(self, operation: str, charges: Sequence[Charge]) -> None:
        """A request that was let through has ended, and the ledger has been told of *charges*."""
        if operation not in self._open:
            return
        with self._lock:
            taken = self._take_back(operation)
            self._count({each.budget: each.amount for each in charges if each.budget in taken})
            self._settled_at = time.monotonic()

    def _take(
        self, operation: str, lines: Sequence[Line], allowed: Mapping[str, int | None]
    ) -> None:
        limited = [line for line in lines if line.enforce and allowed[line.budget] is not None]
        taken = {line.budget: line.amount for line in limited if line.amount}
        if taken:
            self._open[operation] = taken
            self._count(taken)

    def _take_back(self, operation: str) -> dict[str, int]:
        taken = self._open.pop(operation, {})
        self._count({key: -amount for key, amount in taken.items()})
        return taken

    def _count(self, amounts: Mapping[str, int]) -> None:
        for key, amount in amounts.items():
            self._used[key] = self._used.get(key, 0) + amount

    def _balance(self, match: Match, now: float) -> Balance:
        """What the ledger last told; as held, what was let through since."""
        span = match.budget.span.at(now)
        known = self._known.get(match.key)
        used = self._used.get(match.key, 0)
        if known is None:
            return Balance(match.key, span.id, span.ends_at, held=used)
        if not _still_counts(known, span, now):  # what an operator ordered holds in each window
            known = replace(known, ends_at=span.ends_at, settled=0, unconfirmed=0)
        return replace(known, window_id=span.id, held=used)


def _still_counts(known: Balance, span: Span, now: float) -> bool:
    """Whether a balance is of this window; all of a rolling one counts until its oldest leaves."""
    if known.window_id == span.id:
        return True
    rolling = rolling_of(span.id)
    same = rolling is not None and rolling == rolling_of(known.window_id)
    return same and known.ends_at is not None and now < known.ends_at


def _line(line: Line, allowed: Mapping[str, int | None], balances: Mapping[str, Balance]) -> Line:
    """The line by which a budget is asked in the ledger's absence."""
    allowance, balance = allowed[line.budget], balances[line.budget]
    below = step_below(line, balance)
    if allowance is None:
        return replace(line, limit=balance.limit(line.limit), below=below)
    limit = min(ceiling(line, balance), balance.spent + allowance)
    return replace(line, limit=limit, below=below, soft=False)
