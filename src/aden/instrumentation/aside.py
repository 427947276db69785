"""Our own work beside what a caller asked for: a mistake in it is told, and his call goes on."""

import logging
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from aden.core.interruption import interrupts
from aden.instrumentation.active import active_meter

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

logger = logging.getLogger("aden.gate")


def aside(work: Callable[[*Ts], object], *args: *Ts) -> None:
    """Do *work*; what it raises is no caller's."""
    try:
        work(*args)
    except Exception as error:
        unfollowed(error)


def tried(work: Callable[[*Ts], R], *args: *Ts) -> R | None:
    """What *work* gives; None where it fails."""
    try:
        return work(*args)
    except Exception as error:
        unfollowed(error)
        return None


def unfollowed(error: Exception) -> None:
    """Tell that our own code failed while it followed an answer, unless it was interrupted."""
    if interrupts(error):
        raise error
    if (meter := active_meter()) is not None:
        meter.cannot("reader", f"an answer could not be followed: {error!r:.200}", trace=True)
    else:
        logger.error("aden: an answer could not be followed", exc_info=error)
