"""Tools that run at the provider's and are billed by the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
from wire import Body, WireServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House


def test_a_search_that_the_provider_made_is_booked(instrumented: Callable[..., House]) -> None:
    """It is billed by the search, beside the tokens."""
    house = instrumented()
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    with WireServer() as server, openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        server.body = Body.json(
            {
                "id": "resp_1",
                "object": "response",
                "model": "gpt-4o",
                "status": "completed",
                "output": [{**search, "action": {"type": "search", "query": "weather"}}],
                "usage": {"input_tokens": 1000, "output_tokens": 0},
            }
        )
        client.responses.create(model="gpt-4o", input="Hi", tools=[{"type": "web_search"}])
    record, span = house.one_call()
    assert record.cost == house.balance().spent == 2_500_000 + 10_000_000
    assert (span.attributes or {})["aden.usage.web_searches"] == 1
