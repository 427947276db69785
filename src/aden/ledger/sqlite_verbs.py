"""The ledger's verbs as work inside one SQLite transaction; what they mean, `memory` says."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aden.core.window import Rolling, Span, Window, slice_of
from aden.ledger.journal import Keep
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Refusal, Settlement
from aden.ledger.rules import (
    OUTPUTS_HALVED_AT,
    RETAIN_S,
    UNCONFIRMED_S,
    choose,
    forget_at,
    output_bucket,
    retry_after_ms,
)
from aden.ledger.sqlite_forget import forget

PRUNE = 200
"""How many forgotten operations one transaction deletes: a night's worth must not stall a call."""


def reserve(db: sqlite3.Connection, now: float, *, ask: Ask) -> Grant | Refusal:
    """Hold the first option that fits, all its lines or none."""
    expire(db, now)
    drop(db, now, ask.operation)
    windows = {line.budget: line.window for option in ask.options for line in option.lines}
    balances = {each.budget: each for each in _balances(db, now, tuple(windows.items()))}
    verdict = choose(ask, balances)
    seen = tuple(balances.values())
    if verdict.option is None:
        wait_ms = retry_after_ms(verdict, balances[verdict.budget], now)
        return Refusal(ask.operation, verdict.reason, verdict.budget, seen, wait_ms)
    lines = ask.options[verdict.option].lines
    holds = tuple(
        Charge(line.budget, balances[line.budget].window_id, line.amount) for line in lines
    )
    _remember(db, ask.operation, "open", now + ask.lease_ms / 1000)
    for position, (hold, line) in enumerate(zip(holds, lines, strict=True)):
        add(db, now, hold, held=hold.amount)
        db.execute(
            "INSERT INTO hold (operation, position, budget, window_id, amount, at_risk)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (ask.operation, position, hold.budget, hold.window_id, hold.amount, line.at_risk),
        )
    return Grant(ask.operation, verdict.option, holds, seen)


def settle(
    db: sqlite3.Connection, now: float, *, settlement: Settlement, line: str | None, keep: Keep
) -> None:
    """Replace an operation's hold by its charges; *line* goes to the journal."""
    state, lines = _known(db, settlement.operation)
    if state != "settled":
        changes = Changes()
        changes.take_back(state, lines)
        for charge in settlement.charges:
            changes.add(charge, settled=charge.amount)
        changes.book(db, now)
        if lines:
            db.execute("DELETE FROM hold WHERE operation = ?", (settlement.operation,))
        settled(db, now, settlement.operation)
        if settlement.output is not None:
            _learn(db, *settlement.output)
        if line is not None:
            db.execute("INSERT INTO journal (at, record) VALUES (?, ?)", (now, line))
    forget(db, now, keep)


def _learn(db: sqlite3.Connection, model: str, tokens: int) -> None:
    (seen,) = db.execute(
        "INSERT INTO output (model, bucket, seen) VALUES (?, ?, 1)"
        " ON CONFLICT (model, bucket) DO UPDATE SET seen = seen + 1 RETURNING seen",
        (model, output_bucket(tokens)),
    ).fetchone()
    if seen >= OUTPUTS_HALVED_AT:
        db.execute("UPDATE output SET seen = seen / 2 WHERE model = ?", (model,))
        db.execute("DELETE FROM output WHERE model = ? AND seen = 0", (model,))


def renew(
    db: sqlite3.Connection, now: float, *, progress: Mapping[str, Sequence[int]], lease_ms: int
) -> None:
    """Extend the lease of each operation and note its progress, one amount a hold."""
    for operation, amounts in progress.items():
        if state_of(db, operation) != "open":
            continue
        db.execute(
            "UPDATE operation SET lease_until = ? WHERE id = ?", (now + lease_ms / 1000, operation)
        )
        if len(amounts) != len(holds_of(db, operation)):
            continue
        for position, amount in enumerate(amounts):
            db.execute(
                "UPDATE hold SET at_risk = ? WHERE operation = ? AND position = ?",
                (amount, operation, position),
            )


