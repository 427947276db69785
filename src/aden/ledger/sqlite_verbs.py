"""The ledger's verbs as work inside one SQLite transaction; what they mean, `memory` says."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from aden.core.value import value
from aden.core.window import Window
from aden.ledger.journal import Keep
from aden.ledger.protocol import Balance, Charge, Settlement
from aden.ledger.rules import (
    OUTPUTS_HALVED_AT,
    RETAIN_S,
    UNCONFIRMED_S,
    output_bucket,
)
from aden.ledger.sqlite_file import Connection
from aden.ledger.sqlite_forget import forget
from aden.ledger.sqlite_rows import read_rows, write_rows
from aden.ledger.sqlite_windows import Changes, add, look

Known = tuple[str | None, list[tuple[Charge, int]]]
"""An operation's state, and what it holds: the charge, and what of it is at risk."""

RENEWED = 256
"""So many operations are looked up at once."""
EXPIRED = 256
"""How many holds of dead processes one transaction books: a few milliseconds, for a fleet that was
killed must not stall the one that starts. What is left over stays held until the next one."""
PRUNE = 200
"""How many forgotten operations one transaction deletes: a night's worth must not stall a call."""


@value
class Settle:
    """Replace an operation's hold by its charges; *line* goes to the journal."""

    settlement: Settlement
    line: str | None
    keep: Keep

    def __call__(self, db: Connection, now: float, /) -> None:
        """Book it."""
        self.together(db, now, (self,))

    @staticmethod
    def together(db: Connection, now: float, settles: Sequence["Settle"]) -> None:
        """Book all of them, in order: of an operation that is settled nothing is booked again."""
        known = _known(db, [each.settlement.operation for each in settles])
        changes = Changes()
        outputs: dict[tuple[str, int], int] = {}
        last_word: dict[str, Settle] = {}
        held: list[tuple[str]] = []
        for each, (state, lines) in zip(settles, known, strict=True):
            operation = each.settlement.operation
            if state == "settled" or operation in last_word:
                continue
            last_word[operation] = each
            changes.take_back(state, lines)
            if lines:
                held.append((operation,))
            for charge in each.settlement.charges:
                changes.add(charge, settled=charge.amount)
            if (output := each.settlement.output) is not None:
                length = output[0], output_bucket(output[1])
                outputs[length] = outputs.get(length, 0) + 1
        changes.book(db, now)
        write_rows(db, "DELETE FROM hold WHERE operation IN ({})", held)
        settled(db, now, list(last_word))
        if outputs:
            _learn(db, outputs)
        told = [(now, each.line) for each in last_word.values() if each.line is not None]
        write_rows(db, "INSERT INTO journal (at, record) VALUES {}", told)
        forget(db, now, settles[-1].keep)


def _learn(db: Connection, outputs: Mapping[tuple[str, int], int]) -> None:
    write_rows(
        db,
        "INSERT INTO output (model, bucket, seen) VALUES {}"
        " ON CONFLICT (model, bucket) DO UPDATE SET seen = seen + excluded.seen",
        [(*length, seen) for length, seen in outputs.items()],
    )
    for model in {model for model, _ in outputs}:
        often = "SELECT 1 FROM output WHERE model = ? AND seen >= ?"
        if db.execute(often, (model, OUTPUTS_HALVED_AT)).fetchone():
            db.execute("UPDATE output SET seen = seen / 2 WHERE model = ?", (model,))
            db.execute("DELETE FROM output WHERE model = ? AND seen = 0", (model,))


