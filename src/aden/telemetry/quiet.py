"""Telemetry code never raises into the app."""

import logging
from collections.abc import Callable
from typing import TypeVarTuple

from aden.core.interruption import interrupts

Ts = TypeVarTuple("Ts")

logger = logging.getLogger("aden.telemetry")

_said: set[str] = set()


def quietly(work: Callable[[*Ts], object], *args: *Ts) -> bool:
    """Telemetry code never raises into the app; what broke is said once a kind."""
    try:
        work(*args)
        return True
    except Exception as error:
        broke(error)
        return False


def broke(error: Exception) -> None:
    """Say of telemetry's *error*, once a kind; what a signal's handler raised goes on."""
    if interrupts(error):
        raise error
    kind = f"{type(error).__name__}: {error}"
    if kind not in _said and len(_said) < 100:
        _said.add(kind)
        logger.error("aden: telemetry failed; budgets are not affected", exc_info=error)
