"""What becomes of a call by what the ledger answers, or does not."""

import time
from typing import TYPE_CHECKING

from aden.core.decision import Decision
from aden.errors import LedgerError, LedgerSaturated
from aden.ledger.protocol import Ask, Grant, Refusal
from aden.ledger.rules import BUSY_RETRY_MS
from aden.metering.call import Call
from aden.metering.outage import Outage

if TYPE_CHECKING:
    from aden.metering.meter import Meter


class Reserver:
    """Reserves for a meter; the asking itself is the shells'."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self.outage = Outage()

    def busy_wait_s(self, call: Call) -> float:
        """Seconds that a call waits for a refund."""
        configured = self._meter.options.busy_wait_ms
        return (call.lane.busy_wait_ms if configured is None else configured) / 1000

    def answered(self, call: Call, outcome: Grant | Refusal, asked_at: float) -> None:
        """The ledger answered what it was asked at *asked_at* (monotonic seconds)."""
        call.outcome, call.reach = outcome, self._meter.ledger.reach
        self.outage.heard(outcome, asked_at)

    def failed(self, call: Call, ask: Ask, error: LedgerError) -> None:
        """The ledger did not answer: the request goes as far as its budgets allow that, or not."""
        assert call.plan is not None
        fail_open = self._meter.options.fail_open
        if isinstance(error, LedgerSaturated):  # it is there: nobody's allowance is for that
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
