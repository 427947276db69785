"""Alerts of budgets: claimed in the ledger, raised, acknowledged; off the path of a request."""

import inspect
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from aden.core.record import AlertEvent
from aden.errors import LedgerError
from aden.ledger.protocol import AlertClaim, Balance

if TYPE_CHECKING:
    from aden.metering.meter import Meter


class ClaimedAlert:
    """Claims an alert on the emitters' thread, raises it if it was free, acknowledges it.

    Where this process dies in between, or an async ``on_alert`` is cut off, the next call over the
    threshold claims it again after the lease. An ``on_alert`` that raises has been told: the alert
    counts as raised, and the error is logged.
    """

    def __init__(self, meter: "Meter", balance: Balance, threshold: int) -> None:
        self._meter = meter
        self._place = (balance, threshold)

    def __call__(self, event: object) -> object:
        """Raise *event*, where this process is the one to do it."""
        assert isinstance(event, AlertEvent)
        if self._meter.on_alert is None:
            return None
        try:
            claim = self._meter.ledger.claim_alert(*self._place)
        except LedgerError as error:  # the next call over the threshold tries again
            self._meter.cannot("alert", f"{event.message!r} cannot be claimed: {error}")
            return None
        if claim is None:
            return None
        try:
            result = self._meter.on_alert(replace(event, id=claim.id))
        except Exception:
            self._meter.ledger.acknowledge_alert(claim)
            raise
        if inspect.isawaitable(result):
            return self._acknowledged(cast("Awaitable[object]", result), claim)
        self._meter.ledger.acknowledge_alert(claim)
        return None

    async def _acknowledged(self, result: Awaitable[object], claim: AlertClaim) -> None:
        try:
            await result
        except Exception:
            self._meter.ledger.acknowledge_alert(claim)
            raise
        self._meter.ledger.acknowledge_alert(claim)
