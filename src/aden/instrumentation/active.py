"""The meter that wrapped functions use now; None means that they do nothing.

Wrapped functions outlive `uninstrument`: SDK clients keep bound copies of them.
"""

from aden.metering.meter import Meter

_meter: Meter | None = None


def active_meter() -> Meter | None:
    """The meter in force."""
    return _meter


def set_active_meter(meter: Meter | None) -> None:
    """Put *meter* in force; one assignment, so that no call ever sees half of it."""
    global _meter  # noqa: PLW0603 - the one switch of the house
    _meter = meter
