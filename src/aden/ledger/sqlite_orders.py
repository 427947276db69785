"""Alerts and operators' orders inside one SQLite transaction; what they mean, `memory_*` says."""

from collections.abc import Mapping, Sequence

from aden.ledger.memory_orders import reset_windows
from aden.ledger.operator import (
    AUDIT_ENTRIES,
    Account,
    AuditEntry,
    Confirm,
    Held,
    Marks,
    Order,
    Raise,
    Reset,
    accounts_of,
)
from aden.ledger.protocol import AlertClaim, Balance
from aden.ledger.rules import alert_id, alert_key, forget_at
from aden.ledger.sqlite_file import Connection
from aden.ledger.sqlite_verbs import drop, expire, holds_of, settled, state_of
from aden.ledger.sqlite_windows import add


def claim_alert(
    db: Connection,
    now: float,
    *,
    balance: Balance,
    threshold: int,
    lease_ms: int,
) -> AlertClaim | None:
    """The alert, for the first who asks; again, when a lease or a rolling window has ended."""
    budget, window_id, epoch = balance.budget, balance.window_id, balance.epoch
    if epoch != _marks(db, budget).epoch:
        return None
    key = (budget, alert_key(window_id)[0], threshold, epoch)
    row = db.execute(
        "SELECT id, until, raised FROM alert_claim"
        " WHERE budget = ? AND window_id = ? AND threshold = ? AND epoch = ?",
        key,
    ).fetchone()
    if row is not None and (row[1] is None or now < row[1]):  # the usual answer: no write lock
        return None
    name = alert_id(budget, window_id, threshold, epoch)
    if row is not None and not row[2]:
        name = row[0]  # who claimed it died: the same alert
    db.execute(
        "INSERT OR REPLACE INTO alert_claim"
        " (budget, window_id, threshold, epoch, id, until, raised, forget_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
        (*key, name, now + lease_ms / 1000, forget_at(window_id, now)),
    )
    return AlertClaim(budget, window_id, threshold, name)


def acknowledge_alert(db: Connection, now: float, *, claim: AlertClaim) -> None:
    """It was raised; a rolling window may raise it again after its own length."""
    series, again_s = alert_key(claim.window_id)
    until = None if again_s is None else now + again_s
    key = (claim.budget, series, claim.threshold, _marks(db, claim.budget).epoch)
    db.execute(
        "UPDATE alert_claim SET raised = 1, until = ? WHERE budget = ? AND window_id = ?"
        " AND threshold = ? AND epoch = ? AND id = ? AND NOT raised",
        (until, *key, claim.id),
    )


def carry_out(db: Connection, now: float, *, order: Order) -> bool:
    """Carry out an order and note it; False where there is nothing to confirm."""
    expire(db, now)
    if isinstance(order, Confirm):
        return _confirm(db, now, order)
    marks = _marks(db, order.budget)
    if isinstance(order, Reset):
        _reset(db, now, order)
        marks = marks._replace(epoch=marks.epoch + 1)
    elif isinstance(order, Raise):
        _note(db, now, order, "raise", order.budget, (None, None, marks.raised, order.limit))
        marks = marks._replace(raised=order.limit, epoch=marks.epoch + 1)
    else:
        _note(db, now, order, "freeze" if order.frozen else "unfreeze", order.budget)
        marks = marks._replace(frozen=order.frozen)
    db.execute(
        "INSERT OR REPLACE INTO account (budget, raised, frozen, epoch) VALUES (?, ?, ?, ?)",
        (order.budget, *marks),
    )
    return True


def accounts(db: Connection, now: float) -> tuple[Account, ...]:
    """Every budget that something was booked or ordered for."""
    expire(db, now)
    rows = db.execute("SELECT budget, window_id, settled, unconfirmed, held FROM balance")
    ordered = db.execute("SELECT budget, raised, frozen, epoch FROM account")
    marks = {budget: _as_marks(found) for budget, *found in ordered}
    return accounts_of(rows, marks, now)


