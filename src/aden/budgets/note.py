"""What a ledger's tools must know of a budget: its unit, its limit, its window, its labels."""

import json
from dataclasses import dataclass

from aden.budgets.budget import Budget
from aden.budgets.scope import ANY
from aden.core.limit import Limit, Unit
from aden.core.window import Window
from aden.errors import ConfigurationError


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
