"""The plugins around OpenAI's APIs: Responses by WebSocket and by HTTP, LiveKit's own gateway."""

from collections.abc import Callable
from typing import Any

import pytest
from lane_kit import Lane, held, spent
from livekit.agents import Agent, APIConnectionError, APIConnectOptions, inference, llm
from livekit.agents.utils import http_context
from livekit.plugins import openai
from openai import AsyncOpenAI
from test_heard import call

from aden import Budget, Degrade, RequestCancelledError
from aden.testing import OpenAIServer

KEY = "sk-test"


def by_socket(provider: OpenAIServer) -> Any:
    """The Responses API as the plugin speaks it by default."""
    url = f"{provider.websocket_base_url}/responses"
    return openai.responses.LLM(model="gpt-4o", base_url=url, api_key=KEY)


def by_http(provider: OpenAIServer) -> Any:
    """The Responses API by the SDK."""
    return openai.responses.LLM(
        model="gpt-4o", base_url=provider.base_url, api_key=KEY, use_websocket=False
    )


def by_gateway(provider: OpenAIServer) -> Any:
    """LiveKit Inference."""
    return inference.LLM(
        model="openai/gpt-4o", base_url=provider.base_url, api_key="key", api_secret="s" * 32
    )


@pytest.mark.parametrize("make", [by_socket, by_http, by_gateway])
async def test_a_turn_is_gated_degraded_refused_and_booked(
    lane: Lane, provider: OpenAIServer, make: Callable[[OpenAIServer], Any]
) -> None:
    """Exactly as the provider counts it, once, whatever the wire."""
    prefix = "openai/" if make is by_gateway else ""
    budget = Budget("calls", "0.03", ladder=[Degrade(1, f"{prefix}gpt-4o-mini")])
    with lane.instrumented(budgets=[budget]):
        async with http_context.open(), lane.session(llm=make(provider)) as session:
            for _ in range(2):
                await session.run(user_input="When is breakfast?")
            assert provider.wait_idle()
            counted = {row.model: row.output_tokens for row in session.usage.model_usage}
        records, bill = lane.records, provider.bill.items
        assert [record.model for record in records] == [f"{prefix}gpt-4o", f"{prefix}gpt-4o-mini"]
        assert [item.model for item in bill] == [record.model for record in records]
        tokens = [(record.usage.input_tokens, record.usage.output_tokens) for record in records]
        assert tokens == [(item.input_tokens, item.output_tokens) for item in bill]
        assert counted == {item.model: item.output_tokens for item in bill}
        assert not any(record.usage.estimated for record in records)
        assert all(record.attempts == 1 for record in records)
        if make is not by_gateway:
            assert [record.cost for record in records] == [item.nano_usd for item in bill]
        assert (spent(lane, budget), held(lane, budget)) == (sum(r.cost for r in records), 0)
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with http_context.open(), lane.session(llm=make(provider)) as session:
            with pytest.raises(RequestCancelledError):
                await session.run(user_input="When is breakfast?")
    assert len(provider.bill.items) == 2


async def test_a_plugin_that_cannot_send_costs_nothing(lane: Lane, provider: OpenAIServer) -> None:
    """Outside of a job this one has no HTTP session to use."""
    question = llm.ChatContext.empty()
    question.add_message(role="user", content="When is breakfast?")
    retries = APIConnectOptions(max_retry=1, retry_interval=0.0)
    with lane.instrumented(budgets=[Budget("calls", "1")]):
        stream = by_socket(provider).chat(chat_ctx=question, conn_options=retries)
        with pytest.raises(APIConnectionError, match="after 2 attempts"):
            await stream.collect()
        (record,) = lane.records
    assert (record.cost, record.attempts) == (0, 2)


class OwnSDK(Agent):
    """An agent whose ``llm_node`` asks an SDK itself."""

    def __init__(self, provider: OpenAIServer) -> None:
        super().__init__(instructions="You are brief.")
        self._client = AsyncOpenAI(base_url=provider.base_url, api_key=KEY)

    async def llm_node(self, *_: Any) -> str:
        """Ask."""
        answer = await self._client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}]
        )
        return answer.choices[0].message.content or ""


async def test_an_llm_node_that_asks_an_sdk_is_shown_by_one_span(
    lane: Lane, provider: OpenAIServer
) -> None:
    """Ours, below LiveKit's node, which would else be an inference as well."""
    with lane.instrumented(budgets=[Budget("calls", "1")]):
        async with call(lane, OwnSDK(provider)) as line:
            await line.session.run(user_input="Hello")
        (record,) = (each for each in lane.records if each.model == "gpt-4o")
        assert record.cost == provider.bill.total_nano_usd
    inferences = [
        span.name
        for span in lane.spans()
        if (span.attributes or {}).get("gen_ai.operation.name") == "chat"
    ]
    assert inferences == ["chat gpt-4o"]
