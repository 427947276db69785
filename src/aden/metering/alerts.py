"""Alerts of budgets: claimed in the ledger, raised, acknowledged; off the path of a request."""

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from aden.budgets import gate
from aden.budgets.budget import Match
from aden.budgets.ladder import Alert
from aden.budgets.plan import Plan
from aden.core.attribution import Attribution
from aden.core.event_loop import running_loop
from aden.core.forks import see_through_forks
from aden.core.record import AlertEvent
from aden.core.value import value
from aden.errors import LedgerError
from aden.ledger.protocol import ALERT_LEASE_MS, AlertClaim, Balance
from aden.ledger.rules import alert_key
from aden.metering.call import Call

if TYPE_CHECKING:
    from aden.metering.meter import Meter

LOOK_EVERY_S = 0.25
LOOK_AGAIN_S = 5.0
"""After the ledger did not answer."""
ENDED_MAX = 1_000
"""So many ends of calls wait for one look; of more, the latest."""
KNOWN_MAX = 4_096

_Key = tuple[str, str, int, int]
"""Budget, window, how often it was armed again, and the spend at which it is raised."""


@value
class _Ended:
    """The end of a call, after which a budget is looked at."""

    match: Match
    attribution: Attribution
    home: asyncio.AbstractEventLoop | None
    """Where an async ``on_alert`` is to run."""


class AlertWatch:
    """Looks at the budgets of a call soon after it has ended, and raises the alerts they crossed.

    It reads the ledger on a thread of ours, once for all calls that end within a quarter of a
    second. So it sees what all processes have settled, also where a burst was reserved before any
    call of it ended.
    """

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Start anew: the parent looks after the calls that ended there."""
        self._ended: deque[_Ended] = deque(maxlen=ENDED_MAX)
        self._is_due = False
        self._looked_at = -LOOK_EVERY_S
        self._known: dict[_Key, float] = {}

    def ended(self, call: Call, plan: Plan) -> None:
        """A call is settled. Never blocks; safe in a destructor."""
        balances = None
        for match in plan.matches:
            if not match.ladder:
                continue
            balances = balances or gate.balances_of(call.outcome)
            if self._unknown(match, balances.get(match.key)):
                self._ended.append(_Ended(match, call.attribution, running_loop()))
                self._look_at(self._looked_at + LOOK_EVERY_S)

    def _look_at(self, at: float) -> None:
        if not self._is_due:
            self._is_due = True
            self._meter.dispatcher.later(self._look, at)

    def _look(self) -> None:
        self._is_due = False
        self._looked_at = time.monotonic()
        ended: dict[str, _Ended] = {}
        while self._ended:
            each = self._ended.popleft()
            ended[each.match.key] = each
        try:
            balances = self._meter.ledger.balances(
                [(key, each.match.budget.span) for key, each in ended.items()]
            )
        except LedgerError as error:
            self._meter.cannot("alert", f"whether a budget crossed one cannot be told: {error}")
            self._ended.extendleft(ended.values())
            self._look_at(self._looked_at + LOOK_AGAIN_S)
            return
        for each, balance in zip(ended.values(), balances, strict=True):
            self._raise_crossed(each, balance)

    def _raise_crossed(self, ended: _Ended, balance: Balance) -> None:
        budget = ended.match.budget
        used = gate.percent_used(budget, balance)
        for step in self._unknown(ended.match, balance):
            if used < step.at:
                continue
            message = step.message or f"budget {budget.name or budget.id!r} is {used:.0f} % used"
            event = AlertEvent(step.level, message, "", budget.id, used, ended.attribution)
            alert = ClaimedAlert(self._meter, balance, budget.threshold(step.at), self.note)
            self._meter.dispatcher.put(alert, event, self._meter.on_alert, home=ended.home)

    def _unknown(self, match: Match, balance: Balance | None) -> list[Alert]:
        """The steps that may have to be raised: somebody is at the others, or has raised them."""
        return [
            step
            for step in match.ladder
            if isinstance(step, Alert)
            and (balance is None or not self.is_known(balance, match.budget.threshold(step.at)))
        ]

    def is_known(self, balance: Balance, threshold: int) -> bool:
        """Whether the ledger has lately said who raises an alert."""
        return self._known.get(_key(balance, threshold), 0.0) >= time.monotonic()

    def note(self, balance: Balance, threshold: int) -> None:
        """The ledger has said who raises it; if that one dies, its lease ends first."""
        if len(self._known) > KNOWN_MAX:  # keys of templates come from outside
            self._known.clear()
        rolling_s = alert_key(balance.window_id)[1]
        known_s = ALERT_LEASE_MS / 1000
        until = time.monotonic() + (known_s if rolling_s is None else min(known_s, rolling_s))
        self._known[_key(balance, threshold)] = until


def _key(balance: Balance, threshold: int) -> _Key:
    return balance.budget, alert_key(balance.window_id)[0], balance.epoch, threshold


class ClaimedAlert:
    """Claims an alert on the alerts' thread, raises it if it was free, acknowledges it.

    Where this process dies in between, the next call over the threshold claims it again after the
    lease; an async ``on_alert`` that is cut off is begun anew. An ``on_alert`` that raises has been
    told: the alert counts as raised, and the error is logged.
    """

    def __init__(
        self,
        meter: "Meter",
        balance: Balance,
        threshold: int,
        answered: Callable[[Balance, int], object],
    ) -> None:
        self._meter = meter
        self._place = (balance, threshold)
        self._answered = answered  # told that the ledger has said who raises it
        self._claim: AlertClaim | None = None

    def __call__(self, event: object) -> object:
        """Raise *event*, where this process is the one to do it."""
        assert isinstance(event, AlertEvent)
        if self._meter.on_alert is None:
            return None
        claim = self._claim or self._claimed(event)
        if claim is None:
            return None
        try:
            result = self._meter.on_alert(replace(event, id=claim.id))
        except Exception:
            self._meter.ledger.acknowledge_alert(claim)
            raise
        if inspect.isawaitable(result):
            return self._acknowledged(cast("Awaitable[object]", result), claim)
        self._meter.ledger.acknowledge_alert(claim)
        return None

    def _claimed(self, event: AlertEvent) -> AlertClaim | None:
        try:
            self._claim = self._meter.ledger.claim_alert(*self._place)
        except LedgerError as error:  # the next call over the threshold tries again
            self._meter.cannot("alert", f"{event.message!r} cannot be claimed: {error}")
            return None
        self._answered(*self._place)
        return self._claim

    async def _acknowledged(self, result: Awaitable[object], claim: AlertClaim) -> None:
        try:
            await result
        except Exception:
            self._meter.ledger.acknowledge_alert(claim)
            raise
        self._meter.ledger.acknowledge_alert(claim)
