"""Calls that the provider begins by itself: nobody can be asked at that moment.

They are metered, or were let through ahead of time, and their hold stands in the ledger meanwhile;
should nothing come of one, it is withdrawn, and nobody is told.
"""

from aden.budgets.plan import Estimate
from aden.metering.call import Call
from aden.metering.meter import Meter


def begun_by_provider(meter: Meter, call: Call) -> None:
    """Meter a call that is on its way already: it is booked and shown, not decided."""
    upper = meter.estimator.upper(call.conversation, call.request)
    call.plan = meter.planned(call, lambda _model: Estimate(upper, 0))
    call.decided = True  # the span processor asks no hook
    meter.open_span(call)
    meter.sending(call)


def set_aside(meter: Meter, call: Call) -> None:
    """An admitted call waits: should its process die, its hold is released."""
    meter.on_their_way.pop(call.id, None)
    meter.reserver.hold_back(call)


def begun(meter: Meter, call: Call) -> None:
    """The provider has begun what was set aside."""
    meter.reserver.let_go(call)
    meter.on_their_way[call.id] = call


def book_unseen(meter: Meter, call: Call) -> None:
    """It was sent, and nobody can follow its answer: it is booked at its hold."""
    attempt = call.attempts[-1] if call.attempts else call.attempt(call.request.to(call.model))
    attempt.silent = True
    meter.settle(call)
