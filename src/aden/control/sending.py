"""Sends an outbox to a server in batches: send, then remove; what is too large is halved."""

import json
import logging
from collections.abc import Mapping

from aden.control.events import Event
from aden.control.exchange import Exchange, NotNowError, answered
from aden.control.outbox import Outbox

logger = logging.getLogger("aden.control")

PATH = "/v1/control/events"
BATCH = 500
_FOR_GOOD = (400, 413, 422)
"""Answers that the same events would get again."""


class Sender:
    """For one thread."""

    def __init__(self, outbox: Outbox, exchange: Exchange) -> None:
        self._outbox = outbox
        self._exchange = exchange
        self._most = BATCH

    def send(self, headers: Mapping[str, str]) -> None:
        """Send the oldest events; what the server refuses for good is counted and left out.

        Raises:
            NotNowError: Try again later.
        """
        events = self._outbox.oldest(self._most)
        status = self._post(headers, events)
        if status < 300:
            self._outbox.sent_off(len(events))
            self._most = min(BATCH, self._most * 2)
        elif len(events) > 1:  # find the one that is wrong, or a size that is right
            self._most = max(1, len(events) // 2)
        else:
            self._outbox.refused(1, status)
            kind = events[0].get("event_type")
            logger.error("aden: the Aden server refuses a %s event for good (%d)", kind, status)

    def send_now(self, headers: Mapping[str, str], event: Event) -> None:
        """Send an event that is not worth keeping.

        Raises:
            NotNowError: It was not taken.
        """
        status = self._post(headers, [event])
        if status >= 300:
            raise NotNowError(f"{PATH} answered {status} to a {event.get('event_type')}")

    def _post(self, headers: Mapping[str, str], events: list[Event]) -> int:
        """Send *events*; the status, where it is final."""
        body = json.dumps({"events": events}).encode()
        sent = {**headers, "Content-Type": "application/json"}
        answer = self._exchange.ask("POST", PATH, sent, body)
        if 200 <= answer.status < 300 or answer.status in _FOR_GOOD:
            return answer.status
        raise NotNowError(answered(PATH, answer.status), answer.retry_after_s)
