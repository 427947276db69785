"""What a SQLite ledger forgets: windows, alerts and lines of long ago, a few with each call.

A night's worth of them must not stall one call, and none is left over where as many come as go.
"""

from aden.ledger.journal import Keep
from aden.ledger.rules import forget_at
from aden.ledger.sqlite_file import Connection

PRUNE = 50
"""How many rows of a kind one transaction deletes."""


def forget(db: Connection, now: float, keep: Keep) -> None:
    """Let go of what is old."""
    # One look, since nearly always there is nothing.
    windows, alerts, first, last, oldest = db.execute(
        "SELECT EXISTS (SELECT 1 FROM balance_age WHERE until < ?),"
        " EXISTS (SELECT 1 FROM alert_claim WHERE forget_at < ?),"
        " (SELECT min(id) FROM journal), (SELECT max(id) FROM journal),"
        " (SELECT min(at) FROM journal)",
        (now, now),
    ).fetchone()
    if windows:
        _forget_windows(db, now)
    if alerts:
        db.execute(
            "DELETE FROM alert_claim WHERE (budget, window_id, threshold, epoch) IN (SELECT budget,"
            " window_id, threshold, epoch FROM alert_claim WHERE forget_at < ? LIMIT ?)",
            (now, PRUNE),
        )
    if first is not None and first <= last - keep.calls:
        db.execute(
            "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE id <= ? LIMIT ?)",
            (last - keep.calls, PRUNE),
        )
    if oldest is not None and oldest < now - keep.seconds:
        db.execute(
            "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE at < ? LIMIT ?)",
            (now - keep.seconds, PRUNE),
        )


def _forget_windows(db: Connection, now: float) -> None:
    late = db.execute(
        "SELECT budget, window_id, ifnull(held, 0) FROM balance_age LEFT JOIN balance"
        " USING (budget, window_id) WHERE until < ? LIMIT ?",
        (now, PRUNE),
    ).fetchall()
    for budget, window_id, held in late:
        if held:  # a call that has been open all the time
            db.execute(
                "UPDATE balance_age SET until = ? WHERE budget = ? AND window_id = ?",
                (forget_at(window_id, now, unconfirmed=True), budget, window_id),
            )
            continue
        gone = (budget, window_id)
        db.execute("DELETE FROM balance WHERE budget = ? AND window_id = ?", gone)
        db.execute("DELETE FROM balance_age WHERE budget = ? AND window_id = ?", gone)
