"""Hearing what LiveKit's objects tell: nothing of ours is raised into who emits it."""

from collections.abc import Callable, Mapping
from typing import Any

from aden.instrumentation.active import active_meter
from aden.metering.meter import Meter

Hears = Callable[[Any], None]


def listen(meter: Meter, emitter: Any, hears: Mapping[str, Hears], what: str) -> None:
    """Call a function with each event of a name, while a meter is in force.

    Args:
        meter: Told where one fails.
        emitter: LiveKit's object, a ``rtc.EventEmitter``.
        hears: By event, what hears it.
        what: The emitter, for people: "a realtime session".
    """
    for event, function in hears.items():
        emitter.on(event, _safely(meter, function, f"an event of {what} could not be read"))


def _safely(meter: Meter, function: Hears, why: str) -> Hears:
    def heard(event: Any) -> None:
        if active_meter() is None:
            return
        try:
            function(event)
        except Exception:
            meter.cannot("reader", why, trace=True)

    return heard
