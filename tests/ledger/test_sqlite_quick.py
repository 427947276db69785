"""What a SQLite ledger leaves out to be quick must not be missed."""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import ask, charged, figures, granted, line, lock, unlock

from aden.core.window import Window
from aden.errors import LedgerUnavailable
from aden.ledger import Settlement
from aden.ledger.sqlite import SqliteLedger, remove
from aden.ledger.sqlite_checkpoint import reaches
from aden.ledger.sqlite_file import PAGE_BYTES, Connection, busy
from aden.ledger.sqlite_store import SAME_FILE_S, SLOW_S, TOGETHER, Store
from aden.ledger.sqlite_transaction import begin
from aden.testing.clock import FixedClock

DAY_S = 86_400.0
SESSION = Window("session")


class _File:
    """A connection to a file that is busy some times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked = 0

    def execute(self, sql: str) -> None:
        """Or raise."""
        self.asked += 1
        if self.asked <= self.times:
            raise busy("for now")


def test_a_file_that_is_busy_for_a_moment_is_asked_again() -> None:
    """Others have it for a tenth of a millisecond."""
    file: Any = _File(1)
    begin(file, reads=False, waits=True)
    assert file.asked == 2


@pytest.mark.parametrize(("reads", "waits"), [(False, False), (True, True)])
def test_who_does_not_wait_asks_once(reads: bool, waits: bool) -> None:
    """An event loop that has just waited in vain; one who reads."""
    file: Any = _File(1)
    with pytest.raises(sqlite3.OperationalError):
        begin(file, reads=reads, waits=waits)
    assert file.asked == 1


def test_a_file_that_stays_busy_is_not_asked_for_ever() -> None:
    """Somebody else has to wait then."""
    file: Any = _File(1_000_000)
    with pytest.raises(sqlite3.OperationalError):
        begin(file, reads=False, waits=True)


async def test_a_busy_file_is_no_answer_where_no_thread_can_wait_for_it(
    sqlite: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the ledger is not available, as its budgets provide for; nothing is held later."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    keeper = lock(sqlite.path)
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", start)
        with pytest.raises(LedgerUnavailable, match="can't start new thread"):
            await sqlite.areserve(ask("a", line(amount=10)))
    waiting = asyncio.ensure_future(sqlite.areserve(ask("b", line(amount=5))))
    await asyncio.sleep(0.05)
    unlock(keeper)
    granted(await waiting)
    assert figures(sqlite) == (0, 0, 5)


def test_a_window_that_another_process_forgot_is_forgotten_again(
    sqlite: SqliteLedger, path: Path, clock: FixedClock
) -> None:
    """That a window's age is noted once a day must not keep it when it is used anew."""
    other = SqliteLedger(path, clock)
    for _ in range(2):
        for name in ("a", "c"):
            granted(sqlite.reserve(ask(name, line(amount=10, window=SESSION))))
            sqlite.settle(charged(name, 10, window_id="session"))
        assert figures(other, window=SESSION) == (20, 0, 0)
        clock.advance(68 * DAY_S)
        other.settle(Settlement("a call that costs nothing"))
        assert other.accounts() == ()
    other.close()


