"""What stands before a request: microseconds of waiting that Aden adds until it is sent.

An async client whose provider answers from memory; each call is timed from the SDK's method to
the transport. "By budgets" is what a row adds to the row "no budget", the other columns what it
adds to the SDK alone. Rows "busy" share their ledger with four other processes that each make 100
calls a second. "Stall" is the longest time for which the event loop did not run. The row "bare"
stands there twice: what differs between the two is this machine's noise. Run: make bench
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests" / "ledger"))

BUSY_PROCESSES = 4
BUSY_PAUSE_S = 0.01
PAUSE_S = 0.002
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
    busy: bool = False
    journal: int = 0
    """Calls in the journal before the first."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--journal", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="rows whose name contains this, and bare")
    arguments = parser.parse_args()
    head = f"{'median':>10}{'by budgets':>12}{'p99':>10}{'stall, ms':>12}"
    print(f"{'added before a request, µs':<34}{head}")
    bare = without = 0.0
    with tempfile.TemporaryDirectory(prefix="aden-bench-") as directory, _redis(directory) as url:
        for row in _rows(directory, url, arguments.journal):
            if arguments.only not in row.name and row.ledger is not None:
                continue
            waits, stall_s = _measure(row, arguments.calls)
            waits.sort()
            found = statistics.median(waits)
            bare = bare or found
            without = found if row.name == "no budget" else without
            median, p99 = ((each - bare) * 1e6 for each in (found, waits[int(len(waits) * 0.99)]))
            budgets = f"{(found - without) * 1e6:.0f}" if row.budgets and row.ledger else ""
            figures = f"{median:>10.0f}{budgets:>12}{p99:>10.0f}{stall_s * 1e3:>12.1f}"
            print(f"{row.name:<34}{figures}", flush=True)


def _rows(directory: str, redis: str | None, journal: int) -> Iterator[Row]:
    memory, file = Row("memory", "memory:"), Row("sqlite", f"sqlite://{directory}/ledger.db")
    yield Row("bare")
    yield replace(memory, name="no budget", budgets=0)
    yield memory
    yield replace(memory, name="memory, 20 matching", budgets=20, matching=20)
    yield replace(memory, name="memory, 20 of 10,000", budgets=10_000, matching=20)
    yield file
    yield replace(file, name="sqlite, 20 of 10,000", budgets=10_000, matching=20)
    long = f"sqlite://{directory}/long.db"
    yield replace(file, name=f"sqlite, journal of {journal:,}", ledger=long, journal=journal)
    yield replace(file, name="sqlite, busy", busy=True)
    if redis is not None:
        yield Row("redis", redis)
        yield Row("redis, busy", redis, busy=True)
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


def _measure(row: Row, calls: int) -> tuple[list[float], float]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    busy = [
        context.Process(target=_keep_busy, args=(row, stop), daemon=True)
        for _ in range(BUSY_PROCESSES if row.busy else 0)
    ]
    for process in busy:
        process.start()
    if row.journal:
        _fill_journal(row)
    results = context.SimpleQueue()
    worker = context.Process(target=_work, args=(row, calls, bool(busy), results), daemon=True)
    worker.start()
    measured = results.get()
    worker.join()
    stop.set()
    for process in busy:
        process.join()
    return measured


def _work(row: Row, calls: int, wait: bool, results: Any) -> None:
    _instrument(row)
    if wait:
        time.sleep(3)  # until the others are busy
    results.put(asyncio.run(_calls(calls)))


def _keep_busy(row: Row, stop: Any) -> None:
    _instrument(row)

    async def work() -> None:
        client = _client([])
        while not stop.is_set():
            await client.chat.completions.create(**REQUEST)
            await asyncio.sleep(BUSY_PAUSE_S)

    asyncio.run(work())


async def _calls(calls: int) -> tuple[list[float], float]:
    arrivals: list[float] = []
    client = _client(arrivals)
    watch = asyncio.create_task(_longest_stall())
    waits = []
    for number in range(calls + 100):
        started = time.perf_counter()
        await client.chat.completions.create(**REQUEST)
        if number >= 100:  # warm
            waits.append(arrivals[-1] - started)
        await asyncio.sleep(PAUSE_S)
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    return waits, _stall[0]


_stall = [0.0]


async def _longest_stall() -> None:
    await asyncio.sleep(0.5)  # after the first calls, which import what they need
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
    _measure(Row("one", row.ledger), 1)
    open_ledger(row.ledger).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        at, line = db.execute("SELECT at, record FROM journal LIMIT 1").fetchone()
        rows = ((at, line) for _ in range(row.journal))
        db.executemany("INSERT INTO journal (at, record) VALUES (?, ?)", rows)
        db.commit()


if __name__ == "__main__":
    main()
