"""Metering a stream that stays the SDK's own object: only its inner iterator is replaced."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol

from aden.instrumentation.aside import aside, unfollowed
from aden.instrumentation.stream_meter import StreamMeter
from aden.metering.shells import agrow, grow


class MeteredIterator:
    """The SDK's sync iterator, observed."""

    def __init__(self, inner: Iterator[Any], stream: StreamMeter) -> None:
        self._inner = inner
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        stream = self._stream
        while True:
            if stream.over:
                return self._cut()
            try:
                chunk = next(self._inner)
            except BaseException as error:
                aside(_stopped, stream, error)
                raise
            try:
                visible = stream.chunk(chunk)
                if (tokens := stream.outgrown()) is not None:
                    stream.grown(grow(*stream.call_as_sent, tokens))
            except Exception as error:
                unfollowed(error)
                visible = stream.shows(chunk)
            if visible:
                return chunk

    def _cut(self) -> Any:
        last = self._stream.cut()
        try:
            self._inner.close()  # type: ignore[attr-defined]
        finally:
            aside(self._stream.end, "budget")
        if last is None:
            raise StopIteration
        return last

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
        stream = self._stream
        while True:
            if stream.over:
                return await self._cut()
            try:
                chunk = await self._inner.__anext__()
            except BaseException as error:
                aside(_stopped, stream, error)
                raise
            try:
                visible = stream.chunk(chunk)
                if (tokens := stream.outgrown()) is not None:
                    stream.grown(await agrow(*stream.call_as_sent, tokens))
            except Exception as error:
                unfollowed(error)
                visible = stream.shows(chunk)
            if visible:
                return chunk

    async def _cut(self) -> Any:
        last = self._stream.cut()
        try:
            await self._inner.aclose()  # type: ignore[attr-defined]
        finally:
            aside(self._stream.end, "budget")
        if last is None:
            raise StopAsyncIteration
        return last

    def __del__(self) -> None:
        self._stream.dropped()


def _stopped(stream: StreamMeter, error: BaseException) -> None:
    """Reading on gave no chunk but *error*."""
    if isinstance(error, StopIteration | StopAsyncIteration):
        stream.end("complete")
    elif not _is_being_read(error):
        stream.broke(error)


_BEING_READ = ("generator already executing", "asynchronous generator is already running")


def _is_being_read(error: BaseException) -> bool:
    """Whether Python says that another thread or task waits for the next chunk, as it goes on to.

    By the words: asked whether it runs, the generator answers for a later moment.
    """
    return isinstance(error, ValueError | RuntimeError) and str(error).endswith(_BEING_READ)


def observe_stream(stream: Any, metered: StreamMeter) -> None:
    """Meter an SDK stream in place; it stays the same object of the same class."""
    metered.watch(stream.response)
    # By what is read: another instrumentor's proxy around the stream can be read in both ways.
    inner = stream._iterator
    iterator = AsyncMeteredIterator if hasattr(inner, "__anext__") else MeteredIterator
    stream._iterator = iterator(inner, metered)
    stream._aden_stream = metered


def closing_helper(wrapped: Callable[..., Any], helper: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of ``close`` of what the SDK's ``stream()`` gives: it closes the response only."""
    return closing(wrapped, helper._raw_stream, args, kwargs)


def closing(wrapped: Callable[..., Any], stream: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of a stream's ``close``: the caller leaves it. Async ones return their coroutine."""
    # Another's proxy around it has no ``__dict__`` of the stream's, but all that is in it.
    metered: StreamMeter | None = getattr(stream, "_aden_stream", None)
    return wrapped(*args, **kwargs) if metered is None else leave(metered, wrapped, args, kwargs)


class Leavable(Protocol):
    """What is metered until its caller leaves it."""

    def end(self, how: str) -> None:
        """It is over."""


def leave(metered: Leavable, close: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Close it, and then count: until it is closed the provider goes on."""
    if inspect.iscoroutinefunction(close):
        return _aleave(metered, close, args, kwargs)
    try:
        return close(*args, **kwargs)
    finally:
        aside(metered.end, "abandoned")


async def _aleave(
    metered: Leavable, close: Callable[..., Awaitable[Any]], args: Any, kwargs: Any
) -> Any:
    try:
        return await close(*args, **kwargs)
    finally:
        aside(metered.end, "abandoned")
