"""What a ledger's tools must know of a budget: its unit, its limit, its window, its labels."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from aden.budgets.budget import Budget
from aden.budgets.scope import ANY
from aden.core.limit import Limit, Unit
from aden.core.window import Window
from aden.errors import ConfigurationError, LedgerError
from aden.ledger.protocol import Ledger


@dataclass(frozen=True, slots=True)
class Note:
    """A budget as a program described it to its ledger."""

    limit: Limit
    window: Window
    name: str
    mode: str
    labels: tuple[str, ...] = ()
    """Of a template, what its budgets are told apart by, in order; empty for a single budget."""

    def to_json(self) -> str:
        """One line; the ledger keeps it."""
        return json.dumps(
            {
                "limit": self.limit.amount,
                "unit": self.limit.unit,
                "window": self.window.period,
                "timezone": self.window.timezone,
                "name": self.name,
                "mode": self.mode,
                "labels": self.labels,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, line: str) -> "Note | None":
        """The inverse of `to_json`; None where another version wrote it differently."""
        try:
            said = json.loads(line)
            unit: Unit = said["unit"]
            limit = Limit(int(said["limit"]), unit)
            window = Window(said["window"], said["timezone"])
            labels = tuple(map(str, said["labels"]))
            return cls(limit, window, str(said["name"]), str(said["mode"]), labels)
        except (ValueError, TypeError, KeyError, ConfigurationError):
            return None


def note_of(budget: Budget) -> Note:
    """What is to be known of *budget*."""
    labels = tuple(budget.scope) if ANY in budget.scope.values() else ()
    return Note(budget.limit, budget.span, budget.name or budget.id, budget.mode, labels)


def make_known(ledger: Ledger, budgets: Sequence[Budget]) -> None:
    """Tell a ledger what the budgets are that come into force.

    Raises:
        ConfigurationError: It keeps the balances of one in another unit, and would read them in
            this one.
    """
    with contextlib.suppress(LedgerError):  # it is down: nobody knows
        told = ledger.descriptions()
        for budget in budgets:
            before = Note.from_json(told[budget.id]) if budget.id in told else None
            if before is not None and before.limit.unit != budget.limit.unit:
                allowed = f"{before.limit.unit}, in which its ledger counts it; or another id"
                raise ConfigurationError(f"budget {budget.id}: limit", budget.limit.unit, allowed)
    ledger.describe({budget.id: note_of(budget).to_json() for budget in budgets})
