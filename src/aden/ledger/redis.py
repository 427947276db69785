"""The ledger in a Redis server that every host of a fleet shares.

Each verb is one Lua script, so it is one atomic step and one trip. The server's clock counts.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aden.core.interruption import interrupts
from aden.core.record import CallRecord
from aden.core.window import Window
from aden.errors import ConfigurationError, LedgerError
from aden.ledger import redis_orders as orders
from aden.ledger import redis_verbs as verbs
from aden.ledger.journal import Keep, line_of, records_of
from aden.ledger.operator import Account, AuditEntry, Held, Marks, Order, Row, accounts_of
from aden.ledger.protocol import (
    ALERT_LEASE_MS,
    AlertClaim,
    Ask,
    Balance,
    Charge,
    Grant,
    Reach,
    Refusal,
    Settlement,
)
from aden.ledger.redis_call import Call, LinkError, Reply
from aden.ledger.redis_link import DEADLINE_S, Link
from aden.ledger.redis_question import Question
from aden.ledger.redis_url import parse
from aden.ledger.redis_wire import Wire

logger = logging.getLogger("aden.ledger")

OPEN_WAIT_S = 1.0
READ_WAIT_S = 5.0
REFRESH_S = 5.0
"""How old typical outputs may become before they are read again, in the background; so soon it is
also seen that a ledger was emptied."""
PAGE = 500
RENEWALS = 200


class RedisLedger:
    """Balances, holds and the journal under one hash tag of a Redis server.

    Raises:
        ConfigurationError: The URL is malformed, the package redis is not installed, or the server
            refuses the connection (password, database, certificate).
    """

    reach: Reach = "fleet"

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] | None = None,
        *,
        keep: Keep | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        address = parse(url)
        self.url = address.shown
        self._clock = clock
        self.keep = address.keep if keep is None else keep
        self._typical: dict[str, int | None] = {}
        self._typical_at = time.monotonic()
        self._born = b""
        self._described: dict[str, str] = {}
        self._wire = Wire(lambda: Link(address, deadline_s), self.url, deadline_s)
        self._open()

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """Hold the first option that fits, all its lines or none.

        Raises:
            LedgerError: No answer within the deadline; nothing is held.
        """
        question, at = self._reservation(ask)
        return self._wire.ask(question, at)

    async def areserve(self, ask: Ask) -> Grant | Refusal:
        """`reserve`; the loop runs meanwhile. Cancelled, it holds nothing."""
        question, at = self._reservation(ask)
        return await self._wire.aask(question, at)

    def settle(self, settlement: Settlement) -> None:
        """Replace an operation's hold by its charges."""
        try:
            line = line_of(settlement.record)
            self._wire.soon(verbs.settle(self._given(), settlement, line, self.keep))
        except Exception as error:
            self._complain(error, "a settlement cannot be booked")

    def renew(self, progress: Mapping[str, Sequence[int]], lease_ms: int = 60_000) -> None:
        """Extend the lease of each operation and note its progress, one amount a hold."""
        try:
            given, everything = self._given(), list(progress.items())
            for first in range(0, len(everything), RENEWALS):
                some = dict(everything[first : first + RENEWALS])
                self._wire.soon(verbs.renew(given, some, lease_ms))
        except Exception as error:
            self._complain(error, "leases cannot be renewed")

    def mark_sent(self, operation: str, *, sent: bool) -> None:
        """Note whether the request has left."""
        try:
            self._wire.soon(verbs.mark_sent(self._given(), operation, sent))
        except Exception as error:
            self._complain(error, "it cannot be noted that a request was sent")

    def extend(self, operation: str, amounts: Sequence[int]) -> None:
        """Raise an operation's holds to *amounts*; never lowers, never refuses."""
        try:
            self._wire.soon(verbs.extend(self._given(), operation, amounts))
        except Exception as error:
            self._complain(error, "a hold cannot be raised")

    def balances(self, budgets: Sequence[tuple[str, Window]]) -> tuple[Balance, ...]:
        """What the current window of each budget holds."""
        given = self._given()
        return self._wire.ask(Question(verbs.Balances(budgets, given)), self._at(given))

    def true_up(self, spent: Sequence[Charge]) -> None:
        """Raise what is spent in each window to at least the amount; never lowers."""
        for first in range(0, len(spent), PAGE):
            self._read(verbs.true_up(self._given(), spent[first : first + PAGE]))

    def typical_output(self, model: str) -> int | None:
        """A high percentile of this model's output tokens, as last heard; never waits."""
        self._keep_fresh()
        return self._typical.get(model)

    def claim_alert(
        self, balance: Balance, threshold: int, lease_ms: int = ALERT_LEASE_MS
    ) -> AlertClaim | None:
        """The alert, for the one process that is to raise it."""
        call = orders.claim_alert(self._given(), balance, threshold, lease_ms)
        name = self._wire.ask(Question(verbs.Plain(call)), 0.0).decode(errors="surrogatepass")
        return AlertClaim(balance.budget, balance.window_id, threshold, name) if name else None

    def acknowledge_alert(self, claim: AlertClaim) -> None:
        """It was raised: nobody may claim it again."""
        try:
            self._wire.soon(orders.acknowledge_alert(self._given(), claim))
        except Exception as error:
            self._complain(error, "it cannot be noted that an alert was raised")

    def order(self, order: Order) -> bool:
        """Carry out what an operator orders, and note it."""
        return bool(self._read(orders.order(self._given(), order)))

    def accounts(self) -> tuple[Account, ...]:
        """Every budget that something was booked or ordered for, read in pages."""
        rows: dict[tuple[str, str], Row] = {}  # a scan may show one twice
        marks: dict[str, Marks] = {}
        cursor = b"0"
        while True:
            now, cursor, fields, ordered = self._read(orders.accounts(self._given(), cursor, PAGE))
            rows |= {row[:2]: row for row in orders.rows_of(fields)}
            marks |= orders.marks_of(ordered)
            if cursor == b"0":
                return accounts_of(rows.values(), marks, float(now))

    def holds(self) -> tuple[Held, ...]:
        """The open and the unconfirmed operations."""
        return orders.held_of(self._read(orders.holds(self._given())))

    def open_holds(self) -> int:
        """How many operations hold something now."""
        return int(self._read(orders.open_holds(self._given())))

    def audit(self) -> Iterator[AuditEntry]:
        """What operators ordered, oldest first."""
        for entries in self._pages("audit", 0.0):
            yield from (orders.audit_of(fields) for _, fields in entries)

    def describe(self, notes: Mapping[str, str]) -> None:
        """Keep a text for each budget's id."""
        self._described |= notes
        try:
            for part in orders.describe(self._given(), notes):
                self._wire.soon(part)
        except Exception as error:
            self._complain(error, "it cannot be noted what budgets are")

    def descriptions(self) -> Mapping[str, str]:
        """The latest text of each budget's id."""
        return orders.descriptions_of(self._read(orders.descriptions(self._given())))

    def journal(self, since: float = 0.0) -> Iterator[CallRecord]:
        """The settled calls, oldest first, read in pages."""
        # With a clock of the test's own, the entries' ids say nothing.
        for entries in self._pages("journal", since if self._clock is None else 0.0):
            late = [entry for entry in entries if orders.booked_at(entry) >= since]
            yield from records_of(fields[1].decode() for _, fields in late)

    def _pages(self, stream: str, since: float) -> Iterator[list[Any]]:
        last = b"-"
        while True:
            entries = self._read(orders.page(stream, last, PAGE, since))
            yield entries
            if len(entries) < PAGE:
                return
            last = entries[-1][0]

    def _read(self, call: Call) -> Any:
        """Ask for something that may take its time."""
        return self._wire.ask(Question(verbs.Plain(call)), 0.0, READ_WAIT_S)

    def flush(self, timeout_s: float) -> bool:
        """Carry out what was put off; False where *timeout_s* was not enough."""
        return self._wire.flush(timeout_s)

    def close(self) -> None:
        """Flush and let go of connection and thread. Whoever uses it after that opens it again."""
        self._wire.close()

    def _complain(self, error: Exception, what: str) -> None:
        """Log a mistake of ours, which must not reach the app; an alarm has to."""
        if interrupts(error):
            raise error
        logger.error("aden: %s: %s", self.url, what, exc_info=error)

    def _given(self) -> float | None:
        """The time, where it is not the server's."""
        return None if self._clock is None else self._clock()

    def _at(self, given: float | None) -> float:
        """The server's time, as far as we know it: its windows are sent along."""
        return time.time() + self._wire.pump.offset_s if given is None else given

    def _reservation(self, ask: Ask) -> tuple[Question[Grant | Refusal], float]:
        self._keep_fresh()
        given = self._given()
        reserve = verbs.Reserve(ask, given)
        return Question(reserve, reserve.undo), self._at(given)

    def _open(self) -> None:
        """Connect, so that the first request need not, and what cannot work is said at once."""
        hello = Question(verbs.Plain(verbs.HELLO, self._heard))
        try:
            schema, _, policy, _ = self._wire.ask(hello, 0.0, OPEN_WAIT_S)
        except LedgerError as error:
            cause = error.__cause__
            if isinstance(cause, LinkError) and cause.wrong_setting:
                self._wire.close(0.0)
                allowed = f"a Redis ledger that can be used ({cause})"
                raise ConfigurationError("ledger", self.url, allowed) from None
            return  # it is down: said once by whoever tries, and asked again all the time
        if int(schema) > verbs.SCHEMA:
            self._wire.close(0.0)
            theirs = (
                f"a newer aden gave that one a schema for which programs must know {int(schema)}"
            )
            allowed = f"a ledger that schema {verbs.SCHEMA} may use; {theirs}: update aden here too"
            raise ConfigurationError("ledger", self.url, allowed)
        if policy.startswith(b"allkeys"):
            logger.warning(
                "aden: %s throws budgets away when it is full: set maxmemory-policy noeviction",
                self.url,
            )

    def _keep_fresh(self) -> None:
        if time.monotonic() - self._typical_at > REFRESH_S:
            self._refresh()

    def _refresh(self) -> None:
        self._typical_at = time.monotonic()
        self._wire.put_question(Question(verbs.Plain(verbs.PROBE, self._heard)), 0.0)

    def _heard(self, reply: Reply) -> None:
        self._typical = verbs.outputs(reply[1])
        self._typical_at = time.monotonic()
        before, self._born = self._born, reply[3]
        if before not in (b"", self._born):
            self._was_emptied()

    def _was_emptied(self) -> None:
        """Say so, and what the budgets are: nobody else would until a worker starts anew."""
        logger.error(
            "aden: %s was emptied (FLUSHALL, a restart without appendonly, eviction): what was "
            "spent and ordered before is forgotten, its budgets count from zero. To stop a budget "
            "until you know more: aden budgets freeze KEY --why TEXT",
            self.url,
        )
        self.describe(dict(self._described))
