"""A rolling deploy: processes that know this schema and the one before or after share a ledger."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ledger_kit import (
    PATIENT_S,
    Store,
    ask,
    charged,
    claimed,
    figures,
    granted,
    line,
)
from redis_kit import RedisServer

import aden.ledger
from aden.core.record import CallRecord
from aden.errors import ConfigurationError
from aden.ledger import Freeze, open_ledger
from aden.ledger.journal import records_of
from aden.ledger.redis import RedisLedger
from aden.ledger.redis_verbs import SCHEMA
from aden.ledger.sqlite import SqliteLedger
from aden.ledger.sqlite_file import APPLICATION_ID, OLDEST_READER, SCHEMA_VERSION

SCHEMA_1 = Path(__file__).parent / "data" / "schema_1.sql"
OLD_RECORD = (
    '{"id":"old","at":1.0,"provider":"openai","asked_model":"m","model":"m","usage":{},"cost":7,'
    '"decision":{},"attribution":{"tags":[]},"finish_reasons":[]}'
)
WRITES_OF_SCHEMA_1 = [
    "INSERT OR REPLACE INTO operation VALUES ('theirs', 'open', 1, 9e9)",
    "INSERT INTO balance VALUES ('b', 'total', 0, 0, 10) ON CONFLICT (budget, window_id) DO UPDATE"
    " SET held = held + excluded.held",
    "INSERT INTO hold VALUES ('theirs', 0, 'b', 'total', 10, 10)",
    "INSERT INTO output VALUES ('m', 16, 1)"
    " ON CONFLICT (model, bucket) DO UPDATE SET seen = seen + 1",
    "INSERT OR IGNORE INTO alert VALUES ('b', 'total', 95000)",
    "INSERT INTO journal (at, record) VALUES (9e9, '{}')",
]
"""As the programs of schema 1 wrote them: without the names of columns."""


NEWER_SQL = re.compile(
    r"RETURNING|sqlite_schema|MATERIALIZED|(?:FULL|RIGHT) JOIN|->>|\bSTRICT\b|DROP COLUMN|"
    r"unixepoch|GENERATED|\bIIF\b|NULLS (?:FIRST|LAST)|string_agg"
)
"""What SQLite has learned since 3.30 and a ledger might use."""


def old_file(path: Path) -> None:
    """A ledger as schema 1 left it: something spent, held, raised and in the journal."""
    with sqlite3.connect(path) as file:
        file.executescript(SCHEMA_1.read_text())
        file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        file.execute("PRAGMA user_version = 1")
        file.execute("INSERT INTO balance VALUES ('b', 'total', 40, 0, 10)")
        file.execute("INSERT INTO balance VALUES ('d', 'day:2026-01-01', 5, 0, 0)")
        file.execute("INSERT INTO operation VALUES ('open', 'open', 1, 9e9)")
        file.execute("INSERT INTO hold VALUES ('open', 0, 'b', 'total', 10, 10)")
        file.execute("INSERT INTO alert VALUES ('b', 'total', 80000)")
        file.execute("INSERT INTO journal (at, record) VALUES (9e9, ?)", (OLD_RECORD,))
    file.close()


def versions(path: Path) -> tuple[int, int]:
    """The oldest schema that may use the file, and its own."""
    with sqlite3.connect(path) as file:
        (oldest,) = file.execute("PRAGMA user_version").fetchone()
        (own,) = file.execute("SELECT version FROM schema_version").fetchone()
    file.close()
    return oldest, own


def test_an_older_file_is_taken_over_as_it_is(path: Path) -> None:
    """Nothing is lost, and the older programs may go on."""
    old_file(path)
    ledger = SqliteLedger(path)

    assert figures(ledger) == (40, 0, 10)
    ledger.settle(charged("open", 7))
    assert figures(ledger) == (47, 0, 0)
    assert [record.id for record in ledger.journal()] == ["old"]
    assert claimed(ledger, "b", "total", 80_000) is None
    assert claimed(ledger, "b", "total", 95_000) is not None
    assert versions(path) == (OLDEST_READER, SCHEMA_VERSION) == (1, 2)
    ledger.close()


def test_programs_of_the_schema_before_go_on_beside_us(path: Path) -> None:
    """Every statement of theirs still works, and we understand what they wrote."""
    old_file(path)
    ledger = SqliteLedger(path)
    with sqlite3.connect(path) as file:
        for statement in WRITES_OF_SCHEMA_1:
            file.execute(statement)
    file.close()

    assert figures(ledger) == (40, 0, 20)
    ledger.settle(charged("theirs", 3))
    ledger.settle(charged("open", 7))
    assert figures(ledger) == (50, 0, 0)
    assert [record.id for record in ledger.journal()] == ["old"]  # theirs is unreadable
    ledger.close()


def test_the_first_schema_never_changes() -> None:
    """A file that is made today is made by the steps that an old one has gone through."""
    packaged = Path(aden.ledger.__file__).parent / "sql" / "schema_1.sql"
    assert statements(packaged) == statements(SCHEMA_1)


def statements(path: Path) -> list[str]:
    """The statements of a file, without comments."""
    lines = [line.partition("--")[0].strip() for line in path.read_text().splitlines()]
    return [" ".join(statement.split()) for statement in " ".join(lines).split(";")]


def test_a_file_of_the_next_schema_works_and_is_not_taken_back(path: Path) -> None:
    """It holds what we know, and a table more."""
    SqliteLedger(path).close()
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE of_schema_3 (a)")
        file.execute("ALTER TABLE balance ADD COLUMN of_schema_3 INTEGER")
        file.execute("ALTER TABLE account ADD COLUMN of_schema_3 INTEGER")
        file.execute("UPDATE schema_version SET version = 3")
        file.execute("PRAGMA user_version = 2")
    file.close()

    ledger = SqliteLedger(path)
    granted(ledger.reserve(ask("a", line(amount=10))))
    ledger.settle(charged("a", 7))
    ledger.order(Freeze("b", who="ann", why="a test"))
    assert figures(ledger) == (7, 0, 0)
    assert versions(path) == (2, 3)
    ledger.close()


def test_a_line_of_a_newer_journal_can_be_read() -> None:
    """Without what we do not know."""
    newer = OLD_RECORD.replace('"cost":7', '"cost":7,"of_schema_3":[1]')
    newer = newer.replace('"usage":{', '"usage":{"of_schema_3":1')

    assert CallRecord.from_json(newer) == CallRecord.from_json(OLD_RECORD)


@pytest.mark.parametrize(
    "foreign",
    ["", "7", "[]", "{}", OLD_RECORD[:-1], OLD_RECORD.replace('"usage":{', '"usage":null,"was":{')],
)
def test_a_line_that_cannot_be_read_hides_no_other(
    foreign: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted."""
    assert records_of([foreign, OLD_RECORD]) == (CallRecord.from_json(OLD_RECORD),)
    assert "1 lines of the journal cannot be read" in caplog.text


