"""Every shape of a chat completions call, and how it has to be booked.

A shape is run bare and instrumented; both have to see the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shapes import (
    beta,
    by_next,
    cancelled_before_the_answer,
    cancelled_before_the_stream,
    cancelled_in_mid_stream,
    closed_early,
    closed_unread,
    consumed,
    consumer_raises,
    dropped,
    generator_messages,
    helper,
    helper_left,
    helper_of_a_tool_call,
    helper_parsed,
    in_a_with_block,
    left_by_break,
    parsed,
    plain,
    raw_plain,
    raw_stream,
    raw_stream_closed,
    raw_stream_lines,
    raw_stream_read,
    streamed,
    streaming_json,
    streaming_lines,
    streaming_parsed,
    streaming_stream_left,
    streaming_stream_lines,
    streaming_stream_lines_left,
    streaming_stream_lines_unasked,
    streaming_stream_parsed,
    streaming_unread,
    tool_call,
    two_choices,
    usage_asked,
    usage_declined,
)

from aden.testing import Drop, ErrorEvent, Hang, NoUsage, Reason, Refuse, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lanes import Lane

    from aden.testing.script import Step


@dataclass(frozen=True)
class Shape:
    """One way to make a call."""

    name: str
    use: Callable[[Lane], Awaitable[Any]]
    steps: tuple[Step, ...] = ()
    """What the server does."""
    end: str | None = None
    """How its stream has to end; None for a plain call."""
    error: str | None = None
    """``error.type`` on the span; None where nothing failed."""
    output: int | str = "reported"
    """Output tokens to be booked: the provider's own, a number of deltas, ``reserved``, or what was
    ``generated`` unseen."""
    attempts: int = 1
    timeout_s: float = 10.0
    interval_ms: float = 0
    """Between two tokens of the server."""
    only_async: bool = False
    asked: int = 14
    """Input tokens where they are estimated: 27 bytes, and 7 tokens of framing."""
    api: str = "chat_completions"


HELPER_SHAPES = (
    Shape("parse", parsed),
    Shape("beta", beta),
    Shape("refusal", plain, (Refuse(),)),
    Shape("helper", helper, end="complete"),
    Shape("helper of a tool call", helper_of_a_tool_call, end="complete"),
    Shape("helper, parsed", helper_parsed, end="complete"),
    Shape("helper of a refusal", helper, (Refuse(),), end="complete"),
    Shape("helper left", helper_left, end="abandoned", output=2),
    Shape("helper 429", helper, (Status(429),), error="openai.RateLimitError", output="none"),
    Shape(
        "helper cut",
        helper,
        (Drop(3),),
        end="error",
        error="openai.APIConnectionError",
        output=3,
    ),
)
PLAIN_SHAPES = (
    Shape("plain", plain),
    Shape("generator as messages", generator_messages),
    Shape("raw", raw_plain),
    Shape("streaming response, parsed", streaming_parsed),
    Shape("streaming response, json", streaming_json),
    Shape("streaming response, by lines", streaming_lines),
    Shape("streaming response, unread", streaming_unread, output="reserved"),
    Shape("no usage", plain, (NoUsage(),), output="text"),
    Shape("hidden reasoning", plain, (Reason(9),)),
)
STREAM_SHAPES = (
    Shape("stream", consumed, end="complete"),
    Shape("stream, usage asked", usage_asked, end="complete"),
    Shape("stream, usage declined", usage_declined, end="complete"),
    Shape("stream in a with block", in_a_with_block, end="complete"),
    Shape("stream by next", by_next, end="complete"),
    Shape("stream of a tool call", tool_call, end="complete"),
    Shape("stream of two choices", two_choices, end="complete"),
    Shape("stream, hidden reasoning", consumed, (Reason(9),), end="complete"),
    Shape("stream without usage", consumed, (NoUsage(),), end="complete", output=12),
    Shape("raw stream", raw_stream, end="complete"),
    Shape("raw stream by lines", raw_stream_lines, end="complete"),
    Shape("raw stream read and parsed", raw_stream_read, end="complete"),
    Shape("streaming response, stream parsed", streaming_stream_parsed, end="complete"),
    Shape("streaming response, stream by lines", streaming_stream_lines, end="complete"),
    Shape(
        "streaming response, stream by lines, usage not asked",
        streaming_stream_lines_unasked,
        end="complete",
        output=12,
    ),
)
LEFT_SHAPES = (
    Shape("closed early", closed_early, end="abandoned", output=3),
    Shape("closed unread", closed_unread, end="abandoned", output=0),
    Shape("left by break", left_by_break, end="abandoned", output=1),
    Shape("dropped", dropped, end="abandoned", output=2),
    Shape("consumer raises", consumer_raises, end="abandoned", output=1),
    Shape("raw stream closed unread", raw_stream_closed, end="abandoned", output=0),
    Shape("streaming response, stream left", streaming_stream_left, end="abandoned", output=2),
    Shape("streaming response, lines left", streaming_stream_lines_left, end="abandoned", output=2),
)
FREE_SHAPES = tuple(
    Shape(f"{how} {code}", use, (Status(code),), error=f"openai.{name}", output="none")
    for how, use in (("plain", plain), ("stream", streamed), ("raw", raw_plain))
    for code, name in (
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
    )
)
BROKEN_SHAPES = (
    Shape(
        "timeout",
        plain,
        (Hang(2),),
        error="openai.APITimeoutError",
        output="reserved",
        timeout_s=0.15,
    ),
    Shape(
        "timeout of a stream",
        streamed,
        (Hang(2),),
        error="openai.APITimeoutError",
        output="reserved",
        timeout_s=0.15,
    ),
    Shape("cut", plain, (Drop(3),), error="openai.APIConnectionError", output="reserved"),
    Shape(
        "cut in mid-stream",
        streamed,
        (Drop(3),),
        end="error",
        error="openai.APIConnectionError",
        output=3,
    ),
    Shape(
        "error event", streamed, (ErrorEvent(3),), end="error", error="openai.APIError", output=3
    ),
    Shape(
        "cancelled before the answer",
        cancelled_before_the_answer,
        (Hang(2),),
        error="asyncio.exceptions.CancelledError",
        output="reserved",
        only_async=True,
    ),
    Shape(
        "cancelled before the stream",
        cancelled_before_the_stream,
        (Hang(2),),
        error="asyncio.exceptions.CancelledError",
        output="generated",
        only_async=True,
    ),
    Shape(
        "cancelled in mid-stream",
        cancelled_in_mid_stream,
        end="cancelled",
        error="asyncio.exceptions.CancelledError",
        output=2,
        interval_ms=30,
        only_async=True,
    ),
)
SHAPES = PLAIN_SHAPES + HELPER_SHAPES + STREAM_SHAPES + LEFT_SHAPES + FREE_SHAPES + BROKEN_SHAPES
