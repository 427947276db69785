"""Legacy completions, embeddings and moderations, as the local server speaks them."""

from __future__ import annotations

import base64
import struct
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aden.testing.bill import BillItem, tokenize
from aden.testing.generated import Answer, Choice, choices
from aden.testing.script import error_json

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from aden.testing.generated import Event
    from aden.testing.handler import Handler

DEFAULT_MAX_TOKENS = 16
_DIMENSIONS = 8


def asked(found: re.Match[str], body: dict[str, object] | None) -> dict[str, object]:
    """Return the request; an Azure deployment in its path is its model."""
    deployment: dict[str, object] = {"model": unquote(found[1])} if found[1] else {}
    return deployment | (body or {})


def attempt_of(headers: Any) -> int | None:
    """Return which try the client says that a request is."""
    attempt = headers.get("x-stainless-retry-count")
    return int(attempt) if attempt and attempt.isdigit() else None


def make_item(
    handler: Handler,
    model: str,
    input_tokens: int,
    output_tokens: int,
    *,
    media_tokens: int = 0,
    units: int = 0,
) -> BillItem:
    """Return what a request costs in whole."""
    return BillItem(
        handler.request_id,
        time.time(),
        model,
        input_tokens,
        0,
        output_tokens,
        0,
        attempt=attempt_of(handler.headers),
        media_tokens=media_tokens,
        units=units,
    )


def completions(handler: Handler, found: re.Match[str], body: dict[str, object] | None) -> None:
    """Continue a prompt."""
    request = asked(found, body)
    if not isinstance(prompt := request.get("prompt"), str):
        handler.send_json(400, error_json(400, "the local server takes one prompt, a text"))
    elif (step := handler.next_step()) is not None:
        model = str(request["model"])
        question = [{"role": "user", "content": prompt}]
        limit = request.get("max_tokens", DEFAULT_MAX_TOKENS)
        made = choices({**request, "messages": question, "max_tokens": limit}, model, step)
        pieces = sum(len(choice.pieces) for choice in made)
        item = make_item(handler, model, len(tokenize(prompt)), pieces)
        options, streamed = request.get("stream_options"), bool(request.get("stream"))
        wanted = isinstance(options, dict) and bool(options.get("include_usage"))
        answer = Answer(made, item, step, _Text(wanted or not streamed))
        handler.deliver(answer, streamed=streamed)


@dataclass(frozen=True, slots=True)
class _Text:
    """The form of legacy completions."""

    report: bool
    done = b"data: [DONE]\n\n"

    def reports(self, answer: Answer) -> bool:
        return self._usage(answer) is not None

    def whole(self, answer: Answer) -> tuple[int, object]:
        if answer.fails:
            return 500, answer.error
        said = [_said(i, c.text, c.finish_reason) for i, c in enumerate(answer.choices)]
        usage = self._usage(answer)
        return 200, _envelope(answer, said) | ({"usage": usage} if usage else {})

    def opening(self, _answer: Answer) -> Sequence[Event]:
        return []

    def piece(self, answer: Answer, index: int, position: int) -> Sequence[Event]:
        return [_envelope(answer, [_said(index, answer.choices[index].pieces[position], None)])]

    def closing(self, answer: Answer) -> Sequence[Event]:
        ends = [
            _envelope(answer, [_said(i, "", c.finish_reason)]) for i, c in enumerate(answer.choices)
        ]
        usage = self._usage(answer)
        return ends + ([_envelope(answer, []) | {"usage": usage}] if usage else [])

    def broken(self, answer: Answer) -> Sequence[Event]:
        return [answer.error]

    def _usage(self, answer: Answer) -> Mapping[str, object] | None:
        return answer.reported(answer.billed().usage()) if self.report else None


def _said(index: int, text: str, end: str | None) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": end}


def _envelope(answer: Answer, every: Sequence[object]) -> dict[str, object]:
    return {
        "id": answer.item.response_id.replace("chatcmpl", "cmpl"),
        "object": "text_completion",
        "created": int(answer.item.at),
        "model": answer.item.model,
        "choices": every,
    }


def embeddings(handler: Handler, found: re.Match[str], body: dict[str, object] | None) -> None:
    """Embed texts."""
    request = asked(found, body)
    texts = request.get("input")
    several = texts if isinstance(texts, list) else [texts]
    if (step := handler.next_step()) is not None:
        count = sum(len(tokenize(str(each))) for each in several)
        item = make_item(handler, str(request["model"]), count, 0)
        form = _Vectors(
            [str(each) for each in several],
            int(str(request.get("dimensions") or _DIMENSIONS)),
            request.get("encoding_format") == "base64",
        )
        handler.deliver(Answer((Choice((), 0, "stop"),), item, step, form), streamed=False)


@dataclass(frozen=True, slots=True)
class _Vectors:
    """The form of embeddings."""

    texts: Sequence[str]
    dimensions: int
    packed: bool
    done = b""

    def reports(self, answer: Answer) -> bool:
        return self._usage(answer) is not None

    def whole(self, answer: Answer) -> tuple[int, object]:
        if answer.fails:
            return 500, answer.error
        data = [
            {"object": "embedding", "index": i, "embedding": self._vector(text)}
            for i, text in enumerate(self.texts)
        ]
        listed = {"object": "list", "data": data, "model": answer.item.model}
        usage = self._usage(answer)
        return 200, listed | ({"usage": usage} if usage else {})

    def opening(self, _answer: Answer) -> Sequence[Event]:
        return []

    closing = broken = opening

    def piece(self, _answer: Answer, _index: int, _position: int) -> Sequence[Event]:
        return []

    def _usage(self, answer: Answer) -> Mapping[str, object] | None:
        count = answer.item.input_tokens
        return answer.reported({"prompt_tokens": count, "total_tokens": count})

    def _vector(self, text: str) -> object:
        seed = zlib.crc32(text.encode("utf-8", "surrogatepass"))
        numbers = [((seed >> (i % 24)) & 255) / 256 for i in range(self.dimensions)]
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        return base64.b64encode(packed).decode() if self.packed else numbers


def moderations(handler: Handler, _found: re.Match[str], _body: dict[str, object] | None) -> None:
    """Find nothing wrong, for nothing."""
    result = {"flagged": False, "categories": {}, "category_scores": {}}
    answer = {"id": handler.request_id, "model": "omni-moderation-latest", "results": [result]}
    handler.send_json(200, answer)
