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


@pytest.mark.parametrize(
    ("named", "image_nano_usd"),
    [
        ({"model": "gpt-image-1.5"}, 1000 * 5_000 + 4000 * 32_000),
        ({"model": "gpt-image-99"}, 250_000_000),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_image_that_the_model_had_made_is_booked(
    stream: bool, named: Any, image_nano_usd: int, instrumented: Callable[..., House]
) -> None:
    """By its own model's tokens, which the answer's usage is without; else as a dear image."""
    house = instrumented()
    used = {
        "input_tokens": 1000,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 1000},
        "output_tokens": 4000,
        "total_tokens": 5000,
    }
    response = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-4o",
        "status": "completed",
        "output": [{"type": "image_generation_call", "id": "ig_1", "status": "completed"}],
        "tools": [{"type": "image_generation", **named}],
        "usage": {"input_tokens": 1000, "output_tokens": 0},
        "tool_usage": {"image_gen": used, "web_search": {"num_requests": 0}},
    }
    tools: Any = [{"type": "image_generation"}]
    with WireServer() as server, openai.OpenAI(base_url=server.base_url, api_key="k") as client:
        if stream:
            server.body = Body.events({"type": "response.completed", "response": response})
        else:
            server.body = Body.json(response)
        answer: Any = client.responses.create(
            model="gpt-4o", input="Draw", tools=tools, stream=stream
        )
        if stream:
            list(answer)
    record, _ = house.one_call()
    assert record.cost == house.balance().spent == TOKENS["gpt-4o"] + image_nano_usd
    assert (record.usage.input_tokens, record.usage.output_tokens) == (1000, 0)
