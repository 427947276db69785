"""``with_raw_response`` and ``with_streaming_response``: metered as the caller reads them."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import wrapt

from aden.instrumentation.aside import aside, unfollowed
from aden.instrumentation.openai.attempts import Sending
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.events import Events, values
from aden.instrumentation.openai.usage_hidden import HiddenUsage
from aden.instrumentation.stream_meter import StreamMeter
from aden.instrumentation.streams import leave, observe_stream
from aden.instrumentation.unpacking import unpacking

_READABLE = ("json", "text/")
"""Content types that are kept to be read; a sound tells nothing."""
MAX_BODY_BYTES = 64 * 1024 * 1024
"""More than that is not kept to be read; the call is then estimated."""


class RawMeter:
    """Meters a raw response, whether it is parsed, read, iterated or left.

    It hangs on the SDK's response and on the body, so that it ends with them. It refers to neither,
    so that they end when they would without it.
    """

    def __init__(
        self,
        sending: Sending,
        endpoint: Endpoint,
        http_response: Any,
        metered: StreamMeter,
        *,
        hide: bool,
    ) -> None:
        self._sending = sending
        self._endpoint = endpoint
        self._metered = metered
        self._handed_over = False
        self._body = bytearray()
        self._events = Events()
        self._read = 0
        self._unpack = unpacking(http_response)
        self._kind = http_response.headers.get("content-type") or "application/json"
        self._kept = any(kind in self._kind for kind in _READABLE)
        whole = http_response.is_closed
        # What comes packed is passed on as it is: to pack it anew would be another body.
        hide = hide and (whole or self._unpack is None) and "event-stream" in self._kind
        self._hidden = HiddenUsage() if hide else None
        if whole:  # read before we saw it
            if self._kept:
                self._body += http_response.content
            self.end("complete")
            if hide:
                http_response._content = self.shown(http_response.content) + self.rest()
        else:
            http_response.stream = _Observed(http_response.stream, self)
            metered.watch(http_response)

    def parsed(self, value: Any) -> None:
        """``parse()`` made a stream (or something else): meter it from here on."""
        if is_stream(value) and not self._handed_over and not self._read:
            observe_stream(value, self._metered)
            self._handed_over = True

    def feed(self, data: bytes) -> None:
        """The caller has read a piece of the body."""
        self._read += len(data)
        if self._handed_over or not self._kept:
            return
        try:
            if self._unpack is not None:
                data = self._unpack(data)
            if self._sending.request.stream:
                self._metered.began()
                self._see(self._events.feed(data))
            elif len(self._body) <= MAX_BODY_BYTES:
                self._body += data
        except Exception:
            self._metered.unreadable("a piece of a body could not be read")

    def shown(self, data: bytes) -> bytes:
        """What the caller is to see of a piece."""
        if self._hidden is None or self._handed_over:
            return data
        return self._hidden.shown(data)

    def unhidden(self, data: bytes) -> bytes:
        """A piece as it is, and what was kept before it: rather shown than lost."""
        rest, self._hidden = self.rest(), None
        return rest + data

    def rest(self) -> bytes:
        """What of the body he has not been shown at its end."""
        return b"" if self._hidden is None else self._hidden.rest()

    def end(self, how: str) -> None:
        """The body is read to its end, or left."""
        if not self._handed_over:
            aside(self._read_all, how == "complete")
            self._metered.end(how)
        elif how == "abandoned":  # the response is closed under its stream
            self._metered.end(how)

    def leave(self, close: Callable[[], Any]) -> Any:
        """Close the body; a stream that was parsed from it tells itself how it ended."""
        return close() if self._handed_over else leave(self, close, (), {})

    def broke(self, error: BaseException) -> None:
        """Reading the body raised; a stream that was parsed from it tells that itself."""
        if not self._handed_over:
            aside(self._read_all, False)
            self._metered.broke(error)

    def dropped(self) -> None:
        """As `StreamMeter.dropped`; a stream that was parsed from it lives on."""
        if not self._handed_over:
            self._metered.dropped()

    def __del__(self) -> None:
        self.dropped()

    def _read_all(self, whole: bool) -> None:
        """Cut in the middle it may be no JSON; the call is then estimated."""
        try:
            if self._sending.request.stream:
                self._see(self._events.feed(bytes(self._body)))
                if whole:
                    self._see(self._events.finish())
            elif self._kept:
                body = json.loads(self._body) if "json" in self._kind else bytes(self._body)
                self._endpoint.note(self._sending, body)
        except Exception:
            if whole:
                self._metered.unreadable("a body could not be read")

    def _see(self, events: Iterable[list[bytes]]) -> None:
        for data in events:
            try:
                chunks = values(data)
            except (ValueError, RecursionError):
                self._metered.unreadable("an event could not be read")
                continue
            for chunk in chunks:
                self._metered.chunk(chunk)


class _Observed(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A response's byte stream: the same bytes as they come, noted as they pass."""

    def __init__(self, stream: Any, raw: RawMeter) -> None:
        super().__init__(stream)
        self._self_raw = raw

    def _self_read(self, data: bytes) -> bytes:
        """The caller reads a piece: what he is to see of it."""
        try:
            self._self_raw.feed(data)
            return self._self_raw.shown(data)
        except Exception as error:
            unfollowed(error)
            return self._self_raw.unhidden(data)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self.__wrapped__:
                if shown := self._self_read(data):
                    yield shown
        except GeneratorExit:
            raise
        except BaseException as error:
            aside(self._self_raw.broke, error)
            raise
        aside(self._self_raw.end, "complete")
        if rest := self._self_raw.unhidden(b""):
            yield rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for data in self.__wrapped__:
                if shown := self._self_read(data):
                    yield shown
        except GeneratorExit:
            raise
        except BaseException as error:
            aside(self._self_raw.broke, error)
            raise
        aside(self._self_raw.end, "complete")
        if rest := self._self_raw.unhidden(b""):
            yield rest

    def close(self) -> None:
        """The HTTP response is closed, by the program itself or at its end."""
        self._self_raw.leave(self.__wrapped__.close)

    async def aclose(self) -> None:
        """`close`, awaiting."""
        await self._self_raw.leave(self.__wrapped__.aclose)


def is_stream(value: Any) -> bool:
    """Whether *value* is one of the SDK's streams."""
    return hasattr(value, "_iterator") and hasattr(value, "response")
