"""A call that is let through ahead of time, for what a provider may begin by itself.

Its hold stands in the ledger meanwhile; should nothing come of it, nobody is told.
"""

from aden.ledger.protocol import Settlement
from aden.metering.call import Call
from aden.metering.meter import Meter


def set_aside(meter: Meter, call: Call) -> None:
    """An admitted call waits: should its process die, its hold is released."""
    meter.on_their_way.pop(call.id, None)
    meter.reserver.hold_back(call)


def due(meter: Meter, call: Call) -> None:
    """The provider may begin now, and bill, before anybody here knows."""
    meter.reserver.let_go(call)


def begun(meter: Meter, call: Call) -> None:
    """The provider has begun it."""
    meter.reserver.let_go(call)
    meter.on_their_way[call.id] = call


def let_drop(meter: Meter, call: Call) -> None:
    """Nothing came of it: its hold is released."""
    with call.lock:
        if call.state == "settled":
            return
        call.state = "settled"
    meter.on_their_way.pop(call.id, None)
    meter.leases.drop(call.id)
    meter.ledger.settle(Settlement(call.id, ()))
    meter.reserver.settled(call, ())
