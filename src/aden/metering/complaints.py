"""What the gate could not evaluate: counted each time, said once a minute."""

import logging
import sys
import threading
import time
from dataclasses import dataclass, field

from aden.core.forks import see_through_forks
from aden.core.interruption import interrupts
from aden.telemetry.telemetry import Telemetry

logger = logging.getLogger("aden.gate")

SAY_AGAIN_S = 60.0
SLOW_HOOK_S = 0.020
MAX_ENDPOINTS = 100
"""So many endpoints of unknown price are named in the log; their paths come from outside."""
_DECIDING_LEGS = ("configuration", "policy", "saturated", "hook")
"""Where a failure refuses the request, unless the gate fails open."""
_WORDS = {
    "ledger": "the ledger is down, its budgets' on_ledger_down decides",
    "refusal": "a refused caller does not hear what is configured",
    "saturated": "the ledger is there, but more was asked of it here than it could answer in time",
}


@dataclass(slots=True, weakref_slot=True, eq=False)
class Complaints:
    """The log lines and the counter of a gate."""

    telemetry: Telemetry
    fail_open: bool
    _said: dict[str, float] = field(default_factory=dict)
    _unlisted: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(init=False)

    def __post_init__(self) -> None:
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def cannot(self, leg: str, why: str, *, trace: bool = False) -> None:
        """A leg could not be evaluated; *trace*: for what is being handled, a mistake of ours.

        What a signal's handler raised is none, and goes on to the caller.
        """
        # What else is handled here, a hook that cancels itself, its handler has caught on purpose.
        mistake = sys.exception() if trace else None
        if isinstance(mistake, Exception) and interrupts(mistake):
            raise mistake
        self.telemetry.failed(leg)
        if not self._says(leg):
            return
        words = _WORDS.get(leg, f"{leg} could not be evaluated")
        if leg in _DECIDING_LEGS:
            words += ", requests are " + ("let through" if self.fail_open else "refused")
        elif leg not in _WORDS:
            words += ", the request goes on"
        logger.error("aden: %s: %s", words, why, exc_info=trace)

    def sync_hook(self, took_s: float, hook: str = "before_request") -> None:
        """A slow one holds up the loop; its answer still counts."""
        if took_s <= SLOW_HOOK_S:
            return
        self.telemetry.failed("slow_hook")
        if self._says(f"slow_hook {hook}"):
            logger.warning(
                "aden: %s took %.0f ms and blocks the event loop so long", hook, took_s * 1000
            )

    def usage(self, why: str) -> None:
        """A provider's count is missing, or cannot be true."""
        self.telemetry.failed("usage")
        if self._says("usage"):
            logger.warning("aden: %s; the call is booked by an estimate", why)

    def skipped(self, target: str) -> None:
        """A model that was degraded to cannot take the request."""
        if self._says(f"skip {target}"):
            logger.warning("aden: %r cannot take this request; the degrade is skipped", target)

    def unlisted(self, endpoint: str) -> None:
        """A request goes to an endpoint whose bill nobody can read; said once each."""
        self.telemetry.failed("endpoint")
        with self._lock:
            if endpoint in self._unlisted or len(self._unlisted) >= MAX_ENDPOINTS:
                return
            self._unlisted.add(endpoint)
        logger.warning(
            "aden: what %s bills is not known: budgets decide it by their unknown_price, and it is "
            "booked by the usage that its answer tells, else by an estimate",
            endpoint,
        )

    def _says(self, what: str) -> bool:
        """Whether *what* may be logged now."""
        now = time.monotonic()
        with self._lock:
            if now - self._said.get(what, -SAY_AGAIN_S) < SAY_AGAIN_S:
                return False
            if len(self._said) > 100:  # model names come from outside
                self._said.clear()
            self._said[what] = now
            return True
