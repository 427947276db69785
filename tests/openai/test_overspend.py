"""Fifty callers and one dollar: what the provider bills never exceeds the budget."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import Lane

from aden import Budget, RequestCancelledError
from aden.testing import OpenAIServer
from far_provider import far_provider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from house import House

CALLERS = 50
TRIES = 10
LIMIT = 10**9

# 13 input tokens, 64 of hidden reasoning and 36 to be seen: 6,195,000 nano-dollars, which is what
# is reserved. Of 500 tries 161 fit.
REQUEST: dict[str, Any] = {
    "model": "o1",
    "messages": [{"role": "user", "content": "Say hello in 90 tokens."}],
    "max_completion_tokens": 100,
}


async def plain(lane: Lane) -> None:
    """Wait for the whole answer."""
    await lane.create(**REQUEST)


async def stream(lane: Lane) -> None:
    """Read a stream to its end."""
    await lane.all(await lane.create(**REQUEST, stream=True))


async def abandoned(lane: Lane) -> None:
    """Hang up after three chunks."""
    answer = await lane.create(**REQUEST, stream=True)
    await lane.take(answer, 3)
    await answer.close()


async def run_callers(lane: Lane, use: Callable[[Lane], Any]) -> Counter[str]:
    """All callers at once, each trying again and again."""
    results: Counter[str] = Counter()

    async def caller() -> None:
        for _ in range(TRIES):
            try:
                await use(lane)
                results["answered"] += 1
            except RequestCancelledError as error:
                results[error.reason] += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return results


@pytest.mark.parametrize("ledger", ["memory", "sqlite"])
@pytest.mark.parametrize("use", [plain, stream, abandoned], ids=lambda use: use.__name__)
async def test_many_callers_spend_no_more_than_the_budget(
    use: Callable[[Lane], Any],
    ledger: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    tmp_path: Path,
) -> None:
    """The provider's bill stays below the limit; ours is the same, or above where it is guessed."""
    url = "memory:" if ledger == "memory" else f"sqlite://{tmp_path}/ledger.db"
    house = instrumented(budgets=[Budget("all", "1")], ledger=url)
    lane = Lane("async", server, timeout=60, default_headers={})
    results = await run_callers(lane, use)
    await lane.close()
    assert server.wait_idle(10)
    billed, spent = server.bill.total_nano_usd, house.balance().spent
    assert billed <= LIMIT
    assert 0.9 * LIMIT < spent <= LIMIT
    assert spent > billed if use is abandoned else spent == billed
    assert results["answered"] == len(server.bill.items)
    assert results["exhausted"] + results["busy"] == CALLERS * TRIES - results["answered"]
    house.settled(CALLERS * TRIES)


@pytest.mark.parametrize("interval_ms", [0.2, 5])
async def test_what_was_made_and_not_read_is_booked_with_an_abandoned_stream(
    interval_ms: float, instrumented: Callable[..., House]
) -> None:
    """A fast provider is far ahead of who hangs up; a slow one by hardly a token."""
    house = instrumented()
    request: dict[str, Any] = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Say hello in 200 tokens."}],
    }
    with far_provider(ttft_ms=5, token_interval_ms=interval_ms) as provider:
        client = openai.AsyncOpenAI(api_key="key", base_url=provider.base_url, max_retries=0)
        await client.chat.completions.create(**request)
        for pause_s in (0, 0, 0.02, 0.02):
            answer = await client.chat.completions.create(**request, stream=True)
            for _ in range(5):
                await anext(answer)
            await asyncio.sleep(pause_s)
            await answer.close()
        items = provider.end()
        await client.close()
    records = {record.response_id: record for record in house.settled(5)}
    for item in items[1:]:
        booked = records[item.response_id].usage.output_tokens or 0
        assert item.output_tokens - 2 <= booked <= item.output_tokens * 1.5 + 8
