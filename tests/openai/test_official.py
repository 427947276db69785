"""What we show equals what opentelemetry-instrumentation-genai-openai 1.3b0 shows, but for a list.

Each shape is sent twice to the same local server, once under each instrumentation; spans, metrics
and events are compared attribute by attribute, with the types of their values. The list stands in
``docs/telemetry.md``.
"""

from __future__ import annotations

import gc
import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import make_client
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.util.genai.environment_variables import (
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT as CAPTURE,
)
from pydantic import BaseModel
from shapes import ASKED, REQUEST, STREAM, TOOL

import aden
from aden.testing import Drop, ErrorEvent, Fail, Items, NoUsage, Refuse, Status
from otel_kit import Sdk

if TYPE_CHECKING:
    from aden.testing import OpenAIServer

Use = Callable[[Any], object]
Shown = dict[str, Any]
INPUT = "gen_ai.usage.input_tokens"
ENDED = "gen_ai.response.finish_reasons"
EARLY = ("gen_ai.response.id", "openai.response.service_tier", "gen_ai.output.messages")
"""What a stream of the Responses API has said before it was left."""


class Booking(BaseModel):
    """A schema for ``parse``."""

    city: str


HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "You are a hotel's voice."},
    {
        "role": "user",
        "name": "ann",
        "content": [
            {"type": "text", "text": "What is on these?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/room.png"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "book", "arguments": '{"city":"Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "booked"},
    {"role": "assistant", "content": None, "refusal": "I must not."},
    {"role": "user", "content": "Say hello in 12 tokens."},
]
CALL_TOOL = {"messages": [{"role": "user", "content": "Please call the tool."}], "tools": [TOOL]}
RESPOND: dict[str, Any] = {
    "model": "gpt-4o",
    "input": "Say hello in 12 tokens.",
    "instructions": "You are a hotel's voice.",
    "max_output_tokens": 100,
}
RESPOND_TOOL = {
    "input": "Please call the tool.",
    "tools": [{"type": "function", **TOOL["function"], "strict": False}],
}
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "input_text", "text": "Book two rooms."}]},
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Two rooms."}],
    },
    {"type": "function_call", "call_id": "call_1", "name": "book", "arguments": '{"city":"Oslo"}'},
    {"type": "function_call", "call_id": "call_2", "name": "book", "arguments": "no json"},
    {"type": "function_call_output", "call_id": "call_1", "output": "booked"},
    {"role": "user", "content": "Say hello in 12 tokens."},
]
PARAMETERS = {
    "temperature": 0.5,
    "top_p": 1,
    "frequency_penalty": 0.1,
    "presence_penalty": 0,
    "seed": 7,
    "stop": ["xyz", "abc"],
    "service_tier": "flex",
    "response_format": {"type": "json_object"},
}


def create(**request: Any) -> Use:
    """A whole answer."""
    return lambda client: client.chat.completions.create(**(REQUEST | request))


def stream(**request: Any) -> Use:
    """A stream, read to its end; usage is asked for."""
    return lambda client: list(client.chat.completions.create(**(ASKED | request)))


def raw(client: Any) -> object:
    """A raw response, parsed."""
    return client.chat.completions.with_raw_response.create(**REQUEST).parse()


def raw_stream(client: Any) -> object:
    """A raw response, parsed into a stream."""
    return list(client.chat.completions.with_raw_response.create(**ASKED).parse())


def parse(client: Any) -> object:
    """Structured output; the server's words are no JSON, so that reading it fails."""
    return client.chat.completions.parse(**(REQUEST | {"response_format": Booking}))


def unasked(client: Any) -> object:
    """A stream whose usage nobody asked for."""
    return list(client.chat.completions.create(**STREAM))


def respond(**request: Any) -> Use:
    """The Responses API."""
    return lambda client: client.responses.create(**(RESPOND | request))


def respond_with_parameters(client: Any) -> object:
    """In a conversation that the server keeps, so each time in a new one."""
    return client.responses.create(
        **RESPOND,
        temperature=0.5,
        top_p=1.0,
        service_tier="flex",
        conversation=f"conv_{uuid.uuid4().hex}",
        text={"format": {"type": "json_object"}},
    )


def respond_stream(**request: Any) -> Use:
    """Its stream, read to its end."""
    return lambda client: list(client.responses.create(**(RESPOND | request), stream=True))


def respond_helper(client: Any) -> None:
    """Its helper."""
    with client.responses.stream(**RESPOND) as events:
        for _ in events:
            pass


def respond_raw(client: Any) -> object:
    """Its raw response."""
    return client.responses.with_raw_response.create(**RESPOND).parse()


def respond_left(client: Any) -> None:
    """Left in the middle of its text."""
    events = client.responses.create(**RESPOND, stream=True)
    for event in events:
        if event.type == "response.output_text.delta":
            break
    events.close()


