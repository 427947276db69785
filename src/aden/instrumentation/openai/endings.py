"""How a stream ends that no budget bears any more: as its provider would have ended it at a cap."""

from collections.abc import Callable, Mapping
from typing import Any

from aden.instrumentation.stream_meter import Ending
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt


def of_choices(nothing: Mapping[str, Any]) -> Callable[[], Ending]:
    """Ends chunks that have choices; *nothing* is what a choice says that says nothing."""
    return lambda: _Choices(nothing)


class _Choices:
    def __init__(self, nothing: Mapping[str, Any]) -> None:
        self._nothing = nothing
        self._latest: Any = None

    def add(self, chunk: Any) -> None:
        self._latest = chunk

    def last(self, attempt: Attempt) -> Any:
        indices = range(attempt.request.choices)
        ends = [{"index": index, **self._nothing, "finish_reason": "length"} for index in indices]
        attempt.finish_reasons = ("length",) * len(ends)
        fields = self._latest.model_dump(exclude={"choices", "usage"}, exclude_unset=True)
        return type(self._latest).model_validate({**fields, "choices": ends})


_PIECES = {
    "response.output_text.delta": ("content", "text"),
    "response.refusal.delta": ("content", "refusal"),
    "response.function_call_arguments.delta": (None, "arguments"),
    "response.custom_tool_call_input.delta": (None, "input"),
}
"""Events → in which part of an output item they go on, and under which name."""


class ResponseEnding:
    """Ends the events of a response by ``response.incomplete``, with what was said so far."""

    def __init__(self) -> None:
        self._number = 0
        self._response: Any = None
        self._items: dict[int, Any] = {}
        self._texts: dict[tuple[int, str | None, int, str], list[str]] = {}

    def add(self, event: Any) -> None:
        """Note an event."""
        kind, at = get(event, "type"), get(event, "output_index") or 0
        self._number = get(event, "sequence_number") or self._number
        if kind in _PIECES:
            part, name = _PIECES[kind]
            key = at, part, get(event, "content_index") or 0, name
            self._texts.setdefault(key, []).append(str(get(event, "delta") or ""))
        elif (item := get(event, "item")) is not None:
            self._items[at] = item
        elif (response := get(event, "response")) is not None:
            self._response = response

    def last(self, attempt: Attempt) -> Any:
        """The event (https://platform.openai.com/docs/api-reference/responses-streaming)."""
        from openai.types.responses import ResponseIncompleteEvent

        response = {
            **self._response.to_dict(),
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": self._output(),
        }
        attempt.finish_reasons = ("length",)
        return ResponseIncompleteEvent.construct(
            type="response.incomplete", sequence_number=self._number + 1, response=response
        )

    def _output(self) -> list[dict[str, Any]]:
        items = {at: item.to_dict() for at, item in self._items.items()}
        for (at, part, index, name), texts in self._texts.items():
            item = items.setdefault(at, {"type": "message", "role": "assistant"})
            if item.get("status") == "completed":
                continue
            item["status"] = "incomplete"
            place = item if part is None else _part(item, part, index, name)
            place[name] = "".join(texts)
        return [item for _, item in sorted(items.items())]


def _part(item: dict[str, Any], part: str, index: int, name: str) -> dict[str, Any]:
    """A part of an item; the item was told before its parts were."""
    parts: list[dict[str, Any]] = item.setdefault(part, [])
    if index >= len(parts):
        text = {"type": "output_text", "annotations": []}
        parts.append({"type": "refusal"} if name == "refusal" else text)
    return parts[min(index, len(parts) - 1)]
