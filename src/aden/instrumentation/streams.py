"""Metering a stream that stays the SDK's own object: only its inner iterator is replaced."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from aden.core.estimate import output_tokens
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.metering.meter import Meter

Feed = Callable[[Attempt, Any], bool]
"""Reads one chunk into the attempt; False where the caller is not to see it."""


class StreamMeter:
    """Follows one answer to its end, whichever way it ends, and settles there once."""

    def __init__(self, meter: Meter, call: Call, attempt: Attempt, feed: Feed, owns: bool) -> None:
        self._meter = meter
        self._call = call
        self._attempt = attempt
        self._feed = feed
        self._owns = owns
        self._ended = False
        self._pid = os.getpid()
        quote = call.quote
        self._extend_at = quote.output_tokens if quote else 1 << 62
        meter.dispatcher.ready()  # `dropped` may not start a thread

    def began(self) -> None:
        """The first piece of the answer is here."""
        if self._attempt.first_chunk_at is None and self._attempt.saw_chunk():
            self._call.span.first_chunk()

    def chunk(self, chunk: Any) -> bool:
        """Take note of a chunk; False where the caller is not to see it."""
        attempt = self._attempt
        try:
            if attempt.first_chunk_at is None:
                self.began()
            visible = self._feed(attempt, chunk)
            seen = output_tokens(attempt.deltas, attempt.size)
            if seen > self._extend_at:
                self._extend_at = seen * 3 // 2
                self._meter.settler.extend(self._call)
        except Exception:
            self._meter.cannot("reader", "a chunk could not be read", trace=True)
            return True
        return visible

    def end(self, how: str, error: BaseException | None = None) -> None:
        """The answer is over: complete, abandoned, cancelled or broken."""
        if self._ended:
            return
        self._ended = True
        if self._attempt.failure is not None:
            how = "error"
        elif how == "abandoned" and self._attempt.over:
            how = "complete"
        self._attempt.ended_unknown()
        if self._attempt.request.stream:
            self._call.stream_end = how
        if self._owns:
            self._meter.settle(self._call, error)

    def broke(self, error: BaseException) -> None:
        """Reading on raised."""
        self.end("cancelled" if isinstance(error, asyncio.CancelledError) else "error", error)

    def dropped(self) -> None:
        """The caller let go of it. Called by destructors, so it takes no lock: any may be held.

        In a forked child the stream is the parent's, which settles it.
        """
        if not self._ended and os.getpid() == self._pid:
            self._meter.dispatcher.soon(lambda: self.end("abandoned"))


class MeteredIterator:
    """The SDK's sync iterator, observed."""

    def __init__(self, inner: Iterator[Any], stream: StreamMeter) -> None:
        self._inner = inner
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while True:
            try:
                chunk = next(self._inner)
            except StopIteration:
                self._stream.end("complete")
                raise
            except BaseException as error:
                self._stream.broke(error)
                raise
            if self._stream.chunk(chunk):
                return chunk

    def __del__(self) -> None:
        self._stream.dropped()


class AsyncMeteredIterator:
    """The SDK's async iterator, observed."""

    def __init__(self, inner: AsyncIterator[Any], stream: StreamMeter) -> None:
        self._inner = inner
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                chunk = await self._inner.__anext__()
            except StopAsyncIteration:
                self._stream.end("complete")
                raise
            except BaseException as error:
                self._stream.broke(error)
                raise
            if self._stream.chunk(chunk):
                return chunk

    def __del__(self) -> None:
        self._stream.dropped()


def observe_stream(stream: Any, metered: StreamMeter) -> None:
    """Meter an SDK stream in place; it stays the same object of the same class."""
    iterator = AsyncMeteredIterator if hasattr(stream, "__anext__") else MeteredIterator
    stream._iterator = iterator(stream._iterator, metered)
    stream._aden_stream = metered


def closing_helper(wrapped: Callable[..., Any], helper: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of ``close`` of what the SDK's ``stream()`` gives: it closes the response only."""
    metered = vars(helper._raw_stream).get("_aden_stream")
    if metered is not None:
        metered.end("abandoned")
    return wrapped(*args, **kwargs)


def closing(wrapped: Callable[..., Any], stream: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of a stream's ``close``: the caller leaves it. Async ones return their coroutine."""
    metered = vars(stream).get("_aden_stream")
    if metered is not None:
        metered.end("abandoned")
    return wrapped(*args, **kwargs)
