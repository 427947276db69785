"""What was said is captured only where it is asked for, as sent, redacted and cut to size."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from lanes import Lane
from opentelemetry.util.genai.completion_hook import CompletionHook
from opentelemetry.util.genai.types import InputMessage, OutputMessage, ToolCallRequestPart
from shapes import QUESTION, REQUEST, STREAM, TOOL

import aden
from aden.errors import ConfigurationError
from aden.instrumentation.openai.chat_content import Gathered, asked
from aden.telemetry.content import CAPTURE, COMPLETION_HOOK, EMIT_EVENT, MODES, UNREDACTED
from otel_kit import Sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aden.testing import OpenAIServer

PRIVATE = re.compile("Ann|555123")


@pytest.fixture
def capturing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sdk]]:
    """Instrument in a capture mode, with options of ours."""
    instrumentor = aden.AdenInstrumentor()

    def start(mode: str | None, completion_hook: Any = None, **options: Any) -> Sdk:
        if mode is not None:
            monkeypatch.setenv(CAPTURE, mode)
        sdk = Sdk()
        instrumentor.instrument(
            **sdk.providers, completion_hook=completion_hook, ledger="memory:", **options
        )
        return sdk

    yield start
    instrumentor.uninstrument()


def on_span(sdk: Sdk) -> dict[str, Any]:
    """The content on the one span, read back from JSON."""
    (span,) = sdk.spans
    return {
        name: json.loads(str(value))
        for name, value in (span.attributes or {}).items()
        if name.startswith("gen_ai.") and name.endswith((".messages", ".definitions"))
    }


def on_event(sdk: Sdk) -> dict[str, Any]:
    """The content on the events."""
    return {
        name: value
        for event in sdk.logs.get_finished_logs()
        for name, value in (event.log_record.attributes or {}).items()
        if name.endswith((".messages", ".definitions"))
    }


class Hook:
    """A completion hook of an application."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def on_completion(self, **kwargs: Any) -> None:
        """A call is over."""
        self.calls.append(kwargs)
        if kwargs["log_record"] is not None:
            kwargs["log_record"].attributes = {**kwargs["log_record"].attributes, "app.ref": "s3"}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("mode", [None, *MODES, "span_only", "true"])
