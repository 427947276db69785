"""The SQLite ledger's file, and how a ledger is opened by its URL."""

import logging
import os
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable
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
    unlock,
)

from aden.errors import ConfigurationError, LedgerUnavailable
from aden.ledger import open_ledger
from aden.ledger.sqlite import SqliteLedger, remove
from aden.ledger.sqlite_store import BACKLOG_MAX


def test_only_the_owner_may_read_the_ledger(tmp_path: Path) -> None:
    """The file, its companions and a directory made for it are private."""
    path = tmp_path / "made" / "ledger.db"
    ledger = _made_without_a_mask(path)

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    ledger.close()


def test_a_ledger_behind_a_link_is_private_as_well(tmp_path: Path) -> None:
    """As one leads to a volume: what counts is the file that the link leads to."""
    link, volume = tmp_path / "ledger.db", tmp_path / "volume"
    volume.mkdir()
    link.symlink_to(volume / "ledger.db")
    ledger = _made_without_a_mask(link)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in volume.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}

    before = ledger._store.progress()
    SqliteLedger(link).settle(charged("b", 1))
    assert ledger._store.progress() != before  # so who waits sees that others have their turn
    ledger.close()


def _below_a_file(path: Path) -> Path:
    path.write_text("a file")
    return path / "ledger.db"


def _a_directory(path: Path) -> Path:
    path.mkdir()
    return path


def _in_proc(path: Path) -> Path:
    return Path("/proc") / "ledger.db"


def _not_a_database(path: Path) -> Path:
    path.write_bytes(b"not a database at all" * 100)
    return path


def _of_another_program(path: Path) -> Path:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE mine (a)")
        file.execute("PRAGMA user_version = 1")
    file.close()
    return path


def _newer(path: Path) -> Path:
    SqliteLedger(path).close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 7")
    file.close()
    return path


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_below_a_file, "exist|directory"),
        (_a_directory, "this is a directory"),
        (_in_proc, "proc"),
        (_not_a_database, "not a database"),
        (_of_another_program, "another program"),
        (_newer, "schema 7"),
    ],
)
def test_a_file_that_cannot_be_the_ledger_is_a_wrong_setting(
    path: Path, made: Callable[[Path], Path], words: str
) -> None:
    """The error names the path and says what is wrong with it."""
    place = made(path)

    with pytest.raises(ConfigurationError, match=words) as caught:
        open_ledger(f"sqlite://{place}")

    assert str(place) in str(caught.value)
    assert caught.value.setting == "ledger"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("case", ["read-only file", "read-only directory"])
def test_another_users_file_is_a_wrong_setting(case: str) -> None:
    """A file that can be read but not written is refused at the start, not at the first call."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "ledger.db"
        SqliteLedger(path).close()
        directory.chmod(0o755 if case == "read-only directory" else 0o777)
        path.chmod(0o644 if case == "read-only file" else 0o666)
        child = os.fork()
        if child == 0:
            outcome = 1
            try:
                os.setgroups([])
                os.setgid(65_534)
                os.setuid(65_534)
                open_ledger(f"sqlite://{path}")
            except ConfigurationError as error:
                outcome = 0 if str(path) in str(error) else 2
            finally:
                os._exit(outcome)
        assert os.waitpid(child, 0)[1] == 0


def test_a_file_that_is_busy_at_the_start_is_no_wrong_setting(path: Path) -> None:
    """It is opened by the first who needs it."""
    SqliteLedger(path).close()
    keeper = lock(path)
    ledger = open_ledger(f"sqlite://{path}")
    with pytest.raises(LedgerUnavailable):
        ledger.reserve(ask("a", line()))
    unlock(keeper)

    granted(ledger.reserve(ask("a", line())))
    ledger.close()


def test_a_closed_ledger_opens_again_for_a_late_settlement(sqlite: SqliteLedger) -> None:
    """A stream that ends after `close` is booked all the same."""
    granted(sqlite.reserve(ask("a", line())))
    sqlite.close()
    sqlite.close()

    sqlite.settle(charged("a", 7))

    assert figures(sqlite) == (7, 0, 0)


def test_a_deleted_file_is_not_written_to_any_more(
    sqlite: SqliteLedger, path: Path, complaints: Callable[[], list[str]]
) -> None:
    """Who runs already and who starts now have to share one file. What is lost is said, once.

    What the budgets are is told to the new one: nobody else would until a worker starts.
    """
    sqlite.describe({"b": "a budget"})
    sqlite.describe({"c": "another"})
    sqlite.settle(charged("a", 7))
    remove(path)
    sqlite.settle(charged("c", 1))
    (said,) = complaints()
    assert f"{path} was deleted or replaced" in said

    other = SqliteLedger(path)
    assert figures(other) == figures(sqlite) == (1, 0, 0)
    assert other.descriptions() == {"b": "a budget", "c": "another"}
    other.close()


def test_a_second_ledger_on_the_file_drops_no_locks(sqlite: SqliteLedger, path: Path) -> None:
    """Closing any descriptor of a file drops a process's locks on it: opening must not do that."""
    program = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    file.execute("BEGIN EXCLUSIVE")
    file.execute("PRAGMA journal_mode = DELETE")
