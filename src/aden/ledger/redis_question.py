"""What waits in a Redis ledger's queue: bookings, which insist, and questions, which wait."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from aden.ledger.redis_call import Call
from aden.ledger.redis_verbs import Verb

T = TypeVar("T")

TRIES = 3
"""How often a question may be asked again because the server's clock is in other windows."""


class Booking:
    """A call that nobody waits for; it is kept until it is booked."""

    __slots__ = ("call", "since")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.since = time.monotonic()


class Question(Generic[T]):
    """A call that somebody waits for.

    The first word counts: either the answer or the waiting side's "too late".
    """

    __slots__ = ("_box", "call", "ring", "tries", "undo", "verb")

    def __init__(self, verb: Verb[T], undo: Callable[[], Call] | None = None) -> None:
        self.verb = verb
        self.undo = undo
        """Takes back what the answer granted to nobody."""
        self.call: Call | None = None
        self.ring: Callable[[], object] = nobody
        """Wakes the one who waits."""
        self.tries = TRIES
        self._box: dict[str, tuple[T] | Exception] = {}

    @property
    def is_finished(self) -> bool:
        """Answered, or nobody waits any more."""
        return bool(self._box)

    def finish(self, outcome: tuple[T] | Exception) -> bool:
        """Set the outcome and wake the one who waits; False where another outcome stands."""
        if self._box.setdefault("outcome", outcome) is not outcome:
            return False
        self.ring()
        return True

    def result(self) -> T:
        """The answer.

        Raises:
            LedgerError: There is none.
            Exception: A signal's handler raised it where the answer was read.
        """
        outcome = self._box["outcome"]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome[0]


class Barrier:
    """Reached when all that was put into the queue before is booked."""

    __slots__ = ("is_new", "ring")

    def __init__(self, ring: Callable[[], object]) -> None:
        self.ring = ring
        self.is_new = True


class Stop:
    """The thread is to end."""

    __slots__ = ()


Work = Booking | Question[Any]
Item = Work | Barrier | Stop


def calls_of(batch: Sequence[Work]) -> list[Call]:
    """What is sent for a batch."""
    return [item.call for item in batch if item.call is not None]


def nobody() -> None:
    """Nobody waits for the answer."""
