"""What waited for a SQLite ledger is carried out together, as if it had been one by one."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_kit import ask, charged, figures, granted, line
from ledger_machine import lines as some_lines

from aden.core.window import Window
from aden.ledger import Settlement
from aden.ledger.journal import Keep
from aden.ledger.protocol import Ask, Charge, Option
from aden.ledger.sqlite import SqliteLedger, remove
from aden.ledger.sqlite_file import connect
from aden.ledger.sqlite_reserve import reserve, reserve_together
from aden.ledger.sqlite_store import TOGETHER
from aden.ledger.sqlite_transaction import book
from aden.ledger.sqlite_verbs import Settle, renew
from aden.ledger.sqlite_waiting import BUSY_DEADLINE_S
from aden.testing.clock import FixedClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aden.ledger.sqlite_file import Connection

NOW = 1_800_000_000.0
TABLES = {
    "balance": "budget, window_id",
    "balance_age": "budget, window_id",
    "operation": "id",
    "hold": "operation, position",
    "output": "model, bucket",
    "journal": "id",
}
OPERATIONS = st.sampled_from([f"op{number}" for number in range(6)])


@st.composite
def asks(draw: st.DrawFn) -> list[Ask]:
    """Requests that wait, each an operation of its own, some of them known before."""
    names = draw(st.lists(OPERATIONS, min_size=1, max_size=6, unique=True))
    dear = st.integers(30, 60).map(lambda amount: (line("total", amount),))
    choices = st.lists(some_lines() | dear, min_size=1, max_size=2)
    return [Ask(name, tuple(Option(each) for each in draw(choices))) for name in names]


@st.composite
def settles(draw: st.DrawFn) -> list[Settle]:
    """Calls that are over, some of them told twice or never reserved."""
    found = []
    for name in draw(st.lists(OPERATIONS, min_size=1, max_size=40)):
        budgets = draw(st.lists(st.sampled_from(["a", "b", "\0"]), max_size=3))
        amount = draw(st.integers(0, 50))
        output = draw(st.none() | st.tuples(st.sampled_from("mn"), st.integers(0, 3_000)))
        charges = tuple(Charge(budget, "total", amount) for budget in budgets)
        told = draw(st.none() | st.just(name))
        found.append(Settle(Settlement(name, charges, output=output), told, Keep()))
    return found


@given(asks(), asks(), settles())
@settings(max_examples=60, deadline=None)
def test_what_is_done_together_is_what_would_have_been_done_in_turn(
    before: Sequence[Ask], waiting: Sequence[Ask], over: Sequence[Settle]
) -> None:
    """Answers and tables: who comes later sees what is held for who came before."""
    with tempfile.TemporaryDirectory() as directory:
        one, together = (connect(Path(directory) / name) for name in ("one.db", "together.db"))
        for db in (one, together):
            for each in before:
                reserve(db, NOW, ask=each)
        in_turn = [reserve(one, NOW + 1, ask=each) for each in waiting]
        assert reserve_together(together, NOW + 1, asks=waiting) == in_turn
        assert _tables(one) == _tables(together)
        for settle in over:
            settle(one, NOW + 2)
        book(together, NOW + 2, over)
        assert _tables(one) == _tables(together)
        one.close()
        together.close()


def _tables(db: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: db.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()  # noqa: S608
        for table, order in TABLES.items()
    }


def test_many_take_as_few_steps_as_one(tmp_path: Path) -> None:
    """At each another thread may take the interpreter, and come back after a tenth of a second."""
    db = connect(tmp_path / "ledger.db")
    seen: list[str] = []
    day = Window("day")
    reserve(db, NOW, ask=ask("first", line(limit=10**6, window=day)))  # the windows are known
    db.set_trace_callback(seen.append)
    reserve_together(
        db,
        NOW,
        asks=[ask(f"op{number}", line(limit=10**6, window=day)) for number in range(TOGETHER)],
    )
    assert len(seen) <= 5, seen
    seen.clear()
    progress = {f"op{number}": [number + 100] for number in range(TOGETHER)}
    renew(db, NOW, progress=progress, lease_ms=60_000)
    assert len(seen) <= 3, seen
    seen.clear()
    window_id = day.at(NOW).id
    over = [
        Settle(charged(f"op{number}", 9, window_id=window_id), "{}", Keep())
        for number in range(TOGETHER)
    ]
    book(db, NOW, over)
    assert len(seen) <= 7, seen
    db.close()


def test_one_that_is_impossible_harms_none_beside_it(tmp_path: Path) -> None:
    """Those that were put off together are booked apart then."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, FixedClock(time.time()))
    held = ledger._store._turn.acquire()
    assert held
    ledger.settle(charged("good", 3))
    ledger.settle(charged("bad", 2**70))
    ledger.settle(charged("better", 4))
    ledger._store._turn.release()
    assert ledger.flush(10)
    assert figures(ledger) == (7, 0, 0)
    ledger.close()
    remove(path)


async def test_who_waits_for_a_long_transaction_of_this_process_is_not_told_that_nothing_goes_on(
    tmp_path: Path,
) -> None:
    """Its threads may wait for the interpreter at each statement: that is a queue, no outage."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    inside = threading.Event()

    def long(_db: Connection, _now: float) -> None:
        inside.set()
        time.sleep(2 * BUSY_DEADLINE_S)

    thread = threading.Thread(target=ledger._store.soon, args=(long,))
    thread.start()
    inside.wait(5)
    granted(await ledger.areserve(ask("a", line())))
    thread.join()
    ledger.close()
