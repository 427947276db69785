"""A message of a WebSocket as an event."""

import json
from typing import Any

from aden.metering.meter import Meter


def event_of(meter: Meter, message: bytes | str) -> dict[str, Any] | None:
    """The event that *message* is; None where it is none, which is told if it cannot be read."""
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        meter.cannot("reader", "a WebSocket message could not be read", trace=True)
        return None
    return event if isinstance(event, dict) else None
