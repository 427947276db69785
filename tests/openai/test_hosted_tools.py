"""Tools that run at the provider's and are billed by the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from wire import Body, WireServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

TOKENS = {"gpt-4o": 2_500_000, "gpt-5": 1_250_000}
"""Nano-dollars of a thousand of the input."""


@pytest.mark.parametrize(
    ("model", "tool", "search_nano_usd"),
    [
        ("gpt-4o", "web_search", 10_000_000),
        ("gpt-4o", "web_search_preview", 25_000_000),
        ("gpt-4o", "web_search_preview_2025_03_11", 25_000_000),
        ("gpt-5", "web_search_preview", 10_000_000),
    ],
)
def test_a_search_that_the_provider_made_is_booked(
    model: str, tool: str, search_nano_usd: int, instrumented: Callable[..., House]
) -> None:
    """It is billed by the search, beside the tokens; in preview dearer, where nothing reasons."""
    house = instrumented()
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    with WireServer() as server, openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        server.body = Body.json(
            {
                "id": "resp_1",
                "object": "response",
                "model": model,
                "status": "completed",
                "output": [{**search, "action": {"type": "search", "query": "weather"}}],
                "usage": {"input_tokens": 1000, "output_tokens": 0},
            }
        )
        tools: Any = [{"type": tool}]
        client.responses.create(model=model, input="Hi", tools=tools)
    record, span = house.one_call()
    assert record.cost == house.balance().spent == TOKENS[model] + search_nano_usd
    assert (span.attributes or {})["aden.usage.web_searches"] == 1
