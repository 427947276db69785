"""Telemetry code never raises into the app."""

import logging
from collections.abc import Callable

logger = logging.getLogger("aden.telemetry")

_said: set[str] = set()


def quietly(work: Callable[[], object]) -> bool:
    """Telemetry code never raises into the app; what broke is said once a kind."""
    try:
        work()
        return True
    except Exception as error:
        kind = f"{type(error).__name__}: {error}"
        if kind not in _said and len(_said) < 100:
            _said.add(kind)
            logger.exception("aden: telemetry failed; budgets are not affected")
        return False
