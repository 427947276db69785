"""A call above other calls: it decides for what comes below it, and sends and settles nothing.

Its hold goes to the first call below it, under the same operation, so that one request is held once
and a budget that bore it bears it. What comes after that reserves for itself.
"""

from aden.core.decision import ALLOW
from aden.ledger.protocol import Grant, Settlement
from aden.metering.call import Call
from aden.metering.meter import Meter


def hand_down(meter: Meter, above: Call, call: Call) -> bool:
    """Let *call* begin where *above* stands; True where nothing is left to be decided of it.

    The hook is not asked twice about one model. What *above* was not asked about, the budgets of a
    model above all, *call* has to ask for.
    """
    if above.state != "sent" or above.attempts:
        return False
    _leave(meter, above)
    call.id = above.id
    if (call.request.provider, call.request.model) != (above.request.provider, above.request.model):
        return False
    call.hook = above.hook or ALLOW
    if call.policy is not above.policy:
        return False
    call.decided = True
    call.plan, call.outcome, call.reach = above.plan, above.outcome, above.reach
    call.decision, call.observed = above.decision, above.observed
    call.model, call.quote = above.model, above.quote
    if isinstance(call.outcome, Grant):
        meter.leases.keep(call.id, lambda: meter.settler.progress(call))
    meter.sending(call)
    return True


def release(meter: Meter, above: Call) -> None:
    """Nothing came below it: give its hold back. Never raises."""
    if above.state == "sent" and not above.attempts:
        _leave(meter, above)
        meter.ledger.settle(Settlement(above.id))
        meter.reserver.settled(above, ())


def _leave(meter: Meter, above: Call) -> None:
    above.state = "settled"
    meter.on_their_way.discard(above)
    meter.leases.drop(above.id)