def test_what_is_rolled_back_is_not_taken_as_noted(
    sqlite: SqliteLedger, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reserve that was interrupted noted no window's age."""
    monkeypatch.setattr("aden.ledger.sqlite_reserve.Grant", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        sqlite.reserve(ask("a", line(amount=10, window=SESSION)))
    monkeypatch.undo()
    sqlite.settle(charged("a", 10, window_id="session"))
    assert figures(sqlite, window=SESSION) == (10, 0, 0)
    clock.advance(68 * DAY_S)
    sqlite.settle(Settlement("a call that costs nothing"))

    assert sqlite.accounts() == ()


def _interrupt(*given: object) -> None:
    raise KeyboardInterrupt


def test_an_impossible_booking_is_left_out_of_those_that_were_put_off(
    sqlite: SqliteLedger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And strange labels beside it are booked."""
    keeper = lock(path)
    with caplog.at_level(logging.ERROR, "aden.ledger"):
        sqlite.settle(charged("first", 1))
        sqlite.settle(
            Settlement("bad", (*charged("bad", 7).charges, *charged("bad", 2**70).charges))
        )
        sqlite.settle(charged("\ud800", 2))
        sqlite.settle(charged("last", 4, budget="\ud800"))
        unlock(keeper)
        assert sqlite.flush(5)

    assert figures(sqlite) == (3, 0, 0)
    assert figures(sqlite, "\ud800") == (4, 0, 0)
    assert "impossible and left out" in caplog.text
    sqlite.settle(charged("bad", 8))
    assert figures(sqlite) == (11, 0, 0)


def test_a_request_notices_a_deleted_file_in_time(
    sqlite: SqliteLedger, path: Path, clock: FixedClock
) -> None:
    """What it reserves is seen by those who start now."""
    granted(sqlite.reserve(ask("a", line(amount=10))))
    remove(path)
    time.sleep(SAME_FILE_S + 0.01)
    granted(sqlite.reserve(ask("c", line(amount=20))))

    other = SqliteLedger(path, clock)
    assert figures(other) == (0, 0, 20)
    other.close()


def _as_it_is_made_today(path: Path) -> int:
    SqliteLedger(path).close()
    return PAGE_BYTES


def _with_sqlites_own_pages(path: Path) -> int:
    """As versions before made it."""
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA page_size = 4096")
        file.execute("PRAGMA journal_mode = WAL")
    file.close()
    return 4096


@pytest.mark.parametrize("made", [_as_it_is_made_today, _with_sqlites_own_pages])
def test_a_file_keeps_its_pages(path: Path, made: Callable[[Path], int]) -> None:
    """And its log is measured by them."""
    page_bytes = made(path)
    ledger = SqliteLedger(path)
    ledger.describe({"b": "x" * 2**20})
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA page_size").fetchone() == (page_bytes,)
    file.close()

    length = Path(f"{path}-wal").stat().st_size
    assert (length - 32) % (page_bytes + 24) == 0
    assert reaches(f"{path}-wal", 2**20)
    assert not reaches(f"{path}-wal", length)
    ledger.close()
    assert not reaches(f"{path}-wal", 0)


def test_bookings_that_come_while_others_are_written_have_a_turn_of_their_own(
    tmp_path: Path,
) -> None:
    """Else a transaction would have no end where threads settle faster than one can book."""
    store = Store(tmp_path / "ledger.db", time.time)
    done = 0

    def work(_db: Connection, _now: float) -> None:
        nonlocal done
        done += 1
        if done < 10 * TOGETHER:
            store.soon(work)

    before = store.progress()[0]
    store.soon(work)
    assert store.flush(10)
    assert done == 10 * TOGETHER
    assert store.progress()[0] >= before + 10
    store.close()


async def test_an_event_loop_that_had_to_wait_for_the_interpreter_leaves_the_next_to_a_thread(
    tmp_path: Path,
) -> None:
    """Fifty loops in threads would each stop for as long, at each request."""
    store = Store(tmp_path / "ledger.db", time.time)
    at_work = _put_two_slow_ones(store)
    deadline = time.monotonic() + 10
    while len(at_work) < 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert at_work == [threading.current_thread().name, "aden-ledger"]
    store.close()


def test_a_thread_without_a_loop_may_be_slow_and_books_the_next_as_well(tmp_path: Path) -> None:
    """It makes no caller wait but its own, and what it has booked is there when it goes on."""
    store = Store(tmp_path / "ledger.db", time.time)
    at_work = _put_two_slow_ones(store)
    assert at_work == [threading.current_thread().name] * 2
    store.close()


def _put_two_slow_ones(store: Store) -> list[str]:
    """Which threads carry them out, as they do."""
    at_work: list[str] = []

    def work(_db: Connection, _now: float) -> None:
        at_work.append(threading.current_thread().name)
        time.sleep(2 * SLOW_S)

    store.soon(work)
    store.soon(work)
    return at_work


def test_a_file_that_was_mended_and_then_is_busy_for_a_moment_is_asked_again_at_once(
    path: Path,
) -> None:
    """The pauses that grew while it was broken are not kept."""
    troubles: list[Exception | None] = [ValueError("broken")] * 7 + [None, busy("for now")]
    asked_at: list[float] = []

    def clock() -> float:
        asked_at.append(time.monotonic())
        trouble = troubles.pop(0) if troubles else None
        if trouble is not None:
            raise trouble
        return 1_790_000_000.0

    store = Store(path, clock)
    booked: list[float] = []
    store._backlog.extend([lambda _, now: booked.append(now)] * (TOGETHER + 1))
    store._catch_up()
    store.close()

    assert len(booked) == TOGETHER + 1
    assert asked_at[7] - asked_at[6] > 0.5
    assert asked_at[9] - asked_at[8] < 0.3