def holds(db: Connection, now: float) -> tuple[Held, ...]:
    """The open and the unconfirmed operations."""
    expire(db, now)
    rows = db.execute(
        "SELECT id, state, sent, lease_until FROM operation"
        " WHERE state IN ('open', 'unconfirmed') ORDER BY id"
    ).fetchall()
    found = []
    for operation, state, sent, until in rows:
        lines = holds_of(db, operation)
        charges, at_risk = tuple(line[0] for line in lines), tuple(line[1] for line in lines)
        found.append(Held(operation, state, bool(sent), until, charges, at_risk))
    return tuple(found)


def open_holds(db: Connection, now: float) -> int:
    """How many operations hold something now."""
    (count,) = db.execute(
        "SELECT COUNT(*) FROM operation WHERE state = 'open' AND lease_until >= ?", (now,)
    ).fetchone()
    return int(count)


def audit(db: Connection, now: float) -> list[AuditEntry]:
    """What operators ordered, oldest first."""
    rows = db.execute(
        "SELECT at, verb, who, why, budget, window_id, operation, before, after"
        " FROM audit ORDER BY id"
    )
    return [AuditEntry(*row) for row in rows]


def describe(db: Connection, now: float, *, notes: Mapping[str, str]) -> None:
    """Keep a text for each budget's id; one that is there already is not written again."""
    known = descriptions(db, now)
    changed = [(name, text) for name, text in notes.items() if known.get(name) != text]
    db.executemany("INSERT OR REPLACE INTO description (budget, text) VALUES (?, ?)", changed)


def descriptions(db: Connection, now: float) -> dict[str, str]:
    """The latest text of each budget's id."""
    return dict(db.execute("SELECT budget, text FROM description"))


def journal_page(
    db: Connection, now: float, *, since: float, last: int, count: int
) -> list[tuple[int, str]]:
    """The next *count* lines behind the line *last* that were booked at *since* or later."""
    first = last
    if since > 0 and not last:
        (first,) = db.execute("SELECT min(id) - 1 FROM journal WHERE at >= ?", (since,)).fetchone()
        if first is None:
            return []
    return db.execute(
        "SELECT id, record FROM journal WHERE id > ? AND at >= ? ORDER BY id LIMIT ?",
        (first, since, count),
    ).fetchall()


def _reset(db: Connection, now: float, order: Reset) -> None:
    spent = 0
    for window_id in reset_windows(order.window_id, now):
        key = (order.budget, window_id)
        row = db.execute(
            "SELECT settled + unconfirmed FROM balance WHERE budget = ? AND window_id = ?", key
        ).fetchone()
        spent += row[0] if row else 0
        db.execute(
            "UPDATE balance SET settled = 0, unconfirmed = 0 WHERE budget = ? AND window_id = ?",
            key,
        )
        db.execute(
            "UPDATE hold SET at_risk = 0 WHERE budget = ? AND window_id = ? AND operation IN"
            " (SELECT id FROM operation WHERE state = 'unconfirmed')",
            key,
        )
    _note(db, now, order, "reset", order.budget, (order.window_id, None, spent, 0))


def _confirm(db: Connection, now: float, order: Confirm) -> bool:
    if state_of(db, order.operation) != "unconfirmed":
        return False
    lines = holds_of(db, order.operation)
    drop(db, now, order.operation)
    for hold, booked in lines:
        amount = order.amounts.get(hold.budget, booked)
        add(db, now, hold, settled=amount)
        what = (hold.window_id, order.operation, booked, amount)
        _note(db, now, order, "confirm", hold.budget, what)
    settled(db, now, [order.operation])
    return True


def _note(
    db: Connection,
    now: float,
    order: Order,
    verb: str,
    budget: str,
    what: Sequence[str | int | None] = (None, None, None, None),
) -> None:
    """*what*: window, operation, before, after."""
    row = db.execute(
        "INSERT INTO audit (at, verb, who, why, budget, window_id, operation, before, after)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (now, verb, order.who, order.why, budget, *what),
    ).lastrowid
    db.execute("DELETE FROM audit WHERE id <= ?", ((row or 0) - AUDIT_ENTRIES,))


def _marks(db: Connection, budget: str) -> Marks:
    found = db.execute(
        "SELECT raised, frozen, epoch FROM account WHERE budget = ?", (budget,)
    ).fetchone()
    return _as_marks(found) if found else Marks()


def _as_marks(row: Sequence[int | None]) -> Marks:
    raised, frozen, epoch = row
    return Marks(raised, bool(frozen), epoch or 0)
