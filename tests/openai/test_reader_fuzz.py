"""Every reader on everything that a provider may send, and the reader of events on its bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from endpoint_shapes import PICTURE, sound
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder
from openai.types.chat import ChatCompletionChunk

from aden.core.request import Request
from aden.core.usage import COUNTS, MAX_TOKENS, token_count
from aden.instrumentation.openai import realtime
from aden.instrumentation.openai.events import Events, values
from aden.instrumentation.openai.paths import GATED
from aden.instrumentation.openai.unlisted import unlisted
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt
from aden.pricing import PriceBook
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aden.instrumentation.openai.endpoint import Endpoint

ENDPOINTS: dict[str, Endpoint] = {
    **GATED,
    "/realtime": realtime.ENDPOINT,
    "unlisted": unlisted("POST /rerank"),
}
EXAMPLES = settings(deadline=None, max_examples=60)


@dataclass(frozen=True)
class Asked:
    """One request to the local server."""

    path: str
    body: dict[str, Any]
    files: tuple[Any, ...] = ()


TALK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello in 6 tokens."}]}
TOOL = {"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}
CALL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Please call the tool."}]}
ASKED = {"stream": True, "stream_options": {"include_usage": True}}
HEARD = (("file", ("a.wav", sound(1), "audio/wav")),)
SAID = {"model": "gpt-4o", "input": "Say hello in 6 tokens."}
DRAWN = {"model": "gpt-image-1-mini", "prompt": "a cat"}
REAL = (
    Asked("/chat/completions", TALK),
    Asked("/chat/completions", TALK | ASKED | {"n": 2}),
    Asked("/chat/completions", CALL | ASKED | {"tools": [TOOL]}),
    Asked("/responses", SAID),
    Asked("/responses", SAID | {"stream": True}),
    Asked("/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"}),
    Asked("/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"} | ASKED),
    Asked("/embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"]}),
    Asked("/images/generations", DRAWN),
    Asked("/images/generations", DRAWN | {"stream": True, "partial_images": 1}),
    Asked("/images/edits", DRAWN, (("image", PICTURE),)),
    Asked("/audio/transcriptions", {"model": "whisper-1"}, HEARD),
    Asked("/audio/transcriptions", {"model": "gpt-4o-mini-transcribe", "stream": "true"}, HEARD),
    Asked("/audio/translations", {"model": "whisper-1"}, HEARD),
)


@cache
def recorded() -> tuple[tuple[Asked, bytes], ...]:
    """What the local server answers."""
    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server, httpx2.Client() as client:
        return tuple((asked, _post(client, server, asked)) for asked in REAL)


def _post(client: httpx2.Client, server: OpenAIServer, asked: Asked) -> bytes:
    url = server.base_url + asked.path
    if asked.files:
        answer = client.post(url, data=asked.body, files=list(asked.files))
    else:
        answer = client.post(url, json=asked.body)
    assert answer.status_code == 200, answer.text
    return answer.content


def streamed(body: bytes) -> bool:
    """Whether it is a stream's."""
    return body.startswith((b"data:", b"event:"))


def read(body: bytes, *pieces: bytes) -> list[Any]:
    """The values of a stream's events."""
    events = Events()
    found = [data for piece in pieces or (body,) for data in events.feed(piece)]
    return [value for data in [*found, *events.finish()] for value in values(data)]


def note(endpoint: Endpoint, answers: Sequence[Any], *, whole: bool) -> Attempt:
    """What a reader makes of one answer, or of the chunks of one."""
    attempt = Attempt(Request("openai", "gpt-4o", stream=not whole))
    for answer in answers:
        if whole:
            endpoint.read(attempt, answer)
        else:
            assert endpoint.feed(attempt, answer, True) in (True, False)
    return attempt


def noted(attempt: Attempt) -> tuple[Any, ...]:
    """All of that."""
    failure = attempt.failure and (attempt.failure.code, str(attempt.failure))
    said = attempt.response_id, attempt.response_model, attempt.service_tier
    return attempt.usage, attempt.outcome, attempt.deltas, attempt.size, *said, failure


