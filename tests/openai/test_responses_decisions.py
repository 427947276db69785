"""What budgets and hooks decide about Responses API calls, in each way to make them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import KINDS, Lane
from response_shapes import REQUEST, City

from aden import BeforeRequestResult, Budget, RequestCancelledError
from aden.testing import Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aden.testing import OpenAIServer
    from house import House


async def create(lane: Lane) -> Any:
    """The whole answer."""
    return await lane.get(lane.responses.create(**REQUEST))


async def stream(lane: Lane) -> Any:
    """A stream, not read."""
    return await lane.get(lane.responses.create(**REQUEST, stream=True))


async def parse(lane: Lane) -> Any:
    """Into a pydantic model."""
    return await lane.get(lane.responses.parse(**REQUEST, text_format=City))


async def helper(lane: Lane) -> Any:
    """``stream()``, entered."""
    async with lane.within(lane.responses.stream(**REQUEST)) as entered:
        return await lane.get(entered.until_done())


async def raw(lane: Lane) -> Any:
    """``with_raw_response``."""
    return await lane.get(lane.responses.with_raw_response.create(**REQUEST))


every_client = pytest.mark.parametrize("kind", KINDS)
every_use = pytest.mark.parametrize("use", [create, stream, parse, helper, raw])


@every_client
@every_use
async def test_a_refusal_is_raised_at_the_call_and_nothing_is_sent(
    use: Callable[[Lane], Awaitable[Any]],
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """A stream is refused before its first event; the error is one of openai's too."""
    house = instrumented(budgets=[Budget("all", "0")])
    lane = Lane(kind, server)
    with pytest.raises(RequestCancelledError) as refused:
        await use(lane)
    await lane.close()
    assert isinstance(refused.value, openai.APIStatusError)
    assert refused.value.reason == "exhausted"
    assert not server.requests
    record, _ = house.one_call()
    assert (record.attempts, record.cost) == (0, 0)


@every_client
@every_use
async def test_a_degraded_call_sends_names_and_prices_the_cheaper_model(
    use: Callable[[Lane], Awaitable[Any]],
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """The asked model stays on record."""
    answer = BeforeRequestResult.degrade(to_model="gpt-4o-mini", reason="test")
    house = instrumented(before_request=lambda *_: answer)
    lane = Lane(kind, server)
    answered = await use(lane)
    if use is stream:
        await lane.all(answered)
    await lane.close()
    record, span = house.one_call()
    assert (server.requests[0].body or {})["model"] == "gpt-4o-mini"
    assert (record.asked_model, record.model) == ("gpt-4o", "gpt-4o-mini")
    assert span.name == "chat gpt-4o-mini"
    assert record.cost == server.bill.items[0].nano_usd


async def test_where_the_provider_does_not_take_the_cheaper_model_the_asked_one_is_sent(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Once."""
    server.script(Status(400, message="The model 'gpt-4o-mini' does not take this."))
    answer = BeforeRequestResult.degrade(to_model="gpt-4o-mini", reason="test")
    house = instrumented(before_request=lambda *_: answer)
    await create(Lane("sync", server))
    record, _ = house.one_call()
    assert [(each.body or {})["model"] for each in server.requests] == ["gpt-4o-mini", "gpt-4o"]
    assert (record.model, record.attempts) == ("gpt-4o", 2)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_throttled_call_waits_before_it_is_sent(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """By what the hook says."""
    house = instrumented(before_request=lambda *_: BeforeRequestResult.throttle(delay_ms=120))
    lane = Lane(kind, server)
    began = time.monotonic()
    await create(lane)
    assert time.monotonic() - began >= 0.12
    assert house.one_call()[0].decision.delay_ms == 120
    await lane.close()


async def test_a_reasoning_effort_keeps_the_model_that_takes_one(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """gpt-4o-mini does not reason: the degrade is skipped."""
    answer = BeforeRequestResult.degrade(to_model="gpt-4o-mini", reason="test")
    house = instrumented(before_request=lambda *_: answer)
    lane = Lane("sync", server)
    lane.responses.create(**REQUEST | {"model": "o1", "reasoning": {"effort": "low"}})
    assert house.one_call()[0].model == "o1"
    await lane.close()


async def test_metadata_that_the_provider_would_refuse_stays_at_home(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It attributes the call, and is not sent."""
    house = instrumented()
    lane = Lane("sync", server)
    extra = {"metadata": {"agent": "bot", "nested": {"a": 1}}}
    lane.responses.create(**REQUEST, extra_body=extra)
    assert house.one_call()[0].attribution.agent == "bot"
    assert (server.requests[0].body or {})["metadata"] == {"agent": "bot"}
    assert extra == {"metadata": {"agent": "bot", "nested": {"a": 1}}}
    await lane.close()


ONLY_RESPONSES = """
import sys, openai, aden
aden.instrument(budgets=[aden.Budget("all", "0")], ledger="memory:")
client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="key", max_retries=0)
try:
    client.responses.create(model="gpt-4o", input="Hello")
except Exception as error:
    print(type(error).__name__)
print("openai.resources.chat.completions.completions" in sys.modules)
"""


def test_a_program_that_never_touches_chat_is_gated_too() -> None:
    """The SDK imports each of its parts when it is first used."""
    said = subprocess.run(
        [sys.executable, "-c", ONLY_RESPONSES],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "OTEL_SDK_DISABLED": "true"},
    )
    assert said.stdout.split()[-2:] == ["OpenAIRequestCancelledError", "False"]
