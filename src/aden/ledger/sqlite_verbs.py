"""The ledger's verbs as work inside one SQLite transaction; what they mean, `memory` says."""

from collections.abc import Mapping, Sequence

from aden.core.window import Window
from aden.ledger.journal import Keep
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Refusal, Settlement
from aden.ledger.rules import (
    OUTPUTS_HALVED_AT,
    RETAIN_S,
    UNCONFIRMED_S,
    choose,
    output_bucket,
    retry_after_ms,
)
from aden.ledger.sqlite_file import Connection
from aden.ledger.sqlite_forget import forget
from aden.ledger.sqlite_windows import Changes, add, book, look

PRUNE = 200
"""How many forgotten operations one transaction deletes: a night's worth must not stall a call."""


def reserve(db: Connection, now: float, *, ask: Ask) -> Grant | Refusal:
    """Hold the first option that fits, all its lines or none."""
    windows = {line.budget: line.window for option in ask.options for line in option.lines}
    budgets = tuple(windows.items())
    seen, due, known = look(db, now, budgets, ask.operation)
    if due or known:
        expire(db, now)
        drop(db, now, ask.operation)
        seen = look(db, now, budgets)[0]
    balances = {each.budget: each for each in seen}
    verdict = choose(ask, balances)
    if verdict.option is None:
        wait_ms = retry_after_ms(verdict, balances[verdict.budget], now)
        return Refusal(ask.operation, verdict.reason, verdict.budget, seen, wait_ms)
    return Grant(ask.operation, verdict.option, _hold(db, now, ask, verdict.option, balances), seen)


def _hold(
    db: Connection, now: float, ask: Ask, option: int, balances: Mapping[str, Balance]
) -> tuple[Charge, ...]:
    """Write down what an operation holds that nobody knows yet."""
    lines = ask.options[option].lines
    holds = tuple(
        [Charge(line.budget, balances[line.budget].window_id, line.amount) for line in lines]
    )
    db.execute(
        "INSERT INTO operation (id, state, sent, lease_until) VALUES (?, 'open', 1, ?)",
        (ask.operation, now + ask.lease_ms / 1000),
    )
    book(
        db, now, [(hold.budget, hold.window_id, 0, 0, hold.amount) for hold in holds if hold.amount]
    )
    db.executemany(
        "INSERT INTO hold (operation, position, budget, window_id, amount, at_risk)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (ask.operation, position, hold.budget, hold.window_id, hold.amount, line.at_risk)
            for position, (hold, line) in enumerate(zip(holds, lines, strict=True))
        ],
    )
    return holds


