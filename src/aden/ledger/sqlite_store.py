"""One process's way to a SQLite ledger's file: whose turn it is, and what was put off."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aden.core.event_loop import running_loop
from aden.core.interruption import interrupts
from aden.errors import ConfigurationError
from aden.ledger.sqlite_checkpoint import Checkpoints
from aden.ledger.sqlite_file import (
    Connection,
    busy,
    connect,
    identity,
    is_busy,
    lenient,
    log_state,
)
from aden.ledger.sqlite_process import EXIT_WAIT_S, exit_deadline, leave_to_parent, see_through
from aden.ledger.sqlite_transaction import NotPlainError, Work, begin, book, book_apart
from aden.ledger.taken import taken

logger = logging.getLogger("aden.ledger")
T = TypeVar("T")

TURN_S = 0.002
"""How long a thread waits for another thread of this process."""
CALM_S = 0.02
"""How long an event loop does not wait again, after it has waited for a file that stayed busy."""
RETRY_S = 0.005
SAME_FILE_S = 0.1
"""How long what stands before a request takes it that the file at the path is still the same."""
OPEN_WAIT_S = 1.0
TOGETHER = 32
"""So many of those that were put off are booked in one transaction: a few milliseconds, then others
have a turn. Where there are more, an event loop leaves them to the store's own thread."""
SLOW_S = 0.02
"""A transaction that took an event loop longer had to wait for the interpreter at each statement,
since other threads have much to do …"""
SLOW_FOR_S = 1.0
"""… and so long event loops leave theirs to a thread."""
BACKLOG_MAX = 10_000
FULL_TURN_S = 5.0
"""How long whoever meets a full backlog waits for the thread that is booking it."""


