"""The local server, seen through the real SDK over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import openai
import pytest

from aden.testing import (
    BillItem,
    Drop,
    ErrorEvent,
    Hang,
    NoUsage,
    OpenAIServer,
    Reason,
    Status,
    Usage,
)
from aden.testing.bill import nano_usd, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletion, ChatCompletionChunk

LONG = "Be kind and brief to whoever calls, and never promise a date. " * 120
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "book_visit",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "slot": {"enum": ["am", "pm"]},
                "guests": {"type": "integer"},
            },
        },
    },
}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """Start a server that is fast and leaves no thread behind."""
    before = set(threading.enumerate())
    with OpenAIServer(ttft_ms=1, token_interval_ms=0) as running:
        yield running
    assert set(threading.enumerate()) <= before


@pytest.fixture
def slow() -> Iterator[OpenAIServer]:
    """Start a server that says a token every 10 ms."""
    with OpenAIServer(ttft_ms=20, token_interval_ms=10) as running:
        yield running


def client_of(server: OpenAIServer, **options: Any) -> openai.OpenAI:
    """Return a client of *server* that does not retry."""
    return openai.OpenAI(
        api_key="sk-secret", base_url=server.base_url, **{"max_retries": 0, **options}
    )


def ask(server: OpenAIServer, text: str = "Hello", **body: Any) -> ChatCompletion:
    """Ask for a plain answer."""
    message: Any = {"role": "user", "content": text}
    with client_of(server) as client:
        answer: ChatCompletion = client.chat.completions.create(
            **{"model": "gpt-4o", "messages": [message], **body}
        )
        return answer


def stream(server: OpenAIServer, text: str = "Hello", **body: Any) -> list[ChatCompletionChunk]:
    """Ask for a streamed answer and read it to its end."""
    with client_of(server) as client:
        return list(
            client.chat.completions.create(
                model=body.pop("model", "gpt-4o"),
                messages=[{"role": "user", "content": text}],
                stream=True,
                **body,
            )
        )


def deltas(chunks: list[ChatCompletionChunk]) -> list[str]:
    """Return the text of every delta that has any."""
    return [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]


def only_item(server: OpenAIServer) -> BillItem:
    """Return the one item of the bill."""
    assert server.wait_idle()
    (item,) = server.bill.items
    return item


def raw(url: str, data: bytes | None = None) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Send bytes as they are and return status, body and headers."""
    try:
        with urllib.request.urlopen(url, data, timeout=5) as response:
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal), dict(refusal.headers)


def test_a_plain_answer_has_every_field_that_openai_sends(server: OpenAIServer) -> None:
    """The response is OpenAI's, field by field, and its usage is the bill's."""
    answer = ask(server, "Hello there", metadata={"tenant": "acme"})
    item = only_item(server)
    assert answer.to_dict() == {
        "id": answer.id,
        "object": "chat.completion",
        "created": int(item.at),
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": answer.choices[0].message.content,
                    "refusal": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": item.usage(),
        "service_tier": "default",
        "system_fingerprint": answer.system_fingerprint,
    }
    assert answer.id.startswith("chatcmpl-")
    assert item.completed
    assert item.reported
    assert item is server.bill.by_request(answer._request_id or "")
    assert (item.attempt, item.metadata, item.model) == (0, {"tenant": "acme"}, "gpt-4o")


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Explain in one sentence.", 18, 32),
        ("Explain in detail.", 380, 420),
        ("Explain.", 45, 75),
        ("Explain in 120 tokens.", 120, 120),
        ("Explain in 1 token.", 1, 1),
    ],
)
def test_the_question_decides_how_long_the_answer_is(
    server: OpenAIServer, text: str, least: int, most: int
) -> None:
    """The words that make up an answer are counted as they are billed, and never vary."""
    answer = ask(server, text)
    content = answer.choices[0].message.content or ""
    assert least <= len(tokenize(content)) <= most
    assert len(tokenize(content)) == only_item(server).output_tokens
    assert ask(server, text).choices[0].message.content == content


