"""The stores under test, on a clock that the tests move."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_kit import EventfulClock, Store

from aden.ledger.memory import MemoryLedger
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


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, path: Path, clock: FixedClock) -> Iterator[Store]:
    """Each store in turn."""
    store: Store
    store = MemoryLedger(clock) if request.param == "memory" else SqliteLedger(path, clock)
    yield store
    store.close()
