"""How much a budget lets through when many callers share it: by the provider's own bill.

Each row is one run against the local provider: a budget that affords 80 calls, many more callers
than that, and the ratio of what the provider billed to what was budgeted. In the rows "jump" nobody
sets a cap, answers become ten times as long in the middle, and the budget affords each caller 40
short answers. In "killed" one of the processes is killed in the middle. Where streams are left,
each process reads one to its end first, so it knows how the model counts. Run: make bench
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from aden.testing import Hang, Normal, OpenAIServer

if TYPE_CHECKING:
    from redis_kit import RedisServer

sys.path.append(str(Path(__file__).parents[1] / "tests" / "ledger"))

CALLS_AFFORDED = 80
SHORT_AFFORDED = 40
"""Short answers that a budget affords each caller, where answers jump."""
SHORT_TOKENS, LONG_TOKENS = 20, 200
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1")
BUSY_WAIT_MS = 3000
"""How long a caller waits for a refund: long enough for the calls before it to end."""
TRIES = {"mixed": 4, "abandoned": 10, "left, fast": 10}
"""How many times more often callers try where calls cost less, so that the budget is asked for."""
OUTPUT_TOKENS = 200
QUESTION = [{"role": "user", "content": f"Tell me something in {OUTPUT_TOKENS} tokens."}]
LEAVE_AFTER_CHUNKS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One cell of the table."""

    processes: int
    callers: int
    shape: str
    ledger: str
    overrun: str = "in_flight"
    interval_ms: float = 5.0

    @property
    def name(self) -> str:
        ledger = self.ledger.split(":")[0]
        return f"{self.processes} × {self.callers:<3} {self.shape:<11} {ledger:<8} {self.overrun}"

    @property
    def jumps(self) -> bool:
        return self.shape.startswith("jump")

    @property
    def leaves(self) -> bool:
        return self.shape in ("abandoned", "left, fast")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=4, help="calls that each caller tries")
    parser.add_argument("--only", default="", help="only the rows whose name contains this")
    arguments = parser.parse_args()
    price, short = _price_of(OUTPUT_TOKENS), _price_of(SHORT_TOKENS)
    print(f"a call costs {price} nano-dollars; the budget affords {CALLS_AFFORDED}")
    print("billed and booked: by the provider and in the ledger, divided by the budget")
    print(f"{'processes × callers':<42} billed  booked  calls  refused  errors  seconds")
    with ExitStack() as resources:
        for run in _runs(resources):
            if arguments.only in run.name:
                limit = price * CALLS_AFFORDED
                if run.jumps:
                    limit = short * SHORT_AFFORDED * run.processes * run.callers
                _measure(run, limit, arguments.tries)


def _runs(resources: ExitStack) -> Iterator[Run]:
    directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="aden-bench-"))
    files = (f"sqlite://{directory}/{number}.db" for number in range(1000))
    sizes = ((1, 50), (4, 25))
    for shape, (processes, callers) in product(("plain", "stream", "abandoned", "mixed"), sizes):
        if processes == 1:
            yield Run(processes, callers, shape, "memory:")
        yield Run(processes, callers, shape, next(files))
    for processes, callers in sizes:
        yield Run(processes, callers, "left, fast", next(files), interval_ms=0.2)
    yield Run(4, 25, "killed", next(files))
    for shape, overrun in product(("jump", "jump plain", "retried"), ("in_flight", "never")):
        for processes, callers in sizes:
            yield Run(processes, callers, shape, next(files), overrun)
    if (redis := _redis(resources, directory)) is not None:
        for shape in ("plain", "stream", "abandoned", "killed"):
            yield Run(4, 25, shape, redis.url())


def _redis(resources: ExitStack, directory: str) -> "RedisServer | None":
    from redis_kit import RedisServer, find_server

    if find_server() is None:
        print("(no redis-server here: its rows are missing)")
        return None
    return resources.enter_context(RedisServer(Path(directory)))


def _price_of(tokens: int) -> int:
    import openai

    question = [{"role": "user", "content": f"Tell me something in {tokens} tokens."}]

    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        client.chat.completions.create(model="gpt-4o", messages=question, max_tokens=tokens)
        return server.bill.total_nano_usd


