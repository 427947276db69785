"""What a model of the local server generates: a function of the request alone.

The same question gets the same words, on every endpoint.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aden.testing.bill import BillItem, answer_tokens, last_question, tokenize
from aden.testing.script import (
    Drop,
    ErrorEvent,
    Fail,
    Hang,
    NoCap,
    NoUsage,
    Reason,
    Refuse,
    Usage,
    error_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aden.testing.script import Step

HIDDEN_REASONING_TOKENS = 64
"""Reasoning tokens of each choice of a reasoning model (o1 and its kin)."""


Event: TypeAlias = "Mapping[str, object]"
"""One server-sent event, or one message of a WebSocket."""


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
    refusal: bool = False
    """Whether the words are a refusal."""

    @property
    def text(self) -> str:
        """All that is said."""
        return "".join(self.pieces)

    @property
    def function(self) -> tuple[str, str]:
        """Name and arguments of the tool call."""
        return "".join(self.pieces[:1]), "".join(self.pieces[1:])


@dataclass(frozen=True, slots=True)
class Body:
    """A whole answer that is no JSON."""

    kind: str
    """Its content type."""
    payload: bytes


class Form(Protocol):
    """How an endpoint puts an answer into JSON."""

    done: bytes
    """What ends a stream after its last event."""

    def whole(self, answer: Answer) -> tuple[int, object]:
        """Return status and body of a plain answer."""

    def opening(self, answer: Answer) -> Sequence[Event]:
        """Return the events before the first token."""

    def piece(self, answer: Answer, index: int, position: int) -> Sequence[Event]:
        """Return the events of one token of one choice."""

    def closing(self, answer: Answer) -> Sequence[Event]:
        """Return the events after the last token, with the usage."""

    def broken(self, answer: Answer) -> Sequence[Event]:
        """Return the events by which a stream says that generating failed."""

    def reports(self, answer: Answer) -> bool:
        """Whether the answer carries a usage."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All that the server says to one request, and what it costs."""

    choices: tuple[Choice, ...]
    item: BillItem
    """The bill of the whole answer."""
    step: Step
    form: Form
    detached: bool = False
    """Whether it is generated to its end though the client hangs up."""
    tokens_a_piece: int = 1
    """Output tokens of each piece; an image is sent in few, a word is spoken in several."""
    spoken_a_piece: int = 0
    """Those of them that are speech."""

    @property
    def fails(self) -> bool:
        """Whether it says so itself that it is no whole answer."""
        return isinstance(self.step, (ErrorEvent, Fail))

    @property
    def error(self) -> dict[str, object]:
        """By which it says so."""
        assert isinstance(self.step, (ErrorEvent, Fail))
        return error_json(500, self.step.message)

    def reported(self, usage: Mapping[str, object]) -> Mapping[str, object] | None:
        """Return what is reported where *usage* is true; None if nothing is."""
        if isinstance(self.step, NoUsage):
            return None
        return self.step.applied_to(usage) if isinstance(self.step, Usage) else usage

    def billed(self, visible: int | None = None) -> BillItem:
        """Return the bill after *visible* tokens (None: all) of all choices were generated."""
        if self.detached:
            visible = len(self.tokens())
        if visible is None or isinstance(self.step, Hang):
            return self.item
        return replace(
            self.item,
            output_tokens=self.item.reasoning_tokens + visible * self.tokens_a_piece,
            audio_output_tokens=visible * self.spoken_a_piece,
        )

    def tokens(self) -> list[tuple[int, int]]:
        """Return (choice, position) of every visible token in the order of generation."""
        sizes = [len(choice.pieces) for choice in self.choices]
        every = ((i, at) for at in range(max(sizes)) for i, size in enumerate(sizes) if at < size)
        ends = isinstance(self.step, (Drop, ErrorEvent, Fail))
        return list(islice(every, self.step.after_tokens if ends else None))  # type: ignore[union-attr]


def choices(body: Mapping[str, object], model: str, step: Step) -> tuple[Choice, ...]:
    """Return what *model* generates for a chat completions request, before *step* disturbs it."""
    hidden = HIDDEN_REASONING_TOKENS if re.match(r"o\d", model) else 0
    if isinstance(step, Reason):
        hidden = step.tokens
    asked = body.get("n")
    count = asked if isinstance(asked, int) and asked > 1 else 1
    limit = None if isinstance(step, NoCap) else output_limit(body)
    made = [_cut(_choice(body, index), hidden, limit) for index in range(count)]
    if isinstance(step, Refuse):
        made = [replace(choice, refusal=choice.call_id is None) for choice in made]
    return tuple(made)


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
        arguments = _arguments(tool.get("parameters"))
        pieces = (str(tool.get("name")), *tokenize(json.dumps(arguments)))
        return Choice(pieces, 0, "tool_calls", call_id=f"call_{seed:024x}")
    schema = _schema(body)
    if schema is not None:
        return Choice(tuple(tokenize(json.dumps(_arguments(schema)))), 0, "stop")
    return Choice(tuple(answer_tokens(question, seed)), 0, "stop")


def _cut(choice: Choice, hidden: int, limit: int | None) -> Choice:
    """Make room for *hidden* reasoning tokens and obey the request's *limit* on both."""
    if limit is None or hidden + len(choice.pieces) <= limit:
        return replace(choice, reasoning=hidden)
    hidden = min(hidden, limit)
    pieces = choice.pieces[: limit - hidden]
    return replace(choice, pieces=pieces, reasoning=hidden, finish_reason="length")


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


def _schema(body: Mapping[str, object]) -> object:
    """Return the JSON schema that the answer has to keep to, if there is one."""
    wanted = body.get("response_format")
    named = wanted.get("json_schema") if isinstance(wanted, dict) else None
    return named.get("schema") if isinstance(named, dict) else None


def _arguments(schema: object) -> dict[str, object]:
    """Return an example for every property that a JSON schema names."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return {
        name: kind["enum"][0] if kind.get("enum") else _EXAMPLES.get(str(kind.get("type")))
        for name, kind in (properties or {}).items()
    }
