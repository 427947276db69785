"""The SQLite ledger's write-ahead log: emptied by a thread of its own, and never without bounds."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from ledger_kit import charged, figures, finished, python, said

from aden.ledger import Settlement
from aden.ledger.sqlite import SqliteLedger, remove
from aden.ledger.sqlite_checkpoint import KEEP_BYTES, LOG_BYTES, LOOK_EVERY, Checkpoints, reaches
from aden.ledger.sqlite_file import BACKSTOP_BYTES, PAGE_BYTES, log_of
from strikes import struck

MIB = 2**20
THREAD = "aden-ledger-log"
_numbers = count()
WRITES = """
import os, sys
from pathlib import Path
from ledger_kit import *
ledger = SqliteLedger(Path(sys.argv[1]))
def write(number):
    ledger.describe({"b": chr(65 + number % 26) * 2**20})
"""


def _write(ledger: SqliteLedger, mib: int) -> None:
    """Some transactions, each of a little more than one MiB in the log."""
    for _ in range(mib):
        ledger.describe({"b": str(next(_numbers)).ljust(MIB)})
        assert ledger.flush(10)  # else a thread writes several in one, where the machine is slow


def _log(path: Path) -> int:
    """Bytes."""
    try:
        return Path(f"{path}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _emptied(ledger: SqliteLedger) -> bool:
    """Whether it is; else the next write looks at it again."""
    if not reaches(log_of(ledger.path), LOG_BYTES):
        return True
    time.sleep(0.1)
    ledger.settle(Settlement("nothing"))
    return False


def _whole(path: Path) -> bool:
    with sqlite3.connect(path) as file:
        found = file.execute("PRAGMA integrity_check").fetchall()
    file.close()
    return found == [("ok",)]


def test_a_log_that_has_grown_long_is_emptied_by_a_thread(sqlite: SqliteLedger, path: Path) -> None:
    """Each time anew, and what it held is in the file; the thread does not stay."""
    for _ in range(3):
        _write(sqlite, LOG_BYTES // MIB + 2)
        _until(lambda: _emptied(sqlite))
    sqlite.settle(charged("a", 7))

    _until(lambda: THREAD not in [each.name for each in threading.enumerate()])
    assert path.stat().st_size > MIB
    assert figures(sqlite) == (7, 0, 0)


def test_the_log_of_a_ledger_behind_a_link_is_emptied_as_well(tmp_path: Path) -> None:
    """SQLite keeps it beside the file that the link leads to."""
    (tmp_path / "volume").mkdir()
    link = tmp_path / "ledger.db"
    link.symlink_to(tmp_path / "volume" / "ledger.db")
    ledger = SqliteLedger(link)
    _write(ledger, LOG_BYTES // MIB + 2)
    _until(lambda: _emptied(ledger))
    ledger.close()


def test_a_call_does_not_move_the_log_itself(sqlite: SqliteLedger, path: Path) -> None:
    """While the thread is kept away, nothing but the log grows; then the next call starts it."""
    sqlite.settle(charged("a", 7))
    before = path.stat()
    assert sqlite._store._checkpoints.pause(5)
    _write(sqlite, 2 * LOG_BYTES // MIB)

    assert _log(path) > 2 * LOG_BYTES
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    sqlite._store._checkpoints.go_on()
    sqlite.settle(charged("c", 1))
    _until(lambda: _emptied(sqlite))


# What is raised while `threading` forgets a thread that has ended, the interpreter swallows.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_log_is_emptied_whoever_was_interrupted_when_its_thread_was_started(
    sqlite: SqliteLedger, path: Path
) -> None:
    """The thread itself says whether it runs."""
    _write(sqlite, 1)
    checkpoints = sqlite._store._checkpoints
    assert checkpoints.pause(5)
    _write(sqlite, LOG_BYTES // MIB + 1)
    checkpoints.go_on()
    away = path.rename(path.with_name("away"))  # so the thread ends at once

    def look(_: int) -> None:
        checkpoints._since, checkpoints._not_before = LOOK_EVERY, 0.0
        checkpoints.look()

    for _ in struck(look):
        _until(lambda: not checkpoints._working.locked())
    away.rename(path)
    checkpoints._not_before = 0.0
    _until(lambda: _emptied(sqlite))


def test_the_threads_last_write_is_the_first_of_the_new_log(
    sqlite: SqliteLedger, path: Path
) -> None:
    """To begin a log waits for the disk: not the next call does it, since the log has begun."""
    _write(sqlite, LOG_BYTES // MIB + 2)
    _until(lambda: _emptied(sqlite) and not sqlite._store._checkpoints._working.locked())

    assert _log(path) > 0
    with sqlite3.connect(path) as file:
        (version,) = file.execute("PRAGMA user_version").fetchone()
    file.close()
    assert version == 1


def test_a_log_is_written_again_from_its_beginning(sqlite: SqliteLedger, path: Path) -> None:
    """Its file keeps its place on the disk; what an older log left behind is not counted."""
    log = f"{path}-wal"
    assert not reaches(log, 64 * 1024)
    _write(sqlite, LOG_BYTES // MIB + 2)
    _until(lambda: _emptied(sqlite))
    length = _log(path)
    assert length > LOG_BYTES
    assert reaches(log, 0)
    assert not reaches(log, MIB // 2)

    _write(sqlite, 2)

    assert reaches(log, 2 * MIB)
    assert not reaches(log, 4 * MIB)
    assert _log(path) == length


def test_a_log_that_has_grown_huge_is_cut(sqlite: SqliteLedger, path: Path) -> None:
    """The disk gets back what a pause of the thread has cost."""
    assert sqlite._store._checkpoints.pause(5)
    _write(sqlite, KEEP_BYTES // MIB + 2)
    assert _log(path) > KEEP_BYTES
    sqlite._store._checkpoints.go_on()

    _until(lambda: _emptied(sqlite))
    assert _log(path) < LOG_BYTES


def test_where_no_thread_can_be_started_the_log_stays_bounded(path: Path) -> None:
    """A call empties it, later: a stack of 64 TiB cannot be had."""
    program = f"""{WRITES}
