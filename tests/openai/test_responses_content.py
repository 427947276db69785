"""Messages of the Responses API, item by item; test_official compares whole calls."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from opentelemetry.util.genai.types import (
    OutputMessage,
    ReasoningPart,
    ServerToolCallPart,
    TextPart,
    ToolCallRequestPart,
)

from aden.instrumentation.openai.responses_content import Gathered, answered, asked

IMAGE = "sha256:" + hashlib.sha256(b"aGVsbG8=").hexdigest()
URL = "data:image/png;base64,aGVsbG8="
TEXT = {"type": "output_text", "text": "Hello"}


def message(status: str = "completed") -> dict[str, Any]:
    """An item of text."""
    return {"type": "message", "role": "assistant", "status": status, "content": [TEXT]}


def call(number: int) -> dict[str, Any]:
    """An item that calls a tool."""
    return {"type": "function_call", "call_id": f"c{number}", "name": "book", "arguments": "[1]"}


def test_calls_beside_a_text_are_one_turn() -> None:
    """As the model said it."""
    (turn,) = answered({"output": [message(), call(1), call(2)]})
    calls = [ToolCallRequestPart([1], "book", f"c{number}") for number in (1, 2)]
    assert turn == OutputMessage("assistant", [TextPart("Hello"), *calls], "tool_call")


def test_a_message_without_parts_is_no_call() -> None:
    """It stands alone, and changes nothing of the one before."""
    first, second = answered({"output": [message(), message() | {"content": []}]})
    assert (first.finish_reason, second.parts) == ("stop", [])


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (message("in_progress"), []),
        (message("incomplete"), [OutputMessage("assistant", [TextPart("Hello")], "incomplete")]),
        (
            {"type": "reasoning", "status": "completed", "summary": [{"text": "So."}]},
            [OutputMessage("assistant", [ReasoningPart("So.")], "stop")],
        ),
        (
            {"type": "custom_tool_call", "id": "c", "name": "sql", "input": "select 1"},
            [
                OutputMessage(
                    "assistant", [ToolCallRequestPart("select 1", "sql", "c")], "tool_call"
                )
            ],
        ),
        (
            {"type": "computer_call", "call_id": "c", "status": "completed", "action": {"x": 1}},
            [
                OutputMessage(
                    "assistant",
                    [ToolCallRequestPart({"action": {"x": 1}}, "computer", "c")],
                    "tool_call",
                )
            ],
        ),
        (
            {
                "type": "image_generation_call",
                "id": "i",
                "status": "completed",
                "result": "aGVsbG8=",
                "error": None,
            },
            [
                OutputMessage(
                    "assistant",
                    [
                        ServerToolCallPart(
                            "image_generation",
                            {"status": "completed", "result": IMAGE, "type": "image_generation"},
                            "i",
                        )
                    ],
                    "stop",
                )
            ],
        ),
        ({"type": "hologram", "status": "completed"}, []),
    ],
)
def test_items_as_messages(item: dict[str, Any], shown: list[OutputMessage]) -> None:
    """Those that have ended, of the kinds that the conventions know."""
    assert answered({"output": [item]}) == shown


def test_a_stream_that_is_cut_shows_what_had_arrived() -> None:
    """Whole items, and the text of one that was not."""
    gathered = Gathered()
    gathered.add({"type": "response.created", "response": {"status": "in_progress", "output": []}})
    gathered.add({"type": "response.output_item.done", "output_index": 0, "item": call(1)})
    for piece in ("Hel", "lo"):
        gathered.add({"type": "response.output_text.delta", "output_index": 1, "delta": piece})
    calling, begun = gathered.messages()
    assert calling.parts == [ToolCallRequestPart([1], "book", "c1")]
    assert begun == OutputMessage("assistant", [TextPart("Hello")], "incomplete")


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        ("function_call_output", [{"type": "input_image", "image_url": URL}]),
        ("computer_call_output", {"type": "computer_screenshot", "image_url": URL}),
    ],
)
def test_an_image_that_a_tool_gives_is_a_reference(kind: str, output: Any) -> None:
    """Its bytes belong on no span; a text that looks alike is what it is."""
    (message,) = asked({"input": [{"type": kind, "call_id": "c1", "output": output}]}).inputs
    (part,) = message.parts
    assert URL not in str(part.response)
    assert IMAGE in str(part.response)
    words = "data: base64, they say"
    (message,) = asked({"input": [{"type": kind, "call_id": "c1", "output": words}]}).inputs
    assert message.parts[0].response == words


def test_instructions_stand_apart_from_the_input() -> None:
    """As the conventions want it."""
    content = asked({"input": "Hi", "instructions": "Be brief.", "tools": [{"type": "web_search"}]})
    assert content.system == [TextPart("Be brief.")]
    assert [part.content for each in content.inputs for part in each.parts] == ["Hi"]
    assert [(tool.name, tool.type) for tool in content.tools] == [("web_search", "web_search")]