def closed(client: Any) -> None:
    """Left after two chunks, by ``close``."""
    chunks = client.chat.completions.create(**STREAM)
    next(chunks), next(chunks)
    chunks.close()


def dropped(client: Any) -> None:
    """Left after two chunks, to the garbage collector."""
    chunks = client.chat.completions.create(**STREAM)
    next(chunks), next(chunks)
    del chunks
    gc.collect()


def embed(**request: Any) -> Use:
    """Vectors of two texts."""
    asked = {"model": "text-embedding-3-small", "input": ["one", "two words"], **request}
    return lambda client: client.embeddings.create(**asked)


SERVER_TOOLS = Items(
    (
        {
            "id": "ws_1",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "hotels", "queries": None},
        },
        {
            "id": "fs_1",
            "type": "file_search_call",
            "status": "failed",
            "queries": ["rooms"],
            "results": [{"file_id": "f1", "text": "Two.", "score": 0.5, "attributes": {"a": 1.5}}],
        },
        {
            "id": "ci_1",
            "type": "code_interpreter_call",
            "status": "incomplete",
            "code": "1 + 1",
            "container_id": "c1",
            "outputs": [{"type": "logs", "logs": "2"}],
        },
        {
            "id": "mcp_1",
            "type": "mcp_call",
            "status": "completed",
            "name": "book",
            "server_label": "hotel",
            "arguments": "{}",
            "output": "booked",
        },
        {
            "id": "mcpl_1",
            "type": "mcp_list_tools",
            "server_label": "hotel",
            "tools": [{"name": "book", "input_schema": {"type": "object"}}],
        },
        {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": None},
        {"id": "ig_2", "type": "image_generation_call", "status": "generating", "result": None},
        {
            "id": "ts_1",
            "type": "tool_search_call",
            "status": "completed",
            "execution": "server",
            "arguments": {"query": "rooms"},
            "call_id": "call_9",
        },
        {
            "id": "tso_1",
            "type": "tool_search_output",
            "status": "completed",
            "execution": "server",
            "call_id": "call_9",
            "tools": [],
        },
        {
            "id": "ts_2",
            "type": "tool_search_call",
            "status": "completed",
            "execution": "client",
            "arguments": {},
            "call_id": "call_8",
        },
    )
)
COMPACTION = {"id": "cmp_1", "type": "compaction", "encrypted_content": "abc"}


SHAPES: dict[str, tuple[Use, Any]] = {
    "plain": (create(), None),
    "parameters": (create(**PARAMETERS), None),
    "one stop": (create(stop="xyz", n=1, service_tier="auto"), None),
    "max_completion_tokens": (create(max_tokens=None, max_completion_tokens=30), None),
    "parse": (parse, None),
    "text format": (create(response_format={"type": "text"}), None),
    "not given": (create(temperature=openai.NOT_GIVEN, seed=openai.omit, n=None), None),
    "two choices": (create(n=2), None),
    "history": (create(messages=HISTORY), None),
    "tool": (create(**CALL_TOOL), None),
    "refusal": (create(), Refuse()),
    "raw": (raw, None),
    "stream": (stream(), None),
    "stream of two": (stream(n=2), None),
    "stream of a tool": (stream(**CALL_TOOL), None),
    "stream of a refusal": (stream(), Refuse()),
    "raw stream": (raw_stream, None),
    "stream whose usage nobody asked for": (unasked, None),
    "closed": (closed, None),
    "let go": (dropped, None),
    "response": (respond(), None),
    "response with parameters": (respond_with_parameters, None),
    "response to items": (respond(input=ITEMS), None),
    "response with a tool": (respond(**RESPOND_TOOL), None),
    "raw response of responses": (respond_raw, None),
    "response stream": (respond_stream(), None),
    "response stream of a tool": (respond_stream(**RESPOND_TOOL), None),
    "response helper": (respond_helper, None),
    "response refusal": (respond(), Refuse()),
    "response failed": (respond_stream(), Fail(3)),
    "response left": (respond_left, None),
    "response status 400": (respond(), Status(400)),
    "response with the provider's tools": (respond(), SERVER_TOOLS),
    "response stream with the provider's tools": (respond_stream(), SERVER_TOOLS),
    "response that compacts": (respond(), Items((COMPACTION,))),
    "response stream that compacts": (respond_stream(), Items((COMPACTION,))),
    "response to what was compacted": (respond(input=[COMPACTION, *ITEMS]), None),
    "embeddings": (embed(), None),
    "embedding with parameters": (
        embed(input="one", dimensions=4, encoding_format="float", user="u"),
        None,
    ),
    "embedding of tokens": (embed(input=[1, 2, 3]), None),
    "embeddings status 400": (embed(), Status(400)),
    "embeddings status 429": (embed(dimensions=4), Status(429, code_name="rate_limit_exceeded")),
    "embeddings without usage": (embed(), NoUsage()),
    "status 400": (create(), Status(400)),
    "status 429": (create(), Status(429, code_name="rate_limit_exceeded")),
    "stream status 500": (stream(), Status(500)),
    "error event": (stream(), ErrorEvent(3)),
    "cut": (stream(), Drop(3)),
}


