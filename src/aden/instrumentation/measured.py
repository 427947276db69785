"""What is measured from outside, until somebody closer to the provider tells what it is billed for.

A framework's stream may last as long as a call, and consist of requests of an SDK, or of another
stream. What is inside knows better, so the outside stands down: nothing is counted twice.
"""

from collections.abc import Callable
from contextvars import ContextVar

StandDown = Callable[[], None]

measured_outside: ContextVar[StandDown | None] = ContextVar("aden_measured_outside", default=None)
"""Ends the measuring around the code that runs."""


def measured_here() -> None:
    """Whoever calls this tells what the provider bills."""
    if (stand_down := measured_outside.get()) is not None:
        stand_down()
