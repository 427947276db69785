"""The ledger's verbs as work inside one SQLite transaction; what they mean, `memory` says."""

import sqlite3
from collections.abc import Mapping, Sequence

from aden.core.window import Rolling, Span, Window, slice_of
from aden.ledger.memory import RETAIN_S
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Refusal, Settlement
from aden.ledger.rules import choose, output_bucket, retry_after_ms

PRUNE = 200
"""How many forgotten operations one transaction deletes: a night's worth must not stall a call."""


def reserve(db: sqlite3.Connection, now: float, *, ask: Ask) -> Grant | Refusal:
    """Hold the first option that fits, all its lines or none."""
    _expire(db, now)
    _drop_hold(db, ask.operation)
    windows = {line.budget: line.window for option in ask.options for line in option.lines}
    balances = {key: _balance(db, key, window, now) for key, window in windows.items()}
    verdict = choose(ask, balances)
    seen = tuple(balances.values())
    if verdict.option is None:
        wait_ms = retry_after_ms(verdict, balances[verdict.budget], now)
        return Refusal(ask.operation, verdict.reason, verdict.budget, seen, wait_ms)
    lines = ask.options[verdict.option].lines
    holds = tuple(
        Charge(line.budget, balances[line.budget].window_id, line.amount) for line in lines
    )
    db.execute(
        "INSERT OR REPLACE INTO operation VALUES (?, 'open', 1, ?)",
        (ask.operation, now + ask.lease_ms / 1000),
    )
    for position, (hold, line) in enumerate(zip(holds, lines, strict=True)):
        _add(db, hold, held=hold.amount)
        db.execute(
            "INSERT INTO hold VALUES (?, ?, ?, ?, ?, ?)",
            (ask.operation, position, hold.budget, hold.window_id, hold.amount, line.at_risk),
        )
    return Grant(ask.operation, verdict.option, holds, seen)


def settle(
    db: sqlite3.Connection, now: float, *, settlement: Settlement, line: str | None, keep: int
) -> None:
    """Replace an operation's hold by its charges; *line* goes to the journal of *keep* lines."""
    state = _state(db, settlement.operation)
    if state == "settled":
        return
    _drop_hold(db, settlement.operation)
    for charge in settlement.charges:
        _add(db, charge, settled=charge.amount)
    db.execute(
        "INSERT OR REPLACE INTO operation VALUES (?, 'settled', 1, ?)",
        (settlement.operation, now + RETAIN_S),
    )
    if settlement.output is not None:
        model, tokens = settlement.output
        db.execute(
            "INSERT INTO output VALUES (?, ?, 1)"
            " ON CONFLICT (model, bucket) DO UPDATE SET seen = seen + 1",
            (model, output_bucket(tokens)),
        )
    if line is not None:
        row = db.execute("INSERT INTO journal (at, record) VALUES (?, ?)", (now, line)).lastrowid
        db.execute("DELETE FROM journal WHERE id <= ?", ((row or 0) - keep,))


def renew(
    db: sqlite3.Connection, now: float, *, progress: Mapping[str, Sequence[int]], lease_ms: int
) -> None:
    """Extend the lease of each operation and note its progress, one amount a hold."""
    for operation, amounts in progress.items():
        if _state(db, operation) != "open":
            continue
        db.execute(
            "UPDATE operation SET lease_until = ? WHERE id = ?", (now + lease_ms / 1000, operation)
        )
        if len(amounts) != len(_holds(db, operation)):
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
    if _state(db, operation) != "open":
        return
    holds = _holds(db, operation)
    if len(amounts) != len(holds):
        return
    for position, (hold, amount) in enumerate(zip(holds, amounts, strict=True)):
        if amount > hold.amount:
            _add(db, hold, held=amount - hold.amount)
            db.execute(
                "UPDATE hold SET amount = ? WHERE operation = ? AND position = ?",
                (amount, operation, position),
            )


def balances(
    db: sqlite3.Connection, now: float, *, budgets: Sequence[tuple[str, Window]]
) -> tuple[Balance, ...]:
    """What the current window of each budget holds."""
    _expire(db, now)
    return tuple(_balance(db, key, window, now) for key, window in budgets)


def outputs(db: sqlite3.Connection, now: float, *, model: str) -> dict[int, int]:
    """How often each output length was seen."""
    return dict(db.execute("SELECT bucket, seen FROM output WHERE model = ?", (model,)).fetchall())


def claim_alert(
    db: sqlite3.Connection,
    now: float,
    *,
    budget: str,
    window_id: str,
    threshold: int,
) -> bool:
    """True for the first claim of this alert in this window."""
    claim = (budget, window_id, threshold)
    known = "SELECT 1 FROM alert WHERE budget = ? AND window_id = ? AND threshold = ?"
    if db.execute(known, claim).fetchone():  # the usual answer, and it needs no write lock
        return False
    return db.execute("INSERT OR IGNORE INTO alert VALUES (?, ?, ?)", claim).rowcount == 1


