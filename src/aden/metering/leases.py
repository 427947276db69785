"""Keeps the holds of living calls alive and notes how far they have come."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from aden.core.forks import see_through_forks
from aden.ledger.protocol import Ledger
from aden.metering.worker import begins

logger = logging.getLogger("aden.ledger")

LEASE_MS = 60_000
RENEW_EVERY_S = 15.0

Progress = Callable[[], Sequence[int] | None]
"""One amount a hold; None where the operation is over, though nobody has dropped it."""


class LeaseKeeper:
    """One thread a process, alive only while something is held."""

    def __init__(self, ledger: Ledger, every_s: float = RENEW_EVERY_S) -> None:
        self._ledger = ledger
        self._every_s = every_s
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Start anew: what is held is the parent's to renew."""
        self._lock = threading.Lock()
        self._held: dict[str, Progress] = {}
        self._running = False

    def keep(self, operation: str, progress: Progress) -> None:
        """Renew this operation's lease until `drop`, or until *progress* knows of its end."""
        with self._lock:
            self._held[operation] = progress
            if not self._running:
                self._running = begins(self._run, "aden-leases")

    def drop(self, operation: str) -> None:
        """The operation is settled."""
        self._held.pop(operation, None)

    def _run(self) -> None:
        idle_rounds = 0
        while True:
            time.sleep(self._every_s)
            held = dict(self._held)
            if held:
                idle_rounds = 0
                self._renew(held)
                continue
            idle_rounds += 1
            with self._lock:
                if idle_rounds > 4 and not self._held:
                    self._running = False
                    return

    def _renew(self, held: Mapping[str, Progress]) -> None:
        """Whatever comes of it, the thread goes on: a hold outlasts some failed renewals."""
        try:
            asked = {name: _ask(how_far) for name, how_far in held.items()}
            for name in (name for name, progress in asked.items() if progress is None):
                self.drop(name)  # interrupted on the way there
            open_ones = {name: held for name, held in asked.items() if held is not None}
            self._ledger.renew(open_ones, LEASE_MS)
        except Exception:
            logger.exception("aden: open calls could not be renewed")


def _ask(progress: Progress) -> Sequence[int] | None:
    """The progress of one call; where it cannot be told, the others are renewed all the same."""
    try:
        return progress()
    except Exception:
        return ()
