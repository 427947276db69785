"""The ways to use the Responses API, each written once; a way returns what a program sees of it."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any

from lanes import Lane, cancelled_when
from pydantic import BaseModel

QUESTION = "Say hello in 12 tokens."
REQUEST: dict[str, Any] = {"model": "gpt-4o", "input": QUESTION, "max_output_tokens": 40}
STREAM: dict[str, Any] = REQUEST | {"stream": True}
TOOL = {
    "type": "function",
    "name": "book",
    "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = REQUEST | {"input": "Please call the tool.", "tools": [TOOL]}
TEXT = "response.output_text.delta"
RAW = "with_raw_response"
STREAMING = "with_streaming_response"
OURS_ALONE = re.compile(r"(resp|msg|fc|rs|req|sess)_[0-9a-f]{32}")


class City(BaseModel):
    """What a parsed answer is about."""

    name: str
    people: int


def seen(value: Any) -> Any:
    """A value as it can be compared: its type, and its content without what is never the same."""
    if isinstance(value, list | tuple):
        return [seen(each) for each in value]
    if hasattr(value, "to_dict"):
        return type(value).__name__, _same(value.to_dict(warnings=False))
    return type(value).__name__, value


def _same(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _same(each) for name, each in value.items() if name != "created_at"}
    if isinstance(value, list):
        return [_same(each) for each in value]
    return OURS_ALONE.sub(r"\1", value) if isinstance(value, str) else value


async def create(lane: Lane, **request: Any) -> Any:
    """The answer to a request."""
    return await lane.get(lane.responses.create(**request))


async def plain(lane: Lane) -> Any:
    """The whole answer."""
    answer = await create(lane, **REQUEST)
    return seen(answer), answer.output_text, answer._request_id is not None


async def by_messages(lane: Lane) -> Any:
    """A list of messages, and instructions."""
    messages = [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]
    answer = await create(lane, **REQUEST | {"input": messages, "instructions": "Be kind."})
    return seen(answer)


async def parsed(lane: Lane) -> Any:
    """``parse`` into a pydantic model."""
    answer = await lane.get(lane.responses.parse(**REQUEST, text_format=City))
    return seen(answer), seen(answer.output_parsed)


async def tool_call(lane: Lane) -> Any:
    """A stream that ends in a tool call."""
    return seen(await lane.all(await create(lane, **CALL | {"stream": True})))


async def streamed(lane: Lane) -> Any:
    """The events of a stream."""
    return seen(await lane.all(await create(lane, **STREAM)))


async def consumed(lane: Lane) -> Any:
    """A stream, read to its end and once more."""
    stream = await create(lane, **STREAM)
    kind, response = type(stream), stream.response.status_code
    events = await lane.all(stream)
    return kind, response, seen(events), await lane.all(stream), stream.response.is_closed


async def in_a_with_block(lane: Lane) -> Any:
    """Read inside ``with``."""
    async with lane.within(await create(lane, **STREAM)) as stream:
        return type(stream), seen(await lane.all(stream))


async def three_words(lane: Lane, stream: Any) -> Any:
    """The events up to the third word."""
    events: list[Any] = []
    async for event in lane.each(stream):
        events.append(event)
        if [each.type for each in events].count(TEXT) == 3:
            break
    return seen(events)


async def closed_early(lane: Lane) -> Any:
    """Closed after three words."""
    stream = await create(lane, **STREAM)
    events = await three_words(lane, stream)
    await lane.get(stream.close())
    return events, stream.response.is_closed


async def closed_at_the_last_event(lane: Lane) -> Any:
    """Left by ``break`` at ``response.completed``, as many programs do."""
    async with lane.within(await create(lane, **STREAM)) as stream:
        async for event in lane.each(stream):
            if event.type == "response.completed":
                return seen(event)
    raise AssertionError("no last event")


async def dropped(lane: Lane) -> Any:
    """Forgotten after six events, two words."""
    stream = await create(lane, **STREAM)
    first = seen(await lane.take(stream, 6))
    del stream
    gc.collect()
    await asyncio.sleep(0)
    return first


async def by_next(lane: Lane) -> Any:
    """Three events by ``next``, the rest by ``for``."""
    stream = await create(lane, **STREAM)
    first = await lane.take(stream, 3)
    return seen(first), seen(await lane.all(stream))


async def closed_unread(lane: Lane) -> Any:
    """Closed before anything was read."""
    stream = await create(lane, **STREAM)
    await lane.get(stream.close())
    return stream.response.is_closed


async def consumer_raises(lane: Lane) -> Any:
    """The program fails while it reads."""
    async with lane.within(await create(lane, **STREAM)) as stream:
        await three_words(lane, stream)
        raise LookupError("the consumer's own")


async def raw_stream_closed(lane: Lane) -> Any:
    """``with_raw_response`` of a stream that nobody parses."""
    raw = await lane.get(getattr(lane.responses, RAW).create(**STREAM))
    response = raw.http_response
    await lane.get(response.aclose() if lane.is_async else response.close())
    return type(raw).__name__


async def helper(lane: Lane) -> Any:
    """``stream()``: events, then the final response."""
    async with lane.within(lane.responses.stream(**REQUEST)) as stream:
        events = await lane.all(stream)
        return type(stream), seen(events), seen(await lane.get(stream.get_final_response()))


async def helper_of_a_tool_call(lane: Lane) -> Any:
    """``stream()`` with a tool."""
    async with lane.within(lane.responses.stream(**CALL)) as stream:
        return seen(await lane.get(stream.get_final_response()))


async def helper_parsed(lane: Lane) -> Any:
    """``stream()`` into a pydantic model."""
    async with lane.within(lane.responses.stream(**REQUEST, text_format=City)) as stream:
        await lane.get(stream.until_done())
        return seen((await lane.get(stream.get_final_response())).output_parsed)


async def helper_left(lane: Lane) -> Any:
    """``stream()``, left after three words."""
    async with lane.within(lane.responses.stream(**REQUEST)) as stream:
        events = await three_words(lane, stream)
    return events, stream._response.is_closed


async def helper_never_entered(lane: Lane) -> Any:
    """``stream()`` sends nothing until it is entered; then a plain call is made."""
    manager = lane.responses.stream(**REQUEST)
    seen_before = len(lane.server.requests)
    if lane.is_async:
        manager._AsyncResponseStreamManager__api_request.close()
    return type(manager), len(lane.server.requests) - seen_before, await plain(lane)


async def raw_plain(lane: Lane) -> Any:
    """``with_raw_response``, parsed twice."""
    raw = await lane.get(getattr(lane.responses, RAW).create(**REQUEST))
    kind, headers = type(raw).__name__, "x-request-id" in raw.headers
    return kind, headers, raw.status_code, seen(raw.parse()), raw.parse() is raw.parse()


async def raw_parsed(lane: Lane) -> Any:
    """``with_raw_response.parse``."""
    raw = await lane.get(getattr(lane.responses, RAW).parse(**REQUEST, text_format=City))
    return type(raw).__name__, seen(raw.parse())


async def raw_stream(lane: Lane) -> Any:
    """``with_raw_response`` of a stream."""
    raw = await lane.get(getattr(lane.responses, RAW).create(**STREAM))
    stream = raw.parse()
    return type(stream), seen(await lane.all(stream)), raw.retries_taken


async def streaming_parsed(lane: Lane) -> Any:
    """``with_streaming_response``, parsed."""
    async with lane.within(getattr(lane.responses, STREAMING).create(**REQUEST)) as raw:
        return type(raw).__name__, seen(await lane.get(raw.parse()))


async def streaming_stream_parsed(lane: Lane) -> Any:
    """A stream made of ``with_streaming_response``."""
    async with lane.within(getattr(lane.responses, STREAMING).create(**STREAM)) as raw:
        stream = await lane.get(raw.parse())
        return type(stream), seen(await lane.all(stream))


async def streaming_stream_lines(lane: Lane) -> Any:
    """Its body by lines."""
    async with lane.within(getattr(lane.responses, STREAMING).create(**STREAM)) as raw:
        lines = await lane.all(raw.iter_lines())
        return [line for line in lines if line.startswith("event:")]


async def streaming_stream_lines_left(lane: Lane) -> Any:
    """Its body by lines, left at the third word."""
    lines: list[str] = []
    async with lane.within(getattr(lane.responses, STREAMING).create(**STREAM)) as raw:
        async for line in lane.each(raw.iter_lines()):
            lines.append(line)
            if len([each for each in lines if each.startswith('data: {"type":"' + TEXT)]) == 3:
                break
    return len(lines)


async def cancelled_before_the_answer(lane: Lane) -> Any:
    """Its task is cancelled while the provider works."""
    return await cancelled_when(lambda: bool(lane.server.bill.items), create(lane, **REQUEST))


async def cancelled_before_the_stream(lane: Lane) -> Any:
    """The task of a stream is cancelled before its first event."""
    billed = lane.server.bill
    return await cancelled_when(lambda: bool(billed.items), streamed(lane), after_s=0.1)


async def cancelled_in_mid_stream(lane: Lane) -> Any:
    """Its task is cancelled while it waits for the third word."""
    events: list[Any] = []

    async def work() -> None:
        async for event in await create(lane, **STREAM):
            events.append(event)

    return await cancelled_when(lambda: len(events) >= 5, work())
