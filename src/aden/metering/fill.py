"""How full the budgets are that this process asks of: read from the ledger, off a call's path."""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aden.budgets.budget import Budget, Match
from aden.core.forks import see_through_forks
from aden.errors import LedgerError
from aden.ledger.protocol import Balance, Ledger

SHOWN_FOR_S = 10.0
"""So long after its last call a budget is read; then others may still use it, and show it."""
KEYS_MAX = 1000
"""A template makes a key a label: so many are read, the latest."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A budget's present window, as shares of the limit in force; of a template the fullest."""

    spent: float = 0.0
    reserved: float = 0.0

    def fuller(self, other: "Filled") -> "Filled":
        """The larger of each figure."""
        return Filled(max(self.spent, other.spent), max(self.reserved, other.reserved))


class Fill:
    """Remembers which budgets calls counted against lately."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._asked: dict[str, tuple[Budget, float]] = {}
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def saw(self, matches: Iterable[Match]) -> None:
        """A call counts against these."""
        now = time.monotonic()
        with self._lock:
            for match in matches:
                self._asked.pop(match.key, None)  # the latest stand at the end
                self._asked[match.key] = (match.budget, now)
                if len(self._asked) > KEYS_MAX:
                    del self._asked[next(iter(self._asked))]

    def open_holds(self) -> int | None:
        """How many operations hold something in the ledger; None as `read` tells nothing."""
        since = time.monotonic() - SHOWN_FOR_S
        with self._lock:
            idle = all(at < since for _, at in self._asked.values())
        try:
            return None if idle else self._ledger.open_holds()
        except LedgerError:
            return None

    def read(self) -> Mapping[str, Filled]:
        """Each budget's id and how full it is; nothing while the ledger does not answer."""
        since = time.monotonic() - SHOWN_FOR_S
        with self._lock:
            asked = {key: budget for key, (budget, at) in self._asked.items() if at >= since}
        if not asked:
            return {}
        found: dict[str, Filled] = {}
        windows = [(key, budget.span) for key, budget in asked.items()]
        try:
            balances = self._ledger.balances(windows)
        except LedgerError:  # whoever asks it for a reservation says so
            return {}
        for balance in balances:
            budget = asked[balance.budget]
            found[budget.id] = found.get(budget.id, Filled()).fuller(_filled(budget, balance))
        return found


def _filled(budget: Budget, balance: Balance) -> Filled:
    limit = balance.limit(budget.limit.amount)
    if not limit:
        return Filled(1.0, 0.0)
    return Filled(balance.spent / limit, balance.held / limit)