except sqlite3.OperationalError as error:
    print("cannot", error)
else:
    file.execute("COMMIT")
    file.execute("PRAGMA journal_mode = DELETE")
    print("can")
"""
    sqlite.settle(charged("a", 1))
    # A connection that is open has a shared lock, so nobody can take the file out of WAL mode.
    second = SqliteLedger(path)
    second._store._disconnect()
    program = program.replace('    file.execute("BEGIN EXCLUSIVE")\n', "")
    assert "cannot" in finished(python(program, path))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, RuntimeError])
def test_an_interrupted_transaction_leaves_nothing_behind(
    sqlite: SqliteLedger, clock: EventfulClock, error: type[BaseException]
) -> None:
    """An interrupt in the middle of a reserve: nothing is held, and the next one works."""

    def interrupt() -> None:
        raise error

    clock.meanwhile = interrupt
    with pytest.raises(error):
        sqlite.reserve(ask("a", line(amount=100)))

    granted(sqlite.reserve(ask("c", line(amount=100))))
    assert figures(sqlite) == (0, 0, 100)


def test_a_damaged_file_is_an_outage_and_never_raises_from_settle(
    sqlite: SqliteLedger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says once what is wrong; when the file is well again, nothing is missing."""
    sqlite.settle(charged("before", 1))
    sqlite.close()
    well = path.read_bytes()
    path.write_bytes(b"damaged" * 1_000)
    with caplog.at_level(logging.ERROR, "aden.ledger"):
        with pytest.raises(LedgerUnavailable, match="not a database"):
            sqlite.reserve(ask("a", line()))
        with pytest.raises(LedgerUnavailable):
            figures(sqlite)
        for number in range(5):
            sqlite.settle(charged(f"{number}", 2))
        assert sqlite.typical_output("m") is None
        assert not sqlite.flush(0.1)
    assert len([each for each in caplog.records if "bookings wait" in each.message]) == 1

    path.write_bytes(well)
    assert sqlite.flush(2)
    assert figures(sqlite) == (11, 0, 0)


def test_a_full_disk_refuses_and_books_later(path: Path) -> None:
    """A true limit on the size of files: reserve says unavailable, settle says nothing."""
    program = """
import resource, sys
from pathlib import Path
from ledger_kit import *
from aden.errors import LedgerUnavailable
ledger = SqliteLedger(Path(sys.argv[1]))
granted(ledger.reserve(ask("a", line(amount=60))))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
try:
    ledger.reserve(ask("c", line()))
except LedgerUnavailable as error:
    print("unavailable:", error)
ledger.settle(charged("a", 7))
print("flushed:", ledger.flush(0.2))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print("flushed:", ledger.flush(3), figures(ledger))
"""
    out = finished(python(program, path)).splitlines()

    assert out[0].startswith(f"unavailable: sqlite://{path}: ")
    assert out[1:] == ["flushed: False", "flushed: True (7, 0, 0)"]


def test_a_long_backlog_is_booked_in_order_and_off_the_loop(
    sqlite: SqliteLedger, path: Path
) -> None:
    """Five hundred settlements of an outage: none is lost."""
    keeper = lock(path)
    for number in range(500):
        sqlite.settle(charged(f"{number}", 1))
    unlock(keeper)

    assert sqlite.flush(5)
    assert figures(sqlite) == (500, 0, 0)


def test_a_nights_worth_of_operations_is_forgotten_piece_by_piece(
    sqlite: SqliteLedger, path: Path, clock: EventfulClock
) -> None:
    """The first call of the day does not delete all of yesterday's."""
    for number in range(450):
        sqlite.settle(charged(f"{number}", 1))
    clock.advance(90_000)
    left: list[tuple[int]] = []
    for number in range(3):
        sqlite.reserve(ask(f"new {number}", line()))
        with sqlite3.connect(path) as file:
            left += file.execute("SELECT count(*) FROM operation WHERE state = 'settled'")
        file.close()

    assert left == [(250,), (50,), (0,)]


def test_no_thread_stays_when_nothing_waits(sqlite: SqliteLedger, path: Path) -> None:
    """The ledger's thread ends with its work."""
    keeper = lock(path)
    sqlite.settle(charged("a", 1))
    threads = [each for each in threading.enumerate() if each.name == "aden-ledger"]
    assert len(threads) == 1
    unlock(keeper)

    threads[0].join(5)
    assert not threads[0].is_alive()
    assert figures(sqlite) == (1, 0, 0)


def test_who_settles_faster_than_the_file_takes_it_loses_nothing(
    sqlite: SqliteLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """The backlog is bounded: who meets it full waits for its booking."""
    settled = BACKLOG_MAX * 3 // 2
    for number in range(settled):
        sqlite.settle(charged(str(number), 1))

    assert sqlite.flush(60)
    assert figures(sqlite) == (settled, 0, 0)
    assert not caplog.records


def _made_without_a_mask(path: Path) -> SqliteLedger:
    """A ledger that something is booked in, made where files are open to all."""
    mask = os.umask(0)
    try:
        ledger = SqliteLedger(path)
        ledger.settle(charged("a", 1))
    finally:
        os.umask(mask)
    return ledger
