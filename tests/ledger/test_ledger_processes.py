"""One SQLite file, many processes: no overspend, no under-grant, nothing lost, no stalled loop."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from ledger_kit import (
    EventfulClock,
    ask,
    charged,
    claimed,
    figures,
    finished,
    granted,
    line,
    lock,
    python,
    said,
    unlock,
)

from aden.errors import LedgerUnavailable
from aden.ledger import Grant, Settlement
from aden.ledger.sqlite import SqliteLedger
from aden.testing.clock import FixedClock

LIMIT = 6_000
HAMMERS = """
import random, sys, threading
from pathlib import Path
from ledger_kit import *
from aden.errors import LedgerUnavailable

ledger = SqliteLedger(Path(sys.argv[1]))
me, limit = sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
spent = []

def work(thread):
    number = 0
    while True:
        number += 1
        name = f"{me}-{thread}-{number}"
        try:
            answer = ledger.reserve(ask(name, line(amount=5, limit=limit), line("c", 1, 10**9)))
        except LedgerUnavailable:
            continue
        if isinstance(answer, Refusal):
            if answer.reason == "exhausted":
                return
        elif number % 7 == 0:
            ledger.settle(Settlement(name))
        else:
            ledger.settle(charged(name, 5))
            spent.append(5)

threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert ledger.flush(10)
print(sum(spent))
"""


def test_processes_and_threads_spend_one_limit_to_the_last_unit(path: Path) -> None:
    """Four processes with three threads each: what they were granted is the limit exactly."""
    processes = [python(HAMMERS, path, me, LIMIT) for me in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    spent = [int(finished(process)) for process in processes]

    ledger = SqliteLedger(path)
    assert sum(spent) == LIMIT
    assert figures(ledger) == (LIMIT, 0, 0)
    assert figures(ledger, "c") == (0, 0, 0)
    ledger.close()


def test_processes_may_create_one_file_at_the_same_time(path: Path) -> None:
    """Twelve first starts on a host: each gets the ledger, none an error."""
    program = """
import sys
from pathlib import Path
from ledger_kit import *
sys.stdin.readline()
ledger = SqliteLedger(Path(sys.argv[1]))
ledger.settle(charged(sys.argv[2], 1))
assert ledger.flush(5)
"""
    processes = [python(program, path, me) for me in range(12)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        finished(process)

    ledger = SqliteLedger(path)
    assert figures(ledger) == (12, 0, 0)
    ledger.close()


def test_a_killed_process_loses_no_spend(
    sqlite: SqliteLedger, path: Path, clock: FixedClock
) -> None:
    """SIGKILL: sent holds become unconfirmed at their last progress, unsent ones are released."""
    program = """
import sys
from pathlib import Path
from ledger_kit import *
ledger = SqliteLedger(Path(sys.argv[1]), FixedClock(float(sys.argv[2])))
for name in ("sent", "streaming", "throttled"):
    granted(ledger.reserve(ask(name, line(name, 10))))
ledger.renew({"streaming": [3]})
ledger.mark_sent("throttled", sent=False)
print("holds", flush=True)
sys.stdin.readline()
"""
    process = python(program, path, clock())
    assert said(process) == "holds"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    keys = ("sent", "streaming", "throttled")

    assert [figures(sqlite, key) for key in keys] == [(0, 0, 10)] * 3
    clock.advance(61)
    assert [figures(sqlite, key) for key in keys] == [(0, 10, 0), (0, 3, 0), (0, 0, 0)]


def test_a_process_killed_inside_a_transaction_leaves_none_of_it(
    sqlite: SqliteLedger, path: Path
) -> None:
    """What was not committed was not booked, and the file is free at once."""
    program = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("BEGIN IMMEDIATE")
file.execute("INSERT INTO balance VALUES ('b', 'total', 99, 0, 0)")
print("inside", flush=True)
sys.stdin.readline()
"""
    process = python(program, path)
    assert said(process) == "inside"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    granted(sqlite.reserve(ask("a", line(amount=100))))