async def test_content_stands_where_the_mode_says(
    mode: str | None, kind: str, server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """And nowhere else; what is no mode captures nothing."""
    sdk = capturing(mode)
    await Lane(kind, server).create(**REQUEST)
    chosen = (mode or "").upper()
    assert bool(on_span(sdk)) == (chosen in ("SPAN_ONLY", "SPAN_AND_EVENT"))
    assert bool(on_event(sdk)) == (chosen in ("EVENT_ONLY", "SPAN_AND_EVENT"))
    assert bool(sdk.logs.get_finished_logs()) == (chosen in ("EVENT_ONLY", "SPAN_AND_EVENT"))


def test_a_mode_that_is_none_is_pointed_out(
    capturing: Callable[..., Sdk], caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with what it may be."""
    capturing("true")
    (line,) = {each.getMessage() for each in caplog.records if CAPTURE in each.getMessage()}
    assert "'true'" in line
    assert "SPAN_AND_EVENT" in line


@pytest.mark.parametrize(("said", "events"), [("true", 1), ("false", 0), ("perhaps", 0)])
async def test_events_may_be_asked_for_without_content(
    said: str,
    events: int,
    server: OpenAIServer,
    capturing: Callable[..., Sdk],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a variable of their own."""
    monkeypatch.setenv(EMIT_EVENT, said)
    sdk = capturing(None)
    await Lane("sync", server).create(**REQUEST)
    shown = sdk.shown_events()
    assert len(shown) == events
    assert on_event(sdk) == {}
    if events:
        assert shown[0]["name"] == "gen_ai.client.inference.operation.details"
        assert shown[0]["of_span"]
        assert shown[0]["attributes"]["gen_ai.operation.name"] == ("str", "chat")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("raw", [False, True])
async def test_a_stream_s_message_is_what_has_arrived(
    raw: bool, kind: str, server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """To the caller's last chunk, raw or not."""
    sdk = capturing("SPAN_ONLY")
    lane = Lane(kind, server)
    if raw:
        answer = await lane.get(lane.chat.with_raw_response.create(**STREAM))
        stream = answer.parse()
    else:
        stream = await lane.create(**STREAM)
    chunks = await lane.take(stream, 4)
    await lane.get(stream.close())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text
    ((message,),) = (on_span(sdk)["gen_ai.output.messages"],)
    assert message["parts"] == [{"content": text, "type": "text"}]


async def test_a_raw_answer_that_is_read_as_bytes_is_captured(
    server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """From its JSON."""
    sdk = capturing("SPAN_ONLY")
    lane = Lane("sync", server)
    async with lane.within(lane.chat.with_streaming_response.create(**REQUEST)) as response:
        said = json.loads(response.read())["choices"][0]["message"]["content"]
    (message,) = on_span(sdk)["gen_ai.output.messages"]
    assert message["parts"] == [{"content": said, "type": "text"}]


async def test_messages_are_as_they_were_sent(
    server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """Though the caller changes his list while the answer streams."""
    sdk = capturing("SPAN_ONLY")
    messages = [dict(message) for message in QUESTION]
    stream = await Lane("sync", server).create(**(STREAM | {"messages": messages}))
    next(stream)
    messages[0]["content"] = "something else"
    messages.append({"role": "user", "content": "later"})
    list(stream)
    (message,) = on_span(sdk)["gen_ai.input.messages"]
    assert message["parts"][0]["content"] == QUESTION[0]["content"]


def test_what_is_sent_inline_is_captured_by_its_digest() -> None:
    """Images, sound and files; what is elsewhere, by where it is."""
    data = base64.b64encode(b"pixels").decode()
    digest = "sha256:" + hashlib.sha256(data.encode()).hexdigest()
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{data}"}},
        {"type": "hologram", "hologram": "?"},
    ]
    (message,) = asked({"messages": [{"role": "user", "content": content}]}).inputs
    assert [vars(part) for part in message.parts] == [
        {"type": "uri", "mime_type": "image/png", "modality": "image", "uri": digest},
        {
            "type": "uri",
            "mime_type": None,
            "modality": "image",
            "uri": "https://example.com/a.png",
        },
        {"type": "uri", "mime_type": "audio/mpeg", "modality": "audio", "uri": digest},
        {"type": "file", "mime_type": None, "modality": "document", "file_id": "file-1"},
        {"type": "uri", "mime_type": "application/pdf", "modality": "document", "uri": digest},
    ]


def test_tool_calls_of_a_stream_are_put_together() -> None:
    """Several, in turns, by their index; arguments that are no JSON stay text."""
    gathered = Gathered()
    for index, name, piece in ((0, "book", '{"a"'), (1, "cancel", "[1"), (0, None, ":1}")):
        function = {"arguments": piece, "name": name}
        call = {"index": index, "id": name and f"id-{name}", "function": function}
        gathered.add({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    gathered.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    (message,) = gathered.messages()
    assert message.finish_reason == "tool_call"
    assert message.parts == [
        ToolCallRequestPart({"a": 1}, "book", "id-book"),
        ToolCallRequestPart("[1", "cancel", "id-cancel"),
    ]


async def test_each_text_is_redacted_before_anybody_sees_it(
    server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """On spans, events and in the hook; inside a tool's arguments and results too."""
    hook = Hook()
    sdk = capturing("SPAN_AND_EVENT", hook, redact_content=lambda text: PRIVATE.sub("***", text))
    history = [
        {"role": "user", "content": "I am Ann."},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "book", "arguments": '{"Ann":[555123,"Ann"]}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Ann is booked"},
    ]
    await Lane("sync", server).create(**(REQUEST | {"messages": history, "tools": [TOOL]}))
    shown = json.dumps([on_span(sdk), on_event(sdk)]) + repr(hook.calls[0]["inputs"])
    assert not PRIVATE.search(shown)
    assert shown.count("I am ***.") == 3
    assert "Ann" in json.dumps(server.requests[0].body), "what is sent is as it was"


async def test_where_redaction_fails_the_text_is_not_captured(
    server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """And the call goes through."""

    def broken(text: str) -> str:
        raise RuntimeError(text[:0])

    sdk = capturing("SPAN_ONLY", redact_content=broken)
    answer = await Lane("sync", server).create(**REQUEST)
    assert answer.choices[0].message.content
    (message,) = on_span(sdk)["gen_ai.input.messages"]
    assert message["parts"] == [{"content": UNREDACTED, "type": "text"}]


@pytest.mark.parametrize("by_variable", [False, True])
async def test_messages_are_cut_to_size_the_oldest_first(
    by_variable: bool,
    server: OpenAIServer,
    capturing: Callable[..., Sdk],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Marked in the text and on the span; the JSON stays whole."""
    if by_variable:
        monkeypatch.setenv("ADEN_CONTENT_MAX_CHARS", "30")
    sdk = capturing("SPAN_ONLY", **({} if by_variable else {"content_max_chars": 30}))
    messages = [{"role": "user", "content": "x" * 500}, *QUESTION]
    await Lane("sync", server).create(**(REQUEST | {"messages": messages}))
    old, new = on_span(sdk)["gen_ai.input.messages"]
    assert new["parts"][0]["content"] == QUESTION[0]["content"]
    left = 30 - len(QUESTION[0]["content"])
    assert old["parts"][0]["content"] == "x" * left + "… [truncated, 500 characters]"
    (span,) = sdk.spans
    assert (span.attributes or {})["aden.content.truncated"] is True


@pytest.mark.parametrize("wrong", [{"content_max_chars": -1}, {"redact_content": "yes"}])
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    """With its name."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        aden.MeterOptions(**wrong)


@pytest.mark.parametrize("mode", ["NO_CONTENT", "EVENT_ONLY"])
async def test_the_completion_hook_gets_util_genai_s_own_values(
    mode: str, server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """In every mode; the event is not emitted yet, so that the hook may add to it."""
    hook = Hook()
    assert isinstance(hook, CompletionHook)
    sdk = capturing(mode, hook)
    await Lane("sync", server).create(**(REQUEST | {"tools": [TOOL]}))
    (told,) = hook.calls
    assert [type(each) for each in told["inputs"]] == [InputMessage]
    assert [type(each) for each in told["outputs"]] == [OutputMessage]
    assert told["tool_definitions"][0].name == "book"
    (span,) = sdk.spans
    assert told["span"].get_span_context() == span.context
    assert on_span(sdk) == {}
    events = sdk.logs.get_finished_logs()
    assert [(each.log_record.attributes or {})["app.ref"] for each in events] == (
        ["s3"] if mode == "EVENT_ONLY" else []
    )


async def test_the_hook_that_the_variable_names_is_loaded(
    server: OpenAIServer,
    capturing: Callable[..., Sdk],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    """From the entry points of this environment: an installed package's."""
    info = tmp_path / "hooks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hooks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_genai_completion_hook]\nours = aden_test_hooks:Hook\n"
    )
    (tmp_path / "aden_test_hooks.py").write_text(
        "calls = []\n"
        "class Hook:\n"
        "    def on_completion(self, **kwargs):\n"
        "        calls.append(kwargs)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(COMPLETION_HOOK, "ours")
    capturing(None)
    await Lane("sync", server).create(**REQUEST)
    import aden_test_hooks  # type: ignore[import-not-found]

    (told,) = aden_test_hooks.calls
    assert told["inputs"][0].parts[0].content == QUESTION[0]["content"]


async def test_odd_messages_are_captured_as_far_as_they_go(
    server: OpenAIServer, capturing: Callable[..., Sdk]
) -> None:
    """What the SDK or the server makes of them is theirs."""
    sdk = capturing("SPAN_ONLY")
    odd = [{"role": "user", "content": [{"type": "text", "text": None}, 7]}, *QUESTION]
    await Lane("sync", server).create(**(REQUEST | {"messages": odd}))
    (message,) = on_span(sdk)["gen_ai.input.messages"]
    assert message["parts"][0]["content"] == QUESTION[0]["content"]
