"""What comes back from the SDK: a response, a stream, or a raw response that becomes either."""

from collections.abc import Awaitable, Callable
from typing import Any

from aden.instrumentation.aside import aside
from aden.instrumentation.openai.attempts import NOTHING, Sending, current_sending
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.raw import RawMeter, is_stream
from aden.instrumentation.stream_meter import StreamMeter
from aden.instrumentation.streams import leave, observe_stream
from aden.instrumentation.told import is_model
from aden.metering.meter import Meter


def take_response(
    meter: Meter, sending: Sending, endpoint: Endpoint, response: Any, *, hide: bool, owns: bool
) -> Any:
    """Meter what the SDK returned; the caller gets the same object, whatever happens here."""
    try:
        sending.came = NOTHING  # what came may come to refer to us
        answer = _answer(sending, response)
        whole = is_model(answer)
        if not whole and is_stream(answer):
            observe_stream(answer, _metered(meter, sending, endpoint, hide, owns))
        elif not whole and (http_response := _http_response(answer)) is not None:
            metered = _metered(meter, sending, endpoint, hide, owns)
            raw = RawMeter(sending, endpoint, http_response, metered, hide=hide)
            if not http_response.is_closed:  # what is read already may be copied and pickled
                answer._aden_raw = raw
        else:
            endpoint.note(sending, answer)
            if owns:
                meter.settle(sending.call)
    except Exception:
        meter.cannot("reader", "a response could not be read", trace=True)
        aside(sending.unseen)
        if owns:
            meter.settle(sending.call)
    return response


def _answer(sending: Sending, response: Any) -> Any:
    """The SDK's own answer, where *response* is what somebody beneath us has put around it."""
    answer, sending.answer = sending.answer, None  # which may refer to us
    if answer is None or type(response).__module__.startswith("openai."):
        return response
    return answer


def _metered(
    meter: Meter, sending: Sending, endpoint: Endpoint, hide: bool, owns: bool
) -> StreamMeter:
    feed = endpoint.feeder(sending, hide)
    attempt, ending = sending.latest(), endpoint.ending
    return StreamMeter(meter, sending.call, attempt, feed, owns, ending=ending, hide=hide)


def _http_response(response: Any) -> Any:
    """The HTTP response under one of the SDK's raw responses, binary contents, or itself."""
    for name in ("http_response", "response"):
        if hasattr(inner := getattr(response, name, None), "iter_raw"):
            return inner
    return response if hasattr(response, "iter_raw") else None


def parsing(wrapped: Callable[..., Any], response: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of a raw response's ``parse``, sync or async."""
    value = wrapped(*args, **kwargs)
    if hasattr(value, "__await__"):
        return _later(response, value)
    aside(_parsed, response, value)
    return value


async def _later(response: Any, parsing: Awaitable[Any]) -> Any:
    value = await parsing
    aside(_parsed, response, value)
    return value


def _parsed(response: Any, value: Any) -> None:
    """A raw response was parsed, by its caller or by somebody beneath us."""
    raw: RawMeter | None = vars(response).get("_aden_raw")
    if raw is not None:
        raw.parsed(value)
    elif (sending := current_sending.get()) is not None and sending.answer is response:
        sending.answer = value  # and he may give what he makes of that


def closing_raw(wrapped: Callable[..., Any], response: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of a raw response's ``close``, sync or async."""
    raw: RawMeter | None = vars(response).get("_aden_raw")
    return wrapped(*args, **kwargs) if raw is None else leave(raw, wrapped, args, kwargs)