def settle(
    db: Connection, now: float, *, settlement: Settlement, line: str | None, keep: Keep
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


def _learn(db: Connection, model: str, tokens: int) -> None:
    length = (model, output_bucket(tokens))
    # Two statements: the SQLite of RHEL 9 and Debian 11 cannot do it in one.
    db.execute(
        "INSERT INTO output (model, bucket, seen) VALUES (?, ?, 1)"
        " ON CONFLICT (model, bucket) DO UPDATE SET seen = seen + 1",
        length,
    )
    (seen,) = db.execute(
        "SELECT seen FROM output WHERE model = ? AND bucket = ?", length
    ).fetchone()
    if seen >= OUTPUTS_HALVED_AT:
        db.execute("UPDATE output SET seen = seen / 2 WHERE model = ?", (model,))
        db.execute("DELETE FROM output WHERE model = ? AND seen = 0", (model,))


def renew(
    db: Connection, now: float, *, progress: Mapping[str, Sequence[int]], lease_ms: int
) -> None:
    """Extend the lease of each operation and note its progress, one amount a hold.

    One whose lease has ended meanwhile lives after all: it holds again what it held.
    """
    for operation, amounts in progress.items():
        state = state_of(db, operation)
        if state not in ("open", "unconfirmed"):
            continue
        holds = holds_of(db, operation)
        if state == "unconfirmed":
            changes = Changes()
            for hold, at_risk in holds:
                changes.add(hold, held=hold.amount, unconfirmed=-at_risk)
            changes.book(db, now)
        db.execute(
            "UPDATE operation SET state = 'open', lease_until = ? WHERE id = ?",
            (now + lease_ms / 1000, operation),
        )
        if len(amounts) != len(holds):
            continue
        for position, amount in enumerate(amounts):
            db.execute(
                "UPDATE hold SET at_risk = ? WHERE operation = ? AND position = ?",
                (amount, operation, position),
            )


def mark_sent(db: Connection, now: float, *, operation: str, sent: bool) -> None:
    """Note whether the request has left."""
    db.execute("UPDATE operation SET sent = ? WHERE id = ?", (int(sent), operation))


def extend(
    db: Connection,
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
    db: Connection, now: float, *, budgets: Sequence[tuple[str, Window]]
) -> tuple[Balance, ...]:
    """What the current window of each budget holds."""
    if not budgets:
        return ()
    seen, due, _ = look(db, now, budgets)
    if due:
        expire(db, now)
        seen = look(db, now, budgets)[0]
    return seen


def true_up(db: Connection, now: float, *, spent: Sequence[Charge]) -> None:
    """Raise what is spent in each window to at least the amount; never lowers."""
    expire(db, now)
    for charge in spent:
        row = db.execute(
            "SELECT settled + unconfirmed FROM balance WHERE budget = ? AND window_id = ?",
            (charge.budget, charge.window_id),
        ).fetchone()
        add(db, now, charge, settled=max(0, charge.amount - (row[0] if row else 0)))


def outputs(db: Connection, now: float, *, model: str) -> dict[int, int]:
    """How often each output length was seen."""
    return dict(db.execute("SELECT bucket, seen FROM output WHERE model = ?", (model,)).fetchall())


def state_of(db: Connection, operation: str) -> str | None:
    """``open | unconfirmed | settled``; None where nobody remembers it."""
    row = db.execute("SELECT state FROM operation WHERE id = ?", (operation,)).fetchone()
    return row[0] if row else None


def settled(db: Connection, now: float, operation: str) -> None:
    """Remember that an operation has had its last word."""
    until = now + RETAIN_S
    known = db.execute(
        "UPDATE operation SET state = 'settled', sent = 1, lease_until = ? WHERE id = ?",
        (until, operation),
    )
    if not known.rowcount:
        db.execute(
            "INSERT INTO operation (id, state, sent, lease_until) VALUES (?, 'settled', 1, ?)",
            (operation, until),
        )


def drop(db: Connection, now: float, operation: str) -> None:
    """Take back what an operation holds, or what was booked for it as unconfirmed."""
    state, lines = _known(db, operation)
    if state is None:
        return
    changes = Changes()
    changes.take_back(state, lines)
    changes.book(db, now)
    _forget(db, operation)


def _known(db: Connection, operation: str) -> tuple[str | None, list[tuple[Charge, int]]]:
    """The state of an operation, and what it holds; (None, []) where nobody remembers it."""
    rows = db.execute(
        "SELECT state, budget, window_id, amount, at_risk FROM operation"
        " LEFT JOIN hold ON operation = id WHERE id = ? ORDER BY position",
        (operation,),
    ).fetchall()
    lines = [(Charge(*hold), at_risk) for _, *hold, at_risk in rows if hold[0] is not None]
    return (rows[0][0] if rows else None), lines


def holds_of(db: Connection, operation: str) -> list[tuple[Charge, int]]:
    """What an operation holds, and what of each is at risk."""
    rows = db.execute(
        "SELECT budget, window_id, amount, at_risk FROM hold WHERE operation = ? ORDER BY position",
        (operation,),
    )
    return [(Charge(*hold), at_risk) for *hold, at_risk in rows]


def _forget(db: Connection, operation: str) -> None:
    db.execute("DELETE FROM hold WHERE operation = ?", (operation,))
    db.execute("DELETE FROM operation WHERE id = ?", (operation,))


def expire(db: Connection, now: float) -> None:
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


def _expire(db: Connection, now: float) -> None:
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
