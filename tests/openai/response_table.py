"""Every shape of a Responses API call, and how it has to be booked."""

from __future__ import annotations

from dataclasses import replace

import response_shapes as use
from shape_table import Shape

from aden.testing import Drop, ErrorEvent, Fail, Hang, NoUsage, Reason, Refuse, Status

CANCELLED = "asyncio.exceptions.CancelledError"

_SHAPES = (
    Shape("plain", use.plain),
    Shape("messages and instructions", use.by_messages),
    Shape("parse", use.parsed),
    Shape("raw", use.raw_plain),
    Shape("raw parse", use.raw_parsed),
    Shape("streaming response, parsed", use.streaming_parsed),
    Shape("no usage", use.plain, (NoUsage(),), output="text"),
    Shape("hidden reasoning", use.plain, (Reason(9),)),
    Shape("refusal", use.plain, (Refuse(),)),
    Shape("stream", use.consumed, end="complete"),
    Shape("stream in a with block", use.in_a_with_block, end="complete"),
    Shape("stream of a tool call", use.tool_call, end="complete"),
    Shape("stream, hidden reasoning", use.consumed, (Reason(9),), end="complete"),
    Shape("stream of a refusal", use.consumed, (Refuse(),), end="complete"),
    Shape("stream, incomplete", use.consumed, (Reason(35),), end="complete"),
    Shape("stream without usage", use.consumed, (NoUsage(),), end="complete", output=12),
    Shape("stream left at its last event", use.closed_at_the_last_event, end="complete"),
    Shape("raw stream", use.raw_stream, end="complete"),
    Shape("streaming response, stream parsed", use.streaming_stream_parsed, end="complete"),
    Shape("streaming response, stream by lines", use.streaming_stream_lines, end="complete"),
    Shape("helper", use.helper, end="complete"),
    Shape("helper of a tool call", use.helper_of_a_tool_call, end="complete"),
    Shape("helper, parsed", use.helper_parsed, end="complete"),
    Shape("helper of a refusal", use.helper, (Refuse(),), end="complete"),
    Shape("helper never entered", use.helper_never_entered),
    Shape("helper left", use.helper_left, end="abandoned", output=3),
    Shape("closed early", use.closed_early, end="abandoned", output=3),
    Shape("stream by next", use.by_next, end="complete"),
    Shape("closed unread", use.closed_unread, end="abandoned", output=0),
    Shape("consumer raises", use.consumer_raises, end="abandoned", output=3),
    Shape("raw stream closed unread", use.raw_stream_closed, end="abandoned", output=0),
    Shape("dropped", use.dropped, end="abandoned", output=2),
    Shape(
        "streaming response, lines left",
        use.streaming_stream_lines_left,
        end="abandoned",
        output=3,
    ),
    Shape("bad request", use.plain, (Status(400),), error="openai.BadRequestError", output="none"),
    Shape("stream 429", use.streamed, (Status(429),), error="openai.RateLimitError", output="none"),
    Shape("failed", use.plain, (Fail(3),), error="server_error", output=4),
    Shape("stream failed", use.streamed, (Fail(3),), end="error", error="server_error", output=3),
    Shape("helper failed", use.helper, (Fail(3),), end="error", error="server_error", output=3),
    Shape(
        "error event", use.streamed, (ErrorEvent(3),), end="error", error="server_error", output=3
    ),
    Shape(
        "cut in mid-stream",
        use.streamed,
        (Drop(3),),
        end="error",
        error="openai.APIConnectionError",
        output=3,
    ),
    Shape(
        "timeout",
        use.plain,
        (Hang(2),),
        error="openai.APITimeoutError",
        output="reserved",
        timeout_s=0.15,
    ),
    Shape(
        "cancelled before the answer",
        use.cancelled_before_the_answer,
        (Hang(2),),
        error=CANCELLED,
        output="reserved",
        only_async=True,
    ),
    Shape(
        "cancelled before the stream",
        use.cancelled_before_the_stream,
        (Hang(2),),
        error=CANCELLED,
        output="generated",
        only_async=True,
    ),
    Shape(
        "cancelled in mid-stream",
        use.cancelled_in_mid_stream,
        end="cancelled",
        error=CANCELLED,
        output=1,
        interval_ms=30,
        only_async=True,
    ),
)
RESPONSE_SHAPES = tuple(
    replace(shape, name=f"responses: {shape.name}", api="responses", asked=13) for shape in _SHAPES
)
