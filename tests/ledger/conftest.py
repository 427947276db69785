"""The stores under test, on a clock that the tests move."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_kit import PATIENT_S, EventfulClock, Store
from redis_kit import RedisServer

from aden.ledger.memory import MemoryLedger
from aden.ledger.redis import RedisLedger
from aden.ledger.sqlite import SqliteLedger
from aden.testing.clock import FixedClock


@pytest.fixture
def clock() -> EventfulClock:
    """The ledgers' clock."""
    return EventfulClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the SQLite ledger's file is."""
    return tmp_path / "ledger.db"


@pytest.fixture
def sqlite(path: Path, clock: FixedClock) -> Iterator[SqliteLedger]:
    """A SQLite ledger."""
    ledger = SqliteLedger(path, clock)
    yield ledger
    ledger.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server that all tests share; each has a namespace of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server that the test may kill; what it acknowledged it has on disk."""
    with RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as running:
        yield running


@pytest.fixture
def own_redis(own_server: RedisServer) -> Iterator[RedisLedger]:
    """A ledger on a server that the test may kill."""
    ledger = RedisLedger(own_server.url())
    yield ledger
    own_server.signal(signal.SIGCONT)
    ledger._wire.close(0.1)


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisLedger]:
    """A ledger on the shared server, by the server's own clock."""
    ledger = RedisLedger(redis_server.url(), deadline_s=PATIENT_S)
    yield ledger
    ledger.close()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, path: Path, clock: FixedClock) -> Iterator[Store]:
    """Each store in turn."""
    store: Store
    if request.param == "memory":
        store = MemoryLedger(clock)
    elif request.param == "sqlite":
        store = SqliteLedger(path, clock)
    else:
        url = request.getfixturevalue("redis_server").url()
        store = RedisLedger(url, clock, deadline_s=PATIENT_S)
    yield store
    store.close()
