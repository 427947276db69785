"""What the windows of a SQLite ledger hold: read in one look, changed in one step."""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from aden.core.window import Rolling, Span, Window, slice_of
from aden.ledger.protocol import Balance, Charge
from aden.ledger.rules import KEEP_S, forget_at
from aden.ledger.sqlite_file import Connection
from aden.ledger.sqlite_rows import read_rows, write_rows

AGES_MAX = 4_096


Seen = tuple[tuple[Balance, ...], bool, bool]
"""Balances; whether some operation's time is up, so that `sqlite_verbs.expire` has to come first;
whether one of the operations that were asked for is known. In one, as each statement costs a
request time.
"""


def look(
    db: Connection,
    now: float,
    budgets: Sequence[tuple[str, Window]],
    operations: Sequence[str] = (),
) -> Seen:
    """The balances of some budgets' current windows, and what may have to be done before."""
    spans = [window.at(now) for _, window in budgets]
    values: list[Any] = [now, *operations]
    for (key, _), span in zip(budgets, spans, strict=True):
        values += (key, span.id)
    query = _look_at(len(budgets), len(operations))
    rows = read_rows(db, query, values, _LOOK_COLUMNS, about=len(budgets))
    rows.sort(key=itemgetter(0))
    found = [
        _balance(db, now, key, window, span, row)
        for (key, window), span, row in zip(budgets, spans, rows, strict=False)
    ]
    return tuple(found), bool(rows[0][1]), bool(rows[0][2])


@lru_cache(maxsize=64)
def _look_at(count: int, operations: int) -> str:
    """The statement for so many budgets and operations; for no budget it says the rest."""
    asked = ", ".join([f"?{2 + place}" for place in range(operations)])
    what = (
        # Not "state IN (…)", for which SQLite makes a table first.
        "EXISTS (SELECT 1 FROM operation WHERE state = 'open' AND lease_until < ?1)"  # noqa: S608
        " OR EXISTS (SELECT 1 FROM operation WHERE state = 'settled' AND lease_until < ?1)"
        " OR EXISTS (SELECT 1 FROM operation WHERE state = 'unconfirmed' AND lease_until < ?1)"
        f" AS due, EXISTS (SELECT 1 FROM operation WHERE id IN ({asked})) AS known"
    )
    if not count:
        return f"SELECT 0, {what}"
    first = 2 + operations
    keys = [f"({at}, ?{first + 2 * at}, ?{first + 2 * at + 1})" for at in range(count)]
    return (
        f"WITH asked (place, budget, window_id) AS (VALUES {', '.join(keys)})"  # noqa: S608 - no text of others
        f" SELECT place, {what}, ifnull(settled, 0) AS settled,"
        " ifnull(unconfirmed, 0) AS unconfirmed, ifnull(held, 0) AS held,"
        " raised, ifnull(frozen, 0) AS frozen, ifnull(epoch, 0) AS epoch FROM asked"
        " LEFT JOIN balance USING (budget, window_id) LEFT JOIN account USING (budget)"
    )


_LOOK_COLUMNS = "place, due, known, settled, unconfirmed, held, raised, frozen, epoch"


def _balance(
    db: Connection, now: float, key: str, window: Window, span: Span, row: Sequence[Any]
) -> Balance:
    _, _, _, settled, unconfirmed, held, raised, frozen, epoch = row
    ends_at = span.ends_at
    if window.rolling is not None:
        oldest_ends_at, (settled, unconfirmed, held) = _rolling_sum(db, key, window.rolling, now)
        ends_at = oldest_ends_at or ends_at
    return Balance(key, span.id, ends_at, settled, unconfirmed, held, raised, bool(frozen), epoch)


def _rolling_sum(
    db: Connection, key: str, rolling: Rolling, now: float
) -> tuple[float | None, tuple[int, int, int]]:
    """When the oldest of what counts leaves the window; and settled, unconfirmed, held."""
    starts = rolling.starts(now)
    oldest, settled, unconfirmed, held = db.execute(
        "SELECT min(window_id), ifnull(sum(settled), 0), ifnull(sum(unconfirmed), 0),"
        " ifnull(sum(held), 0) FROM balance WHERE budget = ? AND window_id BETWEEN ? AND ?"
        " AND (settled OR unconfirmed OR held)",
        (key, rolling.slice(starts[0]).id, rolling.slice(starts[-1]).id),
    ).fetchone()
    first = slice_of(oldest) if oldest else None
    ends_at = rolling.slice(first[1]).ends_at if first else None
    return ends_at, (settled, unconfirmed, held)


class Changes:
    """What one step changes in the windows: each is written once, however often it is named."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], tuple[int, int, int]] = {}

    def add(self, charge: Charge, *, settled: int = 0, unconfirmed: int = 0, held: int = 0) -> None:
        """Change what a window holds."""
        key = (charge.budget, charge.window_id)
        before = self._sums.get(key, (0, 0, 0))
        self._sums[key] = before[0] + settled, before[1] + unconfirmed, before[2] + held

    def take_back(self, state: str | None, lines: Iterable[tuple[Charge, int]]) -> None:
        """Release what an operation holds, or what was booked for it as unconfirmed."""
        for hold, at_risk in lines:
            if state == "open":
                self.add(hold, held=-hold.amount)
            else:
                self.add(hold, unconfirmed=-at_risk)

    def book(self, db: Connection, now: float) -> None:
        """Write it down."""
        book(db, now, [(*key, *sums) for key, sums in self._sums.items() if any(sums)])


def book(db: Connection, now: float, changes: list[tuple[str, str, int, int, int]]) -> None:
    """Add to budget's window: settled, unconfirmed, held. This counts as the windows' use."""
    write_rows(
        db,
        "INSERT INTO balance (budget, window_id, settled, unconfirmed, held) VALUES {}"
        " ON CONFLICT (budget, window_id) DO UPDATE SET"
        " settled = settled + excluded.settled,"
        " unconfirmed = unconfirmed + excluded.unconfirmed,"
        " held = held + excluded.held",
        changes,
    )
    for budget, window_id, _, unconfirmed, _ in changes:
        if db.ages.get((budget, window_id), 0.0) <= now + KEEP_S:  # else it is noted for today
            _keep_until(db, now, budget, window_id, unconfirmed=unconfirmed > 0)


def _keep_until(
    db: Connection, now: float, budget: str, window_id: str, *, unconfirmed: bool
) -> None:
    """Note when a window may be forgotten."""
    until = forget_at(window_id, now, unconfirmed=unconfirmed)
    if until is not None:
        db.execute(
            "INSERT INTO balance_age (budget, window_id, until) VALUES (?, ?, ?)"
            " ON CONFLICT (budget, window_id) DO UPDATE SET until = excluded.until"
            " WHERE excluded.until > until",
            (budget, window_id, until),
        )
    if window_id.startswith("rolling:"):  # some are forgotten soon, and then booked in again
        return
    if len(db.ages) >= AGES_MAX:
        db.ages.clear()
    db.ages[budget, window_id] = math.inf if until is None else until


def add(
    db: Connection,
    now: float,
    charge: Charge,
    *,
    held: int = 0,
    settled: int = 0,
    unconfirmed: int = 0,
) -> None:
    """Change what one window holds."""
    changes = Changes()
    changes.add(charge, settled=settled, unconfirmed=unconfirmed, held=held)
    changes.book(db, now)
