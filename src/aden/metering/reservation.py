"""What becomes of a call by what the ledger answers, or does not."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aden.budgets import gate
from aden.core.decision import Decision
from aden.errors import LedgerError, LedgerSaturated
from aden.ledger.protocol import Ask, Charge, Grant, Refusal
from aden.ledger.rules import BUSY_RETRY_MS
from aden.metering.call import Call
from aden.metering.fill import Fill
from aden.metering.outage import Outage
from aden.metering.repeats import Known, Repeats
from aden.telemetry.spans import NO_SPAN

if TYPE_CHECKING:
    from aden.metering.meter import Meter


TYPICAL_FOR_S = 10.0
"""How old a figure of other processes' answers may be before a request waits for a newer one."""
LEARNED_FOR_S = 0.25
"""The same where this process has settled an answer since."""
MODELS_MAX = 256


@dataclass(slots=True)
class _Typical:
    """A typical output as the ledger gave it."""

    tokens: int | None
    read_at: float
    until: float
    """So long it is taken as it is (both monotonic seconds)."""


class Reserver:
    """Reserves for a meter; the asking itself is the shells'."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self._system = meter.ledger.url.partition(":")[0].replace("rediss", "redis")
        self._typical: dict[str, _Typical] = {}
        self.outage = Outage()
        self.fill = Fill(meter.ledger)
        self.repeats = Repeats(meter.settler.report)

    def busy_wait_s(self, call: Call) -> float:
        """Seconds that a call waits for a refund."""
        configured = self._meter.options.busy_wait_ms
        return (call.lane.busy_wait_ms if configured is None else configured) / 1000

    def typical_output(self, model: str) -> int | None:
        """The ledger's figure, or one that it gave lately: it may have to read a file for it."""
        known = self._typical.get(model)
        if known is None or time.monotonic() > known.until:
            known = self._read_typical(model)
        return known.tokens

    def learned(self, output: tuple[str, int] | None) -> None:
        """The ledger was told of a model's output: read it now, not before the next request."""
        if output is None or (known := self._typical.get(output[0])) is None:
            return
        if time.monotonic() > known.read_at + LEARNED_FOR_S:
            self._read_typical(output[0])
        else:
            known.until = known.read_at + LEARNED_FOR_S

    def _read_typical(self, model: str) -> _Typical:
        if len(self._typical) > MODELS_MAX:
            self._typical.clear()
        now = time.monotonic()
        read = _Typical(self._meter.ledger.typical_output(model), now, now + TYPICAL_FOR_S)
        self._typical[model] = read
        return read

    def hold_back(self, call: Call) -> None:
        """It waits before it is sent: should its process die meanwhile, its hold is released."""
        if isinstance(call.outcome, Grant):
            call.held_back = True
            self._meter.ledger.mark_sent(call.id, sent=False)

    def let_go(self, call: Call) -> None:
        """It is sent now."""
        if call.held_back:
            call.held_back = False
            self._meter.ledger.mark_sent(call.id, sent=True)

    def refuse_again(self, call: Call) -> None:
        """Raise the refusal of a call that has just been refused: nothing is worked out anew.

        Neither here nor in `refuse_alike` is the hook asked: it cannot lift what the house refuses.
        """
        if not call.lane.observed and (known := self.repeats.again(call)) is not None:
            call.plan = known.call.plan
            self._refuse(call, known)

    def refuse_alike(self, call: Call) -> None:
        """Raise the refusal of a planned call that asks no less than what was just refused."""
        plan = call.plan
        if plan is None or call.hook is not None or (found := self.repeats.alike(call)) is None:
            return
        call.outcome = found.refusal
        if found.refusal is None:
            call.decision = plan.block or call.decision
        else:
            call.decision = gate.refused(found.refusal, plan)
        details = gate.details(call.decision, plan, call.outcome)
        self._refuse(call, self.repeats.keep(call, found, details))

    def _refuse(self, call: Call, known: Known) -> None:
        error = call.refuse(known.details)
        call.outcome, call.decision = known.call.outcome, known.call.decision
        call.decided = True
        call.state = "settled"
        try:
            self.repeats.count(known, call)
        except Exception:
            self._meter.cannot("settlement", "a refusal could not be counted", trace=True)
        if call.span is not NO_SPAN:  # a framework's own is there for each request
            self._meter.settler.show(call, error)
        raise error

    def answered(self, call: Call, ask: Ask, outcome: Grant | Refusal, asked_at: float) -> None:
        """The ledger answered what it was asked at *asked_at* (monotonic seconds)."""
        call.outcome, call.reach = outcome, self._meter.ledger.reach
        if (session := call.session) is not None:
            session.answered(call, outcome)
        self.outage.heard(outcome, asked_at)
        self._timed(asked_at, "granted" if isinstance(outcome, Grant) else "refused")
        if (plan := call.plan) is None:
            return
        self.fill.saw(plan.matches)
        if ask is not plan.ask:
            return
        if isinstance(outcome, Grant):
            self.repeats.granted(call)
        elif outcome.reason != "busy":
            self.repeats.refused(call, asked_at)

    def failed(self, call: Call, ask: Ask, error: LedgerError, asked_at: float) -> None:
        """The ledger did not answer: the request goes as far as its budgets allow that, or not."""
        assert call.plan is not None
        saturated = isinstance(error, LedgerSaturated)
        self._timed(asked_at, "saturated" if saturated else "unavailable")
        fail_open = self._meter.options.fail_open
        if saturated:  # it is there: nobody's allowance is for that
            self._meter.cannot("saturated", str(error))
            if not fail_open:
                call.hook = Decision(
                    "block", "unavailable", "ledger", str(error), retry_after_ms=BUSY_RETRY_MS
                )
            return
        self._meter.cannot("ledger", str(error))
        now = time.time()
        answer = self.outage.answer(ask, call.plan.matches, fail_open=fail_open, now=now)
        if isinstance(answer, Grant):
            call.outcome, call.reach = answer, "process"
            return
        message = f"the budget ledger is not available ({error}), and {answer}"
        budget_id = answer.match.budget.id
        call.hook = Decision("block", "unavailable", "ledger", message, budget_id)

    def _timed(self, asked_at: float, outcome: str) -> None:
        self._meter.telemetry.reserved(time.monotonic() - asked_at, self._system, outcome)

    def settled(self, call: Call, charges: Sequence[Charge]) -> None:
        """The ledger has been told what a call came to."""
        self.outage.settled(call.id, charges)
        if (session := call.session) is not None:
            session.settled(call, charges)
        self.repeats.settled(charges)
