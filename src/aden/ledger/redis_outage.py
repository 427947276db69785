"""Whether the Redis server is down, as one process knows it: the circuit breaker."""

import logging
import random
import time

logger = logging.getLogger("aden.ledger")

THRESHOLD = 3
"""Failures in a row after which nobody waits any more."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class Outage:
    """Counts failures in a row; from the third on, calls are answered at once and probes go out.

    Only who talks to the server, one at a time, changes it; any thread may look.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._failures = 0
        self._since = 0.0
        self._next_try = 0.0
        self.why = ""

    @property
    def is_on(self) -> bool:
        """Nobody waits for the server: what asks is refused at once, what books is kept."""
        return self._failures >= THRESHOLD

    def pause_s(self) -> float | None:
        """Seconds until the next try; None where nothing failed."""
        if not self._failures:
            return None
        return max(0.0, self._next_try - time.monotonic())

    def try_now(self) -> None:
        """Somebody has no time to wait for the next probe."""
        self._next_try = 0.0

    def failed(self, why: str, *, waiting: int) -> None:
        """One more failure; *waiting* bookings are kept."""
        now = time.monotonic()
        self._since = self._since if self._failures else now
        self._failures += 1
        self.why = why
        doublings = min(16, max(0, self._failures - THRESHOLD))
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**doublings)
        self._next_try = now + pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - spreads probes
        if self._failures == THRESHOLD:
            logger.error(
                "aden: %s is down: %s; %d bookings wait, the next are kept",
                self._shown,
                why,
                waiting,
            )

    def over(self, *, waiting: int) -> None:
        """The server answered."""
        if self.is_on:
            lasted_s = time.monotonic() - self._since
            logger.warning(
                "aden: %s answers again after %.1f s; %d bookings waited",
                self._shown,
                lasted_s,
                waiting,
            )
        self._failures = 0
