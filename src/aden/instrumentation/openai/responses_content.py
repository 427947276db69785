"""What was said by the Responses API, as the GenAI conventions have it. Pure functions.

Imported only where content is captured.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aden.instrumentation.openai.content_parts import digest, parts_of, plain
from aden.instrumentation.openai.parameters import is_given
from aden.instrumentation.told import get, read_json
from aden.telemetry.content import Content
from aden.telemetry.messages import (
    FunctionToolDefinition,
    GenericToolDefinition,
    InputMessage,
    OutputMessage,
    ReasoningPart,
    ServerToolCallPart,
    ServerToolCallResponsePart,
    TextPart,
    ToolCallRequestPart,
    ToolCallResponsePart,
)

_CALLS = ("function_call", "custom_tool_call", "computer_call")
_RESULTS = ("function_call_output", "custom_tool_call_output", "computer_call_output")
_SERVER_TOOLS = {
    "code_interpreter_call": "code_interpreter",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcp_list_tools",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
    "web_search_call": "web_search",
}
"""Items of tools that run at the provider's, by the names that GenAI instrumentations give them."""
_ENDED = {"completed": "stop", "failed": "error", "cancelled": "error", "incomplete": "incomplete"}
"""The conventions' words for how an item ended; an item at work is not there yet."""


def asked(kwargs: Mapping[str, Any]) -> Content:
    """The input, instructions and tools of a request, as they are sent."""
    items, instructions = kwargs.get("input"), kwargs.get("instructions")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    tools = kwargs.get("tools")
    return Content(
        inputs=_one_turn(_inputs(items if isinstance(items, list | tuple) else ())),
        system=[TextPart(instructions)] if isinstance(instructions, str) else [],
        tools=[_tool(each) for each in tools] if is_given(tools) and tools else [],
    )


def answered(response: Any) -> list[OutputMessage]:
    """The messages of a response that has ended."""
    items = get(response, "output")
    return _one_turn(_outputs(items if isinstance(items, list | tuple) else ()))


class Gathered:
    """The messages of a streamed response: the whole one at its end, else what has arrived."""

    def __init__(self) -> None:
        self._whole: Any = None
        self._items: dict[int, Any] = {}
        self._texts: dict[int, list[str]] = {}

    def add(self, event: Any) -> None:
        """Pile up what an event says."""
        kind, index = get(event, "type"), get(event, "output_index") or 0
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self._texts.setdefault(index, []).append(str(get(event, "delta") or ""))
        elif kind == "response.output_item.done":
            self._items[index] = get(event, "item")
        elif get(get(event, "response"), "status") in _ENDED:
            self._whole = get(event, "response")

    def messages(self) -> list[OutputMessage]:
        """What has arrived so far."""
        if self._whole is not None:
            return answered(self._whole)
        begun = {index: _begun("".join(texts)) for index, texts in self._texts.items()}
        return answered({"output": [item for _, item in sorted((begun | self._items).items())]})


def _begun(text: str) -> Mapping[str, Any]:
    part = {"type": "output_text", "text": text}
    return {"type": "message", "role": "assistant", "status": "incomplete", "content": [part]}


def _inputs(items: Iterable[Any]) -> Iterable[InputMessage]:
    for item in items:
        kind, role = get(item, "type"), get(item, "role")
        if kind in _CALLS:
            yield InputMessage("assistant", [_call(item)])
        elif kind in _RESULTS:
            result = ToolCallResponsePart(plain(get(item, "output")), _id(item))
            yield InputMessage("tool", [result])
        elif kind == "reasoning":
            if parts := _reasoning(item):
                yield InputMessage("assistant", parts)
        elif isinstance(role, str) and (parts := parts_of(get(item, "content"))):
            name = get(item, "name")
            yield InputMessage(role, parts, None if name is None else str(name))


