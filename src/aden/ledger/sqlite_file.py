"""A SQLite ledger's file: made private, given its schema, opened."""

import os
import sqlite3
import threading
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from aden.core.forks import call_in_children
from aden.core.interruption import interrupts

SCHEMA_VERSION = 2
OLDEST_READER = 1
"""The oldest schema whose programs can go on beside this one; it stands in `user_version`."""
APPLICATION_ID = 0x4164656E  # "Aden"
BUSY_WAIT_S = 0.002
"""How long SQLite itself waits for a busy file: an event loop can bear that."""
PAGE_BYTES = 2_048
"""A transaction copies each page that it touches into the log; half of SQLite's own is a sixth less
to wait, and a page still takes three lines of the journal."""
BACKSTOP_BYTES = 64 * 2**20
"""At this length of the log a call moves it into the file itself: `sqlite_checkpoint` could not."""

_creating = threading.Lock()


class Connection(sqlite3.Connection):
    """A connection, and what it need not write again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ages: dict[tuple[str, str], float] = {}
        """When windows may be forgotten, as it has noted in the file."""


class Lenient:
    """A connection that takes any text: labels come from users, lone surrogates included."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ages = connection.ages

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> sqlite3.Cursor:
        """`sqlite3.Connection.execute`."""
        return self._connection.execute(sql, [_encodable(value) for value in parameters])

    def executemany(self, sql: str, rows: Iterable[Iterable[Any]]) -> sqlite3.Cursor:
        """`sqlite3.Connection.executemany`."""
        encodable = [[_encodable(value) for value in row] for row in rows]
        return self._connection.executemany(sql, encodable)


def lenient(connection: Connection) -> Connection:
    """*connection* as one that takes any text; the verbs use no more of it than there is."""
    return cast("Connection", Lenient(connection))


def _encodable(value: object) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def connect(path: Path) -> Connection:
    """Open the ledger at *path*, make it where there is none.

    Raises:
        OSError, sqlite3.Error: It cannot be used; busy for 2 ms among others.
    """
    _make_private(path)
    connection = sqlite3.connect(
        path,
        timeout=BUSY_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new file
        connection.execute("PRAGMA journal_mode = WAL")
        # A kill -9 loses nothing; a power cut may lose the last commits, never consistency.
        connection.execute("PRAGMA synchronous = NORMAL")
        backstop = BACKSTOP_BYTES // _pragma(connection, "page_size")
        connection.execute(f"PRAGMA wal_autocheckpoint = {backstop}")
        connection.execute("SELECT json_array()")  # before 3.38 SQLite could be built without it
        _make_schema(connection)
        connection.execute("PRAGMA busy_timeout = 0")  # `sqlite_transaction` waits
    except BaseException:
        connection.close()
        raise
    return connection


def is_busy(error: BaseException) -> bool:
    """Another thread or process is using the file: worth another try."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def busy(message: str) -> sqlite3.OperationalError:
    """An error that `is_busy`, by this process's own threads."""
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = sqlite3.SQLITE_LOCKED
    return error


def is_busy_here(error: BaseException) -> bool:
    """It is `busy`: it says nothing of whether the file is free."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_LOCKED


def identity(path: Path) -> tuple[int, int]:
    """Which file stands at *path*; (0, 0) where none does."""
    try:
        found = os.stat(path)
    except OSError as error:
        if interrupts(error):  # an alarm's TimeoutError is one as well
            raise
        return (0, 0)
    return (found.st_dev, found.st_ino)


def log_of(path: Path) -> str:
    """The log of the ledger at *path*: SQLite keeps it beside the file that a link leads to."""
    return f"{os.path.realpath(path)}-wal"


def log_state(path: Path) -> tuple[int, ...]:
    """Changes when anybody writes to the log of the ledger at *path*."""
    try:
        log = os.stat(log_of(path))
    except OSError as error:
        if interrupts(error):
            raise
        return ()
    return (log.st_mtime_ns, log.st_size)


def _make_private(path: Path) -> None:
    """The ledger tells who spent what: only its owner may read it.

    An existing file is not touched: to close a descriptor of it would drop every lock that this
    process's other connections have on it (https://sqlite.org/howtocorrupt.html §2.2).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _creating:
        try:  # where a link leads nowhere yet, what it leads to
            os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            return


def _make_schema(connection: Connection) -> None:
    """Check the schema, or create it, in one write transaction."""
    connection.execute("BEGIN IMMEDIATE")
    oldest_reader = _pragma(connection, "user_version")
    is_empty = oldest_reader == 0 and _pragma(connection, "schema_version") == 0
    if not is_empty and _pragma(connection, "application_id") != APPLICATION_ID:
        raise sqlite3.DatabaseError("it is the database of another program")
    if oldest_reader > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(
            f"a newer aden gave it a schema for which programs must know schema {oldest_reader};"
            f" this one knows {SCHEMA_VERSION}: update aden here as well"
        )
    version = 0 if is_empty else _version(connection)
    if version < SCHEMA_VERSION:
        _migrate(connection, version)
    connection.execute("DELETE FROM alert WHERE 0")  # writes nothing, but says if it could not
    connection.execute("COMMIT")


def _version(connection: Connection) -> int:
    known = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'"
    if connection.execute(known).fetchone() is None:
        return 1
    (version,) = connection.execute("SELECT version FROM schema_version").fetchone()
    return int(version)


def _migrate(connection: Connection, version: int) -> None:
    """Add what the newer schemas have; processes that know the one before go on undisturbed."""
    for step in range(version + 1, SCHEMA_VERSION + 1):
        # Not executescript: that would commit first, and another process may be doing the same.
        text = files("aden.ledger").joinpath(f"sql/schema_{step}.sql").read_text()
        for statement in text.split(";"):
            connection.execute(statement)
    connection.execute("DELETE FROM schema_version")
    connection.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {OLDEST_READER}")


def _pragma(connection: Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _forget_creators() -> None:
    """In a forked child: the thread that was creating a file is not there to finish."""
    global _creating  # noqa: PLW0603 - a lock is replaced, never reset
    _creating = threading.Lock()


call_in_children(_forget_creators)
