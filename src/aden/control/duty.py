"""What the control agent does again and again: when it is due, and whether it works."""

import logging
import random
import time

from aden.control.server import Server

logger = logging.getLogger("aden.control")


class Duty:
    """One of its duties; what does not work is said when it begins, changes and ends.

    Args:
        name: What is done, for the log.
        server: Whom it is done with; no line shows the key.
    """

    def __init__(self, name: str, server: Server) -> None:
        self._name = name
        self._server = server
        self._failures = 0
        self.at = 0.0
        """When it is due next, on the monotonic clock."""
        self.trouble: str | None = None
        """Why it does not work now."""

    @property
    def is_due(self) -> bool:
        """Whether it is to be done now."""
        return time.monotonic() >= self.at

    def works(self) -> None:
        """What was wrong with it is over."""
        if self.trouble is not None:
            self.trouble = None
            logger.info("aden: %s: %s: that works again", self._server.url, self._name)

    def again(self, every_s: float) -> None:
        """It was done, and works."""
        self.works()
        self._failures = 0
        self.rest(every_s)

    def rest(self, every_s: float) -> None:
        """It is due again in *every_s* or thereabouts, however it ends now."""
        self.at = time.monotonic() + every_s * random.uniform(0.9, 1.1)  # noqa: S311

    def fails(self, why: str, so: str) -> None:
        """It does not work, and *so* this follows."""
        why = self._server.masked(why)
        if why != self.trouble:
            logger.warning("aden: %s: %s; %s", self._server.url, why, so)
        self.trouble = why

    def later(self, most_s: float, asked_s: float | None = None) -> None:
        """Try once more: each time a little later, *most_s* at most, or when the server asked."""
        wait = min(most_s, 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        self._failures += 1
        self.at = time.monotonic() + max(wait, asked_s or 0.0)