def _measure(run: Run, limit: int, tries: int) -> None:
    context = multiprocessing.get_context("spawn")
    with OpenAIServer(ttft_ms=20, token_interval_ms=run.interval_ms) as server:
        if run.shape == "retried":
            server.script(*([Normal(), Hang(3)] * 1000))
        environment = {
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "k",
            "ADEN_LEDGER": run.ledger,
        }
        results = context.SimpleQueue()
        started = time.perf_counter()
        processes = [
            context.Process(
                target=_process,
                args=(environment, run, f"{limit / 1e9:.9f}", tries, number, results),
            )
            for number in range(run.processes)
        ]
        for process in processes:
            process.start()
        killed = 1 if run.shape == "killed" else 0
        counts = [results.get() for _ in processes[killed:]]
        for process in processes:
            process.join()
        took = time.perf_counter() - started
        server.wait_idle()
        billed = server.bill.total_nano_usd
        refused, errors = (sum(count[index] for count in counts) for index in (0, 1))
        booked, calls = max(count[2] for count in counts), len(server.bill.items)
        print(
            f"{run.name:<42} {billed / limit:>6.3f} {booked / limit:>7.3f} {calls:>6}"
            f" {refused:>8} {errors:>7} {took:>8.1f}",
            flush=True,
        )


def _process(
    environment: dict[str, str],
    run: Run,
    limit_usd: str,
    tries: int,
    number: int,
    results: "multiprocessing.SimpleQueue[tuple[int, int, int]]",
) -> None:
    os.environ.update(environment)
    import aden

    budget = aden.Budget("bench", limit_usd, overrun=run.overrun)
    aden.instrument(budgets=[budget], busy_wait_ms=BUSY_WAIT_MS)
    dies = run.shape == "killed" and number == 0
    refused, errors = asyncio.run(_callers(run, tries * TRIES.get(run.shape, 1), dies=dies))
    results.put((refused, errors, _booked(budget)))
    aden.uninstrument()


def _booked(budget: object) -> int:
    """Nano-dollars that the ledger has booked, as this process sees it at its end."""
    import aden
    from aden.runtime import current_runtime

    aden.flush()
    runtime = current_runtime()
    assert runtime is not None
    assert isinstance(budget, aden.Budget)
    (balance,) = runtime.meter.ledger.balances([(budget.id, budget.span)])
    return balance.spent


async def _callers(run: Run, tries: int, *, dies: bool) -> tuple[int, int]:
    import openai

    import aden

    refused = errors = 0
    retried = run.shape == "retried"
    async with openai.AsyncOpenAI(
        max_retries=2 if retried else 0, timeout=2 if retried else None
    ) as client:

        async def caller() -> None:
            nonlocal refused, errors
            short = SHORT_AFFORDED // 2 if run.jumps else 0
            for number in range(short + tries * 3 if run.jumps else tries):
                try:
                    if run.jumps:
                        length = SHORT_TOKENS if number < short else LONG_TOKENS
                        await _call_of(client, run.shape, length)
                    else:
                        await _call(client, run.shape, leaves=run.leaves)
                        if dies:  # while the other callers' calls are open
                            os.kill(os.getpid(), signal.SIGKILL)
                except aden.RequestCancelledError:
                    refused += 1
                    await asyncio.sleep(0.05)
                except openai.OpenAIError:
                    errors += 1

        if run.leaves:
            await _call(client, "stream")
        await asyncio.gather(*(caller() for _ in range(run.callers)))
    return refused, errors


async def _call(client: object, shape: str, *, leaves: bool = False) -> None:
    import openai

    assert isinstance(client, openai.AsyncOpenAI)
    if shape in ("plain", "retried", "mixed"):
        model = random.choice(MODELS) if shape == "mixed" else "gpt-4o"  # noqa: S311
        await client.chat.completions.create(
            model=model, messages=QUESTION, max_tokens=OUTPUT_TOKENS
        )
        return
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=QUESTION, max_tokens=OUTPUT_TOKENS, stream=True
    )
    seen = 0
    async with stream:
        async for _ in stream:
            seen += 1
            if leaves and seen > LEAVE_AFTER_CHUNKS:
                break


async def _call_of(client: object, shape: str, tokens: int) -> None:
    """A call that sets no cap, and whose answer has so many tokens, half of them or twice."""
    import openai

    assert isinstance(client, openai.AsyncOpenAI)
    tokens = random.randint(tokens // 2, tokens * 3 // 2)  # noqa: S311
    question = [{"role": "user", "content": f"Tell me something in {tokens} tokens."}]
    if shape == "jump plain":
        await client.chat.completions.create(model="gpt-4o", messages=question)
        return
    async for _ in await client.chat.completions.create(
        model="gpt-4o", messages=question, stream=True
    ):
        pass


if __name__ == "__main__":
    main()
