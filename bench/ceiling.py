"""How many reservations a second one Redis bears for one hot budget, and how long they then take.

Two processes reserve and settle as fast as they can; then at four fifths of that pace. The last
figure is Redis' own time for a reserve and a settle (INFO commandstats): what one core would bear
if the callers were on other machines. Run: make bench
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests" / "ledger"))

PROCESSES = 2


def main() -> None:
    """Print the figures."""
    from redis_kit import RedisServer, find_server

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, default=64, help="open reserves of a process")
    arguments = parser.parse_args()
    if find_server() is None:
        print("(no redis-server here)")
        return
    with (
        tempfile.TemporaryDirectory(prefix="aden-bench-") as directory,
        RedisServer(Path(directory)) as server,
    ):
        pace, _ = _run(server.url("ceiling"), arguments, None)
        client = server.client()
        client.config_resetstat()
        eased, took = _run(server.url("eased"), arguments, pace * 0.8)
        stats = client.info("commandstats")
    took.sort()
    median, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    scripts = [stats[name] for name in stats if name in ("cmdstat_evalsha", "cmdstat_fcall")]
    server_us = sum(each["usec"] for each in scripts) / max(1, len(took))
    print("one hot budget in one Redis, callers on the same machine")
    print(f"  as fast as {PROCESSES} processes can  {pace:>8,.0f} calls a second")
    print(f"  at four fifths of that     {eased:>8,.0f} calls a second")
    print(f"    a reserve takes          {median * 1e3:>8.2f} ms median, {p99 * 1e3:.2f} ms p99")
    print(f"  Redis' own time a call     {server_us:>8.0f} µs, or {1e6 / server_us:,.0f} a second")


def _run(url: str, arguments: Any, pace: float | None) -> tuple[float, list[float]]:
    """Calls a second, and the seconds that each reserve took."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    share = None if pace is None else pace / PROCESSES
    workers = [
        context.Process(
            target=_work, args=(url, arguments.seconds, arguments.at_once, share, results)
        )
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    answers = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    took = [each for answer in answers for each in answer]
    return len(took) / arguments.seconds, took


def _work(url: str, seconds: float, at_once: int, pace: float | None, results: Any) -> None:
    results.put(asyncio.run(_calls(url, seconds, at_once, pace)))


async def _calls(url: str, seconds: float, at_once: int, pace: float | None) -> list[float]:
    from aden.core.window import Window
    from aden.ledger import Ask, Charge, Line, Option, Settlement, open_ledger

    ledger = open_ledger(url)
    line = Line("hot", Window("total"), 10**15, 1000, 1000)
    took: list[float] = []
    await ledger.areserve(Ask(uuid.uuid4().hex, (Option((line,)),)))  # connected
    ends = time.perf_counter() + seconds
    due = time.perf_counter()

    async def caller() -> None:
        nonlocal due
        while (now := time.perf_counter()) < ends:
            if pace is not None:
                due = max(due, now - 0.05) + 1 / pace
                await asyncio.sleep(max(0.0, due - now))
            operation = uuid.uuid4().hex
            started = time.perf_counter()
            grant = await ledger.areserve(Ask(operation, (Option((line,)),)))
            took.append(time.perf_counter() - started)
            window = grant.balances[0].window_id
            ledger.settle(Settlement(operation, (Charge("hot", window, 900),)))

    await asyncio.gather(*(caller() for _ in range(at_once)))
    ledger.flush(5)
    ledger.close()
    return took


if __name__ == "__main__":
    main()
