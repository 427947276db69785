"""What a ledger's tools must know of a budget: its unit, its limit, its window, its labels."""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from aden.budgets.budget import Budget, Mode
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
    source: str | None = None
    """The one place that defines it, such as a file on a host; None for one in code."""
    gone_at: int | None = None
    """Unix second at which its source was found to define it no more."""

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
                **({"source": self.source} if self.source else {}),
                **({"gone_at": self.gone_at} if self.gone_at is not None else {}),
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
            name, mode, gone_at = str(said["name"]), str(said["mode"]), said.get("gone_at")
            gone = None if gone_at is None else int(gone_at)
            return cls(limit, window, name, mode, labels, said.get("source"), gone)
        except (ValueError, TypeError, KeyError, ConfigurationError):
            return None


def note_of(budget: Budget, source: str | None = None, mode: Mode = "enforce") -> Note:
    """What is to be known of *budget*, under a *mode* of everything."""
    labels = tuple(budget.scope) if ANY in budget.scope.values() else ()
    name, weaker = budget.name or budget.id, max(budget.mode, mode, key=get_args(Mode).index)
    return Note(budget.limit, budget.span, name, weaker, labels, source)


def make_known(
    ledger: Ledger, budgets: Sequence[Budget], source: str | None = None, mode: Mode = "enforce"
) -> None:
    """Tell a ledger what the budgets are that come into force, and which *source* has no more.

    *mode* is that of everything; a budget's own can only be weaker.

    Raises:
        ConfigurationError: It keeps the balances of one in another unit, and would read them in
            this one.
    """
    said = {budget.id: note_of(budget, source, mode).to_json() for budget in budgets}
    with contextlib.suppress(LedgerError):  # it is down: nobody knows
        told = {name: Note.from_json(text) for name, text in ledger.descriptions().items()}
        for budget in budgets:
            before = told.get(budget.id)
            if before is not None and before.limit.unit != budget.limit.unit:
                allowed = f"{before.limit.unit}, in which its ledger counts it; or another id"
                raise ConfigurationError(f"budget {budget.id}: limit", budget.limit.unit, allowed)
        for name, note in told.items():
            if source is None or note is None or note.source != source or name in said:
                continue
            if note.gone_at is None:
                said[name] = replace(note, gone_at=int(time.time())).to_json()
    ledger.describe(said)