def test_a_file_of_the_schema_after_the_next_is_refused(path: Path) -> None:
    """The message says what to do."""
    SqliteLedger(path).close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 3")
    file.close()

    with pytest.raises(ConfigurationError, match=r"schema 3; this one knows 2: update aden"):
        open_ledger(f"sqlite://{path}")


def test_an_older_redis_ledger_is_taken_over_as_it_is(redis_server: RedisServer) -> None:
    """Its balances, its holds, its alerts; what is past is forgotten in time."""
    url = redis_server.url("taken-over")
    base = "{aden:taken-over}"
    with redis_server.client() as client:
        client.hset(base, "schema", 1)
        client.hset(
            f"{base}:balances", mapping={"1:b:total": "40 0 0", "1:d:day:2026-01-01": "5 0 0"}
        )
        client.hset(f"{base}:alerts", "1:b:80000:total", "1790000000000001")
        client.xadd(f"{base}:journal", {"record": OLD_RECORD})
        ledger = RedisLedger(url, deadline_s=PATIENT_S)

        assert figures(ledger) == (40, 0, 0)
        assert claimed(ledger, "b", "total", 80_000) is None
        assert claimed(ledger, "b", "total", 95_000) is not None
        assert [record.id for record in ledger.journal()] == ["old"]
        assert [record.id for record in ledger.journal(since=1_000_000)] == ["old"]
        assert client.hgetall(base) == {b"schema": b"1", b"version": b"2"}
        assert client.zrange(f"{base}:ages", 0, -1) == [b"b1:d:day:2026-01-01"]
    ledger.close()


@pytest.mark.parametrize(("oldest", "works"), [(1, True), (SCHEMA, True), (SCHEMA + 1, False)])
def test_a_newer_redis_ledger_says_who_may_use_it(
    redis_server: RedisServer, oldest: int, works: bool
) -> None:
    """The next schema works and is not taken back; the one after it is refused."""
    name = f"newer-{oldest}"
    with redis_server.client() as client:
        stands: dict[str, Any] = {"schema": oldest, "version": oldest + 1}
        client.hset(f"{{aden:{name}}}", mapping=stands)
        if works:
            ledger: Store = RedisLedger(redis_server.url(name), deadline_s=PATIENT_S)
            granted(ledger.reserve(ask("a", line())))
            ledger.close()
        else:
            with pytest.raises(ConfigurationError, match="must know 3: update aden"):
                open_ledger(redis_server.url(name))
        version = max(oldest + 1, SCHEMA)
        told = {b"schema": b"%d" % oldest, b"version": b"%d" % version}
        assert client.hgetall(f"{{aden:{name}}}") == told


def test_no_statement_needs_a_newer_sqlite_than_that_of_old_systems() -> None:
    """Python is built with the system's, which is 3.34 on RHEL 9 and Debian 11."""
    home = Path(aden.ledger.__file__).parent
    for file in (*home.glob("sqlite*.py"), *home.glob("sql/*.sql")):
        assert NEWER_SQL.findall(file.read_text()) == [], file.name
