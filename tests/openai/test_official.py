"""What we show equals what opentelemetry-instrumentation-genai-openai 1.3b0 shows, but for a list.

Each shape is sent twice to the same local server, once under each instrumentation; spans, metrics
and events are compared attribute by attribute, with the types of their values. The list stands in
``docs/telemetry.md``.
"""

from __future__ import annotations

import gc
import re
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
from aden.testing import Drop, ErrorEvent, Refuse, Status
from otel_kit import Sdk

if TYPE_CHECKING:
    from aden.testing import OpenAIServer

Use = Callable[[Any], object]
Shown = dict[str, Any]
INPUT = "gen_ai.usage.input_tokens"


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
    return lambda chat: chat.create(**(REQUEST | request))


def stream(**request: Any) -> Use:
    """A stream, read to its end; usage is asked for."""
    return lambda chat: list(chat.create(**(ASKED | request)))


def raw(chat: Any) -> object:
    """A raw response, parsed."""
    return chat.with_raw_response.create(**REQUEST).parse()


def raw_stream(chat: Any) -> object:
    """A raw response, parsed into a stream."""
    return list(chat.with_raw_response.create(**ASKED).parse())


def parse(chat: Any) -> object:
    """Structured output; the server's words are no JSON, so that reading it fails."""
    return chat.parse(**(REQUEST | {"response_format": Booking}))


def closed(chat: Any) -> None:
    """Left after two chunks, by ``close``."""
    chunks = chat.create(**STREAM)
    next(chunks), next(chunks)
    chunks.close()


def dropped(chat: Any) -> None:
    """Left after two chunks, to the garbage collector."""
    chunks = chat.create(**STREAM)
    next(chunks), next(chunks)
    del chunks
    gc.collect()


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
    "stream whose usage nobody asked for": (lambda chat: list(chat.create(**STREAM)), None),
    "closed": (closed, None),
    "let go": (dropped, None),
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
        use(client.chat.completions)
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
        return re.sub(r"(chatcmpl|call|req)[-_][0-9a-f]{6,}", r"\1-…", value)
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
    assert len(theirs["events"]) == (mode != "NO_CONTENT")


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
    assert mine.pop("openai.api.type") == ("str", "chat_completions")
    for name in [name for name, value in mine.items() if value == ("int", 0)]:
        if name.startswith("gen_ai.usage."):  # a reported 0 stays 0
            assert name not in its
            del mine[name]
    if "gen_ai.request.stream" in mine:
        its.setdefault("gen_ai.request.stream", ("bool", True))
        mine.pop("openai.response.system_fingerprint", None)
    if its.get("error.type") == ("str", "_OTHER"):
        del its["error.type"]
    if estimated:
        assert mine.pop(INPUT)
        assert mine.pop("gen_ai.usage.output_tokens")
        if its.get("gen_ai.response.finish_reasons") == ("tuple", ("error",)):
            del its["gen_ai.response.finish_reasons"]
