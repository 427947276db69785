"""The Responses API's JSON: response objects, and the events of a stream with their numbers.

The order of the events is the one of https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from aden.testing.bill import served_model
from aden.testing.script import ErrorEvent, Fail, Items, error_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aden.testing.generated import Answer, Choice, Event

_EMPTY: Mapping[str, object] = {"annotations": [], "logprobs": []}


@dataclass(slots=True)
class ResponsesForm:
    """The form of one response."""

    body: Mapping[str, object]
    """The request."""
    response_id: str
    done = b""
    _numbers: Iterator[int] = field(default_factory=count)

    def reports(self, answer: Answer) -> bool:
        """Whether the answer carries a usage."""
        return self._usage(answer, answer.billed().output_tokens) is not None

    def whole(self, answer: Answer) -> tuple[int, object]:
        """Return status and body of a plain answer."""
        if isinstance(answer.step, ErrorEvent):
            return 500, error_json(500, answer.step.message)
        visible = len(answer.tokens())
        return 200, self.response(answer, self.final_status(answer), visible)

    def opening(self, answer: Answer) -> Sequence[Event]:
        """Return the events before the first token."""
        choice = answer.choices[0]
        first = "queued" if self.body.get("background") else "in_progress"
        events = [self._state(answer, "created", first)]
        events.append(self._state(answer, "in_progress", "in_progress"))
        if choice.reasoning:
            thought = self._reasoning()
            events.append(self._event("output_item.added", output_index=0, item=thought))
            events.append(self._event("output_item.done", output_index=0, item=thought))
        if choice.call_id is None:
            events.append(self._added(choice))
            part = _part(choice, 0)
            events.append(self._event("content_part.added", **self._place(choice), part=part))
        return events

    def piece(self, answer: Answer, index: int, position: int) -> Sequence[Event]:
        """Return the event of one token; a tool call's name comes with the item."""
        choice = answer.choices[index]
        delta = choice.pieces[position]
        if choice.call_id is not None:
            if position == 0:
                return [self._added(choice)]
            place = {"item_id": self._id("fc"), "output_index": self._output_index(choice)}
            return [self._event("function_call_arguments.delta", **place, delta=delta)]
        if choice.refusal:
            return [self._event("refusal.delta", **self._place(choice), delta=delta)]
        return [self._event("output_text.delta", **self._place(choice), delta=delta, logprobs=[])]

    def closing(self, answer: Answer) -> Sequence[Event]:
        """Return the events after the last token, with the usage."""
        choice, visible = answer.choices[0], len(answer.tokens())
        at = self._output_index(choice)
        place = self._place(choice)
        if choice.call_id is not None:
            name, arguments = choice.function
            events = [
                self._event(
                    "function_call_arguments.done",
                    item_id=self._id("fc"),
                    output_index=at,
                    name=name,
                    arguments=arguments,
                )
            ]
        else:
            if choice.refusal:
                done = self._event("refusal.done", **place, refusal=choice.text)
            else:
                done = self._event("output_text.done", **place, text=choice.text, logprobs=[])
            part = _part(choice, visible)
            events = [done, self._event("content_part.done", **place, part=part)]
        status = self.final_status(answer)
        item = self._item(choice, visible, status)
        events.append(self._event("output_item.done", output_index=at, item=item))
        for index, added in enumerate(_added_items(answer), at + 1):
            for kind in ("output_item.added", "output_item.done"):
                events.append(self._event(kind, output_index=index, item=added))
        return [*events, self._state(answer, status, status, visible)]

    def broken(self, answer: Answer) -> Sequence[Event]:
        """Return the events by which a stream says that generating failed."""
        if isinstance(answer.step, Fail):
            return [self._state(answer, "failed", "failed", len(answer.tokens()))]
        assert isinstance(answer.step, ErrorEvent)
        number, message = next(self._numbers), answer.step.message
        error: dict[str, object] = {"type": "error", "code": "server_error", "message": message}
        return [error | {"param": None, "sequence_number": number}]

    def final_status(self, answer: Answer) -> str:
        """Return how the response ends."""
        if isinstance(answer.step, Fail):
            return "failed"
        return "incomplete" if answer.choices[0].finish_reason == "length" else "completed"

    def response(self, answer: Answer, status: str, visible: int = 0) -> dict[str, object]:
        """Return the response object in *status*, after *visible* tokens."""
        body, step = self.body, answer.step
        over = status in ("completed", "incomplete", "failed", "cancelled")
        error = None
        if status == "failed" and isinstance(step, Fail):
            error = {"code": step.code, "message": step.message}
        usage = None
        if over and status != "failed":
            usage = self._usage(answer, answer.item.reasoning_tokens + visible)
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": int(answer.item.at),
            "status": status,
            "background": bool(body.get("background")),
            "error": error,
            "incomplete_details": cut,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "model": served_model(answer.item.model),
            "output": self.output(answer, status, visible) if over else [],
            "parallel_tool_calls": True,
            "previous_response_id": body.get("previous_response_id"),
            "conversation": _conversation(body),
            "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
            "service_tier": "default",
            "store": body.get("store", True),
            "temperature": body.get("temperature", 1.0),
            "text": body.get("text") or {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_p": body.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": usage,
            "metadata": body.get("metadata") or {},
        }

    def output(self, answer: Answer, status: str, visible: int) -> list[dict[str, object]]:
        """Return the output items after *visible* tokens."""
        choice = answer.choices[0]
        said = [self._item(choice, visible, status)] if visible else []
        return ([self._reasoning()] if choice.reasoning else []) + said + _added_items(answer)

    def _usage(self, answer: Answer, output_tokens: int) -> Mapping[str, object] | None:
        item = answer.item
        return answer.reported(
            {
                "input_tokens": item.input_tokens,
                "input_tokens_details": {
                    "cached_tokens": item.cached_tokens,
                    "cache_write_tokens": 0,
                },
                "output_tokens": output_tokens,
                "output_tokens_details": {"reasoning_tokens": item.reasoning_tokens},
                "total_tokens": item.input_tokens + output_tokens,
            }
        )

    def _event(self, kind: str, **fields: object) -> dict[str, object]:
        return {"type": f"response.{kind}", "sequence_number": next(self._numbers), **fields}

    def _added(self, choice: Choice) -> dict[str, object]:
        item = self._item(choice, 0, "in_progress")
        return self._event("output_item.added", output_index=self._output_index(choice), item=item)

    def _state(self, answer: Answer, kind: str, status: str, visible: int = 0) -> dict[str, object]:
        return self._event(kind, response=self.response(answer, status, visible))

    def _id(self, kind: str) -> str:
        return self.response_id.replace("resp", kind)

    def _output_index(self, choice: Choice) -> int:
        return 1 if choice.reasoning else 0

    def _place(self, choice: Choice) -> dict[str, object]:
        at = self._output_index(choice)
        return {"item_id": self._id("msg"), "output_index": at, "content_index": 0}

    def _reasoning(self) -> dict[str, object]:
        return {"id": self._id("rs"), "type": "reasoning", "summary": []}

    def _item(self, choice: Choice, visible: int, status: str) -> dict[str, object]:
        status = status if status in ("completed", "in_progress") else "incomplete"
        if choice.call_id is not None:
            return {
                "id": self._id("fc"),
                "type": "function_call",
                "status": status,
                "call_id": choice.call_id,
                "name": choice.pieces[0],
                "arguments": "".join(choice.pieces[1:visible]),
            }
        return {
            "id": self._id("msg"),
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_part(choice, visible)] if visible else [],
        }


def _part(choice: Choice, visible: int) -> dict[str, object]:
    text = "".join(choice.pieces[:visible])
    if choice.refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, **_EMPTY}


def _added_items(answer: Answer) -> list[dict[str, object]]:
    return [dict(each) for each in answer.step.items] if isinstance(answer.step, Items) else []


def _conversation(body: Mapping[str, object]) -> dict[str, object] | None:
    named = body.get("conversation")
    if isinstance(named, dict):
        named = named.get("id")
    return {"id": named} if named else None
