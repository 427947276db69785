"""The ways to use chat completions, each written once; a way returns what a program sees of it."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any

from lanes import Lane, cancelled_when
from pydantic import BaseModel

QUESTION = [{"role": "user", "content": "Say hello in 12 tokens."}]
REQUEST: dict[str, Any] = {"model": "gpt-4o", "messages": QUESTION, "max_tokens": 40}
STREAM: dict[str, Any] = REQUEST | {"stream": True}
ASKED: dict[str, Any] = STREAM | {"stream_options": {"include_usage": True}}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
RAW = "with_raw_response"
STREAMING = "with_streaming_response"
_VARYING = re.compile(r'"(id|created|system_fingerprint)": ?("[^"]*"|[0-9]+)')
"""What a server says anew each time."""


def seen(value: Any) -> Any:
    """A value as it can be compared: its type, and its content without what is never the same."""
    if isinstance(value, list):
        return [seen(each) for each in value]
    if hasattr(value, "to_dict"):
        fields = {
            name: field
            for name, field in value.to_dict(warnings=False).items()
            if name not in ("id", "created", "_request_id")
        }
        return type(value).__name__, fields
    return type(value).__name__, value


async def plain(lane: Lane) -> Any:
    """The whole answer."""
    answer = await lane.create(**REQUEST)
    return seen(answer), answer._request_id is not None


async def generator_messages(lane: Lane) -> Any:
    """Messages that can be read once only."""
    messages = (dict(message) for message in QUESTION)
    return seen(await lane.create(**(REQUEST | {"messages": messages}))), list(messages)


async def tool_call(lane: Lane) -> Any:
    """A stream that ends in a tool call."""
    messages = [{"role": "user", "content": "Please call the tool."}]
    request = STREAM | {"messages": messages, "tools": [TOOL]}
    return seen(await lane.all(await lane.create(**request)))


async def two_choices(lane: Lane) -> Any:
    """``n=2``: the deltas of both take turns."""
    return seen(await lane.all(await lane.create(**STREAM, n=2)))


async def consumed(lane: Lane, request: dict[str, Any] = STREAM) -> Any:
    """A stream, read to its end and once more."""
    stream = await lane.create(**request)
    kind, response = type(stream), stream.response.status_code
    chunks = await lane.all(stream)
    return kind, response, seen(chunks), await lane.all(stream), stream.response.is_closed


async def usage_asked(lane: Lane) -> Any:
    """The caller asks for usage and sees its chunk."""
    return await consumed(lane, ASKED)


async def usage_declined(lane: Lane) -> Any:
    """The caller says that it wants none."""
    return await consumed(lane, STREAM | {"stream_options": {"include_usage": False}})


async def in_a_with_block(lane: Lane) -> Any:
    """Read inside ``with``."""
    async with lane.within(await lane.create(**STREAM)) as stream:
        return type(stream), seen(await lane.all(stream))


async def by_next(lane: Lane) -> Any:
    """Three chunks by ``next``, the rest by ``for``."""
    stream = await lane.create(**STREAM)
    first = await lane.take(stream, 3)
    return seen(first), seen(await lane.all(stream))


async def closed_early(lane: Lane) -> Any:
    """Closed after four chunks."""
    stream = await lane.create(**STREAM)
    first = await lane.take(stream, 4)
    await lane.get(stream.close())
    return seen(first), stream.response.is_closed


async def closed_unread(lane: Lane) -> Any:
    """Closed before anything was read."""
    stream = await lane.create(**STREAM)
    await lane.get(stream.close())
    return stream.response.is_closed


async def left_by_break(lane: Lane) -> Any:
    """``break`` at the first word."""
    async with lane.within(await lane.create(**STREAM)) as stream:
        async for chunk in lane.each(stream):
            if chunk.choices[0].delta.content:
                break
    return stream.response.is_closed


async def dropped(lane: Lane) -> Any:
    """Forgotten after three chunks."""
    stream = await lane.create(**STREAM)
    first = seen(await lane.take(stream, 3))
    del stream
    gc.collect()
    await asyncio.sleep(0)
    return first


async def consumer_raises(lane: Lane) -> Any:
    """The program fails while it reads."""
    async with lane.within(await lane.create(**STREAM)) as stream:
        await lane.take(stream, 2)
        raise LookupError("the consumer's own")


class City(BaseModel):
    """What a parsed answer is about."""

    name: str
    people: int


async def parsed(lane: Lane) -> Any:
    """``parse`` into a pydantic model."""
    answer = await lane.get(lane.chat.parse(**REQUEST, response_format=City))
    return seen(answer), answer.choices[0].message.parsed


async def beta(lane: Lane) -> Any:
    """``client.beta.chat``."""
    return seen(await lane.get(lane.client.beta.chat.completions.create(**REQUEST)))


async def helper(lane: Lane) -> Any:
    """``stream()``: events, then the final completion."""
    async with lane.within(lane.chat.stream(**REQUEST)) as stream:
        events = await lane.all(stream)
        final = await lane.get(stream.get_final_completion())
        return type(stream), [each.type for each in events], seen(events[-1]), seen(final)


async def helper_of_a_tool_call(lane: Lane) -> Any:
    """``stream()`` with a tool."""
    messages = [{"role": "user", "content": "Please call the tool."}]
    tool = TOOL | {"function": {**TOOL["function"], "strict": True}}
    async with lane.within(lane.chat.stream(**REQUEST | {"messages": messages}, tools=[tool])) as s:
        return [each.type for each in await lane.all(s)], seen(await lane.get(final(s)))


def final(stream: Any) -> Any:
    """The completion at a helper's end."""
    return stream.get_final_completion()


