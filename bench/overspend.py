"""How much a budget lets through when many callers share it: by the provider's own bill.

Each row is one run against the local provider: a budget that affords 80 calls, many more callers
than that, and the ratio of what the provider billed to what was budgeted. Run: make bench
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from aden.testing import Hang, Normal, OpenAIServer

CALLS_AFFORDED = 80
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
        return f"{self.processes} × {self.callers:<3} {self.shape:<11} {ledger:<6} {self.overrun}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=4, help="calls that each caller tries")
    parser.add_argument("--only", default="", help="only the rows whose name contains this")
    arguments = parser.parse_args()
    price = _price_of_one_call()
    limit = price * CALLS_AFFORDED
    print(f"a call costs {price} nano-dollars; the budget affords {CALLS_AFFORDED}")
    print(f"{'processes × callers':<40} ratio  billed  refused  errors   seconds")
    for run in _runs():
        if arguments.only in run.name:
            _measure(run, limit, arguments.tries)


def _runs() -> Iterator[Run]:
    shapes = ("plain", "stream", "abandoned")
    with tempfile.TemporaryDirectory(prefix="aden-bench-") as directory:
        for shape, (processes, callers) in product(shapes, ((1, 50), (4, 25))):
            if processes == 1:
                yield Run(processes, callers, shape, "memory:")
            yield Run(processes, callers, shape, f"sqlite://{directory}/{shape}-{processes}.db")
        for processes, callers in ((1, 50), (4, 25)):
            file = f"sqlite://{directory}/fast-{processes}.db"
            yield Run(processes, callers, "left, fast", file, interval_ms=0.2)
        for shape, overrun in product(("jump", "jump plain", "retried"), ("in_flight", "never")):
            for processes, callers in ((1, 50), (4, 25)):
                file = f"sqlite://{directory}/{shape}-{overrun}-{processes}.db".replace(" ", "-")
                yield Run(processes, callers, shape, file, overrun)


def _price_of_one_call() -> int:
    import openai

    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        client.chat.completions.create(model="gpt-4o", messages=QUESTION, max_tokens=OUTPUT_TOKENS)
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
                target=_process, args=(environment, run, f"{limit / 1e9:.9f}", tries, results)
            )
            for _ in range(run.processes)
        ]
        for process in processes:
            process.start()
        counts = [results.get() for _ in processes]
        for process in processes:
            process.join()
        took = time.perf_counter() - started
        server.wait_idle()
        billed = server.bill.total_nano_usd
        refused, errors = (sum(count[index] for count in counts) for index in (0, 1))
        print(
            f"{run.name:<40} {billed / limit:.3f}  {len(server.bill.items):>6}  {refused:>7}"
            f"  {errors:>6}  {took:>8.1f}",
            flush=True,
        )


def _process(
    environment: dict[str, str],
    run: Run,
    limit_usd: str,
    tries: int,
    results: "multiprocessing.SimpleQueue[tuple[int, int]]",
) -> None:
    os.environ.update(environment)
    import aden

    aden.instrument(budgets=[aden.Budget("bench", limit_usd, overrun=run.overrun)])
    results.put(asyncio.run(_callers(run, tries)))
    aden.uninstrument()


async def _callers(run: Run, tries: int) -> tuple[int, int]:
    import openai

    import aden

    refused = errors = 0
    retried = run.shape == "retried"
    async with openai.AsyncOpenAI(
        max_retries=2 if retried else 0, timeout=2 if retried else None
    ) as client:

        async def caller() -> None:
            nonlocal refused, errors
            jumps = run.shape.startswith("jump")
            for number in range(tries * 4 if jumps else tries):
                try:
                    if jumps:
                        await _call_of(client, run.shape, 200 if number >= tries * 3 // 2 else 20)
                    else:
                        await _call(client, run.shape)
                except aden.RequestCancelledError:
                    refused += 1
                    await asyncio.sleep(0.05)
                except openai.OpenAIError:
                    errors += 1

        await asyncio.gather(*(caller() for _ in range(run.callers)))
    return refused, errors


async def _call(client: object, shape: str) -> None:
    import openai

    assert isinstance(client, openai.AsyncOpenAI)
    if shape in ("plain", "retried"):
        await client.chat.completions.create(
            model="gpt-4o", messages=QUESTION, max_tokens=OUTPUT_TOKENS
        )
        return
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=QUESTION, max_tokens=OUTPUT_TOKENS, stream=True
    )
    seen = 0
    async with stream:
        async for _ in stream:
            seen += 1
            if shape in ("abandoned", "left, fast") and seen > LEAVE_AFTER_CHUNKS:
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