def mark_sent(db: sqlite3.Connection, now: float, *, operation: str, sent: bool) -> None:
    """Note whether the request has left."""
    db.execute("UPDATE operation SET sent = ? WHERE id = ?", (int(sent), operation))


def extend(
    db: sqlite3.Connection,
    now: float,
    *,
    operation: str,
    amounts: Sequence[int],
) -> None:
    """Raise an operation's holds to *amounts*; never lowers, never refuses."""
    if state_of(db, operation) != "open":
        return
    holds = holds_of(db, operation)
    if len(amounts) != len(holds):
        return
    for position, ((hold, _), amount) in enumerate(zip(holds, amounts, strict=True)):
        if amount > hold.amount:
            add(db, now, hold, held=amount - hold.amount)
            db.execute(
                "UPDATE hold SET amount = ? WHERE operation = ? AND position = ?",
                (amount, operation, position),
            )


def balances(
    db: sqlite3.Connection, now: float, *, budgets: Sequence[tuple[str, Window]]
) -> tuple[Balance, ...]:
    """What the current window of each budget holds."""
    expire(db, now)
    return _balances(db, now, budgets)


def true_up(db: sqlite3.Connection, now: float, *, spent: Sequence[Charge]) -> None:
    """Raise what is spent in each window to at least the amount; never lowers."""
    expire(db, now)
    for charge in spent:
        row = db.execute(
            "SELECT settled + unconfirmed FROM balance WHERE budget = ? AND window_id = ?",
            (charge.budget, charge.window_id),
        ).fetchone()
        add(db, now, charge, settled=max(0, charge.amount - (row[0] if row else 0)))


def outputs(db: sqlite3.Connection, now: float, *, model: str) -> dict[int, int]:
    """How often each output length was seen."""
    return dict(db.execute("SELECT bucket, seen FROM output WHERE model = ?", (model,)).fetchall())


def state_of(db: sqlite3.Connection, operation: str) -> str | None:
    """``open | unconfirmed | settled``; None where nobody remembers it."""
    row = db.execute("SELECT state FROM operation WHERE id = ?", (operation,)).fetchone()
    return row[0] if row else None


def _balances(
    db: sqlite3.Connection, now: float, budgets: Sequence[tuple[str, Window]]
) -> tuple[Balance, ...]:
    if not budgets:
        return ()
    asked = [(key, window, window.at(now)) for key, window in budgets]
    marks = ", ".join([f"({place}, ?, ?)" for place in range(len(asked))])
    rows = db.execute(
        f"WITH asked (place, budget, window_id) AS (VALUES {marks})"  # noqa: S608 - no text in it
        " SELECT place, ifnull(settled, 0), ifnull(unconfirmed, 0), ifnull(held, 0),"
        " raised, ifnull(frozen, 0), ifnull(epoch, 0) FROM asked"
        " LEFT JOIN balance USING (budget, window_id) LEFT JOIN account USING (budget)",
        [text for key, _, span in asked for text in (key, span.id)],
    )
    found = {place: row for place, *row in rows}
    return tuple(_balance(db, now, *each, found[place]) for place, each in enumerate(asked))


def _balance(
    db: sqlite3.Connection, now: float, key: str, window: Window, span: Span, row: list[Any]
) -> Balance:
    settled, unconfirmed, held, raised, frozen, epoch = row
    ends_at = span.ends_at
    if window.rolling is not None:
        oldest_ends_at, (settled, unconfirmed, held) = _rolling_sum(db, key, window.rolling, now)
        ends_at = oldest_ends_at or ends_at
    return Balance(key, span.id, ends_at, settled, unconfirmed, held, raised, bool(frozen), epoch)


