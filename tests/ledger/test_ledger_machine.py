"""Memory, SQLite and Redis, driven side by side by random steps: the same answers and balances."""

import sqlite3
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from ledger_kit import PATIENT_S
from ledger_machine import IDS, OPTIONS, Key, Ledgers
from redis_kit import RedisServer

from aden.ledger import Ask, Ledger, Option
from aden.ledger.redis import RedisLedger
from aden.ledger.redis_verbs import Reserve
from aden.ledger.sqlite import SqliteLedger


class SqliteAndMemory(Ledgers):
    """A file."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "ledger.db"
        super().__init__()
        self.file = sqlite3.connect(self.path)

    def another(self) -> Ledger:
        """One more handle on the file."""
        return SqliteLedger(self.path, self.clock)

    def rows(self, query: str) -> dict[Key, tuple[int, ...]]:
        """What the file says: (budget, window) to the other columns, where any is not zero."""
        return {row[:2]: row[2:] for row in self.file.execute(query) if any(row[2:])}

    def stored(self) -> dict[Key, tuple[int, ...]]:
        """The table of balances."""
        return self.rows("SELECT budget, window_id, settled, unconfirmed, held FROM balance")

    def open_holds(self) -> dict[Key, int]:
        """The table of holds."""
        found = self.rows(
            "SELECT budget, window_id, sum(amount) FROM hold JOIN operation"
            " ON id = operation WHERE state = 'open' GROUP BY 1, 2"
        )
        return {key: amount for key, (amount,) in found.items()}

    def teardown(self) -> None:
        """Let go of the file."""
        super().teardown()
        self.file.close()
        self.directory.cleanup()


OPEN_HOLDS = """
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. ':leases', 0, -1)) do
  local operation = cmsgpack.unpack(redis.call('GET', KEYS[1] .. ':op:' .. id))
  assert(operation.state == 'open')
  for i = 1, #operation.holds, 4 do
    found[#found + 1] = { operation.holds[i], operation.holds[i + 1], operation.holds[i + 2] }
  end
end
return found
"""


class RedisAndMemory(Ledgers):
    """A namespace of a server."""

    server: ClassVar[RedisServer]

    def __init__(self) -> None:
        self.url = self.server.url()
        self.client: Any = self.server.client()
        self.base = f"{{aden:{self.url.partition('namespace=')[2]}}}"
        super().__init__()

    def another(self) -> Ledger:
        """One more handle on the namespace."""
        return RedisLedger(self.url, self.clock, deadline_s=PATIENT_S)

    @rule(name=IDS, choices=OPTIONS, late=st.booleans())
    def reserve_that_nobody_waits_for(
        self, name: str, choices: tuple[Option, ...], late: bool
    ) -> None:
        """It timed out: taken back after it was granted, or before it arrived."""
        wire = cast("RedisLedger", self.other)._wire
        attempt = Reserve(Ask(name, choices), self.clock())
        reserve, undo = attempt.call(self.clock()), attempt.undo()
        for call in (undo, reserve) if late else (reserve, undo):
            wire.soon(call)
        if not late:
            self.memory.reserve(Ask(name, choices))
            self.memory.books.drop(self.clock(), name)
            self.last.pop(name, None)

    def stored(self) -> dict[Key, tuple[int, ...]]:
        """The hash of balances."""
        found: dict[bytes, bytes] = self.client.hgetall(f"{self.base}:balances")
        table = {}
        for field, told in found.items():
            _, budget, window_id = field.decode().split(":", 2)
            figures = tuple(map(int, told.split()))
            if any(figures):
                table[budget, window_id] = figures
        return table

    def open_holds(self) -> dict[Key, int]:
        """The operations with a lease."""
        held: Counter[Key] = Counter()
        for budget, window_id, amount in self.client.eval(OPEN_HOLDS, 1, self.base):
            held[budget.decode(), window_id.decode()] += amount
        return {key: amount for key, amount in held.items() if amount}

    def teardown(self) -> None:
        """Let go of the namespace."""
        super().teardown()
        self.client.close()


pytestmark = pytest.mark.timeout(600)
"""Hypothesis takes what a timer raises for a failure, and goes on in pieces that it has broken."""


@pytest.fixture(scope="module")
def machines_server(redis_server: RedisServer) -> None:
    """Tell the machine which server to use."""
    RedisAndMemory.server = redis_server


TestSqliteAndMemory = SqliteAndMemory.TestCase
TestRedisAndMemory = pytest.mark.usefixtures("machines_server")(RedisAndMemory.TestCase)
TestSqliteAndMemory.settings = TestRedisAndMemory.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    phases=set(Phase) - {Phase.explain},  # it traces every line, for minutes
    suppress_health_check=list(HealthCheck),
)
