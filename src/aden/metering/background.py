"""Calls whose provider works on after it has answered, until their result is fetched."""

import threading
from collections import OrderedDict

from aden.core.forks import see_through_forks
from aden.metering.call import Call

MAX_WAITING = 1000
"""More than that are not waited for: the oldest is settled by an estimate."""


class Background:
    """Calls by the id of the response that the provider works on. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Call] = OrderedDict()
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def keep(self, call: Call) -> Call | None:
        """Wait for the result of *call*; gives the call that is not waited for any more."""
        with self._lock:
            self._waiting[call.attempts[-1].response_id or ""] = call
            if len(self._waiting) <= MAX_WAITING:
                return None
            return self._waiting.popitem(last=False)[1]

    def take(self, response_id: object) -> Call | None:
        """The call that waits for this response, which is to be settled or kept again now."""
        with self._lock:
            return self._waiting.pop(response_id, None) if isinstance(response_id, str) else None