def _rolling_sum(
    db: sqlite3.Connection, key: str, rolling: Rolling, now: float
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

    def book(self, db: sqlite3.Connection, now: float) -> None:
        """Write it down; this counts as the windows' use."""
        for (budget, window_id), sums in self._sums.items():
            if not any(sums):
                continue
            db.execute(
                "INSERT INTO balance (budget, window_id, settled, unconfirmed, held)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (budget, window_id) DO UPDATE SET"
                " settled = settled + excluded.settled,"
                " unconfirmed = unconfirmed + excluded.unconfirmed,"
                " held = held + excluded.held",
                (budget, window_id, *sums),
            )
            until = forget_at(window_id, now, unconfirmed=sums[1] > 0)
            if until is not None:
                db.execute(
                    "INSERT INTO balance_age (budget, window_id, until) VALUES (?, ?, ?)"
                    " ON CONFLICT (budget, window_id) DO UPDATE SET until = excluded.until"
                    " WHERE excluded.until > until",
                    (budget, window_id, until),
                )


def add(
    db: sqlite3.Connection,
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


def settled(db: sqlite3.Connection, now: float, operation: str) -> None:
    """Remember that an operation has had its last word."""
    _remember(db, operation, "settled", now + RETAIN_S)


def _remember(db: sqlite3.Connection, operation: str, state: str, until: float) -> None:
    db.execute(
        "INSERT OR REPLACE INTO operation (id, state, sent, lease_until) VALUES (?, ?, 1, ?)",
        (operation, state, until),
    )


def drop(db: sqlite3.Connection, now: float, operation: str) -> None:
    """Take back what an operation holds, or what was booked for it as unconfirmed."""
    state, lines = _known(db, operation)
    if state is None:
        return
    changes = Changes()
    changes.take_back(state, lines)
    changes.book(db, now)
    _forget(db, operation)


def _known(db: sqlite3.Connection, operation: str) -> tuple[str | None, list[tuple[Charge, int]]]:
    """The state of an operation, and what it holds; (None, []) where nobody remembers it."""
    rows = db.execute(
        "SELECT state, budget, window_id, amount, at_risk FROM operation"
        " LEFT JOIN hold ON operation = id WHERE id = ? ORDER BY position",
        (operation,),
    ).fetchall()
    lines = [(Charge(*hold), at_risk) for _, *hold, at_risk in rows if hold[0] is not None]
    return (rows[0][0] if rows else None), lines


def holds_of(db: sqlite3.Connection, operation: str) -> list[tuple[Charge, int]]:
    """What an operation holds, and what of each is at risk."""
    rows = db.execute(
        "SELECT budget, window_id, amount, at_risk FROM hold WHERE operation = ? ORDER BY position",
        (operation,),
    )
    return [(Charge(*hold), at_risk) for *hold, at_risk in rows]


def _forget(db: sqlite3.Connection, operation: str) -> None:
    db.execute("DELETE FROM hold WHERE operation = ?", (operation,))
    db.execute("DELETE FROM operation WHERE id = ?", (operation,))


def expire(db: sqlite3.Connection, now: float) -> None:
    """Book holds whose lease ran out: their progress as unconfirmed, nothing if unsent."""
    # One look, since nearly always there is nothing.
    late, forgotten = db.execute(
        "SELECT EXISTS (SELECT 1 FROM operation WHERE state = 'open' AND lease_until < ?1),"
        " EXISTS (SELECT 1 FROM operation WHERE state = 'settled' AND lease_until < ?1)"
        " OR EXISTS (SELECT 1 FROM operation WHERE state = 'unconfirmed' AND lease_until < ?1)",
        (now,),
    ).fetchone()
    if late:
        _expire(db, now)
    if forgotten:
        rows = db.execute(
            "SELECT id FROM operation WHERE state IN ('settled', 'unconfirmed')"
            " AND lease_until < ? LIMIT ?",
            (now, PRUNE),
        ).fetchall()
        for (operation,) in rows:
            _forget(db, operation)


def _expire(db: sqlite3.Connection, now: float) -> None:
    late = db.execute(
        "SELECT id, sent FROM operation WHERE state = 'open' AND lease_until < ?", (now,)
    ).fetchall()
    for operation, sent in late:
        if not sent:
            drop(db, now, operation)
            continue
        changes = Changes()
        for hold, at_risk in holds_of(db, operation):
            changes.add(hold, held=-hold.amount, unconfirmed=at_risk)
        changes.book(db, now)
        db.execute(
            "UPDATE operation SET state = 'unconfirmed', lease_until = ? WHERE id = ?",
            (now + UNCONFIRMED_S, operation),
        )