def test_a_stream_sends_one_delta_for_each_billed_token(server: OpenAIServer) -> None:
    """The role comes first and empty, the end last, and between them one token a delta."""
    chunks = stream(server)
    item = only_item(server)
    assert chunks[0].choices[0].delta.to_dict() == {
        "role": "assistant",
        "content": "",
        "refusal": None,
    }
    assert len(deltas(chunks)) == item.output_tokens == len(chunks) - 2
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all("usage" not in chunk.to_dict() for chunk in chunks)
    assert item.completed
    assert not item.reported


def test_a_stream_reports_usage_only_if_asked_to(server: OpenAIServer) -> None:
    """With include_usage the last chunk has no choice but the usage, the others a null."""
    *chunks, last = stream(server, stream_options={"include_usage": True})
    item = only_item(server)
    assert all(chunk.to_dict()["usage"] is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.to_dict() == item.usage()
    assert item.reported


async def test_the_async_client_reads_the_same_answers(server: OpenAIServer) -> None:
    """Plain and streamed, the async SDK gets the words that the sync one gets."""
    async with openai.AsyncOpenAI(api_key="sk-secret", base_url=server.base_url) as client:
        plain = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}]
        )
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
        ]
    assert "".join(deltas(chunks)) == plain.choices[0].message.content
    assert len(server.bill.items) == 2


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_an_output_limit_cuts_the_answer(server: OpenAIServer, limit: str) -> None:
    """Either parameter ends the answer with the finish reason `length`."""
    answer = ask(server, "in detail", **{limit: 7})
    assert answer.choices[0].finish_reason == "length"
    assert only_item(server).output_tokens == 7
    assert deltas(stream(server, "in detail", **{limit: 7})) == tokenize(
        answer.choices[0].message.content or ""
    )


def test_every_one_of_n_choices_is_billed(server: OpenAIServer) -> None:
    """Three choices, plain or streamed, cost three answers."""
    answer = ask(server, "in 10 tokens", n=3)
    chunks = stream(server, "in 10 tokens", n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(chunks) == 3 + 30 + 3
    assert [item.output_tokens for item in server.bill.items] == [30, 30]


def test_a_reasoning_model_spends_tokens_that_no_one_sees(server: OpenAIServer) -> None:
    """Hidden tokens count as completion tokens and towards the request's limit."""
    stream(server, "in 10 tokens", model="o1")
    stream(server, "in 10 tokens", model="o1", max_completion_tokens=66)
    server.script(Reason(tokens=500))
    ask(server, "in 10 tokens")
    spent = [(item.output_tokens, item.reasoning_tokens) for item in server.bill.items]
    assert spent == [(74, 64), (66, 64), (510, 500)]


def test_a_long_prompt_is_cached_when_it_comes_again(server: OpenAIServer) -> None:
    """The second prompt reads whole steps of 128 tokens from the cache of its own model."""
    system: Any = {"role": "system", "content": LONG}
    for model, text in [("gpt-4o", "a"), ("gpt-4o", "b"), ("gpt-4o-mini", "a"), ("gpt-4o", "a")]:
        ask(server, model=model, messages=[system, {"role": "user", "content": text}])
    first, second, other, _ = server.bill.items
    assert first.cached_tokens == other.cached_tokens == 0
    assert second.cached_tokens >= 1024
    assert second.cached_tokens % 128 == 0
    assert 0 <= second.input_tokens - second.cached_tokens < 128 + 20
    assert second.nano_usd == (
        (second.input_tokens - second.cached_tokens) * 2_500
        + second.cached_tokens * 1_250
        + second.output_tokens * 10_000
    )


def test_a_short_prompt_is_never_cached(server: OpenAIServer) -> None:
    """Below 1,024 tokens nothing is cached, however often it comes."""
    assert [ask(server, "short").usage, ask(server, "short").usage][1] is not None
    assert [item.cached_tokens for item in server.bill.items] == [0, 0]


def test_the_bill_is_the_sum_that_a_hand_would_write(server: OpenAIServer) -> None:
    """Tokens times list price, to the nano-dollar; a model without a price adds nothing."""
    # 3 for the request, 4 for the message, and: "Say| it| in| 100| tokens"
    ask(server, "Say it in 100 tokens", model="gpt-4o-2024-08-06")
    ask(server, "Say it in 100 tokens", model="gpt-4o-mini")
    ask(server, "Say it in 100 tokens", model="gpt-4.1")
    ask(server, "Say it in 100 tokens", model="gpt-4.1-mini")
    ask(server, "Say it in 100 tokens", model="o1")
    ask(server, "Say it in 100 tokens", model="someone-elses")
    assert [item.input_tokens for item in server.bill.items] == [12] * 6
    assert [item.nano_usd for item in server.bill.items] == [
        1_030_000,
        61_800,
        824_000,
        164_800,
        10_020_000,
        None,
    ]
    assert server.bill.total_nano_usd == 12_100_600
    assert server.bill.by_model()["o1"].total_nano_usd == 10_020_000


def test_a_client_that_leaves_pays_for_what_it_could_have_seen(slow: OpenAIServer) -> None:
    """A break in mid-stream is billed to within two tokens."""
    seen = 0
    with client_of(slow) as client:
        chunks = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "in detail"}], stream=True
        )
        for chunk in chunks:
            seen += bool(chunk.choices[0].delta.content)
            if seen == 12:
                break
        chunks.close()
    item = only_item(slow)
    assert seen <= item.output_tokens <= seen + 2
    assert not item.completed
    assert item.nano_usd == nano_usd("gpt-4o", item.input_tokens, 0, item.output_tokens)