def under_ours(use: Use, server: OpenAIServer, sdk: Sdk) -> None:
    """Make the call under our instrumentation."""
    instrumentor = aden.AdenInstrumentor()
    instrumentor.instrument(**sdk.providers, budgets=[aden.Budget("b", 1)], ledger="memory:")
    try:
        tried(use, server)
        aden.flush()
    finally:
        instrumentor.uninstrument()


def under_official(use: Use, server: OpenAIServer, sdk: Sdk) -> None:
    """Make the call under theirs."""
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(**sdk.providers)
    try:
        tried(use, server)
    finally:
        instrumentor.uninstrument()


def tried(use: Use, server: OpenAIServer) -> None:
    """Some shapes end in an exception."""
    client = make_client("sync", server)
    try:
        use(client)
    except (openai.OpenAIError, ValueError):
        pass
    finally:
        client.close()


def compared(use: Use, script: Any, server: OpenAIServer) -> tuple[Shown, Shown]:
    """What each of the two showed."""
    shown = []
    for run in (under_ours, under_official):
        if script is not None:
            server.script(script)
        sdk = Sdk()
        run(use, server, sdk)
        every = {
            "spans": sdk.shown_spans(),
            "metrics": sdk.shown_metrics(),
            "events": sdk.shown_events(),
        }
        shown.append(masked(every))
    return shown[0], shown[1]


def masked(value: Any) -> Any:
    """Without the ids that the server makes up."""
    if isinstance(value, str):
        return re.sub(r"(chatcmpl|call|req|resp|msg|fc|conv)[-_][0-9a-f]{6,}", r"\1-…", value)
    if isinstance(value, dict):
        return {name: masked(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked(each) for each in value)
    return value


@pytest.mark.parametrize("mode", ["NO_CONTENT", "SPAN_AND_EVENT"])
@pytest.mark.parametrize("shape", SHAPES)
def test_spans_metrics_and_events_are_the_official_ones(
    shape: str, mode: str, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what `without_differences` takes away."""
    monkeypatch.setenv(CAPTURE, mode)
    ours, theirs = compared(*SHAPES[shape], server)
    without_differences(ours, theirs)
    assert ours["spans"] == theirs["spans"]
    assert ours["metrics"] == theirs["metrics"]
    assert ours["events"] == theirs["events"]
    captured = mode != "NO_CONTENT" and "embedding" not in shape
    assert len(theirs["events"]) == captured


def without_differences(ours: Shown, theirs: Shown) -> None:
    """Take away what differs on purpose; the same list stands in ``docs/telemetry.md``."""
    span, official = ours["spans"][0], theirs["spans"][0]
    theirs["metrics"].pop("gen_ai.client.operation.time_per_output_chunk", None)
    estimated = INPUT in span["attributes"] and INPUT not in official["attributes"]
    if estimated:
        assert ours["metrics"].pop("gen_ai.client.token.usage")
    if official["attributes"].get("error.type") == ("str", "_OTHER"):
        assert (span.pop("status"), official.pop("status")) == (
            ("UNSET", None),
            ("ERROR", "abandoned stream"),
        )
        for shown in (ours, theirs):
            del shown["metrics"]["gen_ai.client.operation.duration"]
    for mine, its in zip(
        (*ours["spans"], *ours["events"]), (*theirs["spans"], *theirs["events"]), strict=True
    ):
        attributes_without_differences(mine["attributes"], its["attributes"], estimated)


def attributes_without_differences(mine: Shown, its: Shown, estimated: bool) -> None:
    """The same, of one span or event."""
    embeds = its["gen_ai.operation.name"] == ("str", "embeddings")
    if "openai.api.type" not in its:
        said = None if embeds else ("str", "chat_completions")
        assert mine.pop("openai.api.type", None) == said
    for name in [name for name, value in mine.items() if value == ("int", 0)]:
        if name.startswith("gen_ai.usage."):  # a reported 0 stays 0
            assert name not in its
            del mine[name]
    if "gen_ai.request.stream" in mine:
        stream_without_differences(mine, its)
    if estimated:
        assert mine.pop(INPUT)
        assert mine.pop("gen_ai.usage.output_tokens", embeds)


def stream_without_differences(mine: Shown, its: Shown) -> None:
    """The same, where a stream was asked for."""
    its.setdefault("gen_ai.request.stream", ("bool", True))
    mine.pop("openai.response.system_fingerprint", None)
    for name in EARLY:
        if name not in its:
            mine.pop(name, None)
    for shown in (mine, its):
        if shown.get(ENDED) == ("tuple", ("error",)):
            del shown[ENDED]
    if its.get("error.type") == ("str", "_OTHER"):
        del its["error.type"]
