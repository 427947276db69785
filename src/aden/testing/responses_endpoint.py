"""The Responses API, as the local server speaks it: answers, what it stores, background work."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from aden.testing.chat_endpoint import bill_item
from aden.testing.generated import Answer, choices
from aden.testing.responses_form import ResponsesForm
from aden.testing.script import error_json

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from aden.testing.bill import BillItem
    from aden.testing.chat_endpoint import Asker
    from aden.testing.generated import Choice, Event
    from aden.testing.handler import Handler
    from aden.testing.openai_server import OpenAIServer
    from aden.testing.script import Step

MIN_OUTPUT_TOKENS = 16
"""Lowest ``max_output_tokens`` that the provider takes."""


@dataclass(slots=True)
class Stored:
    """A response that the server remembers."""

    answer: Answer
    form: ResponsesForm
    history: list[dict[str, object]]
    """What a response that continues this one reads, as chat messages."""
    began: float
    """`time.monotonic` when it began."""
    token_s: float
    """Seconds that each token takes."""
    cancelled_at: int | None = None
    """Visible tokens after which it was cancelled."""

    def visible(self) -> int:
        """Return the visible tokens that a background response has by now."""
        if self.cancelled_at is not None:
            return self.cancelled_at
        whole = len(self.answer.tokens())
        if not self.token_s:
            return whole
        tokens = int((time.monotonic() - self.began) / self.token_s)
        return max(0, min(whole, tokens - self.answer.item.reasoning_tokens))

    def item(self) -> BillItem:
        """Return the bill of what was generated."""
        if self.cancelled_at is None:
            return self.answer.billed()
        return replace(self.answer, detached=False).billed(self.cancelled_at)

    def now(self) -> dict[str, object]:
        """Return the response object as it is by now."""
        seen = self.visible()
        if self.cancelled_at is not None:
            return self.form.response(self.answer, "cancelled", seen)
        if seen < len(self.answer.tokens()):
            return self.form.response(self.answer, "in_progress")
        return self.form.response(self.answer, self.form.final_status(self.answer), seen)

    def events(self) -> list[Event]:
        """Return all events of a finished response, as its stream is read again."""
        form = ResponsesForm(self.form.body, self.form.response_id)
        opened = list(form.opening(self.answer))
        places = self.answer.tokens()
        tokens = [event for place in places for event in form.piece(self.answer, *place)]
        ends = form.broken(self.answer) if self.answer.fails else form.closing(self.answer)
        return [*opened, *tokens, *ends]


def serve(handler: Handler, _found: re.Match[str], body: dict[str, object] | None) -> None:
    """Answer ``POST /responses``."""
    wrong = problem(handler.owner, body)
    if body is None or wrong:
        handler.send_json(400, wrong)
    elif (step := handler.next_step()) is not None:
        stored = begin(handler, body, step)
        streamed = bool(body.get("stream"))
        if streamed or not body.get("background"):
            handler.deliver(stored.answer, streamed=streamed)
        else:
            handler.owner.bill.book(stored.answer.billed())
            handler.send_json(200, stored.form.response(stored.answer, "queued"))


def retrieve(handler: Handler, found: re.Match[str], _body: object) -> None:
    """Answer ``GET /responses/{id}``, plain or as a stream of what was sent before."""
    stored = handler.owner.stored.get(found[2])
    query = parse_qs(urlsplit(handler.path).query)
    if stored is None:
        handler.send_json(404, _not_found(found[2]))
    elif query.get("stream") == ["true"]:
        whole = stored.answer.billed().output_tokens * stored.token_s
        handler.rest(stored.began + whole - time.monotonic())
        after = int(query.get("starting_after", ["-1"])[0])
        events = [each for each in stored.events() if each["sequence_number"] > after]  # type: ignore[operator]
        handler.send_stream(events)
    else:
        now = stored.now()
        if now["usage"] is not None:
            told = replace(stored.item(), completed=True, reported=True)
            handler.owner.bill.book(told)
        handler.send_json(200, now)


def cancel(handler: Handler, found: re.Match[str], _body: object) -> None:
    """Answer ``POST /responses/{id}/cancel``: generating stops, what there is stays billed."""
    stored = handler.owner.stored.get(found[2])
    if stored is None:
        handler.send_json(404, _not_found(found[2]))
        return
    if stored.now()["status"] == "in_progress":
        stored.cancelled_at = stored.visible()
        handler.owner.bill.book(stored.item())
    handler.send_json(200, stored.now())


def begin(asker: Asker, body: Mapping[str, object], step: Step) -> Stored:
    """Generate the answer to a request and remember it."""
    owner = asker.owner
    chat = as_chat(owner, body)
    made = choices(chat, str(body["model"]), step)
    form = ResponsesForm(body, asker.request_id.replace("req_", "resp_"))
    detached = bool(body.get("background"))
    answer = Answer(made, bill_item(asker, chat, made), step, form, detached)
    said = _said(made[0])
    messages = [each for each in chat["messages"] if each.get("role") != "developer"]
    stored = Stored(answer, form, [*messages, said], time.monotonic(), owner.interval_s)
    owner.stored[form.response_id] = stored
    if named := conversation_id(body):
        owner.stored[named] = stored
    return stored


def as_chat(owner: OpenAIServer, body: Mapping[str, object]) -> dict[str, Any]:
    """Return the request as chat completions would have it: all that the model reads."""
    messages: list[object] = []
    if body.get("instructions"):
        messages.append({"role": "developer", "content": body["instructions"]})
    if state := _state(owner, body):
        messages += state.history
    asked = body.get("input") or ""
    items = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    messages += [_as_message(item) for item in items]
    chat = {name: value for name, value in body.items() if name not in ("input", "tools")}
    chat |= {"messages": messages}
    if tools := body.get("tools"):
        chat["tools"] = [
            {"type": "function", "function": tool}
            for tool in tools  # type: ignore[attr-defined]
        ]
    if "max_output_tokens" in body:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    text = body.get("text")
    if isinstance(text, dict) and "schema" in (text.get("format") or {}):
        chat["response_format"] = {"json_schema": text["format"]}
    return chat


def conversation_id(body: Mapping[str, object]) -> str | None:
    """Return the id of the conversation that the request belongs to."""
    named = body.get("conversation")
    named = named.get("id") if isinstance(named, dict) else named
    return named if isinstance(named, str) else None


def problem(owner: OpenAIServer, body: Mapping[str, object] | None) -> dict[str, object] | None:
    """Return the error that refuses a malformed request; None if it is fine."""
    if body is None:
        return error_json(400, "We could not parse the JSON body of your request.")
    if not isinstance(body.get("model"), str) or not body["model"]:
        missing = "Missing required parameter: 'model'."
        return error_json(400, missing, "missing_required_parameter", "model")
    if not isinstance(body.get("input", ""), (str, list)):
        wrong = "Invalid type for 'input': expected one of a string or an array of objects."
        return error_json(400, wrong, "invalid_type", "input")
    previous = body.get("previous_response_id")
    if previous and previous not in owner.stored:
        gone = f"Previous response with id '{previous}' not found."
        return error_json(400, gone, "previous_response_not_found", "previous_response_id")
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and limit < MIN_OUTPUT_TOKENS:
        low = (
            "Invalid 'max_output_tokens': integer below minimum value. "
            f"Expected a value >= {MIN_OUTPUT_TOKENS}, but got {limit} instead."
        )
        return error_json(400, low, "integer_below_min_value", "max_output_tokens")
    return None


def _state(owner: OpenAIServer, body: Mapping[str, object]) -> Stored | None:
    key = body.get("previous_response_id") or conversation_id(body)
    return owner.stored.get(key) if isinstance(key, str) else None


def _as_message(item: Mapping[str, object]) -> dict[str, object]:
    """Return an input item as the chat message that says the same."""
    if item.get("type") == "function_call_output":
        return {"role": "tool", "content": item.get("output")}
    if item.get("type") == "function_call":
        return {"role": "assistant", "tool_calls": [item]}
    return {"role": item.get("role", "user"), "content": item.get("content")}


def _said(choice: Choice) -> dict[str, object]:
    if choice.call_id is None:
        return {"role": "assistant", "content": choice.text}
    name, arguments = choice.function
    return {"role": "assistant", "tool_calls": [{"name": name, "arguments": arguments}]}


def _not_found(response_id: str) -> dict[str, object]:
    return error_json(404, f"Response with id '{response_id}' not found.")
