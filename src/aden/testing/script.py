"""What the local OpenAI-compatible server answers, and how it can be told to misbehave.

An answer is a function of the request alone: the same question gets the same words.
"""

from __future__ import annotations

import json
import re
import time
import zlib
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from aden.testing.bill import (
    BillItem,
    answer_tokens,
    last_question,
    prompt_tokens,
    served_model,
    tokenize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aden.testing.bill import PromptCache

HIDDEN_REASONING_TOKENS = 64
"""Reasoning tokens of each choice of a reasoning model (o1 and its kin)."""


@dataclass(frozen=True, slots=True)
class Normal:
    """Answer as if nothing had been scripted."""


@dataclass(frozen=True, slots=True)
class Status:
    """Refuse with an HTTP status; nothing is billed."""

    code: int
    """The HTTP status code."""
    retry_after_s: float | None = None
    """Sent as ``retry-after`` (seconds) and ``retry-after-ms``."""
    message: str = "The server was told to refuse this request."
    """The error's ``message``."""
    code_name: str | None = None
    """The error's ``code``, such as ``"rate_limit_exceeded"``."""

    def headers(self) -> dict[str, str]:
        """Return the headers that tell the client when to come back."""
        if self.retry_after_s is None:
            return {}
        milliseconds = str(round(self.retry_after_s * 1000))
        return {"retry_after": f"{self.retry_after_s:g}", "retry_after_ms": milliseconds}


@dataclass(frozen=True, slots=True)
class Hang:
    """Bill the whole answer at once, then begin to send it only after a while."""

    seconds: float
    """Silence before the first byte, in seconds."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Stop generating and close the connection; a plain answer is never begun."""

    after_tokens: int
    """Visible output tokens before that; they are billed."""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Stop generating and send an error inside the stream; a plain request gets status 500."""

    after_tokens: int
    """Visible output tokens before that; they are billed."""
    message: str = "The server had an error while processing your request. Sorry about that!"
    """The error's ``message``."""


@dataclass(frozen=True, slots=True)
class NoUsage:
    """Answer in full, bill it, and never report a usage."""


@dataclass(frozen=True, slots=True, init=False)
class Usage:
    """Answer in full, bill it truly, and report another usage.

    Keywords replace fields of the usage object (``prompt_tokens=0``); a mapping is merged into
    the details of that name (``prompt_tokens_details={"cached_tokens": 7}``).
    """

    overrides: Mapping[str, object]

    def __init__(self, **overrides: object) -> None:
        object.__setattr__(self, "overrides", overrides)

    def applied_to(self, usage: Mapping[str, object]) -> dict[str, object]:
        """Return *usage* with the overrides in it."""
        merged = dict(usage)
        for name, value in self.overrides.items():
            old = merged.get(name)
            both = isinstance(old, dict) and isinstance(value, dict)
            merged[name] = {**old, **value} if both else value  # type: ignore[dict-item]
        return merged


@dataclass(frozen=True, slots=True)
class Reason:
    """Spend hidden reasoning tokens, whatever the model."""

    tokens: int
    """Reasoning tokens of each choice."""


Step: TypeAlias = Normal | Status | Hang | Drop | ErrorEvent | NoUsage | Usage | Reason
"""What happens to one chat completions request."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One generated choice; every piece is one output token and one streamed delta."""

    pieces: tuple[str, ...]
    """Visible tokens; of a tool call, its function name and then its arguments."""
    reasoning: int
    """Hidden reasoning tokens before them."""
    finish_reason: str
    """``stop``, ``length`` or ``tool_calls``."""
    call_id: str | None = None
    """Id of the tool call, if this is one."""

    def message(self) -> dict[str, object]:
        """Return the whole message of a plain answer."""
        if self.call_id is None:
            return {"role": "assistant", "content": "".join(self.pieces), "refusal": None}
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [self._call()]}

    def opening(self) -> dict[str, object]:
        """Return the delta before the first token."""
        content = "" if self.call_id is None else None
        return {"role": "assistant", "content": content, "refusal": None}

    def delta(self, position: int) -> dict[str, object]:
        """Return the delta of the token at *position*."""
        if self.call_id is None:
            return {"content": self.pieces[position]}
        if position == 0:
            return {"tool_calls": [{"index": 0, **self._call(arguments="")}]}
        return {"tool_calls": [{"index": 0, "function": {"arguments": self.pieces[position]}}]}

    def _call(self, arguments: str | None = None) -> dict[str, object]:
        name, whole = "".join(self.pieces[:1]), "".join(self.pieces[1:])
        function = {"name": name, "arguments": whole if arguments is None else arguments}
        return {"id": self.call_id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Answer:
    """All that the server says to one request, and what it costs."""

    choices: tuple[Choice, ...]
    item: BillItem
    """The bill of the whole answer."""
    step: Step
    report: bool
    """Whether the request wants a usage (a plain one always does)."""

    @property
    def usage(self) -> dict[str, object] | None:
        """The usage that is reported, true or not; None if none is."""
        if isinstance(self.step, NoUsage) or not self.report:
            return None
        usage = self.billed().usage()
        return self.step.applied_to(usage) if isinstance(self.step, Usage) else usage

    def billed(self, visible: int | None = None) -> BillItem:
        """Return the bill after *visible* tokens (None: all) of all choices were generated."""
        if visible is None or isinstance(self.step, Hang):
            return self.item
        return replace(self.item, output_tokens=self.item.reasoning_tokens + visible)

    def tokens(self) -> list[tuple[int, int]]:
        """Return (choice, position) of every visible token in the order of generation."""
        sizes = [len(choice.pieces) for choice in self.choices]
        every = ((i, at) for at in range(max(sizes)) for i, size in enumerate(sizes) if at < size)
        end = self.step.after_tokens if isinstance(self.step, (Drop, ErrorEvent)) else None
        return list(islice(every, end))

    def completion(self) -> dict[str, object]:
        """Return the body of a plain answer."""
        whole = [
            {"index": i, "message": c.message(), "logprobs": None, "finish_reason": c.finish_reason}
            for i, c in enumerate(self.choices)
        ]
        usage = self.usage
        return self._envelope("chat.completion", whole) | ({"usage": usage} if usage else {})

    def chunk(self, index: int, delta: Mapping[str, object], end: str | None = None) -> object:
        """Return the chunk that carries one *delta* of one choice."""
        one = {"index": index, "delta": delta, "logprobs": None, "finish_reason": end}
        null: dict[str, object] = {"usage": None} if self.report else {}
        return self._envelope("chat.completion.chunk", [one]) | null

    def last_chunks(self) -> list[object]:
        """Return the chunks after the last token: an end for each choice, then the usage."""
        ends = [self.chunk(i, {}, choice.finish_reason) for i, choice in enumerate(self.choices)]
        usage = self.usage
        last = self._envelope("chat.completion.chunk", []) | {"usage": usage}
        return ends + ([last] if usage else [])

    def _envelope(self, kind: str, choices: Sequence[object]) -> dict[str, object]:
        model = served_model(self.item.model)
        return {
            "id": self.item.response_id,
            "object": kind,
            "created": int(self.item.at),
            "model": model,
            "choices": choices,
            "service_tier": "default",
            "system_fingerprint": f"fp_{zlib.crc32(model.encode()):010x}",
        }


def answer_to(
    body: Mapping[str, object], step: Step, request_id: str, attempt: str | None, cache: PromptCache
) -> Answer:
    """Return the whole answer to a well-formed chat completions request, and its bill."""
    model, tokens = str(body["model"]), prompt_tokens(body)
    made = choices(body, model, step)
    metadata, options = body.get("metadata"), body.get("stream_options")
    item = BillItem(
        request_id=request_id,
        at=time.time(),
        model=model,
        input_tokens=len(tokens),
        cached_tokens=cache.read(served_model(model), tokens),
        output_tokens=sum(choice.reasoning + len(choice.pieces) for choice in made),
        reasoning_tokens=sum(choice.reasoning for choice in made),
        attempt=int(attempt) if attempt and attempt.isdigit() else None,
        metadata=metadata if isinstance(metadata, dict) else None,
    )
    wanted = isinstance(options, dict) and bool(options.get("include_usage"))
    return Answer(made, item, step, report=wanted or not body.get("stream"))


def choices(body: Mapping[str, object], model: str, step: Step) -> tuple[Choice, ...]:
    """Return what *model* generates for a chat completions request, before *step* disturbs it."""
    hidden = HIDDEN_REASONING_TOKENS if re.match(r"o\d", model) else 0
    if isinstance(step, Reason):
        hidden = step.tokens
    asked = body.get("n")
    count = asked if isinstance(asked, int) and asked > 1 else 1
    return tuple(_cut(_choice(body, index), hidden, output_limit(body)) for index in range(count))


def output_limit(body: Mapping[str, object]) -> int | None:
    """Return the request's own maximum of output tokens for each choice, if it has one."""
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if isinstance(limit, int):
            return limit
    return None


def _choice(body: Mapping[str, object], index: int) -> Choice:
    question, answered = last_question(body)
    seed = zlib.crc32(f"{question}\0{index}".encode("utf-8", "surrogatepass"))
    tool = _first_tool(body)
    if tool is not None and "call the tool" in question.lower() and not answered:
        pieces = (str(tool.get("name")), *tokenize(json.dumps(_arguments(tool))))
        return Choice(pieces, 0, "tool_calls", call_id=f"call_{seed:024x}")
    return Choice(tuple(answer_tokens(question, seed)), 0, "stop")


def _cut(choice: Choice, hidden: int, limit: int | None) -> Choice:
    """Make room for *hidden* reasoning tokens and obey the request's *limit* on both."""
    if limit is None or hidden + len(choice.pieces) <= limit:
        return Choice(choice.pieces, hidden, choice.finish_reason, choice.call_id)
    hidden = min(hidden, limit)
    return Choice(choice.pieces[: limit - hidden], hidden, "length", choice.call_id)


def _first_tool(body: Mapping[str, object]) -> Mapping[str, object] | None:
    tools = body.get("tools")
    if not isinstance(tools, list) or not tools or body.get("tool_choice") == "none":
        return None
    function = tools[0].get("function")
    return function if isinstance(function, dict) else None


_EXAMPLES: Mapping[str, object] = {
    "array": [],
    "boolean": True,
    "integer": 1,
    "number": 1.5,
    "object": {},
    "string": "Lisbon",
}


def _arguments(function: Mapping[str, object]) -> dict[str, object]:
    """Return an argument for every property that the function's JSON schema names."""
    schema = function.get("parameters")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return {
        name: kind["enum"][0] if kind.get("enum") else _EXAMPLES.get(str(kind.get("type")))
        for name, kind in (properties or {}).items()
    }


def error_json(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, object]:
    """Return an error in OpenAI's shape."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if status == 429:
        kind = "insufficient_quota" if code == "insufficient_quota" else "requests"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


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
