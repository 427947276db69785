"""What no typed wrapper has in hand is gated at the client's own request method, exactly once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import pytest
from lanes import Lane
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.responses import AsyncResponses, Responses
from shapes import ASKED, REQUEST, STREAM, seen

import aden
from aden import Budget, RequestCancelledError
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

KINDS = ("sync", "async")
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said about endpoints of unknown price."""
    return [each.getMessage() for each in caplog.records if "is not known" in each.getMessage()]


@pytest.mark.parametrize("kind", ["sync", "async", "azure", "async azure"])
@pytest.mark.parametrize("request_", [REQUEST, STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize("how", ["raw", "bound", "streaming", "post"])
async def test_what_was_taken_before_instrument_is_metered_as_if_it_had_not_been(
    kind: str,
    how: str,
    request_: dict[str, Any],
    server: OpenAIServer,
    instrumented: Callable[..., House],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bound methods, cached raw wrappers and ``client.post`` are gated, read and priced."""
    lane = Lane(kind, server)
    streams = bool(request_.get("stream"))
    if streams and how == "streaming":  # the caller sees each byte, so nobody asks for him
        request_ = ASKED
    create = lane.chat.create
    raw = lane.chat.with_raw_response
    streaming = lane.chat.with_streaming_response
    house = instrumented()
    if how == "raw":
        value = (await lane.get(raw.create(**request_))).parse()
    elif how == "bound":
        value = await lane.get(create(**request_))
    elif how == "post":
        cls: Any = openai.AsyncStream if lane.is_async else openai.Stream
        value = await lane.get(
            lane.client.post(
                "/chat/completions",
                cast_to=openai.types.chat.ChatCompletionChunk
                if streams
                else openai.types.chat.ChatCompletion,
                body=request_,
                stream=streams,
                stream_cls=cls[openai.types.chat.ChatCompletionChunk] if streams else None,
            )
        )
    else:
        async with lane.within(streaming.create(**request_)) as response:
            value = await lane.get(response.parse())
            if streams:
                value = await lane.all(value)
    if streams and how != "streaming":
        value = await lane.all(value)
    await lane.close()
    assert value
    record, span = house.one_call()
    (item,) = server.bill.items
    assert (record.usage.output_tokens, record.usage.input_tokens) == (12, item.input_tokens)
    assert record.cost == house.balance().spent == item.nano_usd
    assert record.stream_end == ("complete" if streams else None)
    assert span.name == "chat gpt-4o"
    assert not warnings(caplog)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cast", ["dict", "response"])
async def test_an_unlisted_endpoint_is_one_call_booked_by_the_usage_that_it_tells(
    kind: str,
    cast: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The warning names it once, however often it is used."""
    server.serve("/v1/rerank", {"id": "r1", "model": "gpt-4o", "usage": USAGE})
    lane = Lane(kind, server)
    cast_to: Any = dict[str, Any] if cast == "dict" else httpx2.Response
    bare = await lane.get(lane.client.post("/rerank", cast_to=cast_to, body={"model": "gpt-4o"}))
    house = instrumented()
    ours = await lane.get(lane.client.post("/rerank", cast_to=cast_to, body={"model": "gpt-4o"}))
    await lane.get(lane.client.post("/rerank", cast_to=cast_to, body={"model": "gpt-4o"}))
    await lane.close()
    assert type(ours) is type(bare)
    assert cast == "response" or ours == bare
    records = house.settled(2)
    assert [each.cost for each in records] == [11 * 2_500 + 7 * 10_000] * 2
    assert not records[0].usage.estimated
    assert {span.name for span in house.spans} == {"POST /rerank gpt-4o"}
    (said,) = warnings(caplog)
    assert "POST /rerank" in said


@pytest.mark.parametrize("kind", KINDS)
async def test_an_endpoint_that_tells_no_usage_costs_what_was_reserved_at_the_dearest_rates(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Unknown is not zero."""
    server.serve("/v1/videos", {"id": "video_1", "object": "video"})
    lane = Lane(kind, server)
    house = instrumented()
    await lane.get(lane.client.post("/videos", cast_to=object, body={"prompt": "a cat"}))
    await lane.close()
    record, _ = house.one_call()
    assert record.usage.estimated
    assert record.price_source == "floor"
    assert record.cost == house.balance().spent > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["gpt-4o", "nobody-knows"])
async def test_a_budget_that_refuses_unknown_prices_refuses_unlisted_endpoints_of_any_model(
    kind: str, model: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nothing is sent, and the refusal is the SDK's own kind of error."""
    lane = Lane(kind, server)
    house = instrumented(budgets=[aden.Budget("all", "1", unknown_price="refuse")])
    with pytest.raises(aden.RequestCancelledError) as refused:
        await lane.get(lane.client.post("/foo", cast_to=object, body={"model": model}))
    await lane.close()
    assert isinstance(refused.value, openai.APIStatusError)
    assert refused.value.reason == "unpriced"
    assert server.requests == ()
    (record,) = house.settled()
    assert (record.attempts, record.cost) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_exhausted_budget_refuses_what_bills_and_lets_pass_what_is_free(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """GETs, DELETEs and free endpoints pass the gate untouched: no call, no span."""
    server.serve("/v1/moderations", {"id": "m", "model": "omni", "results": []})
    server.serve("/v1/vector_stores", {"id": "vs_1", "object": "vector_store"})
    server.serve("/v1/files/f1", {"id": "f1", "deleted": True, "object": "file"})
    lane = Lane(kind, server)
    house = instrumented(budgets=[aden.Budget("all", "0")])
    await lane.get(lane.client.moderations.create(input="hello"))
    await lane.get(lane.client.vector_stores.create(name="x"))
    await lane.get(lane.client.files.delete("f1"))
    await lane.all(lane.client.models.list())
    assert len(server.requests) == 4
    assert house.settled(0) == ()
    assert house.spans == ()
    with pytest.raises(aden.RequestCancelledError):
        await lane.get(lane.client.post("/foo", cast_to=object, body={}))
    await lane.close()
    assert len(server.requests) == 4


@pytest.mark.parametrize("kind", KINDS)
async def test_a_degrade_reaches_a_request_that_the_backstop_holds(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The wire copy changes; the caller's body does not."""
    house = instrumented(
        before_request=lambda _params, _context: aden.BeforeRequestResult.degrade("gpt-4o-mini")
    )
    lane = Lane(kind, server)
    body = {**REQUEST, "metadata": {"tenant_id": "t1"}}
    before = dict(body)
    answer = await lane.get(
        lane.client.post("/chat/completions", cast_to=openai.types.chat.ChatCompletion, body=body)
    )
    await lane.close()
    assert body == before
    assert seen(answer)[1]["model"] == "gpt-4o-mini-2024-07-18"
    record, span = house.one_call()
    assert (record.model, record.asked_model) == ("gpt-4o-mini", "gpt-4o")
    assert span.name == "chat gpt-4o-mini"
    assert record.attribution.tenant_id == "t1"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("degraded", [False, True])
async def test_a_body_that_is_sent_as_bytes_is_read_where_it_is_json(
    kind: str, *, degraded: bool, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It is sent as the very same bytes, unless another model is to answer."""
    answer = aden.BeforeRequestResult
    result = answer.degrade("gpt-4o-mini") if degraded else answer.proceed()
    house = instrumented(before_request=lambda _params, _context: result)
    lane = Lane(kind, server)
    content = b" " + json.dumps(REQUEST).encode()
    cast_to: Any = openai.types.chat.ChatCompletion
    how: Any = {"content": content, "options": {"headers": {"content-type": "application/json"}}}
    await lane.get(lane.client.post("/chat/completions", cast_to=cast_to, **how))
    await lane.close()
    (request,) = server.requests
    record, _ = house.one_call()
    (item,) = server.bill.items
    assert (request.headers["content-length"] == str(len(content))) is not degraded
    assert record.model == ("gpt-4o-mini" if degraded else "gpt-4o")
    assert record.cost == item.nano_usd


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]", b'{"model": 7'])
async def test_a_body_that_is_sent_as_other_bytes_reaches_the_server_as_it_is(
    kind: str, content: bytes, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What is no JSON object tells nothing; it is gated all the same."""
    server.serve("/v1/foo", {"ok": True})
    house = instrumented()
    lane = Lane(kind, server)
    assert await lane.get(lane.client.post("/foo", cast_to=object, content=content)) == {"ok": True}
    await lane.close()
    (request,) = server.requests
    assert request.headers["content-length"] == str(len(content))
    house.one_call()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [None, [1, 2], {"model": 7}, {"model": "ü" * 10_000}, {"self": 1, "meter": 2}, {1: 2}],
    ids=["none", "list", "number", "10 kB", "clash", "number key"],
)
async def test_odd_bodies_reach_the_server_as_they_are(
    kind: str, body: Any, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What cannot be described is gated all the same, and sent unchanged."""
    server.serve("/v1/foo", {"ok": True})
    lane = Lane(kind, server)
    bare = await lane.get(lane.client.post("/foo", cast_to=object, body=body))
    house = instrumented()
    assert await lane.get(lane.client.post("/foo", cast_to=object, body=body)) == bare
    await lane.close()
    first, second = server.requests
    assert first.body == second.body
    house.one_call()


async def test_a_client_whose_request_is_overridden_is_gated_once(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The subclass calls the SDK's own in the end."""

    class Client(openai.OpenAI):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **kwargs)

    house = instrumented()
    client = Client(api_key="key", base_url=server.base_url, max_retries=0)
    client.chat.completions.create(**REQUEST)
    client.post("/chat/completions", cast_to=object, body=REQUEST)
    client.close()
    records = house.settled(2)
    assert [each.cost for each in records] == [each.nano_usd for each in server.bill.items]


ASK = {"model": "gpt-4o", "input": "Say hello in 12 tokens."}
UNBOUND: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "chat": (Completions, AsyncCompletions, REQUEST),
    "chat stream": (Completions, AsyncCompletions, STREAM),
    "responses": (Responses, AsyncResponses, ASK),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("shape", UNBOUND)
async def test_a_method_of_the_class_is_gated_too(
    shape: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``Completions.create(client.chat.completions, …)``, taken before ``instrument`` or after."""
    sync, not_sync, asked = UNBOUND[shape]
    owner = not_sync if kind == "async" else sync
    before = owner.create
    house = instrumented()
    lane = Lane(kind, server)
    resource = lane.responses if shape == "responses" else lane.chat
    for create in (before, owner.create):
        answer = await lane.get(create(resource, **asked))
        if "stream" in asked:
            await lane.all(answer)
    records = house.settled(2)
    assert [each.cost for each in records] == [item.nano_usd for item in server.bill.items]
    aden.uninstrument()
    house = instrumented(budgets=[Budget("none", 0)])
    for create in (before, owner.create):
        with pytest.raises(RequestCancelledError):
            await lane.get(create(resource, **asked))
    await lane.close()
    assert len(server.bill.items) == 2
    house.settled(2)
