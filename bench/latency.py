"""What stands before a request: microseconds of waiting that Aden adds until it is sent.

An async client whose provider answers from memory; each call is timed from the SDK's method to
the transport. Each row is a process of its own, and the rounds of all rows take turns. "Hot" is one
call after the other; "spaced" a call every few milliseconds, so that it finds cold caches, as on an
event loop that does other work. "By budgets" is what a row adds to the row "no budget" that runs
beside the same processes, the other columns what it adds to the SDK alone. "Stall" is the longest
time for which the event loop did not run. Rows "busy" run beside four other processes that each
make 100 calls a second on the same ledger. The row "bare" stands there twice: what differs between
the two is this machine's noise.
Run: make bench
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests" / "ledger"))

BUSY_PROCESSES = 4
BUSY_PAUSE_S = 0.01
PAUSE_S = 0.002
_SPAWN = multiprocessing.get_context("spawn")
REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "max_completion_tokens": 100,
    "messages": [{"role": "user", "content": "Is there a room for two tonight?"}],
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    ledger: str | None = None
    budgets: int = 1
    matching: int = 1
    journal: int = 0
    """Calls in the journal before the first."""
    others: str | None = None
    """The ledger of the processes that are busy beside it; None: none is."""

    @property
    def has_budgets(self) -> bool:
        """Whether something is reserved."""
        return self.ledger is not None and self.budgets > 0

    @property
    def is_yardstick(self) -> bool:
        """Whether others are compared with it."""
        return self.name in ("bare", "no budget")


@dataclass(slots=True)
class Figures:
    """What was measured of a row, over all rounds."""

    hot: list[float] = field(default_factory=list)
    spaced: list[float] = field(default_factory=list)
    stall_s: float = 0.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="of each kind, for each row")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--journal", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aden-bench-") as directory, _redis(directory) as url:
        rows = [
            row
            for row in _rows(directory, url, arguments.journal)
            if arguments.only in row.name or row.is_yardstick
        ]
        measured = _measure(rows, arguments.calls // arguments.rounds, arguments.rounds)
    _print(rows, measured)


def _print(rows: list[Row], measured: dict[str, Figures]) -> None:
    def added(row: Row, to: str, kind: str) -> float:
        one, other = (getattr(measured[name], kind) for name in (row.name, to))
        return (statistics.median(one) - statistics.median(other)) * 1e6

    without = {row.others: row.name for row in rows if row.ledger is not None and not row.budgets}
    print(f"{'added before a request, µs':<28}{'hot':>8}{'by budgets':>12}", end="")
    print(f"{'spaced':>10}{'by budgets':>12}{'p99':>8}{'stall, ms':>12}")
    for row in rows:
        found, bare = measured[row.name], measured["bare"]
        line = f"{row.name:<28}"
        for kind, width in (("hot", 8), ("spaced", 10)):
            base = without.get(row.others, "no budget")
            by_budgets = f"{added(row, base, kind):.0f}" if row.has_budgets else ""
            line += f"{added(row, 'bare', kind):>{width}.0f}{by_budgets:>12}"
        p99 = (_p99(found.spaced) - statistics.median(bare.spaced)) * 1e6
        print(f"{line}{p99:>8.0f}{found.stall_s * 1e3:>12.1f}")


def _p99(waits: list[float]) -> float:
    return sorted(waits)[int(len(waits) * 0.99)]


def _rows(directory: str, redis: str | None, journal: int) -> Iterator[Row]:
    memory, file = Row("memory", "memory:"), Row("sqlite", f"sqlite://{directory}/ledger.db")
    yield Row("bare")
    no_budget = replace(memory, name="no budget", budgets=0)
    yield no_budget
    yield memory
    yield replace(memory, name="memory, 20 matching", budgets=20, matching=20)
    yield replace(memory, name="memory, 20 of 10,000", budgets=10_000, matching=20)
    yield file
    yield replace(file, name="sqlite, 20 of 10,000", budgets=10_000, matching=20)
    long = f"sqlite://{directory}/long.db"
    yield replace(file, name=f"sqlite, journal of {journal:,}", ledger=long, journal=journal)
    yield Row("bare, sqlite busy", others=file.ledger)
    yield replace(no_budget, name="no budget, sqlite busy", others=file.ledger)
    yield replace(file, name="sqlite, busy", others=file.ledger)
    if redis is not None:
        yield Row("redis", redis)
        yield Row("bare, redis busy", others=redis)
        yield replace(no_budget, name="no budget, redis busy", others=redis)
        yield Row("redis, busy", redis, others=redis)
    yield Row("bare again")


@contextlib.contextmanager
def _redis(directory: str) -> Iterator[str | None]:
    from redis_kit import RedisServer, find_server

    if find_server() is None:
        print("(no redis-server here: its rows are missing)")
        yield None
        return
    with RedisServer(Path(directory)) as server:
        yield server.url()


def _measure(rows: list[Row], calls: int, rounds: int) -> dict[str, Figures]:
    workers = {row.name: _Worker(row) for row in rows}
    ledgers = {row.others for row in rows if row.others is not None}
    busy = {ledger: _Busy(ledger) for ledger in ledgers}
    measured = {row.name: Figures() for row in rows}
    for _ in range(rounds):
        for row in rows:
            figures, others = measured[row.name], busy.get(row.others or "")
            with others or contextlib.nullcontext():
                figures.hot += workers[row.name].calls(calls, None)[0]
                spaced, stall_s = workers[row.name].calls(calls, PAUSE_S)
            figures.spaced += spaced
            figures.stall_s = max(figures.stall_s, stall_s)
    for process in (*workers.values(), *busy.values()):
        process.end()
    return measured


class _Worker:
    """The process of a row."""

    def __init__(self, row: Row) -> None:
        if row.journal:
            _fill_journal(row)
        self._here, there = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(row, there), daemon=True)
        self._process.start()
        self.calls(100, None)  # warm

    def calls(self, count: int, pause_s: float | None) -> tuple[list[float], float]:
        """The wait before each of *count* requests, and the longest stall of the loop."""
        self._here.send((count, pause_s))
        found: tuple[list[float], float] = self._here.recv()
        return found

    def end(self) -> None:
        """Let it go."""
        self._here.send(None)
        self._process.join()


class _Busy:
    """Other processes on a ledger, which work while a block lasts."""

    def __init__(self, ledger: str) -> None:
        self._works, self._ends = _SPAWN.Event(), _SPAWN.Event()
        arguments = (Row("busy", ledger), self._works, self._ends)
        self._processes = [
            _SPAWN.Process(target=_keep_busy, args=arguments, daemon=True)
            for _ in range(BUSY_PROCESSES)
        ]
        for process in self._processes:
            process.start()

    def __enter__(self) -> None:
        self._works.set()
        time.sleep(0.5)

    def __exit__(self, *error: object) -> None:
        self._works.clear()

    def end(self) -> None:
        """Let them go."""
        self._ends.set()
        self._works.set()
        for process in self._processes:
            process.join()


def _work(row: Row, orders: Any) -> None:
    _instrument(row)
    arrivals: list[float] = []
    client = _client(arrivals)
    with asyncio.Runner() as runner:
        while (order := orders.recv()) is not None:
            orders.send(runner.run(_calls(client, arrivals, *order)))


def _keep_busy(row: Row, works: Any, ends: Any) -> None:
    _instrument(row)

    async def work() -> None:
        client = _client([])
        while not ends.is_set():
            await asyncio.to_thread(works.wait)
            await client.chat.completions.create(**REQUEST)
            await asyncio.sleep(BUSY_PAUSE_S)

    asyncio.run(work())


async def _calls(
    client: Any, arrivals: list[float], calls: int, pause_s: float | None
) -> tuple[list[float], float]:
    _stall[0] = 0.0
    watch = asyncio.create_task(_longest_stall())
    waits = []
    for _ in range(calls):
        started = time.perf_counter()
        await client.chat.completions.create(**REQUEST)
        waits.append(arrivals[-1] - started)
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    return waits, _stall[0]


_stall = [0.0]


async def _longest_stall() -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.0005)
        now = time.perf_counter()
        _stall[0] = max(_stall[0], now - last - 0.0005)
        last = now


def _instrument(row: Row) -> None:
    if row.ledger is None:
        return
    os.environ["OTEL_SDK_DISABLED"] = "true"  # what is measured is the gate
    import aden

    one = [aden.Budget(f"matching-{number}", 1_000_000) for number in range(row.matching)]
    others = [
        aden.Budget(f"other-{number}", 1, scope={"customer": f"customer-{number}"})
        for number in range(row.budgets - row.matching)
    ]
    aden.instrument(budgets=[*one, *others] if row.budgets else [], ledger=row.ledger)


def _client(arrivals: list[float]) -> Any:
    import httpx2
    import openai

    whole = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "Yes."},
                }
            ],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
        }
    ).encode()

    class FromMemory(httpx2.AsyncBaseTransport):
        """Answers without a socket."""

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            arrivals.append(time.perf_counter())
            return httpx2.Response(200, headers={"content-type": "application/json"}, content=whole)

    http_client = httpx2.AsyncClient(transport=FromMemory())
    return openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1/v1", http_client=http_client)


def _fill_journal(row: Row) -> None:
    """Copies of one real line, as many as are wanted."""
    from aden.ledger import open_ledger

    assert row.ledger is not None
    path = Path(row.ledger.removeprefix("sqlite://"))
    one = _Worker(Row("one", row.ledger))
    one.end()
    open_ledger(row.ledger).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        at, line = db.execute("SELECT at, record FROM journal LIMIT 1").fetchone()
        rows = ((at, line) for _ in range(row.journal))
        db.executemany("INSERT INTO journal (at, record) VALUES (?, ?)", rows)
        db.commit()


if __name__ == "__main__":
    main()