async def test_a_cancelled_task_pays_for_what_it_could_have_seen(slow: OpenAIServer) -> None:
    """Cancelling the reader of a stream ends the generation as well."""
    seen = 0

    async def read() -> None:
        nonlocal seen
        async with openai.AsyncOpenAI(api_key="sk-secret", base_url=slow.base_url) as client:
            chunks = await client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "in detail"}], stream=True
            )
            async for chunk in chunks:
                seen += bool(chunk.choices[0].delta.content)

    task = asyncio.create_task(read())
    async with asyncio.timeout(20):
        while not seen:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert seen <= only_item(slow).output_tokens <= seen + 8


def test_a_client_that_times_out_pays_for_the_whole_answer(slow: OpenAIServer) -> None:
    """What a plain request generated is billed though nobody waited for it."""
    with client_of(slow, timeout=0.1) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "in 100 tokens"}]
        )
    item = only_item(slow)
    assert (item.output_tokens, item.completed, item.reported) == (100, False, False)


def test_a_status_refuses_and_bills_nothing(server: OpenAIServer) -> None:
    """The SDK raises its own error, with the code and the hint when to come back."""
    server.script(Status(429, retry_after_s=0.25, message="Slow down.", code_name="slow_down"))
    with pytest.raises(openai.RateLimitError, match=r"Slow down\.") as caught:
        ask(server)
    assert caught.value.code == "slow_down"
    assert caught.value.response.headers["retry-after"] == "0.25"
    assert caught.value.response.headers["retry-after-ms"] == "250"
    assert caught.value.request_id
    assert server.bill.items == ()


def test_a_retry_is_a_request_of_its_own(server: OpenAIServer) -> None:
    """The SDK's second attempt is billed under its own id and number."""
    server.script(Drop(after_tokens=9), Status(500, retry_after_s=0))
    with client_of(server, max_retries=2) as client:
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "in 20 tokens"}]
        )
    assert [(i.attempt, i.output_tokens, i.completed) for i in server.bill.items] == [
        (0, 9, False),
        (2, 20, True),
    ]
    assert len(server.requests) == 3


