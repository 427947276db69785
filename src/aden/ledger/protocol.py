"""The ledger's verbs and the values that they take and give.

Amounts are integers in the budget's own unit (nano-dollars for money), below 2**53. A store grants
the first option that fits all its lines, or refuses, in one atomic step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from aden.core.record import CallRecord
from aden.core.value import value
from aden.core.window import Window
from aden.ledger.journal import Keep

if TYPE_CHECKING:
    from aden.ledger.operator import Account, AuditEntry, Held, Order

ALERT_LEASE_MS = 30_000

Reach = Literal["process", "host", "fleet"]
"""Who shares a ledger: this process, this file system, or every host that connects to it."""


@value
class Line:
    """What one budget must be able to bear for an option to be granted."""

    budget: str
    """Ledger key of the budget (its id and, for a template, the label that it was made for)."""
    window: Window
    limit: int
    amount: int
    """What the option would hold."""
    at_risk: int
    """What is booked as unconfirmed if the process dies before it reports progress, ≤ `amount`."""
    below: int | None = None
    """Grant only while spent is less than this (the ladder's next step); None: no such step."""
    enforce: bool = True
    """False: hold and count, but never refuse (observe)."""
    soft: bool = False
    """True: go on beyond the limit, which then is only what `below` is a share of."""


@value
class Option:
    """One way to send the request; granted when every line fits. It names a budget once."""

    lines: tuple[Line, ...]


@value
class Ask:
    """A reservation, asked for: ordered options, the first that fits is granted."""

    operation: str
    """Id of the call; asking again under the same id replaces what it held."""
    options: tuple[Option, ...]
    lease_ms: int = 60_000


@value
class Balance:
    """What one budget's window holds, without the asking operation's own hold.

    Of a rolling window: what counts at this moment; `window_id` is the slice to be booked in.
    """

    budget: str
    window_id: str
    ends_at: float | None
    """Unix second at which the window ends, or the oldest of what counts leaves it; None: never."""
    settled: int = 0
    unconfirmed: int = 0
    held: int = 0
    raised: int | None = None
    """The limit to which an operator raised this budget, where that is more than the policy's."""
    frozen: bool = False
    """An operator stopped all that costs."""
    epoch: int = 0
    """How often an operator armed its alerts again."""

    @property
    def spent(self) -> int:
        """Settled and unconfirmed."""
        return self.settled + self.unconfirmed

    def limit(self, policy_limit: int) -> int:
        """The limit in force."""
        return max(policy_limit, self.raised or 0)


@value
class Charge:
    """An amount in one window of one budget."""

    budget: str
    window_id: str
    amount: int


@value
class Grant:
    """A reservation that stands: which option, and what it holds where."""

    operation: str
    option: int
    holds: tuple[Charge, ...]
    balances: tuple[Balance, ...]


@value
class Refusal:
    """No option fits. Nothing is held."""

    operation: str
    reason: Literal["exhausted", "busy", "policy"]
    """``busy``: an option would fit if the open holds were refunded. ``policy``: it is frozen."""
    budget: str
    """Ledger key of the budget in the way."""
    balances: tuple[Balance, ...]
    retry_after_ms: int | None


@value
class Settlement:
    """The final word on an operation; carrying it out twice changes nothing."""

    operation: str
    charges: tuple[Charge, ...] = ()
    """What each window is to be charged; empty: the hold is released."""
    record: CallRecord | None = None
    """The journal's line."""
    output: tuple[str, int] | None = None
    """(model, output tokens) to learn typical output lengths from."""


@dataclass(frozen=True, slots=True)
class AlertClaim:
    """An alert that this process is to raise now, and then to acknowledge."""

    budget: str
    window_id: str
    threshold: int
    """The spend at which it is raised, in the budget's unit."""
    id: str
    """The same for whoever raises this alert; another one after a reset, a raise, a new window."""


class Ledger(Protocol):
    """Where reservations and spend live.

    What asks (`reserve`, `balances` …) may raise `LedgerError`; `settle`, `renew`, `mark_sent` and
    `extend` never raise, never wait on a network and may be called in a ``finally``, a
    cancellation or ``__del__``.
    """

    url: str
    reach: Reach
    keep: Keep
    """How long its journal may become."""

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Hold the first option that fits, all its lines or none."""

    async def areserve(self, ask: Ask) -> Grant | Refusal:
        """`reserve`, without blocking the event loop."""

    def settle(self, settlement: Settlement) -> None:
        """Replace an operation's hold by its charges."""

    def renew(self, progress: Mapping[str, Sequence[int]], lease_ms: int = 60_000) -> None:
        """Extend the lease of each operation and note its progress, one amount a hold.

        One whose lease has ended meanwhile holds again what it held.
        """

    def mark_sent(self, operation: str, *, sent: bool) -> None:
        """Note whether the request has left; an unsent hold is released when its process dies."""

    def extend(self, operation: str, amounts: Sequence[int]) -> None:
        """Raise an operation's holds to *amounts* as it grows; never lowers, never refuses."""

    def balances(self, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """What the current window of each budget holds."""

    def true_up(self, spent: Sequence[Charge]) -> None:
        """Book what others have spent: raise what is spent in each window to at least the amount.

        Never lowers. It asks, as `balances` does, but may take its time.
        """

    def typical_output(self, model: str) -> int | None:
        """A high percentile of this model's output tokens; None while fewer than 8 were seen."""

    def claim_alert(
        self, balance: Balance, threshold: int, lease_ms: int = ALERT_LEASE_MS
    ) -> AlertClaim | None:
        """The alert, for the one process that is to raise it; None where it is raised already.

        *balance* is what a reserve saw: what it says of a budget that was reset or raised since is
        no alert any more. *threshold* is the spend at which it is raised, so another limit has an
        alert of its own. Who does not acknowledge it within the lease is taken to be dead: the next
        may claim it.
        """

    def acknowledge_alert(self, claim: AlertClaim) -> None:
        """It was raised: nobody may claim it again. Never raises."""

    def order(self, order: "Order") -> bool:
        """Carry out what an operator orders, and note it in the audit table.

        False where there is nothing to confirm: the operation is unknown, open or settled.
        """

    def accounts(self) -> "tuple[Account, ...]":
        """Every budget that something was booked or ordered for, by name."""

    def holds(self) -> "tuple[Held, ...]":
        """The open and the unconfirmed operations, by name."""

    def open_holds(self) -> int:
        """How many operations hold something now; the dead ones' no longer."""

    def audit(self) -> "Iterator[AuditEntry]":
        """What operators ordered, oldest first; the last 10,000 entries."""

    def journal(self, since: float = 0.0) -> Iterator[CallRecord]:
        """The calls that were settled at the unix second *since* or later, oldest first.

        It is read in pages, so a million lines take no memory.
        """

    def describe(self, notes: Mapping[str, str]) -> None:
        """Keep a text for each budget's id, by which an operator's tools know it. Never raises."""

    def descriptions(self) -> Mapping[str, str]:
        """The latest text of each budget's id."""

    def flush(self, timeout_s: float) -> bool:
        """Carry out what was put off; False where *timeout_s* was not enough."""

    def close(self) -> None:
        """Flush and let go of files, connections and threads."""
