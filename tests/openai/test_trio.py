"""An async client runs on trio as well; there too a budget and a hook have the last word."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import openai
import pytest

import aden.testing
from aden import BeforeRequestResult, Budget, RequestCancelledError, Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

trio = pytest.importorskip("trio")
REQUEST: Any = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Tell me something in 400 tokens."}],
    "max_tokens": 400,
}


@pytest.mark.parametrize("ledger", ["memory:", "sqlite:///{}/ledger.db"])
def test_an_exhausted_budget_refuses(
    ledger: str, server: OpenAIServer, instrumented: Callable[..., House], tmp_path: Any
) -> None:
    """The ledger's own waiting is asyncio's."""
    house = instrumented(budgets=[Budget("all", "0.01")], ledger=ledger.format(tmp_path))

    async def work(client: openai.AsyncOpenAI) -> None:
        for _ in range(10):
            await client.chat.completions.create(**REQUEST)

    with pytest.raises(RequestCancelledError):
        _run(server, work)
    assert house.balance().spent == server.bill.total_nano_usd <= 10_000_000


def test_a_throttled_request_waits(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """And other tasks go on."""
    instrumented(budgets=[Budget("all", "1", ladder=[Throttle(0, delay_ms=200)])])
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.sleep(0.01)
            ticks += 1

    async def work(client: openai.AsyncOpenAI) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            began = time.monotonic()
            await client.chat.completions.create(**REQUEST)
            assert time.monotonic() - began >= 0.2
            nursery.cancel_scope.cancel()

    _run(server, work)
    assert ticks >= 5


def test_an_async_hook_is_asked(server: OpenAIServer, instrumented: Callable[..., House]) -> None:
    """In a loop of asyncio's, as for a sync client."""

    async def no(_params: Any, _context: Any) -> BeforeRequestResult:
        return BeforeRequestResult.cancel("no")

    instrumented(before_request=no)

    async def work(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(RequestCancelledError):
            await client.chat.completions.create(**REQUEST)

    _run(server, work)
    assert server.bill.items == ()


def test_a_stream_that_is_cancelled_is_booked_as_cancelled(
    instrumented: Callable[..., House],
) -> None:
    """With what had been made and was not read."""
    house = instrumented()

    async def work(client: openai.AsyncOpenAI) -> None:
        with trio.move_on_after(0.5):
            async for _ in await client.chat.completions.create(**REQUEST, stream=True):
                pass

    with aden.testing.OpenAIServer(ttft_ms=1, token_interval_ms=20) as slow:
        _run(slow, work)
        assert slow.wait_idle()
        record, span = house.one_call()
    (item,) = slow.bill.items
    assert record.stream_end == "cancelled"
    assert abs((record.usage.output_tokens or 0) - item.output_tokens) <= 2
    assert (span.attributes or {})["error.type"] == "trio.Cancelled"


def _run(server: OpenAIServer, work: Callable[[openai.AsyncOpenAI], Any]) -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="k") as client:
            await work(client)

    trio.run(main)