def test_a_hanging_request_is_billed_before_it_is_answered(server: OpenAIServer) -> None:
    """Who gives up waiting pays the whole answer; who waits gets it."""
    server.script(Hang(5), Hang(0.2))
    with client_of(server, timeout=0.1) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "in 30 tokens"}], stream=True
        )
    item = only_item(server)
    assert (item.output_tokens, item.completed, item.reported) == (30, False, False)
    begun = time.monotonic()
    assert ask(server).usage is not None
    assert time.monotonic() - begun >= 0.2


def test_a_dropped_stream_is_billed_to_the_token(server: OpenAIServer) -> None:
    """The connection breaks after the tokens that were asked for, and they are billed."""
    server.script(Drop(after_tokens=5))
    seen: list[ChatCompletionChunk] = []
    with client_of(server) as client:
        chunks = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        with pytest.raises(openai.APIConnectionError):
            seen.extend(chunks)
    item = only_item(server)
    assert len(deltas(seen)) == item.output_tokens == 5
    assert not item.completed


def test_an_error_event_ends_the_stream_with_an_api_error(server: OpenAIServer) -> None:
    """An error inside the stream is raised by the SDK; the tokens before it are billed."""
    server.script(ErrorEvent(after_tokens=3, message="Out of luck."), ErrorEvent(after_tokens=3))
    with pytest.raises(openai.APIError, match=r"Out of luck\."):
        stream(server)
    assert only_item(server).output_tokens == 3
    with pytest.raises(openai.InternalServerError):
        ask(server)
    assert [item.output_tokens for item in server.bill.items] == [3, 3]


def test_usage_can_be_withheld(server: OpenAIServer) -> None:
    """Nothing is reported, asked for or not, and all is billed."""
    server.script(NoUsage(), NoUsage())
    assert ask(server).usage is None
    assert all(c.choices for c in stream(server, stream_options={"include_usage": True}))
    assert [(i.completed, i.reported) for i in server.bill.items] == [(True, False)] * 2


def test_usage_can_be_odd(server: OpenAIServer) -> None:
    """What is reported is what was scripted, what is billed is the truth."""
    odd = Usage(prompt_tokens=0, total_tokens=None, prompt_tokens_details={"cached_tokens": 7})
    server.script(odd)
    usage = ask(server).to_dict()["usage"]
    item = only_item(server)
    assert usage == item.usage() | {
        "prompt_tokens": 0,
        "total_tokens": None,
        "prompt_tokens_details": {"cached_tokens": 7, "audio_tokens": 0},
    }
    assert item.input_tokens > 0
    assert item.cached_tokens == 0


def test_a_tool_is_called_when_the_user_says_so(server: OpenAIServer) -> None:
    """Plain and streamed, the first tool is called with arguments of its schema, once."""
    plain = ask(server, "Please call the tool", tools=[TOOL]).choices[0]
    chunks = stream(server, "Please call the tool", tools=[TOOL])
    assert plain.finish_reason == chunks[-1].choices[0].finish_reason == "tool_calls"
    (call,) = plain.message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "book_visit"
    assert json.loads(call.function.arguments) == {"city": "Lisbon", "slot": "am", "guests": 1}
    parts = [c.choices[0].delta.tool_calls for c in chunks]
    streamed = [part[0].function for part in parts if part]
    assert "".join(f.arguments or "" for f in streamed if f) == call.function.arguments
    assert len(streamed) == server.bill.items[1].output_tokens == len(chunks) - 2
    answered = [
        {"role": "user", "content": "Please call the tool"},
        plain.message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "booked"},
    ]
    assert ask(server, messages=answered, tools=[TOOL]).choices[0].finish_reason == "stop"
    assert server.bill.items[2].input_tokens > server.bill.items[1].input_tokens


