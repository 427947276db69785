"""What does not work between this process and its server: said when it begins, changes and ends."""

import logging

from aden.control.server import Server

logger = logging.getLogger("aden.control")


class Troubles:
    """One line for each change; no line has the key."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._now: dict[str, str] = {}

    def has(self, what: str) -> bool:
        """Whether *what* does not work now."""
        return what in self._now

    @property
    def first(self) -> str | None:
        """Something that does not work now."""
        return next(iter([*self._now.values()]), None)

    def begin(self, what: str, why: str, so: str) -> None:
        """*what* does not work, *so* this follows."""
        why = self._server.masked(why)
        if why != self._now.get(what):
            logger.warning("aden: %s: %s; %s", self._server.url, why, so)
        self._now[what] = why

    def end(self, what: str) -> None:
        """*what* works."""
        if self._now.pop(what, None) is not None:
            logger.info("aden: %s: %s: that works again", self._server.url, what)