def check(attempt: Attempt, endpoint: Endpoint, answers: Sequence[Any]) -> None:
    """Counts are counts, names are texts, and nothing is billed below what was reported."""
    for name in COUNTS:
        count = getattr(attempt.usage, name)
        assert count is None or (type(count) is int and 0 <= count <= 7 * 24 * 3600 * MAX_TOKENS)
    for text in (attempt.response_id, attempt.response_model, attempt.service_tier):
        assert text is None or isinstance(text, str)
    assert all(isinstance(reason, str) for reason in attempt.finish_reasons)
    attempt.ended_unknown()
    billed = attempt.billed(3, 4)
    assert (billed.input_tokens or 0) >= 0
    assert (billed.output_tokens or 0) >= 0
    reported = attempt.outcome == "reported"
    price = PriceBook().price(
        attempt.request, "gpt-4o", billed, attempt.service_tier, told=reported
    )
    assert price.cost(billed) >= 0
    for field, count in _reported(answers).items():
        assert (getattr(billed, field) or 0) >= count, (field, count)


def _reported(answers: Sequence[Any]) -> dict[str, int]:
    """The last sane totals of a chat's answers, which are read by nobody else."""
    found: dict[str, int] = {}
    for answer in answers:
        usage = answer.get("usage") if isinstance(answer, dict) else None
        for name, field in (
            ("prompt_tokens", "input_tokens"),
            ("completion_tokens", "output_tokens"),
        ):
            count = token_count(get(usage, name)) if isinstance(usage, dict) else None
            if count is not None:
                found[field] = count
    return found


_NAMES = """
usage id model choices delta message content text type response output item status error
code reason details index finish_reason tool_calls function name arguments seconds
duration data embedding service_tier input_tokens output_tokens prompt_tokens
completion_tokens prompt_tokens_details input_tokens_details input_token_details
cached_tokens audio_tokens reasoning_tokens image_tokens
"""
NAMES = st.sampled_from(_NAMES.split())
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["response.completed", "error", "x.delta", "completed", "failed", -1, 10**30])
)
JUNK = st.recursive(
    ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=15,
)


@pytest.mark.parametrize("path", ENDPOINTS)
@EXAMPLES
@given(answers=st.lists(JUNK, max_size=3), whole=st.booleans())
def test_no_reader_falls_over_junk(path: str, answers: list[Any], whole: bool) -> None:
    """Whatever JSON says: the same twice, and never a count that is none."""
    endpoint = ENDPOINTS[path]
    attempt = note(endpoint, answers, whole=whole)
    assert noted(attempt) == noted(note(endpoint, answers, whole=whole))
    check(attempt, endpoint, answers if path == "/chat/completions" and not whole else ())


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    yield path
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield from spots(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with something else there."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("index", range(len(REAL)), ids=lambda index: f"{index} {REAL[index].path}")
@EXAMPLES
@given(data=st.data())
def test_no_reader_falls_over_what_a_real_answer_may_become(
    index: int, data: st.DataObject
) -> None:
    """Up to three of its fields say something else."""
    asked, body = recorded()[index]
    endpoint = ENDPOINTS[asked.path]
    answers = read(body) if streamed(body) else [json.loads(body)]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(answers) - 1))
        path = data.draw(st.sampled_from(list(spots(answers[at]))))
        answers[at] = changed(answers[at], path, data.draw(JUNK))
    attempt = note(endpoint, answers, whole=not streamed(body))
    check(attempt, endpoint, answers if asked.path == "/chat/completions" else ())


def cut(draw: st.DataObject, body: bytes) -> list[bytes]:
    """*body* in pieces."""
    places = draw.draw(st.lists(st.integers(0, len(body)), max_size=12).map(sorted))
    ends = [*places, len(body)]
    return [body[start:end] for start, end in zip([0, *places], ends, strict=True)]


STREAMED = [index for index, asked in enumerate(REAL) if asked.body.get("stream")]


