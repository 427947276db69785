"""Chat completions, as the local server speaks them."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aden.testing.bill import BillItem, prompt_tokens, served_model
from aden.testing.generated import Answer, choices, output_limit
from aden.testing.script import error_json
from aden.testing.text_endpoints import asked, attempt_of

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from aden.testing.generated import Choice, Event
    from aden.testing.handler import Handler
    from aden.testing.openai_server import OpenAIServer


def serve(handler: Handler, found: re.Match[str], body: dict[str, object] | None) -> None:
    """Answer a request; *found* names an Azure deployment, or none."""
    body = None if body is None else asked(found, body)
    wrong = problem(body)
    if body is None or wrong:
        handler.send_json(400, wrong)
    elif (step := handler.next_step()) is not None:
        options = body.get("stream_options")
        wanted = isinstance(options, dict) and bool(options.get("include_usage"))
        streamed = bool(body.get("stream"))
        made = choices(body, str(body["model"]), step)
        answer = Answer(made, bill_item(handler, body, made), step, _Chat(wanted or not streamed))
        handler.deliver(answer, streamed=streamed)


class Asker(Protocol):
    """Where a request comes from: a connection that speaks HTTP, or a WebSocket."""

    request_id: str

    @property
    def owner(self) -> OpenAIServer:
        """The server."""

    @property
    def headers(self) -> Any:
        """The request's headers."""


def bill_item(asker: Asker, body: Mapping[str, object], made: Sequence[Choice]) -> BillItem:
    """Return what a chat completions request costs in whole."""
    model, tokens = str(body["model"]), prompt_tokens(body)
    metadata = body.get("metadata")
    return BillItem(
        request_id=asker.request_id,
        at=time.time(),
        model=model,
        input_tokens=len(tokens),
        cached_tokens=asker.owner.cache.read(served_model(model), tokens),
        output_tokens=sum(choice.reasoning + len(choice.pieces) for choice in made),
        reasoning_tokens=sum(choice.reasoning for choice in made),
        attempt=attempt_of(asker.headers),
        metadata=metadata if isinstance(metadata, dict) else None,
    )


@dataclass(frozen=True, slots=True)
class _Chat:
    """The form of chat completions."""

    report: bool
    """Whether the request wants a usage (a plain one always does)."""
    done = b"data: [DONE]\n\n"

    def reports(self, answer: Answer) -> bool:
        return self._usage(answer) is not None

    def whole(self, answer: Answer) -> tuple[int, object]:
        if answer.fails:
            return 500, answer.error
        whole = [
            {"index": i, "message": _message(c), "logprobs": None, "finish_reason": c.finish_reason}
            for i, c in enumerate(answer.choices)
        ]
        usage = self._usage(answer)
        envelope = _envelope(answer, "chat.completion", whole)
        return 200, envelope | ({"usage": usage} if usage else {})

    def opening(self, answer: Answer) -> Sequence[Event]:
        return [
            self._chunk(answer, index, _opening(choice))
            for index, choice in enumerate(answer.choices)
        ]

    def piece(self, answer: Answer, index: int, position: int) -> Sequence[Event]:
        return [self._chunk(answer, index, _delta(answer.choices[index], position))]

    def closing(self, answer: Answer) -> Sequence[Event]:
        ends = [
            self._chunk(answer, index, {}, choice.finish_reason)
            for index, choice in enumerate(answer.choices)
        ]
        usage = self._usage(answer)
        last = _envelope(answer, "chat.completion.chunk", []) | {"usage": usage}
        return ends + ([last] if usage else [])

    def broken(self, answer: Answer) -> Sequence[Event]:
        return [answer.error]

    def _usage(self, answer: Answer) -> Mapping[str, object] | None:
        return answer.reported(answer.billed().usage()) if self.report else None

    def _chunk(
        self, answer: Answer, index: int, delta: Mapping[str, object], end: str | None = None
    ) -> dict[str, object]:
        one = {"index": index, "delta": delta, "logprobs": None, "finish_reason": end}
        null: dict[str, object] = {"usage": None} if self.report else {}
        return _envelope(answer, "chat.completion.chunk", [one]) | null


def _envelope(answer: Answer, kind: str, every: Sequence[object]) -> dict[str, object]:
    model = served_model(answer.item.model)
    return {
        "id": answer.item.response_id,
        "object": kind,
        "created": int(answer.item.at),
        "model": model,
        "choices": every,
        "service_tier": "default",
        "system_fingerprint": f"fp_{zlib.crc32(model.encode()):010x}",
    }


def _message(choice: Choice) -> dict[str, object]:
    """Return the whole message of a plain answer."""
    said: dict[str, object] = {"role": "assistant", "content": None, "refusal": None}
    if choice.call_id is not None:
        return said | {"tool_calls": [_call(choice)]}
    return said | {"refusal" if choice.refusal else "content": choice.text}


def _opening(choice: Choice) -> dict[str, object]:
    """Return the delta before the first token."""
    content = "" if choice.call_id is None and not choice.refusal else None
    return {"role": "assistant", "content": content, "refusal": None}


def _delta(choice: Choice, position: int) -> dict[str, object]:
    """Return the delta of the token at *position*."""
    if choice.call_id is None:
        return {"refusal" if choice.refusal else "content": choice.pieces[position]}
    if position == 0:
        return {"tool_calls": [{"index": 0, **_call(choice, arguments="")}]}
    return {"tool_calls": [{"index": 0, "function": {"arguments": choice.pieces[position]}}]}


def _call(choice: Choice, arguments: str | None = None) -> dict[str, object]:
    name, whole = choice.function
    function = {"name": name, "arguments": whole if arguments is None else arguments}
    return {"id": choice.call_id, "type": "function", "function": function}


def problem(body: Mapping[str, object] | None) -> dict[str, object] | None:
    """Return the error that refuses a malformed chat completions request; None if it is fine."""
    if body is None:
        return error_json(400, "We could not parse the JSON body of your request.")
    if not isinstance(body.get("model"), str) or not body["model"]:
        return error_json(400, "you must provide a model parameter")
    messages = body.get("messages")
    if messages is None:
        missing = "Missing required parameter: 'messages'."
        return error_json(400, missing, "missing_required_parameter", "messages")
    if not (isinstance(messages, list) and messages and all(isinstance(m, dict) for m in messages)):
        wrong = "Invalid 'messages': expected an array of objects with minimum length 1."
        return error_json(400, wrong, "invalid_type", "messages")
    if (limit := output_limit(body)) is not None and limit < 1:
        low = "Invalid output limit: integer below minimum value. Expected a value >= 1."
        return error_json(400, low, "integer_below_min_value", "max_completion_tokens")
    return None
