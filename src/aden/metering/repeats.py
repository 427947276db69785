"""Refusals that repeat: answered from memory for a second, and reported together.

Workers that retry what was refused are a storm, for the ledger and for whoever reads the reports.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from aden.core.forks import see_through_forks
from aden.errors import RefusalDetails
from aden.ledger.protocol import Charge, Line, Option, Refusal
from aden.metering.call import Call
from aden.metering.worker import begins

logger = logging.getLogger("aden.gate")

REMEMBER_S = 1.0
"""For how long a refusal is repeated without asking: so soon a raise or a reset is seen."""
ASK_AGAIN_S = 0.75
"""From this age on one request asks, so that there is a fresh answer when the old one ends."""
REMEMBERED_MAX = 256
KNOWN_MAX = 1_024
REPORT_EVERY_S = 1.0


@dataclass(slots=True)
class Remembered:
    """What the ledger refused, or a policy without asking it."""

    asked_at: float
    until: float
    refusal: Refusal | None = None
    options: tuple[Option, ...] = ()
    asked_again: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A call that was refused from memory, and all that there is to say about it."""

    call: Call
    scope: Hashable
    found: Remembered
    details: RefusalDetails


@dataclass(slots=True)
class Repeated:
    """Refusals that are to be reported as one."""

    first: Call
    details: RefusalDetails
    latency_ms: float
    count: int = 0


class Repeats:
    """What was refused lately. Nothing here waits, for a ledger or for anything else.

    A request is refused from memory where the ledger has just refused no more than it asks, of
    the same budgets, as ``exhausted`` or as frozen, and under the same policy. ``busy`` is never
    remembered: a refund is due any moment.
    """

    def __init__(self, report: Callable[[Repeated], object]) -> None:
        self._report = report
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Start anew: neither the parent's thread nor its reports are the child's."""
        self._lock = threading.RLock()  # a destructor may settle inside a turn of its own thread
        self._remembered: dict[Hashable, Remembered] = {}
        self._known: dict[Hashable, Known] = {}
        self._unreported: dict[Hashable, Repeated] = {}
        self._reporting = False

    def refused(self, call: Call, asked_at: float) -> None:
        """The call was refused for good, by the ledger's answer of *asked_at* or by its policy."""
        plan, outcome = call.plan, call.outcome
        assert plan is not None
        found = Remembered(asked_at, asked_at + REMEMBER_S)
        if isinstance(outcome, Refusal) and plan.ask is not None:
            found.refusal, found.options = outcome, plan.ask.options
            if outcome.retry_after_ms is not None:
                found.until = min(found.until, asked_at + outcome.retry_after_ms / 1000)
        with self._lock:
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[_scope(call)] = found

    def again(self, call: Call) -> Known | None:
        """What is known of the very same request, which need not even be planned any more."""
        known = self._known.get(_identity(call)) if self._known else None
        if known is None or self._remembered.get(known.scope) is not known.found:
            return None
        return known if known.call.request == call.request and _holds(known.found) else None

    def alike(self, call: Call) -> Remembered | None:
        """The refusal that a planned call repeats; None where the ledger has to be asked."""
        if not self._remembered:
            return None
        found = self._remembered.get(_scope(call))
        ask = call.plan.ask if call.plan else None
        if found is None or (ask and not _asks_no_less(ask.options, found.options)):
            return None
        return found if _holds(found) else None

    def keep(self, call: Call, found: Remembered, details: RefusalDetails) -> Known:
        """Remember the request itself as well, so that it is refused at once if it comes again.

        Not what it said: only a hook reads that, and nobody asks it any more.
        """
        call.params = {}
        known = Known(call, _scope(call), found, details)
        with self._lock:
            if len(self._known) >= KNOWN_MAX:
                self._known.pop(next(iter(self._known)))
            self._known[_identity(call)] = known
        return known

    def count(self, known: Known, call: Call) -> None:
        """A call was refused from memory: it is reported with the others of who asks the same."""
        told = known.scope, call.attribution, id(call.session)
        with self._lock:
            if (repeated := self._unreported.get(told)) is None:
                latency_ms = (time.perf_counter() - call.started) * 1000
                repeated = Repeated(call, known.details, latency_ms)
                self._unreported[told] = repeated
            repeated.count += 1
            if not self._reporting:
                self._reporting = begins(self._run, "aden-refusals")

    def granted(self, call: Call) -> None:
        """The ledger has granted what it refused before."""
        if self._remembered:
            self._remembered.pop(_scope(call), None)

    def settled(self, charges: Sequence[Charge]) -> None:
        """A settlement may correct what was booked as unconfirmed, and so make room."""
        if not self._remembered or not charges:
            return
        budgets = {charge.budget for charge in charges}
        with self._lock:
            for scope, each in list(self._remembered.items()):
                if each.refusal is not None and each.refusal.budget in budgets:
                    del self._remembered[scope]

    def report(self) -> None:
        """Report what was not reported yet."""
        with self._lock:
            repeated = list(self._unreported.values())
            self._unreported.clear()
        for each in repeated:
            self._report(each)

    def _run(self) -> None:
        while True:
            time.sleep(REPORT_EVERY_S)
            try:
                with self._lock:
                    self._let_go()
                    if not self._unreported and not self._known:
                        self._reporting = False
                        return
                self.report()
            except Exception:  # it is the only one who reports
                logger.exception("aden: refusals could not be reported")

    def _let_go(self) -> None:
        """Forget the requests whose refusal does not hold any more."""
        now = time.monotonic()
        for identity, known in list(self._known.items()):
            if now >= known.found.until:
                del self._known[identity]


def _holds(found: Remembered) -> bool:
    """Whether it is fresh; towards its end the first who asks is sent to the ledger."""
    now = time.monotonic()
    if now >= found.until:
        return False
    if now >= found.asked_at + ASK_AGAIN_S and not found.asked_again:
        found.asked_again = True
        return False
    return True


def _identity(call: Call) -> Hashable:
    """By which requests are told apart before they are compared."""
    request = call.request
    policy = call.policy.version, call.policy.mode
    return policy, call.prices, request.model, request.input_chars, call.attribution


def _scope(call: Call) -> Hashable:
    """By which budgets, under which policy, in which forms the call asks."""
    plan = call.plan
    assert plan is not None
    if plan.ask is None:
        return call.policy.version, plan.block
    models = tuple([quote.model for quote in plan.quotes])
    return call.policy.version, models, tuple([line.budget for line in plan.ask.options[0].lines])


def _asks_no_less(options: Sequence[Option], refused: Sequence[Option]) -> bool:
    """Whether a ledger that has refused the one must refuse the other."""
    return len(options) == len(refused) and all(
        len(now.lines) == len(then.lines) and all(map(_is_no_easier, now.lines, then.lines))
        for now, then in zip(options, refused, strict=True)
    )


def _is_no_easier(line: Line, refused: Line) -> bool:
    return (
        line.amount >= refused.amount
        and line.limit == refused.limit
        and line.below == refused.below
        and line.enforce == refused.enforce
        and line.soft == refused.soft
    )