import threading
threading.stack_size(2**46)
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread", flush=True)
for number in range(80):
    write(number)
print(os.stat(sys.argv[1] + "-wal").st_size, flush=True)
"""
    told, log = finished(python(program, path)).split("\n", 1)

    assert told == "no thread"
    assert int(log) < BACKSTOP_BYTES // PAGE_BYTES * (PAGE_BYTES + 24) + 4 * MIB


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_process_may_fork_while_its_thread_empties_the_log(path: Path) -> None:
    """Parent and child go on, each with a thread of its own."""
    ledger = SqliteLedger(path)
    for number in range(3):
        _until(lambda: not ledger._store._checkpoints._working.locked())
        for _ in range(50):
            _write(ledger, 1)
            if ledger._store._checkpoints._working.locked():
                break
        child = os.fork()
        if child == 0:
            failed = 1
            try:
                ledger.settle(charged(f"child {number}", 2))
                _write(ledger, LOG_BYTES // MIB + 2)
                _until(lambda: _emptied(ledger))
                assert ledger.flush(10)
                ledger.close()
                failed = 0
            finally:
                os._exit(failed)
        ledger.settle(charged(f"parent {number}", 1))
        _, status = os.waitpid(child, 0)
        assert status == 0

    assert ledger.flush(10)
    assert figures(ledger) == (9, 0, 0)
    ledger.close()
    assert _whole(path)


def test_a_process_that_ends_sees_its_thread_off(path: Path) -> None:
    """Or waits for it as long as an exit may take."""
    program = f"""
import atexit, time
def tell():  # after all that is registered later
    works = ledger._store._checkpoints._working.locked()
    print("works" if works and time.monotonic() - ended < 1.5 else "done")
atexit.register(tell)
{WRITES}
ledger.settle(charged("a", 7))
for number in range(50):
    write(number)
    if ledger._store._checkpoints._working.locked():
        break
ended = time.monotonic()
"""
    assert finished(python(program, path)).strip() == "done"
    ledger = SqliteLedger(path)
    assert figures(ledger) == (7, 0, 0)
    ledger.close()


def test_a_kill_while_the_log_is_emptied_loses_nothing(path: Path) -> None:
    """What was booked before is in the file, which is whole."""
    program = f"""{WRITES}
number = 0
while True:
    number += 1
    write(number)
    ledger.settle(charged(f"{{os.getpid()}} {{number}}", 1))
    assert ledger.flush(10)
    print(number, flush=True)
"""
    booked = 0
    for more in range(3):
        process = python(program, path)
        told = 0
        while told < LOG_BYTES // MIB + more:
            told = int(said(process))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        booked += told

    ledger = SqliteLedger(path)
    assert figures(ledger)[0] >= booked
    ledger.close()
    assert _whole(path)


def test_several_processes_may_find_the_log_long(path: Path) -> None:
    """One of them empties it, nobody fails, and nothing is lost."""
    program = f"""{WRITES}
sys.stdin.readline()
for number in range({LOG_BYTES // MIB}):
    write(number)
    ledger.settle(charged(f"{{os.getpid()}} {{number}}", 1))
assert ledger.flush(20)
"""
    processes = [python(program, path) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        finished(process)

    ledger = SqliteLedger(path)
    assert figures(ledger) == (3 * LOG_BYTES // MIB, 0, 0)
    ledger.close()
    assert _whole(path)


def test_a_file_that_was_deleted_is_not_made_anew_for_its_log(
    sqlite: SqliteLedger, path: Path
) -> None:
    """Only who opens a ledger makes its file, for only then it is private."""
    sqlite.close()
    remove(path)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        Checkpoints(path, threading.Lock())._empty_log()

    assert not path.exists()
