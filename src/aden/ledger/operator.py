"""What an operator sees of a ledger and may order, with who and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aden.core.limit import MAX_COUNT
from aden.core.window import slice_of
from aden.errors import ConfigurationError
from aden.ledger.protocol import Balance, Charge

AUDIT_ENTRIES = 10_000
"""How many entries the audit table keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """Who orders it, and why."""

    who: str
    why: str

    def __post_init__(self) -> None:
        for name in ("who", "why"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(name, value, "a text that is not empty")


@dataclass(frozen=True, slots=True)
class Reset(_Signed):
    """Begin a window anew: nothing settled, nothing unconfirmed; open holds stay.

    `window_id` as balances or accounts show it; any slice stands for the whole of a rolling window.
    """

    budget: str
    window_id: str


@dataclass(frozen=True, slots=True)
class Raise(_Signed):
    """Let a budget bear up to *limit* in every window, where its policy says less.

    Stays until it is raised again; None: the policy's limit alone.
    """

    budget: str
    limit: int | None
    """In the budget's own unit (nano-dollars for money)."""

    def __post_init__(self) -> None:
        _Signed.__post_init__(self)
        if self.limit is not None:
            _amount("limit", self.limit)


@dataclass(frozen=True, slots=True)
class Freeze(_Signed):
    """Refuse all that costs on a budget, until it is unfrozen."""

    budget: str
    frozen: bool = True


@dataclass(frozen=True, slots=True)
class Confirm(_Signed):
    """Settle an unconfirmed operation; a settlement that comes later changes nothing any more."""

    operation: str
    amounts: Mapping[str, int] = field(default_factory=dict)
    """What it really cost, by budget; a budget that is not named keeps what was booked."""

    def __post_init__(self) -> None:
        _Signed.__post_init__(self)
        for budget, amount in self.amounts.items():
            _amount(f"amount for {budget}", amount)


Order = Reset | Raise | Freeze | Confirm


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change that an operator ordered."""

    at: float
    """Unix seconds, by the ledger's clock."""
    verb: str
    """``reset | raise | freeze | unfreeze | confirm``."""
    who: str
    why: str
    budget: str
    window_id: str | None = None
    operation: str | None = None
    before: int | None = None
    """Spent (reset), raised to (raise), booked (confirm), in the budget's unit."""
    after: int | None = None


class Marks(NamedTuple):
    """What operators ordered for a budget."""

    raised: int | None = None
    frozen: bool = False
    epoch: int = 0
    """How often it was reset or raised: each arms its alerts again."""


@dataclass(frozen=True, slots=True)
class Account:
    """All that a ledger knows of one budget."""

    budget: str
    balances: tuple[Balance, ...]
    """Every window that something was booked in and that is not forgotten, by its id; the slices
    of a rolling window that still count are one. Ends of calendar windows are not known here."""
    raised: int | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """An operation that holds something, or was booked as unconfirmed."""

    operation: str
    state: Literal["open", "unconfirmed"]
    sent: bool
    until: float
    """Unix second at which its lease ends (open) or at which it is forgotten (unconfirmed)."""
    holds: tuple[Charge, ...]
    at_risk: tuple[int, ...]
    """Of each hold, what is (or was) booked as unconfirmed if its process dies (or has died)."""


Row = tuple[str, str, int, int, int]
"""Budget, window, settled, unconfirmed, held."""


def accounts_of(rows: Iterable[Row], marks: Mapping[str, Marks], now: float) -> tuple[Account, ...]:
    """The accounts behind a store's rows."""
    found: dict[str, dict[str, Balance]] = {budget: {} for budget in marks}
    for budget, window_id, settled, unconfirmed, held in sorted(rows):
        if not (settled or unconfirmed or held):
            continue
        ends_at = None
        if part := slice_of(window_id):
            rolling, start = part
            if start not in rolling.starts(now):
                continue
            window_id, ends_at = rolling.series, rolling.slice(start).ends_at  # noqa: PLW2901
        windows = found.setdefault(budget, {})
        sum_ = windows.get(window_id) or Balance(budget, window_id, ends_at)
        windows[window_id] = Balance(
            budget,
            window_id,
            sum_.ends_at,
            sum_.settled + settled,
            sum_.unconfirmed + unconfirmed,
            sum_.held + held,
            *marks.get(budget, Marks())[:2],
        )
    return tuple(
        Account(budget, tuple(windows.values()), *marks.get(budget, Marks())[:2])
        for budget, windows in sorted(found.items())
    )


def _amount(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        allowed = f"a whole number from 0 to {MAX_COUNT}, in the budget's unit"
        raise ConfigurationError(name, value, allowed)
