"""Forks and exits: what becomes of a SQLite ledger when its process splits or ends."""

import os
import threading
import time
from pathlib import Path

import pytest
from ledger_kit import (
    EventfulClock,
    ask,
    charged,
    figures,
    finished,
    granted,
    line,
    lock,
    python,
    said,
    unlock,
)

from aden.ledger.memory import MemoryLedger
from aden.ledger.sqlite import SqliteLedger
from aden.testing.clock import FixedClock


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_and_its_parent_both_go_on(sqlite: SqliteLedger, clock: FixedClock) -> None:
    """Each has connections of its own; the child books nothing that the parent has put off."""
    memory = MemoryLedger(clock)
    granted(sqlite.reserve(ask("parent", line(amount=30))))
    keeper = lock(sqlite.path)
    sqlite.settle(charged("put off", 2))
    assert not sqlite.flush(0)

    child = os.fork()
    if child == 0:
        failed = 1
        try:
            assert sqlite.flush(0), "the backlog is the parent's"
            granted(memory.reserve(ask("a", line())))
            unlock(keeper)
            granted(sqlite.reserve(ask("child", line(amount=20))))
            sqlite.settle(charged("child", 5))
            sqlite.close()
            failed = 0
        finally:
            os._exit(failed)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert sqlite.flush(2)
    granted(sqlite.reserve(ask("other", line(amount=20))))
    assert figures(sqlite) == (7, 0, 50)
    keeper.wait(5)
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    assert keeper.stderr is not None
    for pipe in (keeper.stdin, keeper.stdout, keeper.stderr):
        pipe.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_outlives_its_parents_ledger(path: Path, clock: FixedClock) -> None:
    """The parent closes as the last one who holds true locks: the child's writes are still seen."""
    parent = SqliteLedger(path, clock)
    parent.settle(charged("parent", 1))
    to_child, from_parent = os.pipe()
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            parent.settle(charged("child", 2))
            os.read(to_child, 1)
            parent.settle(charged("child later", 4))
            failed = 0
        finally:
            os._exit(failed)
    deadline = time.monotonic() + 5
    while figures(parent) != (3, 0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)  # the child wants its turn at the file
    parent.close()
    os.write(from_parent, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(to_child)
    os.close(from_parent)

    later = SqliteLedger(path, clock)
    assert figures(later) == (7, 0, 0)
    later.close()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_is_forked_in_another_threads_turn_gets_its_own(clock: EventfulClock) -> None:
    """The thread that had the memory ledger does not exist in the child."""
    ledger = MemoryLedger(clock)
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        go_on.wait(5)

    clock.meanwhile = wait
    thread = threading.Thread(target=ledger.reserve, args=(ask("a", line()),))
    thread.start()
    inside.wait(5)
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            granted(ledger.reserve(ask("child", line(amount=100))))
            failed = 0
        finally:
            os._exit(failed)
    go_on.set()
    thread.join()

    assert os.waitpid(child, 0)[1] == 0
    assert figures(ledger) == (0, 0, 10)


def test_a_destructor_at_shutdown_waits_for_a_busy_file_but_not_for_a_thread(path: Path) -> None:
    """A thread that is started while the interpreter shuts down would never run."""
    program = """
import sys
from pathlib import Path
from ledger_kit import *
ledger = SqliteLedger(Path(sys.argv[1]))
class Abandoned:
    def __del__(self, settle=ledger.settle, settlement=charged("garbage", 3)):
        settle(settlement)
sys.modules["abandoned"] = Abandoned()
print("open", flush=True)
sys.stdin.readline()
"""
    process = python(program, path)
    assert said(process) == "open"
    keeper = lock(path, 0.4)
    _, errors = process.communicate("go\n", timeout=10)
    finished(keeper)

    assert not errors
    ledger = SqliteLedger(path)
    assert figures(ledger) == (3, 0, 0)
    ledger.close()


@pytest.mark.parametrize("ending", ["", "raise SystemExit", "raise ValueError"])
def test_a_process_that_ends_books_what_it_put_off(path: Path, ending: str) -> None:
    """Also from a destructor that runs while the interpreter shuts down, and within 2 s."""
    program = f"""
import sys
from pathlib import Path
from ledger_kit import *
ledger = SqliteLedger(Path(sys.argv[1]))
granted(ledger.reserve(ask("a", line())))
granted(ledger.reserve(ask("garbage", line("g"))))
class Abandoned:
    def __del__(self, settle=ledger.settle, settlement=charged("garbage", 3, "g")):
        settle(settlement)
sys.modules["abandoned"] = Abandoned()
print("open", flush=True)
sys.stdin.readline()
ledger.settle(charged("a", 7))
print("settled", flush=True)
{ending}
"""
    process = python(program, path)
    assert said(process) == "open"
    keeper = lock(path, 0.2)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert said(process) == "settled"
    started = time.monotonic()
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - started < 3
    assert "Exception ignored" not in errors
    finished(keeper)

    ledger = SqliteLedger(path)
    assert figures(ledger) == (7, 0, 0)
    assert figures(ledger, "g") == (3, 0, 0)
    ledger.close()


def test_an_exit_does_not_wait_for_a_lock_that_never_ends(path: Path) -> None:
    """A process with a stuck ledger is gone within about 2 s."""
    program = """
import sys
from pathlib import Path
from ledger_kit import *
ledger = SqliteLedger(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.readline()
for number in range(20):
    ledger.settle(charged(f"{number}", 7))
"""
    process = python(program, path)
    assert said(process) == "open"
    keeper = lock(path)
    started = time.monotonic()
    process.communicate("\n", timeout=30)
    assert 1.5 < time.monotonic() - started < 10
    unlock(keeper)
