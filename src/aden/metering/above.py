"""A call above other calls: it decides for what comes below it, and sends and settles nothing.

Its hold goes to the first call below it, under the same operation, where that sends what the hold
is for; else it is given back, and that call reserves for itself, as all do that come after it.
"""

from aden.budgets.plan import takes
from aden.core.decision import ALLOW
from aden.ledger.protocol import Grant
from aden.metering.call import Call
from aden.metering.meter import Meter


def hand_down(meter: Meter, above: Call, call: Call) -> bool:
    """Let *call* begin where *above* stands; True where nothing is left to be decided of it.

    The hook is not asked twice about one model. What *above* was not asked about, the budgets of a
    model above all, and what it knew too little of to choose another model, *call* has to ask for.
    """
    if above.state != "sent" or above.attempts:
        return False
    asked, request = above.request, call.request
    one_model = (request.provider, request.model) == (asked.provider, asked.model)
    if one_model:
        call.hook = above.hook or ALLOW
    takes_it = above.quote is None or takes(above.quote, request)
    if not (one_model and takes_it and call.policy is above.policy):
        release(meter, above)
        return False
    above.state = "settled"
    meter.on_their_way.pop(above.id, None)
    meter.leases.drop(above.id)
    call.id = above.id  # under which its hold stands
    call.decided = True
    call.plan, call.outcome, call.reach = above.plan, above.outcome, above.reach
    call.decision, call.observed = above.decision, above.observed
    call.model, call.quote = above.model, above.quote
    if isinstance(call.outcome, Grant):
        meter.leases.keep(call.id, lambda: meter.settler.progress(call))
    meter.sending(call)
    return True


def release(meter: Meter, above: Call) -> None:
    """Nothing below it takes its hold: give it back. Never raises."""
    if above.state == "sent" and not above.attempts:
        meter.settler.withdraw(above)