async def helper_parsed(lane: Lane) -> Any:
    """``stream()`` into a pydantic model, through ``beta.chat``."""
    chat = lane.client.beta.chat.completions
    async with lane.within(chat.stream(**REQUEST, response_format=City)) as stream:
        return (await lane.get(final(stream))).choices[0].message.parsed


async def helper_left(lane: Lane) -> Any:
    """``stream()``, left at the second word."""
    words = 0
    async with lane.within(lane.chat.stream(**REQUEST)) as stream:
        async for event in lane.each(stream):
            words += event.type == "content.delta" and bool(event.delta)
            if words == 2:
                break
    return stream._response.is_closed


async def raw_plain(lane: Lane) -> Any:
    """``with_raw_response``, parsed twice."""
    raw = await lane.get(getattr(lane.chat, RAW).create(**REQUEST))
    kind, headers = type(raw).__name__, "x-request-id" in raw.headers
    return kind, headers, raw.status_code, seen(raw.parse()), raw.parse() is raw.parse()


async def raw_stream(lane: Lane) -> Any:
    """``with_raw_response`` of a stream."""
    raw = await lane.get(getattr(lane.chat, RAW).create(**STREAM))
    stream = raw.parse()
    return type(stream), seen(await lane.all(stream)), raw.retries_taken


async def raw_stream_closed(lane: Lane) -> Any:
    """``with_raw_response`` of a stream that nobody parses."""
    raw = await lane.get(getattr(lane.chat, RAW).create(**STREAM))
    response = raw.http_response
    await lane.get(response.aclose() if lane.is_async else response.close())
    return type(raw).__name__


async def raw_stream_lines(lane: Lane) -> Any:
    """``with_raw_response`` of a stream whose HTTP response is read by lines."""
    raw = await lane.get(getattr(lane.chat, RAW).create(**STREAM))
    response = raw.http_response
    lines = await lane.all(response.aiter_lines() if lane.is_async else response.iter_lines())
    return [_VARYING.sub("", line) for line in lines], response.is_closed