@pytest.mark.parametrize("index", STREAMED, ids=lambda index: f"{index} {REAL[index].path}")
@EXAMPLES
@given(
    data=st.data(),
    newline=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    between=st.sampled_from([b"", b": ping\n\n", b"event: x\n", b"id: 1\nretry: 5\n", b"\n\n"]),
)
def test_events_are_read_as_the_sdk_reads_them(
    index: int, data: st.DataObject, newline: bytes, between: bytes
) -> None:
    """In whatever pieces they come, and however their lines end."""
    _, body = recorded()[index]
    events = body.split(b"\n\n")
    body = b"\n\n".join([events[0], *(between + each if each else each for each in events[1:])])
    pieces = cut(data, body.replace(b"\n", newline))
    theirs = []
    for event in SSEDecoder().iter_bytes(iter(pieces)):
        if event.data.startswith("[DONE]"):
            break
        if event.data:
            theirs.append(event.json())
    assert read(b"", *pieces) == theirs
    assert len(theirs) > 1


@EXAMPLES
@given(data=st.data(), index=st.sampled_from([1, 2]))
def test_the_usage_of_a_body_is_that_of_the_sdks_stream(data: st.DataObject, index: int) -> None:
    """The SDK's objects and their JSON say the same."""
    asked, body = recorded()[index]
    endpoint = ENDPOINTS[asked.path]
    ours = read(b"", *cut(data, body))
    theirs = [ChatCompletionChunk.construct(**each) for each in read(body)]
    attempt = note(endpoint, theirs, whole=False)
    assert noted(note(endpoint, ours, whole=False)) == noted(attempt)
    assert attempt.outcome == "reported"


@EXAMPLES
@given(
    data=st.data(),
    body=st.lists(
        st.sampled_from(
            [b"data:", b" ", b"{}", b"\n", b"\r", b"\r\n", b"[DONE]", b"\xff", b":", b"1"]
        )
        | st.binary(max_size=5),
        max_size=30,
    ).map(b"".join),
)
def test_any_bytes_are_the_same_events_in_whatever_pieces(data: st.DataObject, body: bytes) -> None:
    """The reader of events never raises; it gives each line as it came."""
    whole = Events()
    expected = [*whole.feed(body), *whole.finish()]
    parts = Events()
    found = [event for piece in cut(data, body) for event in parts.feed(piece)]
    assert [*found, *parts.finish()] == expected
    for event in expected:
        assert all(b"\n" not in line and b"\r" not in line for line in event)


LINES = st.sampled_from([b"data: [1,", b"data: 2]", b"data:{}", b"", b"", b": x", b"event: y"])


@EXAMPLES
@given(lines=st.lists(LINES, max_size=12), newline=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_line_end_is_one_also_where_it_is_torn(lines: list[bytes], newline: bytes) -> None:
    """Byte for byte as in one piece."""
    expected = list(Events().feed(b"".join(line + b"\n" for line in lines)))
    body, events = b"".join(line + newline for line in lines), Events()
    pieces = (body[at : at + 1] for at in range(len(body)))
    assert [event for piece in pieces for event in events.feed(piece)] == expected


COUNT = st.integers(0, 50) | st.sampled_from([None, -1, 10**30, "7", 3.0])
HALVES = st.fixed_dictionaries({}, optional={"prompt_tokens": COUNT, "completion_tokens": COUNT})


@EXAMPLES
@given(usages=st.lists(HALVES, max_size=4))
def test_of_several_usages_each_count_is_the_last_that_was_one(usages: list[Any]) -> None:
    """Never their sum, and nothing is forgotten that a later one leaves out."""
    chunks = [{"id": "c", "choices": [], "usage": usage} for usage in usages]
    attempt = note(ENDPOINTS["/chat/completions"], chunks, whole=False)
    reported = _reported(chunks)
    assert attempt.usage.input_tokens == reported.get("input_tokens")
    assert attempt.usage.output_tokens == reported.get("output_tokens")