def test_an_azure_client_is_served_at_its_deployment(server: OpenAIServer) -> None:
    """Azure's path and key are understood, and the key is masked."""
    with openai.AzureOpenAI(
        api_key="az-secret",
        azure_endpoint=server.azure_endpoint,
        azure_deployment="gpt-4o-mini",
        api_version="2024-10-21",
    ) as client:
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}]
        )
    (request,) = server.requests
    path = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21"
    assert request.path == path
    assert request.headers["api-key"] == "***"
    assert answer.model == "gpt-4o-mini-2024-07-18"
    bare = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
    assert raw(server.azure_endpoint + path, bare)[0] == 200
    assert list(server.bill.by_model()) == ["gpt-4o-mini"]


def test_requests_are_kept_without_their_secrets(server: OpenAIServer) -> None:
    """A test can read what was sent, but never the key."""
    ask(server, "Hello", temperature=0.5)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.body is not None
    assert request.body["temperature"] == 0.5
    assert "sk-secret" not in repr(server.requests)
    assert "authorization" in request.headers


def test_the_models_are_listed(server: OpenAIServer) -> None:
    """The SDK can list the models that have a price."""
    with client_of(server) as client:
        assert {"gpt-4o", "o1"} <= {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("path", "data", "status", "code"),
    [
        ("/nowhere", b"{}", 404, "unknown_url"),
        ("/chat/completions", None, 404, "unknown_url"),
        ("/chat/completions", b"{not json", 400, None),
        ("/chat/completions", b"[]", 400, None),
        ("/chat/completions", b'{"messages": []}', 400, None),
        ("/chat/completions", b'{"model": "gpt-4o"}', 400, "missing_required_parameter"),
        ("/chat/completions", b'{"model": "gpt-4o", "messages": []}', 400, "invalid_type"),
        (
            "/chat/completions",
            b'{"model": "gpt-4o", "messages": [{"role": "user", "content": ""}], "max_tokens": 0}',
            400,
            "integer_below_min_value",
        ),
    ],
)
def test_a_bad_request_gets_an_error_in_openais_shape(
    server: OpenAIServer, path: str, data: bytes | None, status: int, code: str | None
) -> None:
    """Unknown paths and malformed bodies are refused as OpenAI refuses them, and not billed."""
    answered, body, headers = raw(server.base_url + path, data)
    assert answered == status
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert (body["error"]["type"], body["error"]["code"]) == ("invalid_request_error", code)
    assert headers["x-request-id"].startswith("req_")
    assert server.bill.items == ()


def test_many_clients_at_once_are_all_billed(server: OpenAIServer) -> None:
    """Fifty concurrent requests make fifty items."""

    async def ask_all() -> list[ChatCompletion]:
        async with openai.AsyncOpenAI(api_key="sk-secret", base_url=server.base_url) as client:
            one: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "in 9 tokens"}]}
            return await asyncio.gather(*(client.chat.completions.create(**one) for _ in range(50)))

    assert len(asyncio.run(ask_all())) == 50
    assert [item.output_tokens for item in server.bill.items] == [9] * 50


def test_stop_ends_whatever_is_open_within_a_second() -> None:
    """A hanging request, a running stream and an idle connection leave no thread behind."""
    before = set(threading.enumerate())
    server = OpenAIServer(ttft_ms=0, token_interval_ms=20).start()
    server.script(Hang(60))

    def hang() -> None:
        with client_of(server) as client, pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Hello"}]
            )

    hanging = threading.Thread(target=hang)
    hanging.start()
    while not server.bill.items:
        time.sleep(0.005)
    with client_of(server) as idle, client_of(server) as client:
        idle.models.list()
        chunks = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "in detail"}], stream=True
        )
        next(chunks)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 1
        hanging.join(timeout=2)
        assert set(threading.enumerate()) <= before
        assert len(server.bill.items) == 2
        chunks.close()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.base_url


def test_a_canned_answer_is_served_on_a_path_of_its_own(server: OpenAIServer) -> None:
    """So a program's other requests need no second server; they are not billed."""
    server.serve("/v1/rerank", {"results": []})
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        assert client.post("/rerank", cast_to=object, body={}) == {"results": []}
    assert server.bill.items == ()
