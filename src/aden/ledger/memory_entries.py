"""What the books of the ledger in memory consist of."""

from dataclasses import dataclass
from typing import Literal

from aden.ledger.protocol import Charge

Key = tuple[str, str]
"""Budget and window."""


@dataclass(slots=True)
class Booked:
    """What one window of one budget holds."""

    settled: int = 0
    unconfirmed: int = 0
    held: int = 0
    forget_at: float = 0.0
    """When nobody asks for it any more; 0: never."""

    @property
    def spent(self) -> int:
        """Settled, and what may have been spent."""
        return self.settled + self.unconfirmed


NOTHING = Booked()


@dataclass(slots=True)
class Operation:
    """One call, as far as the ledger remembers it."""

    state: Literal["open", "unconfirmed", "settled"]
    holds: tuple[Charge, ...] = ()
    at_risk: tuple[int, ...] = ()
    until: float = 0.0
    """When its lease ends, or when it is forgotten."""
    sent: bool = True


@dataclass(slots=True)
class Alert:
    """An alert that somebody raises or has raised."""

    id: str
    until: float | None
    """Before this time nobody else may claim it; None: for good."""
    raised: bool
    forget_at: float | None
