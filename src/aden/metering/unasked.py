"""A call that the provider begins by itself: nobody can be asked before it."""

from aden.budgets.plan import Estimate, plan
from aden.metering.call import Call
from aden.metering.meter import Meter


def begun_by_provider(meter: Meter, call: Call) -> None:
    """Meter a call that is on its way already: it is booked and shown, not decided."""
    call.plan = plan(
        call.id,
        call.request,
        call.attribution,
        call.policy,
        call.prices or meter.prices,
        lambda _model: Estimate(meter.estimator.upper(call.conversation, call.request), 0),
    )
    call.decided = True  # the span processor asks no hook
    meter.open_span(call)
    meter.sending(call)
