"""Events on their way to a server: bounded, sent first and then removed, what is lost counted."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

from aden.control.events import Event

logger = logging.getLogger("aden.control")

MAX_EVENTS = 10_000


class Outbox:
    """A queue of events, the oldest first. Thread-safe; `put` never waits for the network.

    Args:
        on_lost: Called with the cause and the number of events that are lost.
    """

    def __init__(self, on_lost: Callable[[str, int], object]) -> None:
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._waiting: deque[Event] = deque()
        self.sent = 0
        self.dropped = 0
        """Not taken in, because the outbox was full."""
        self.rejected = 0
        """Refused by the server for good."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, event: Event) -> None:
        """Take an event in; when the outbox is full it is dropped and counted."""
        with self._lock:
            if len(self._waiting) < MAX_EVENTS:
                self._waiting.append(event)
                return
            self.dropped += 1
            first = self.dropped == 1
        self._on_lost("queue_full", 1)
        if first:
            logger.error(
                "aden: %d events wait for the Aden server: it does not take them, and new ones "
                "are dropped; what was spent is in the ledger",
                MAX_EVENTS,
            )

    def oldest(self, count: int) -> list[Event]:
        """The events to send next; they stay until `sent_off` or `refused`."""
        with self._lock:
            return list(islice(self._waiting, count))

    def sent_off(self, count: int) -> None:
        """The server has taken the oldest *count*."""
        with self._lock:
            self._remove(count)
            self.sent += count

    def refused(self, count: int, status: int) -> None:
        """The server will never take the oldest *count*."""
        with self._lock:
            self._remove(count)
            self.rejected += count
        self._on_lost(f"http_{status}", count)

    def give_up(self) -> None:
        """Nobody sends what waits any more."""
        with self._lock:
            left = len(self._waiting)
            self._waiting.clear()
        if left:
            self._on_lost("stopped", left)

    def clear(self) -> None:
        """Forget everything: nobody is there to take it."""
        with self._lock:
            self._waiting.clear()

    def _remove(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()
