"""What was said in a chat completion, as the messages of the GenAI conventions. Pure functions.

Imported only where content is captured.
"""

from collections.abc import Mapping
from typing import Any

from aden.instrumentation.openai.content_parts import parts_of, plain
from aden.instrumentation.openai.parameters import is_given
from aden.instrumentation.told import get, read_json
from aden.telemetry.content import Content
from aden.telemetry.messages import (
    FunctionToolDefinition,
    GenericToolDefinition,
    InputMessage,
    OutputMessage,
    TextPart,
    ToolCallRequestPart,
    ToolCallResponsePart,
)

_FINISHED = {"tool_calls": "tool_call", "function_call": "tool_call"}
"""The conventions' words for how an answer ended, where they differ from OpenAI's."""


def asked(kwargs: Mapping[str, Any]) -> Content:
    """The messages and tools of a request, as they are sent. A copy: the caller's may change."""
    messages, tools = kwargs.get("messages"), kwargs.get("tools")
    inputs = [_input(each) for each in messages] if isinstance(messages, list | tuple) else []
    return Content(
        inputs=[message for message in inputs if message.parts],
        tools=[_tool(each) for each in tools] if is_given(tools) and tools else [],
    )


def answered(response: Any) -> list[OutputMessage]:
    """The messages of a whole answer."""
    return [
        _output(get(choice, "message"), get(choice, "finish_reason"))
        for choice in get(response, "choices") or ()
        if get(choice, "message")
    ]


class Gathered:
    """The messages of a streamed answer, put together from its chunks."""

    def __init__(self) -> None:
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Any) -> None:
        """Pile up what a chunk says."""
        for choice in get(chunk, "choices") or ():
            message = self._choices.setdefault(get(choice, "index") or 0, {"tools": {}})
            if reason := get(choice, "finish_reason"):
                message["finish_reason"] = reason
            delta = get(choice, "delta")
            for name in ("content", "refusal"):
                if isinstance(text := get(delta, name), str):
                    message.setdefault(name, []).append(text)
            for call in get(delta, "tool_calls") or ():
                self._add_tool_call(message["tools"], call)

    def messages(self) -> list[OutputMessage]:
        """What has arrived so far."""
        return [
            _output(
                {
                    "role": "assistant",
                    "content": "".join(message.get("content", ())) or None,
                    "refusal": "".join(message.get("refusal", ())) or None,
                    "tool_calls": list(message["tools"].values()),
                },
                message.get("finish_reason"),
            )
            for _, message in sorted(self._choices.items())
        ]

    @staticmethod
    def _add_tool_call(calls: dict[int, dict[str, Any]], call: Any) -> None:
        function = get(call, "function")
        known = calls.setdefault(
            get(call, "index") or 0, {"id": None, "function": {"name": "", "arguments": ""}}
        )
        known["id"] = known["id"] or get(call, "id")
        known["function"]["name"] = known["function"]["name"] or get(function, "name") or ""
        known["function"]["arguments"] += get(function, "arguments") or ""


def _input(message: Any) -> InputMessage:
    role, name = get(message, "role"), get(message, "name")
    if role == "tool":
        answer = ToolCallResponsePart(plain(get(message, "content")), get(message, "tool_call_id"))
        parts: list[Any] = [answer]
    else:
        parts = _parts(message)
    return InputMessage(str(role), parts, None if name is None else str(name))


def _output(message: Any, reason: Any) -> OutputMessage:
    ended = _FINISHED.get(reason, reason) or "error"
    return OutputMessage(get(message, "role") or "", _parts(message), ended)


def _parts(message: Any) -> list[Any]:
    parts: list[Any] = [_tool_call(each) for each in get(message, "tool_calls") or ()]
    parts += parts_of(get(message, "content"))
    if isinstance(refusal := get(message, "refusal"), str):
        parts.append(TextPart(refusal))
    return parts


def _tool_call(call: Any) -> ToolCallRequestPart:
    function = get(call, "function") or get(call, "custom")
    arguments = get(function, "arguments") or get(function, "input") or None
    return ToolCallRequestPart(read_json(arguments), get(function, "name") or "", get(call, "id"))


def _tool(tool: Any) -> FunctionToolDefinition | GenericToolDefinition:
    function = get(tool, "function")
    if not function:
        kind = str(get(tool, "type"))
        return GenericToolDefinition(get(get(tool, "custom"), "name") or kind, kind)
    return FunctionToolDefinition(
        get(function, "name") or "",
        get(function, "description"),
        plain(get(function, "parameters")),
    )
