"""A voice session: the budgets that its own calls alone count against, and its bill."""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context

from aden.budgets.budget import OwnBudget
from aden.budgets.note import make_known
from aden.budgets.policy import Policy
from aden.core.attribution import NOBODY, Attribution
from aden.core.bill import SessionBill
from aden.core.forks import see_through_forks
from aden.core.place import NOWHERE, Place
from aden.core.record import CallRecord
from aden.core.request import Component
from aden.core.sums import Sums
from aden.errors import ConfigurationError
from aden.ledger.protocol import Balance, Charge, Grant, Refusal

if TYPE_CHECKING:
    from aden.metering.call import Call
    from aden.metering.meter import Meter

logger = logging.getLogger("aden")
TURNS_MAX = 256


class SessionBudget:
    """A session's own budget, as it stands. Nothing here waits, but `refresh`.

    The figures are what this session's own calls came to and hold, and what its ledger said of
    others at the latest request; they are in the limit's unit, for money in US dollars, and mean
    what they mean in ``context.budget``.
    """

    def __init__(self, session: "Session", own: OwnBudget, meter: "Meter") -> None:
        self._session = session
        self._own = own
        self._meter = meter
        self._full = own.budget.limit.amount
        self._mine = 0
        self._others = 0
        self._others_hold = 0
        self._held: dict[str, int] = {}

    def __repr__(self) -> str:
        limit = self._own.budget.limit
        return f"<{self.id} of {self.scope}: {limit.show(self._spent)} of {limit.show(self._full)}>"

    @property
    def id(self) -> str:
        """The budget's id, as refusals, spans and ``aden budgets`` name it."""
        return self._own.budget.id

    @property
    def scope(self) -> str:
        """Whose it is, such as ``session=AJ_1``."""
        return self._own.scope

    @property
    def limit(self) -> float:
        """The limit in force: an operator may have raised it."""
        return self._own.budget.limit.value(self._full)

    @property
    def spent(self) -> float:
        """What is booked."""
        return self._own.budget.limit.value(self._spent)

    @property
    def reserved(self) -> float:
        """What open requests hold."""
        return self._own.budget.limit.value(self._reserved)

    @property
    def remaining(self) -> float:
        """What is neither booked nor held."""
        return self._own.budget.limit.value(max(0, self._full - self._spent - self._reserved))

    @property
    def percent_used(self) -> float:
        """Per cent of the limit that are spent; of a limit of 0, 100."""
        return self._own.budget.percent_used(self._spent, self._full)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left of it even if every open request were refunded."""
        return self._spent >= self._full

    @property
    def bill(self) -> SessionBill:
        """What the whole session came to so far, by component, model and turn."""
        return self._session.bill()

    async def refresh(self) -> None:
        """Ask the ledger, off the event loop, what others have spent meanwhile.

        Raises:
            LedgerError: It does not answer.
        """
        await asyncio.to_thread(self.read)

    def close(self) -> None:
        """Take it out of force for requests to come; what was spent stays booked. Idempotent."""
        self._session.remove(self)

    def is_like(self, own: OwnBudget) -> bool:
        """Whether it was made by the same words."""
        return self._own == own

    @property
    def own(self) -> OwnBudget:
        """The budget, and whose it is."""
        return self._own

    def read(self) -> None:
        """`refresh`, waiting."""
        (balance,) = self._meter.ledger.balances([(self._own.key, self._own.budget.span)])
        with self._session.lock:
            self._told(balance)

    def answered(self, operation: str, outcome: Grant | Refusal) -> None:
        """The ledger was asked for a call of the session."""
        self._held.pop(operation, None)  # asked again, it replaces what it held
        for balance in outcome.balances:
            if balance.budget == self._own.key:
                self._told(balance)
        holds = outcome.holds if isinstance(outcome, Grant) else ()
        held = sum(hold.amount for hold in holds if hold.budget == self._own.key)
        if held:
            self._held[operation] = held

    def settled(self, operation: str, charges: Sequence[Charge]) -> None:
        """A call of the session is booked."""
        self._held.pop(operation, None)
        self._mine += sum(each.amount for each in charges if each.budget == self._own.key)

    def _told(self, balance: Balance) -> None:
        self._full = balance.limit(self._own.budget.limit.amount)
        self._others = max(0, balance.spent - self._mine)
        # Less than nothing where a lease of ours has ended in the ledger: its word goes.
        self._others_hold = balance.held - sum(self._held.values())

    @property
    def _spent(self) -> int:
        return self._mine + self._others

    @property
    def _reserved(self) -> int:
        return max(0, sum(self._held.values()) + self._others_hold)


class Session:
    """What the calls of one job share. Nothing here waits; it may be used from any thread."""

    def __init__(self, place: Place = NOWHERE, attribution: Attribution = NOBODY) -> None:
        self.place = place
        self.attribution = attribution
        self.context = trace.set_span_in_context(trace.get_current_span(), Context())
        """Where the session began, for the span of its bill."""
        self.ended = False
        self._started_at = time.time()
        self._ended_at: float | None = None
        self.after_fork_in_child()
        self._own: tuple[SessionBudget, ...] = ()
        self._under: tuple[Policy, tuple[SessionBudget, ...], Policy] | None = None
        self._open: set[str] = set()
        self._total = Sums()
        self._components: dict[Component, Sums] = {}
        self._models: dict[str, Sums] = {}
        self._turns: dict[str, Sums] = {}
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have held the lock."""
        self.lock = threading.RLock()  # a destructor may settle in the middle of a settlement

    def policy(self, base: Policy) -> Policy:
        """What holds for its calls: *base*, and the session's own budgets."""
        own, under = self._own, self._under
        if not own:
            return base
        if under is None or under[0] is not base or under[1] is not own:
            under = self._under = base, own, base.within(tuple(each.own for each in own))
        return under[2]

    def add(self, own: OwnBudget, meter: "Meter") -> SessionBudget:
        """Put a budget in force for all requests of the session that are still to come.

        Raises:
            ConfigurationError: The session has ended, or has another budget of that id.
        """
        with self.lock:
            if self.ended:
                name = self.place.job_id or "of this job"
                raise ConfigurationError("session_budget", name, "a session that has not ended")
            for each in self._own:
                if each.is_like(own):
                    return each
                if each.id == own.budget.id:
                    limit = own.budget.limit
                    said = f"id={own.budget.id!r}, {own.scope}, {limit.show(limit.amount)}"
                    allowed = f"the same words as before ({each!r}), its close(), or another id"
                    raise ConfigurationError("session_budget", said, allowed)
            made = SessionBudget(self, own, meter)
            self._own = (*self._own, made)
        meter.dispatcher.ready()
        meter.dispatcher.soon(lambda: _introduce(made, meter))
        return made

    def remove(self, budget: SessionBudget) -> None:
        """Requests to come do not count against *budget*."""
        with self.lock:
            self._own = tuple(each for each in self._own if each is not budget)

    def answered(self, call: "Call", outcome: Grant | Refusal) -> None:
        """The ledger was asked for a call."""
        with self.lock:
            for each in self._own:
                each.answered(call.id, outcome)

    def sent(self, call: "Call") -> None:
        """A call is on its way."""
        with self.lock:
            self._open.add(call.id)

    def settled(self, call: "Call", charges: Sequence[Charge]) -> None:
        """A call is booked."""
        with self.lock:
            self._open.discard(call.id)
            for each in self._own:
                each.settled(call.id, charges)

    def saw(self, record: CallRecord) -> None:
        """A call, or refusals that repeated, is a part of the bill."""
        with self.lock:
            self._total.add(record)
            self._components.setdefault(record.component, Sums()).add(record)
            self._models.setdefault(f"{record.provider}/{record.model}", Sums()).add(record)
            if (speech := record.place.speech_id) is not None:
                self._turns.setdefault(speech, Sums()).add(record)
                if len(self._turns) > TURNS_MAX:
                    del self._turns[next(iter(self._turns))]

    def bill(self) -> SessionBill:
        """What its calls came to so far."""
        with self.lock:
            ended_at = time.time() if self._ended_at is None else self._ended_at
            by_cost = sorted(self._models.items(), key=lambda model: (-model[1].cost, model[0]))
            return SessionBill(
                place=self.place,
                attribution=self.attribution,
                started_at=self._started_at,
                duration_s=ended_at - self._started_at,
                total=replace(self._total),
                components={name: replace(sums) for name, sums in self._components.items()},
                models={name: replace(sums) for name, sums in by_cost},
                turns={name: replace(sums) for name, sums in self._turns.items()},
                open_calls=len(self._open),
            )

    def end(self, meter: "Meter") -> None:
        """Tell the bill, once: on a span, in an event, in the log. Never raises."""
        with self.lock:
            if self.ended:
                return
            self.ended, self._ended_at = True, time.time()
        try:
            meter.reserver.repeats.report()
            bill = self.bill()
            if bill.total.calls or self._own:
                meter.telemetry.session_ended(bill, self.context)
                logger.info("aden: session %s: %s", self.place.job_id, bill.line())
        except Exception:
            meter.cannot("settlement", "a session's bill could not be told", trace=True)


def _introduce(budget: SessionBudget, meter: "Meter") -> None:
    """Tell the ledger what it is to keep, and read what it keeps already, off the event loop."""
    try:
        make_known(meter.ledger, [budget.own.budget], mode=meter.policy().mode)
        budget.read()
    except Exception as error:  # the requests themselves find out, and say so
        logger.warning("aden: the ledger was not told of budget %r: %s", budget.id, error)