async def _longest_stall(seconds: float) -> float:
    """The longest time for which the loop did not run."""
    ticks = [time.monotonic()]
    while ticks[-1] - ticks[0] < seconds:
        await asyncio.sleep(0.001)
        ticks.append(time.monotonic())
    return max(later - earlier for earlier, later in pairwise(ticks))


async def test_a_busy_file_does_not_stall_the_event_loop(sqlite: SqliteLedger, path: Path) -> None:
    """While another process has the file for 300 ms the loop runs, and the grants come after.

    However many ask at once: they do not wait one after the other.
    """
    keeper = lock(path, 0.3)
    started = time.monotonic()
    watch = asyncio.create_task(_longest_stall(0.4))

    answers = await asyncio.gather(
        *(sqlite.areserve(ask(f"{number}", line(amount=30))) for number in range(60))
    )

    assert time.monotonic() - started > 0.1
    assert await watch < 0.1
    assert sorted(type(answer).__name__ for answer in answers) == ["Grant"] * 3 + ["Refusal"] * 57
    assert figures(sqlite) == (0, 0, 90)
    finished(keeper)


def test_what_a_loop_may_call_returns_at_once_on_a_busy_file(
    sqlite: SqliteLedger, path: Path
) -> None:
    """Settling waits for nobody, nor does the typical output."""
    granted(sqlite.reserve(ask("a", line(amount=30))))
    keeper = lock(path)
    started = time.monotonic()

    sqlite.settle(charged("a", 7))
    sqlite.mark_sent("c", sent=True)
    assert sqlite.typical_output("m") is None
    assert time.monotonic() - started < 0.4  # the file is waited for half a second elsewhere

    unlock(keeper)
    assert sqlite.flush(2)
    assert figures(sqlite) == (7, 0, 0)


def test_reading_does_not_wait_for_a_writer(sqlite: SqliteLedger, path: Path) -> None:
    """Balances, alerts that were claimed and typical outputs are read beside a locked file."""
    granted(sqlite.reserve(ask("a", line(amount=30))))
    assert claimed(sqlite, "b", "w", 80)
    keeper = lock(path)
    started = time.monotonic()

    assert figures(sqlite) == (0, 0, 30)
    assert not claimed(sqlite, "b", "w", 80)
    assert sqlite.typical_output("m") is None
    assert list(sqlite.journal()) == []

    assert time.monotonic() - started < 0.4
    unlock(keeper)


def test_a_put_off_settlement_is_booked_without_anybody_asking(
    sqlite: SqliteLedger, path: Path, clock: FixedClock
) -> None:
    """The ledger's own thread insists until the file is free, in each outage anew."""
    watcher = SqliteLedger(path, clock)
    for outage in (1, 2):
        keeper = lock(path)
        sqlite.settle(charged(f"{outage}", 7))
        assert not sqlite.flush(0.05)
        unlock(keeper)

        deadline = time.monotonic() + 5
        while figures(watcher) != (7 * outage, 0, 0):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.05)
    watcher.close()


def test_a_destructors_settlement_inside_a_busy_transaction_is_kept(
    sqlite: SqliteLedger, path: Path, clock: EventfulClock
) -> None:
    """A look at the balances that becomes a write cannot write now: it is booked later."""
    keeper = lock(path)
    clock.meanwhile = lambda: sqlite.settle(charged("a", 7))
    with pytest.raises(LedgerUnavailable):
        figures(sqlite)
    unlock(keeper)

    assert sqlite.flush(2)
    assert figures(sqlite) == (7, 0, 0)


def test_what_was_put_off_comes_before_what_is_asked_next(sqlite: SqliteLedger, path: Path) -> None:
    """A release that waits must not hit the hold that the same operation makes after it."""
    granted(sqlite.reserve(ask("a", line(amount=100))))
    keeper = lock(path)
    sqlite.settle(Settlement("a"))
    unlock(keeper)

    granted(sqlite.reserve(ask("a", line(amount=90))))
    assert sqlite.flush(1)
    assert figures(sqlite) == (0, 0, 90)


