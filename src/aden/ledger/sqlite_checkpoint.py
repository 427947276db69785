"""A SQLite ledger's log, moved into its file by a thread, so that no call waits for a disk.

Left to SQLite, the COMMIT that finds the log long does it: two fsyncs, and a third where the log
begins anew (https://sqlite.org/wal.html §2.3, §6), also on an event loop.
"""

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path

from aden.core.interruption import interrupts
from aden.ledger.sqlite_file import BUSY_WAIT_S, log_of
from aden.ledger.taken import taken

LOG_BYTES = 16 * 2**20
"""At this length of the log the thread starts; some 600 calls."""
KEEP_BYTES = 2 * LOG_BYTES
"""A log's file is kept and written again from its beginning, unless it has grown longer than this:
to write what has its place already takes a third of the time that it takes to append.
"""
LOOK_EVERY = 16
"""After so many transactions of this process the log is looked at: it grows by 30 KiB a call."""
INSIST_BYTES = 2 * LOG_BYTES
"""At this length others have to wait for the thread, where they leave it no moment without them."""
HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
PAUSE_S = 1.0
"""How long a process starts no other thread, after one could not empty the log."""
TRIES = 5
TRY_AGAIN_S = 0.005
TURN_WAIT_S = 0.5


class Checkpoints:
    """The thread that empties the log, one at a time and only while there is something to do.

    Several processes may start theirs; SQLite lets one work. Where no thread can, a COMMIT does it
    at `sqlite_file.BACKSTOP_BYTES`.

    Args:
        path: Of the ledger's file.
        turn: The lock under which this process's threads use it. Who waits for both waits for
            `pause` first.
    """

    def __init__(self, path: Path, turn: threading.Lock) -> None:
        self._uri = path.absolute().as_uri() + "?mode=rw"  # one that was deleted is not made anew
        self._path = path
        self._turn = turn
        self._working = threading.Lock()  # held while the thread runs
        self._not_before = 0.0
        self._since = 0
        """Transactions since the last look."""
        self.connection: sqlite3.Connection | None = None
        """The thread's."""

    def look(self) -> None:
        """Start the thread if the log has grown long. Never raises."""
        self._since += 1
        if self._since < LOOK_EVERY:
            return
        self._since = 0
        if time.monotonic() < self._not_before:
            return
        if not reaches(log_of(self._path), LOG_BYTES) or self._working.locked():
            return
        with contextlib.suppress(RuntimeError):  # no more threads
            threading.Thread(target=self._work, name="aden-ledger-log", daemon=True).start()

    def pause(self, timeout_s: float) -> bool:
        """Wait until no thread works, and let none start; False where it works on."""
        return self._working.acquire(timeout=max(0.0, timeout_s))

    def go_on(self) -> None:
        """After `pause`."""
        self._working.release()

    def wait(self, timeout_s: float) -> None:
        """Wait until no thread works."""
        for _ in taken(self._working, max(0.0, timeout_s)):
            self._working.release()
            return

    def _work(self) -> None:
        if not self._working.acquire(blocking=False):
            return  # another has begun meanwhile, or they are paused
        emptied = False
        try:
            # What ails the file, the calls are told; the log waits.
            with contextlib.suppress(sqlite3.Error, OSError):
                emptied = self._empty_log()
        finally:
            if not emptied:
                self._not_before = time.monotonic() + PAUSE_S
            self._working.release()

    def _empty_log(self) -> bool:
        self.connection = connection = sqlite3.connect(
            self._uri, timeout=BUSY_WAIT_S, isolation_level=None, uri=True
        )
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            insist_at = INSIST_BYTES // page_bytes
            for _ in range(TRIES):
                was_busy, frames, moved = _checkpoint(connection, "PASSIVE")
                if was_busy:  # another process is at it
                    return False
                if moved == frames or frames > insist_at:
                    # What came meanwhile, too: others wait while `_begin_anew` moves the rest.
                    _checkpoint(connection, "PASSIVE")
                    if self._begin_anew(connection):
                        return True
                time.sleep(TRY_AGAIN_S)
            return False
        finally:
            connection.close()
            self.connection = None

    def _begin_anew(self, connection: sqlite3.Connection) -> bool:
        """Move what came meanwhile, and write the first transaction of a new log.

        The first COMMIT of a log has to wait for the disk, so it is made here.
        """
        if not self._turn.acquire(timeout=TURN_WAIT_S):
            return False
        try:
            is_huge = os.stat(log_of(self._path)).st_size > KEEP_BYTES
            if _checkpoint(connection, "TRUNCATE" if is_huge else "RESTART")[0]:
                return False
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {version}")  # the same: any write will do
            connection.execute("COMMIT")
            return True
        finally:
            self._turn.release()


def reaches(log: str, length: int) -> bool:
    """Whether what stands in a log is at least so long; behind it may be an older one's rest.

    Each frame repeats the numbers in the header of its log (https://sqlite.org/fileformat2.html,
    §4.1 and §4.2). No lock of SQLite's is on this file, so closing it drops none.
    """
    try:
        file = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if interrupts(error):
            raise
        return False
    try:
        header = os.pread(file, HEADER_BYTES, 0)
        frame_bytes = FRAME_HEADER_BYTES + int.from_bytes(header[8:12], "big")
        frame = HEADER_BYTES + length // frame_bytes * frame_bytes
        salts = os.pread(file, 8, frame + 8)
    except OSError as error:
        if interrupts(error):
            raise
        return False
    finally:
        os.close(file)
    return bool(salts) and salts == header[16:24]


def _checkpoint(connection: sqlite3.Connection, mode: str) -> tuple[int, int, int]:
    """Whether it was busy, the log's frames, and those of them that are in the file.

    https://sqlite.org/pragma.html#pragma_wal_checkpoint
    """
    was_busy, frames, moved = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return was_busy, frames, moved
