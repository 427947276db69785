"""How much a budget lets through when many callers share it: by the provider's own bill.

Each row is one run against the local provider: a budget that affords 80 calls, many more callers
than that, and the ratio of what the provider billed to what was budgeted. Run: make bench
"""

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from aden.testing import OpenAIServer

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

    @property
    def name(self) -> str:
        return f"{self.processes} × {self.callers:<3} {self.shape:<9} {self.ledger.split(':')[0]}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=4, help="calls that each caller tries")
    arguments = parser.parse_args()
    price = _price_of_one_call()
    limit = price * CALLS_AFFORDED
    print(f"a call costs {price} nano-dollars; the budget affords {CALLS_AFFORDED}")
    print(f"{'processes × callers':<34} ratio  billed  refused  errors   seconds")
    for run in _runs():
        _measure(run, limit, arguments.tries)


def _runs() -> Iterator[Run]:
    shapes = ("plain", "stream", "abandoned")
    with tempfile.TemporaryDirectory(prefix="aden-bench-") as directory:
        for shape, (processes, callers) in product(shapes, ((1, 50), (4, 25))):
            if processes == 1:
                yield Run(processes, callers, shape, "memory:")
            yield Run(processes, callers, shape, f"sqlite://{directory}/{shape}-{processes}.db")


def _price_of_one_call() -> int:
    import openai

    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="k")
        client.chat.completions.create(model="gpt-4o", messages=QUESTION, max_tokens=OUTPUT_TOKENS)
        return server.bill.total_nano_usd


def _measure(run: Run, limit: int, tries: int) -> None:
    context = multiprocessing.get_context("spawn")
    with OpenAIServer(ttft_ms=20, token_interval_ms=5) as server:
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
            f"{run.name:<34} {billed / limit:.3f}  {len(server.bill.items):>6}  {refused:>7}"
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

    aden.instrument(budgets=[aden.Budget("bench", limit_usd)])
    results.put(asyncio.run(_callers(run, tries)))
    aden.uninstrument()


async def _callers(run: Run, tries: int) -> tuple[int, int]:
    import openai

    import aden

    refused = errors = 0
    async with openai.AsyncOpenAI(max_retries=0) as client:

        async def caller() -> None:
            nonlocal refused, errors
            for _ in range(tries):
                try:
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
    if shape == "plain":
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
            if shape == "abandoned" and seen > LEAVE_AFTER_CHUNKS:
                break


if __name__ == "__main__":
    main()