def test_a_lock_that_never_ends_is_an_outage(sqlite: SqliteLedger, path: Path) -> None:
    """Reserve says so after half a second; the settlement stays until it can be booked."""
    keeper = lock(path)
    with pytest.raises(LedgerUnavailable, match=str(path)):
        sqlite.reserve(ask("a", line()))
    sqlite.settle(charged("c", 7))
    unlock(keeper)

    assert sqlite.flush(2)
    assert figures(sqlite) == (7, 0, 0)


def test_a_thread_that_has_its_turn_and_waits_for_the_interpreter_is_no_outage(
    sqlite: SqliteLedger,
) -> None:
    """Among fifty busy threads, whoever is about to begin may stand still for so long."""
    turn = sqlite._store._turn
    turn.acquire()
    waking = threading.Timer(0.8, turn.release)
    waking.start()
    granted(sqlite.reserve(ask("a", line(amount=30))))
    waking.join()


def test_a_queue_that_moves_is_waited_for_longer_than_an_outage(
    sqlite: SqliteLedger, path: Path
) -> None:
    """Somebody else has the file for longer than an outage is borne, and is at work."""
    begun = threading.Event()

    def work() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA cache_size = 1")  # so that the log grows before the end
            other.execute("BEGIN IMMEDIATE")
            other.execute("CREATE TABLE somebody_elses (page)")
            begun.set()
            for _ in range(40):
                other.execute("INSERT INTO somebody_elses VALUES (zeroblob(100000))")
                time.sleep(0.02)
            other.execute("COMMIT")

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(5)
    granted(sqlite.reserve(ask("a", line(amount=30))))
    worker.join()
    assert figures(sqlite) == (0, 0, 30)


async def test_a_reserve_that_waits_can_be_closed_without_a_leak(
    sqlite: SqliteLedger, path: Path
) -> None:
    """As the garbage collector does with a coroutine that its loop has forgotten."""
    keeper = lock(path)
    asking = sqlite.areserve(ask("a", line()))
    asking.send(None)
    asking.close()
    unlock(keeper)

    await asyncio.sleep(0.05)
    assert figures(sqlite) == (0, 0, 0)


async def test_a_reserve_that_waits_can_be_cancelled_without_a_leak(
    sqlite: SqliteLedger, path: Path
) -> None:
    """The caller hung up while the file was busy: nothing is held, now or later."""
    keeper = lock(path)
    waiting = [asyncio.create_task(sqlite.areserve(ask(f"{n}", line()))) for n in range(5)]
    await asyncio.sleep(0.03)
    for task in waiting:
        task.cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
    unlock(keeper)

    await asyncio.sleep(0.05)
    assert figures(sqlite) == (0, 0, 0)


async def test_all_who_wait_have_the_next_turn_together(sqlite: SqliteLedger, path: Path) -> None:
    """Sixty callers cost a few transactions, in the order in which they came."""
    keeper = lock(path)
    waiting = [
        asyncio.create_task(sqlite.areserve(ask(f"{n}", line(amount=30)))) for n in range(60)
    ]
    await asyncio.sleep(0.03)
    before = sqlite._store.progress()[0]
    unlock(keeper)

    answers = await asyncio.gather(*waiting)
    assert [type(answer).__name__ for answer in answers] == ["Grant"] * 3 + ["Refusal"] * 57
    assert sqlite._store.progress()[0] - before <= 4


async def test_what_cannot_be_reserved_harms_nobody_who_waits_beside_it(
    sqlite: SqliteLedger, path: Path
) -> None:
    """A number that SQLite cannot keep: its own caller is told."""
    keeper = lock(path)
    asks = [ask("a", line(amount=30)), ask("odd", line(amount=2**70, limit=2**71))]
    asks.append(ask("c", line(amount=30)))
    waiting = [asyncio.create_task(sqlite.areserve(each)) for each in asks]
    await asyncio.sleep(0.03)
    unlock(keeper)

    first, odd, last = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(odd, LedgerUnavailable)
    assert isinstance(first, Grant)
    assert isinstance(last, Grant)
    assert figures(sqlite) == (0, 0, 60)
