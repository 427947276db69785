"""A ledger whose caller is interrupted in the middle of it: Ctrl-C, an alarm, SystemExit."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_kit import ask, charged, figures, granted, line, lock, unlock
from strikes import struck

from aden.ledger.sqlite import SqliteLedger

Act = Callable[[SqliteLedger, int], object]


def _areserve(ledger: SqliteLedger, place: int) -> None:
    asking = ledger.areserve(ask(f"a{place}", line(f"b{place}")))
    try:
        with pytest.raises(StopIteration):
            asking.send(None)
    finally:
        asking.close()


VERBS: dict[str, Act] = {
    "reserve": lambda ledger, at: ledger.reserve(ask(f"a{at}", line(f"b{at}"))),
    "areserve": _areserve,
    "settle": lambda ledger, at: ledger.settle(charged(f"a{at}", 7, f"b{at}")),
    "renew": lambda ledger, at: ledger.renew({"open": (1,)}),
    "extend": lambda ledger, at: ledger.extend("open", (20 + at,)),
    "close": lambda ledger, at: ledger.close(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_who_is_interrupted_in_a_sqlite_ledger_stops_nobody(
    sqlite: SqliteLedger, verb: str
) -> None:
    """Wherever it was: the next request has its turn at once."""
    granted(sqlite.reserve(ask("open", line())))
    places = 0
    for place in struck(lambda place: VERBS[verb](sqlite, place)):
        granted(sqlite.reserve(ask("next", line("other"))))
        places = place
    assert places > 20
    assert sqlite.flush(5)
    for place in range(1, places + 1):
        sqlite.settle(charged(f"a{place}", 7, f"b{place}"))
        assert figures(sqlite, f"b{place}") == (7, 0, 0)


def test_what_was_put_off_is_booked_without_anybody_asking_wherever_its_caller_was_interrupted(
    sqlite: SqliteLedger, path: Path
) -> None:
    """The thread that insists is started, and by the next one if not by this one."""
    holds_it = lock(path)
    last = 0
    for place in struck(lambda place: sqlite.settle(charged(f"a{place}", 1))):
        last = place
    unlock(holds_it)
    deadline = time.monotonic() + 5
    while f"a{last}" not in _known(path) or sqlite._store._insisting.locked():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _known(path: Path) -> set[str]:
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT id FROM operation").fetchall()
    file.close()
    return {operation for (operation,) in rows}