def renew(
    db: Connection, now: float, *, progress: Mapping[str, Sequence[int]], lease_ms: int
) -> None:
    """Extend the lease of each operation and note its progress, one amount a hold.

    One whose lease has ended meanwhile lives after all: it holds again what it held.
    """
    operations = list(progress)
    changes = Changes()
    leases: list[tuple[str, str, int, float]] = []
    risks: list[tuple[str, int, str, str, int, int]] = []
    for first in range(0, len(operations), RENEWED):
        some = operations[first : first + RENEWED]
        for operation, (state, holds) in zip(some, _known(db, some), strict=True):
            if state not in ("open", "unconfirmed"):
                continue
            if state == "unconfirmed":
                for hold, at_risk in holds:
                    changes.add(hold, held=hold.amount, unconfirmed=-at_risk)
            leases.append((operation, "open", 1, now + lease_ms / 1000))
            amounts = progress[operation]
            if len(amounts) != len(holds):
                continue
            for position, ((hold, at_risk), amount) in enumerate(zip(holds, amounts, strict=True)):
                if amount != at_risk:
                    what = (hold.budget, hold.window_id, hold.amount, amount)
                    risks.append((operation, position, *what))
    changes.book(db, now)
    write_rows(
        db,
        "INSERT INTO operation (id, state, sent, lease_until) VALUES {}"
        " ON CONFLICT (id) DO UPDATE SET"
        " state = excluded.state, lease_until = excluded.lease_until",
        leases,
    )
    write_rows(
        db,
        "INSERT INTO hold (operation, position, budget, window_id, amount, at_risk) VALUES {}"
        " ON CONFLICT (operation, position) DO UPDATE SET at_risk = excluded.at_risk",
        risks,
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


def settled(db: Connection, now: float, operations: Sequence[str]) -> None:
    """Remember that operations have had their last word."""
    until = now + RETAIN_S
    _write_states(db, [(operation, "settled", 1, until) for operation in operations])


def drop(db: Connection, now: float, operation: str) -> None:
    """Take back what an operation holds, or what was booked for it as unconfirmed."""
    state, lines = _known(db, [operation])[0]
    if state is None:
        return
    changes = Changes()
    changes.take_back(state, lines)
    changes.book(db, now)
    _forget(db, operation)


def _known(db: Connection, operations: Sequence[str]) -> list[Known]:
    """The state of each operation, and what it holds; (None, []) where nobody remembers it."""
    count = len(operations)
    rows = read_rows(db, _known_of(count), operations, _KNOWN_COLUMNS, about=count)
    found: list[Known] = [(None, []) for _ in operations]
    for place, state, budget, window_id, amount, at_risk in rows:
        lines = found[place][1]
        found[place] = state, lines
        if window_id is not None:
            hold = Charge(bytes.fromhex(budget).decode(), window_id, amount)
            lines.append((hold, at_risk))
    return found


_KNOWN_COLUMNS = "place, state, budget, window_id, amount, at_risk"


@lru_cache(maxsize=64)
def _known_of(count: int) -> str:
    if count == 1:
        return (
            "SELECT 0, state, hex(budget), window_id, amount, at_risk FROM operation"
            " LEFT JOIN hold ON operation = id WHERE id = ? ORDER BY position"
        )
    asked = ", ".join([f"({place}, ?)" for place in range(count)])
    return (
        f"WITH asked (place, id) AS (VALUES {asked})"  # noqa: S608 - no text of others
        # Not the budget as it is: a label may hold a NUL.
        " SELECT place, state, hex(budget) AS budget, window_id, amount, at_risk"
        " FROM asked JOIN operation USING (id) LEFT JOIN hold ON operation = id"
        " ORDER BY place, position"
    )


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
        "SELECT id, sent FROM operation WHERE state = 'open' AND lease_until < ? LIMIT ?",
        (now, EXPIRED),
    ).fetchall()
    known = _known(db, [operation for operation, _ in late])
    changes = Changes()
    unconfirmed: list[tuple[str, str, int, float]] = []
    unsent: list[tuple[str]] = []
    for (operation, sent), (_, holds) in zip(late, known, strict=True):
        for hold, at_risk in holds:
            changes.add(hold, held=-hold.amount, unconfirmed=at_risk if sent else 0)
        if sent:
            unconfirmed.append((operation, "unconfirmed", 1, now + UNCONFIRMED_S))
        else:
            unsent.append((operation,))
    changes.book(db, now)
    _write_states(db, unconfirmed)
    write_rows(db, "DELETE FROM hold WHERE operation IN ({})", unsent)
    write_rows(db, "DELETE FROM operation WHERE id IN ({})", unsent)


def _write_states(db: Connection, operations: Sequence[tuple[str, str, int, float]]) -> None:
    """Of each: its state, whether it was sent, until when it is remembered so."""
    write_rows(
        db,
        "INSERT INTO operation (id, state, sent, lease_until) VALUES {}"
        " ON CONFLICT (id) DO UPDATE SET"
        " state = excluded.state, sent = excluded.sent, lease_until = excluded.lease_until",
        operations,
    )