def journal(db: sqlite3.Connection, now: float) -> list[str]:
    """The lines of the journal, oldest first."""
    return [line for (line,) in db.execute("SELECT record FROM journal ORDER BY id")]


def _state(db: sqlite3.Connection, operation: str) -> str | None:
    row = db.execute("SELECT state FROM operation WHERE id = ?", (operation,)).fetchone()
    return row[0] if row else None


def _holds(db: sqlite3.Connection, operation: str) -> list[Charge]:
    rows = db.execute(
        "SELECT budget, window_id, amount FROM hold WHERE operation = ? ORDER BY position",
        (operation,),
    )
    return [Charge(*row) for row in rows]


def _balance(db: sqlite3.Connection, key: str, window: Window, now: float) -> Balance:
    span = window.at(now)
    if window.rolling is not None:
        return _rolling_balance(db, key, window.rolling, span, now)
    row = db.execute(
        "SELECT settled, unconfirmed, held FROM balance WHERE budget = ? AND window_id = ?",
        (key, span.id),
    ).fetchone()
    return Balance(key, span.id, span.ends_at, *(row or (0, 0, 0)))


def _rolling_balance(
    db: sqlite3.Connection, key: str, rolling: Rolling, current: Span, now: float
) -> Balance:
    starts = rolling.starts(now)
    oldest, *sums = db.execute(
        "SELECT min(window_id), ifnull(sum(settled), 0), ifnull(sum(unconfirmed), 0),"
        " ifnull(sum(held), 0) FROM balance WHERE budget = ? AND window_id BETWEEN ? AND ?"
        " AND (settled OR unconfirmed OR held)",
        (key, rolling.slice(starts[0]).id, rolling.slice(starts[-1]).id),
    ).fetchone()
    first = slice_of(oldest) if oldest else None
    ends_at = rolling.slice(first[1]).ends_at if first else current.ends_at
    return Balance(key, current.id, ends_at, *sums)


def _add(
    db: sqlite3.Connection, charge: Charge, *, held: int = 0, settled: int = 0, unconfirmed: int = 0
) -> None:
    db.execute(
        "INSERT INTO balance VALUES (?, ?, ?, ?, ?) ON CONFLICT (budget, window_id) DO UPDATE SET"
        " settled = settled + excluded.settled,"
        " unconfirmed = unconfirmed + excluded.unconfirmed,"
        " held = held + excluded.held",
        (charge.budget, charge.window_id, settled, unconfirmed, held),
    )


def _drop_hold(db: sqlite3.Connection, operation: str) -> None:
    """Take back what an operation holds, or what was booked for it as unconfirmed."""
    state = _state(db, operation)
    if state is None:
        return
    if state != "settled":
        rows = db.execute(
            "SELECT budget, window_id, amount, at_risk FROM hold WHERE operation = ?", (operation,)
        ).fetchall()
        for budget, window_id, amount, at_risk in rows:
            if state == "open":
                _add(db, Charge(budget, window_id, amount), held=-amount)
            else:
                _add(db, Charge(budget, window_id, amount), unconfirmed=-at_risk)
    _forget(db, operation)


def _forget(db: sqlite3.Connection, operation: str) -> None:
    db.execute("DELETE FROM hold WHERE operation = ?", (operation,))
    db.execute("DELETE FROM operation WHERE id = ?", (operation,))


def _expire(db: sqlite3.Connection, now: float) -> None:
    """Book holds whose lease ran out: their progress as unconfirmed, nothing if unsent."""
    late = db.execute(
        "SELECT id, sent FROM operation WHERE state = 'open' AND lease_until < ?", (now,)
    ).fetchall()
    for operation, sent in late:
        if not sent:
            _drop_hold(db, operation)
            continue
        rows = db.execute(
            "SELECT budget, window_id, amount, at_risk FROM hold WHERE operation = ?", (operation,)
        ).fetchall()
        for budget, window_id, amount, at_risk in rows:
            _add(db, Charge(budget, window_id, amount), held=-amount, unconfirmed=at_risk)
        db.execute(
            "UPDATE operation SET state = 'unconfirmed', lease_until = ? WHERE id = ?",
            (now + RETAIN_S, operation),
        )
    forgotten = db.execute(
        "SELECT id FROM operation WHERE state IN ('settled', 'unconfirmed') AND lease_until < ?"
        " LIMIT ?",
        (now, PRUNE),
    ).fetchall()
    for (operation,) in forgotten:
        _forget(db, operation)