class Store:
    """A connection, the lock under which this process's threads use it, and the backlog.

    What must not wait or raise (`soon`) goes through the backlog: whoever has a transaction next
    books it first, in order, so each thread sees what it wrote; where nobody does, a thread of the
    store's own insists. Everything in the backlog may be carried out twice.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._connection: Connection | None = None
        self._identity = (0, 0)
        self._identified_at = 0.0
        self._complained = self._paused = False
        self._lost = self._commits = 0
        self.of_a_new_file: tuple[Work[None], ...] = ()  # booked first where it was replaced
        self._was_busy_at = -CALM_S
        self._slow_until = 0.0
        self._renew_locks()
        self._open()
        see_through(self)

    def _renew_locks(self) -> None:
        self._turn = threading.Lock()
        self._checkpoints = Checkpoints(self._path, self._turn)
        self._insisting = threading.Lock()  # held while the store's own thread runs
        self._backlog: deque[Work[None]] = deque()

    def _open(self) -> None:
        deadline = time.monotonic() + OPEN_WAIT_S
        while True:
            try:
                self._connect()
                return
            except sqlite3.Error as error:
                if not is_busy(error):
                    allowed = f"sqlite:///absolute/path of a ledger that can be written ({error})"
                    raise ConfigurationError("ledger", f"sqlite://{self._path}", allowed) from error
                if time.monotonic() > deadline:
                    return  # busy is not wrong: it is opened by the first who needs it
            time.sleep(RETRY_S)

    def transact(
        self,
        work: Work[T],
        *,
        reads: bool = False,
        inline: bool = False,
        ahead: bool = False,
        turn_s: float = TURN_S,
    ) -> T:
        """Run *work* in one transaction, after what was put off.

        Args:
            work: Is given the connection and the time.
            reads: It most likely only reads, and need not wait for writers.
            inline: The caller may be an event loop: wait for no long backlog, not in vain again.
            ahead: A request waits for it: leave looking after the files to what is done later.
            turn_s: How long to wait for another thread of this process.

        Raises:
            sqlite3.Error: Busy for longer than about 4 ms, full, read-only, damaged …
        """
        began = time.monotonic()
        if inline and len(self._backlog) > TOGETHER:
            raise busy("settlements that were put off come first")
        if inline and began < self._slow_until and running_loop() is not None:
            raise busy("this process's threads have to wait for each other")
        waits = not inline or began - self._was_busy_at > CALM_S
        try:
            if not inline:
                for _ in range(len(self._backlog) // TOGETHER):
                    self._in_turn(_nothing, ahead=ahead, turn_s=turn_s)
            wait_s = turn_s if waits else 0
            result = self._in_turn(work, reads=reads, waits=waits, ahead=ahead, turn_s=wait_s)
        except sqlite3.Error as error:
            if inline and waits and is_busy(error):
                self._was_busy_at = time.monotonic()
            raise
        if inline and (ended := time.monotonic()) > began + SLOW_S and running_loop() is not None:
            self._slow_until = ended + SLOW_FOR_S
        return result

    def _in_turn(
        self,
        work: Work[T],
        *,
        reads: bool = False,
        waits: bool = True,
        ahead: bool = False,
        turn_s: float = TURN_S,
    ) -> T:
        """One transaction, when no other thread of this process has one."""
        for _ in taken(self._turn, turn_s):
            try:
                result = self._transact(work, reads, waits, ahead)
            finally:
                self._turn.release()
            if not (reads or ahead) and exit_deadline() is None:
                self._checkpoints.look()
            return result
        raise busy("another thread of this process uses the ledger")

    def _transact(self, work: Work[T], reads: bool, waits: bool, ahead: bool) -> T:
        try:
            return self._attempt(self._connect(ahead), work, reads, waits, plain=True)
        except (UnicodeEncodeError, NotPlainError):
            return self._attempt(self._connect(ahead), work, reads, waits, plain=False)

    def _attempt(
        self, connection: Connection, work: Work[T], reads: bool, waits: bool, *, plain: bool
    ) -> T:
        """One transaction; *plain* takes what nearly always comes, and costs less."""
        db, carry_out = (connection, book) if plain else (lenient(connection), book_apart)
        try:
            begin(connection, reads=reads and not self._backlog, waits=waits)
            now = self._clock()
            # What comes meanwhile might have no end. By place: others append at any time.
            due = [self._backlog[at] for at in range(min(len(self._backlog), TOGETHER))]
            if due:
                carry_out(db, now, due)
            result = work(db, now)
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        self._commits += 1
        for _ in due:
            self._backlog.popleft()
        return result

    def _connect(self, ahead: bool = False) -> Connection:
        if self._connection is not None:
            now = time.monotonic()
            if ahead and now - self._identified_at < SAME_FILE_S:
                return self._connection
            self._identified_at = now
            if identity(self._path) == self._identity:
                return self._connection
            self._disconnect()  # deleted or replaced: everybody else uses the new file
            logger.error("aden: %s was deleted or replaced: budgets go by the new one", self._path)
            self._backlog.extendleft(self.of_a_new_file)
        try:
            connection = connect(self._path)
        except OSError as error:
            if interrupts(error):
                raise
            raise sqlite3.OperationalError(str(error)) from error
        self._identity = identity(self._path)
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _roll_back(self, connection: Connection) -> None:
        """Leave no transaction open, also where COMMIT failed or the file is beyond use."""
        connection.ages.clear()
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if connection.in_transaction:
            self._disconnect()

    def progress(self) -> tuple[int, ...]:
        """Changes whenever anybody, here or in another process, has committed something."""
        return (self._commits, *log_state(self._path))

    def soon(self, work: Work[None]) -> None:
        """Run *work* here if the file is free, else on the store's own thread. Never raises."""
        try:
            if len(self._backlog) >= BACKLOG_MAX and not self._makes_room():
                self._lost += 1
                if self._lost % 1000 == 1:
                    logger.error("aden: %s: backlog full, %d bookings lost", self._path, self._lost)
                return
            self._backlog.append(work)
            try:
                with contextlib.suppress(sqlite3.Error):
                    self.transact(_nothing, inline=True)
            finally:
                if self._backlog:
                    self._insist()
        except Exception as error:
            if interrupts(error):
                raise
            logger.exception("aden: %s could not be written", self._path)

    def _makes_room(self) -> bool:
        """Whoever settles faster than the file takes it waits here: better late than lost."""
        try:
            self.transact(_nothing, turn_s=FULL_TURN_S)
        except sqlite3.Error:
            return len(self._backlog) < BACKLOG_MAX
        return True

    def flush(self, timeout_s: float) -> bool:
        """Book what was put off; False where *timeout_s* was not enough."""
        deadline = time.monotonic() + timeout_s
        while self._backlog:
            try:
                self._in_turn(_nothing)
            except sqlite3.Error:
                time.sleep(RETRY_S)
            if time.monotonic() >= deadline:
                break
        return not self._backlog

    def close(self) -> None:
        """Flush and let go of the file. Whoever uses the store after that opens it again."""
        self.flush(EXIT_WAIT_S)
        self._checkpoints.wait(EXIT_WAIT_S)
        for _ in taken(self._turn, EXIT_WAIT_S):
            try:
                self._disconnect()
            finally:
                self._turn.release()
            return

    def _insist(self) -> None:
        if (deadline := exit_deadline()) is not None:
            # A destructor at shutdown: a thread that is started now would never run, and 3.11
            # would wait for it forever.
            self.flush(deadline - time.monotonic())
            return
        if self._insisting.locked():
            return  # the thread runs, and looks at the backlog once more before it ends
        with contextlib.suppress(RuntimeError):  # no more threads: the next transaction books it
            threading.Thread(target=self._catch_up, name="aden-ledger", daemon=True).start()

    def _catch_up(self) -> None:
        pause_s = RETRY_S
        while self._backlog and self._insisting.acquire(blocking=False):
            try:
                while self._backlog:
                    try:
                        self.transact(_nothing)
                        self._complained, pause_s = False, RETRY_S
                    except Exception as error:
                        self._complain(error)
                        pause_s = RETRY_S if is_busy(error) else min(1.0, pause_s * 2)
                        time.sleep(pause_s)
            finally:  # kept, it would let no other thread begin
                self._insisting.release()

    def settle_down(self, timeout_s: float) -> None:
        """Flush, and see the store's own threads off, so that none is cut down in its turn."""
        deadline = time.monotonic() + timeout_s
        if self.flush(timeout_s):
            remaining_s = max(0.0, deadline - time.monotonic())
            if self._insisting.acquire(timeout=remaining_s):
                self._insisting.release()
        self._checkpoints.wait(deadline - time.monotonic())

    def _complain(self, error: Exception) -> None:
        if not self._complained and not is_busy(error):
            self._complained = True
            waiting = len(self._backlog)
            logger.error("aden: %s: %d bookings wait: %s", self._path, waiting, error)

    def before_fork(self) -> None:
        """Close, between two transactions: SQLite's state of an open file must not be inherited.

        A child that has a copy of it believes in locks that only its parent has
        (https://sqlite.org/howtocorrupt.html §2.7). Both open the file again when they need it.
        """
        self._paused = self._checkpoints.pause(EXIT_WAIT_S)
        if self._paused and not self._turn.acquire(timeout=EXIT_WAIT_S):
            self._checkpoints.go_on()
            self._paused = False
        if self._paused:
            self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            self._turn.release()
            self._checkpoints.go_on()

    def after_fork_in_child(self) -> None:
        """Start anew: neither the parent's thread nor its backlog is the child's."""
        for connection in (self._connection, self._checkpoints.connection):
            if connection is not None:
                leave_to_parent(connection)
        self._connection = None
        self._paused = False
        self._renew_locks()


def _nothing(db: Connection, now: float) -> None:
    """The backlog alone."""