def _outputs(items: Iterable[Any]) -> Iterable[OutputMessage]:
    for item in items:
        kind, status = get(item, "type"), get(item, "status")
        if kind in _CALLS:
            if status in (None, "completed", "incomplete"):
                yield OutputMessage("assistant", [_call(item)], "tool_call")
        elif (ended := _ended(item)) is None:
            continue
        elif kind == "message":
            yield OutputMessage(get(item, "role"), parts_of(get(item, "content")), ended)
        elif kind == "reasoning" and (parts := _reasoning(item)):
            yield OutputMessage("assistant", parts, ended)
        elif str(kind) in _SERVER_TOOLS and get(item, "execution") in (None, "server"):
            yield OutputMessage("assistant", [_server_tool(item, kind)], ended)


def _ended(item: Any) -> str | None:
    if get(item, "type") == "mcp_list_tools":  # has no status
        return "error" if get(item, "error") else "stop"
    return _ENDED.get(str(get(item, "status")))


def _one_turn(messages: Iterable[Any]) -> list[Any]:
    """Tool calls stand beside each other; of an answer, also beside its text: they are one turn."""
    turns: list[Any] = []
    for message in messages:
        last = turns[-1] if turns else None
        if last is not None and _calls_only(message) and _takes_calls(last):
            last.parts.extend(message.parts)
            if isinstance(last, OutputMessage):
                last.finish_reason = "tool_call"
        else:
            turns.append(message)
    return turns


def _calls_only(message: Any) -> bool:
    calls = [isinstance(part, ToolCallRequestPart) for part in message.parts]
    return bool(calls) and all(calls)


def _takes_calls(message: Any) -> bool:
    if not isinstance(message, OutputMessage):
        return _calls_only(message)
    said = all(isinstance(part, TextPart | ToolCallRequestPart) for part in message.parts)
    return said and message.finish_reason in ("stop", "tool_call")


def _call(item: Any) -> ToolCallRequestPart:
    kind, arguments = get(item, "type"), get(item, "arguments")
    if kind == "computer_call":
        arguments = {
            name: plain(value)
            for name in ("action", "actions")
            if (value := get(item, name)) is not None
        }
        return ToolCallRequestPart(arguments, "computer", _id(item))
    said = read_json(arguments) if isinstance(arguments, str) else plain(get(item, "input"))
    return ToolCallRequestPart(said, get(item, "name") or "", _id(item))


def _server_tool(item: Any, kind: str) -> ServerToolCallPart | ServerToolCallResponsePart:
    """All that the item says; an image that was made, by its digest."""
    said, name = _present(plain(item)), _SERVER_TOOLS[kind]
    own, call = said.pop("id", None), said.pop("call_id", None)
    named, _ = said.pop("name", None), said.pop("type", None)
    if kind == "image_generation_call" and isinstance(said.get("result"), str):
        said["result"] = digest(said["result"])
    said["type"] = name
    if kind == "tool_search_output":
        return ServerToolCallResponsePart(said, call)
    return ServerToolCallPart(named or name, said, call or own)


def _present(value: Any) -> Any:
    """What is there; the SDK says None of everything else."""
    if isinstance(value, dict):
        return {key: _present(each) for key, each in value.items() if each is not None}
    return [_present(each) for each in value] if isinstance(value, list) else value


def _id(item: Any) -> str | None:
    named = get(item, "call_id") or get(item, "id")
    return named if isinstance(named, str) else None


def _reasoning(item: Any) -> list[Any]:
    summary, content = get(item, "summary"), get(item, "content")
    texts = [get(part, "text") for part in (*(summary or ()), *(content or ()))]
    return [ReasoningPart(text) for text in texts if isinstance(text, str)]


def _tool(tool: Any) -> FunctionToolDefinition | GenericToolDefinition:
    kind, name = str(get(tool, "type")), get(tool, "name")
    if kind != "function":
        return GenericToolDefinition(name if isinstance(name, str) else kind, kind)
    description = get(tool, "description")
    return FunctionToolDefinition(name or "", description, plain(get(tool, "parameters")))