async def raw_stream_read(lane: Lane) -> Any:
    """``with_raw_response`` of a stream whose HTTP response is read in whole, and then parsed."""
    raw = await lane.get(getattr(lane.chat, RAW).create(**STREAM))
    response = raw.http_response
    body = await lane.get(response.aread() if lane.is_async else response.read())
    return _VARYING.sub("", body.decode()), seen(await lane.all(raw.parse()))


async def streaming_parsed(lane: Lane) -> Any:
    """``with_streaming_response``, parsed."""
    async with lane.within(getattr(lane.chat, STREAMING).create(**REQUEST)) as raw:
        return type(raw).__name__, seen(await lane.get(raw.parse()))


async def streaming_json(lane: Lane) -> Any:
    """Its body as JSON, twice."""
    async with lane.within(getattr(lane.chat, STREAMING).create(**REQUEST)) as raw:
        body = await lane.get(raw.json())
        return sorted(body), body["choices"], await lane.get(raw.json()) == body


async def streaming_lines(lane: Lane) -> Any:
    """Its body by lines."""
    async with lane.within(getattr(lane.chat, STREAMING).create(**REQUEST)) as raw:
        lines = await lane.all(raw.iter_lines())
        return len(lines), '"choices"' in lines[0]


async def streaming_unread(lane: Lane) -> Any:
    """Only its status."""
    async with lane.within(getattr(lane.chat, STREAMING).create(**REQUEST)) as raw:
        return raw.status_code


async def streaming_stream_parsed(lane: Lane) -> Any:
    """A stream made of it."""
    async with lane.within(getattr(lane.chat, STREAMING).create(**ASKED)) as raw:
        stream = await lane.get(raw.parse())
        return type(stream), seen(await lane.all(stream))


async def streaming_stream_lines(lane: Lane, request: dict[str, Any] = ASKED) -> Any:
    """The lines of a stream, raw."""
    async with lane.within(getattr(lane.chat, STREAMING).create(**request)) as raw:
        lines = await lane.all(raw.iter_lines())
        return len(lines), [line for line in lines if "usage" in line] == [], lines[-2:]


async def streaming_stream_lines_unasked(lane: Lane) -> Any:
    """The same where nobody asked for usage."""
    return await streaming_stream_lines(lane, STREAM)


async def streaming_stream_left(lane: Lane) -> Any:
    """A stream made of it, left after three chunks."""
    async with lane.within(getattr(lane.chat, STREAMING).create(**ASKED)) as raw:
        stream = await lane.get(raw.parse())
        return seen(await lane.take(stream, 3))


async def streaming_stream_lines_left(lane: Lane) -> Any:
    """The lines of a stream, left after three deltas."""
    lines: list[str] = []
    async with lane.within(getattr(lane.chat, STREAMING).create(**STREAM)) as raw:
        async for line in lane.each(raw.iter_lines()):
            lines.append(line)
            if len([each for each in lines if "delta" in each]) == 3:
                break
    return len(lines)


async def streamed(lane: Lane) -> Any:
    """The chunks of a stream."""
    return seen(await lane.all(await lane.create(**STREAM)))


async def cancelled_before_the_answer(lane: Lane) -> Any:
    """Its task is cancelled while the provider works."""
    return await cancelled_when(lambda: bool(lane.server.bill.items), lane.create(**REQUEST))


async def cancelled_before_the_stream(lane: Lane) -> Any:
    """The task of a stream is cancelled before its first chunk."""
    billed = lane.server.bill
    return await cancelled_when(lambda: bool(billed.items), streamed(lane), after_s=0.1)


async def cancelled_in_mid_stream(lane: Lane) -> Any:
    """Its task is cancelled while it waits for the fourth chunk."""
    chunks: list[Any] = []

    async def work() -> None:
        async for chunk in await lane.create(**STREAM):
            chunks.append(chunk)

    return await cancelled_when(lambda: len(chunks) >= 3, work())
