"""What comes back from the SDK: a response, a stream, or a raw response that becomes either."""

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aden.instrumentation.openai.attempts import Sending
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.streams import StreamMeter, observe_stream
from aden.metering.meter import Meter


def take_response(
    meter: Meter, sending: Sending, endpoint: Endpoint, response: Any, *, hide: bool, owns: bool
) -> Any:
    """Meter what the SDK returned; the caller gets the same object, whatever happens here."""
    try:
        attempt = sending.latest()
        metered = StreamMeter(
            meter,
            sending.call,
            attempt,
            lambda attempt, chunk: endpoint.feed(attempt, chunk, hide),
            owns,
        )
        if _is_stream(response):
            observe_stream(response, metered)
        elif hasattr(response, "http_response"):
            response._aden_raw = RawMeter(sending, endpoint, response.http_response, metered)
        else:
            endpoint.read(attempt, response)
            if owns:
                meter.settle(sending.call)
    except Exception:
        meter.cannot("reader", "a response could not be read", trace=True)
        if owns:
            meter.settle(sending.call)
    return response


class RawMeter:
    """Meters ``with_raw_response`` and ``with_streaming_response``: reads what the caller reads.

    It lives on the raw response, so that it ends with it.
    """

    def __init__(
        self, sending: Sending, endpoint: Endpoint, http_response: Any, metered: StreamMeter
    ) -> None:
        self._sending = sending
        self._endpoint = endpoint
        self._http_response = http_response
        self._metered = metered
        self._handed_over = False
        if not sending.request.stream and http_response.is_stream_consumed:
            self.end()

    def parsed(self, value: Any) -> Any:
        """``parse()`` made a stream (or something else): meter it from here on."""
        if _is_stream(value) and not self._handed_over:
            self._handed_over = True
            observe_stream(value, self._metered)
        return value

    def end(self) -> None:
        """The caller is done with the raw response."""
        if self._handed_over:
            return
        consumed = self._http_response.is_stream_consumed
        if not self._sending.request.stream and consumed:
            # A body that the caller has not read is not fetched for us.
            with contextlib.suppress(Exception):
                body = json.loads(self._http_response.content)
                self._endpoint.read(self._sending.latest(), body)
        self._metered.end("complete" if consumed else "abandoned")

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.end()


def parsing(wrapped: Callable[..., Any], response: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of a raw response's ``parse``, sync or async."""
    raw: RawMeter | None = vars(response).get("_aden_raw")
    value = wrapped(*args, **kwargs)
    if raw is None:
        return value
    return _parsed_later(raw, value) if hasattr(value, "__await__") else raw.parsed(value)


def closing_raw(wrapped: Callable[..., Any], response: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of a raw response's ``close``, sync or async."""
    raw: RawMeter | None = vars(response).get("_aden_raw")
    if raw is not None:
        raw.end()
    return wrapped(*args, **kwargs)


async def _parsed_later(raw: RawMeter, parsing: Awaitable[Any]) -> Any:
    return raw.parsed(await parsing)


def _is_stream(value: Any) -> bool:
    return hasattr(value, "_iterator") and hasattr(value, "response")
