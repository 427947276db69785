"""Fetching a stored response: it is billed already, but it may be what a call waits for."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aden.instrumentation.active import active_meter
from aden.instrumentation.openai.attempts import Sending
from aden.instrumentation.openai.responses import ENDPOINT
from aden.instrumentation.openai.taking import take_response


def fetch(wrapped: Callable[..., Any], _resource: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of ``Responses.retrieve`` and ``Responses.cancel``."""
    return _fetched(wrapped(*args, **kwargs), args, kwargs)


async def afetch(
    wrapped: Callable[..., Awaitable[Any]], _resource: Any, args: Any, kwargs: Any
) -> Any:
    """`fetch`, awaiting."""
    return _fetched(await wrapped(*args, **kwargs), args, kwargs)


def _fetched(response: Any, args: Any, kwargs: Any) -> Any:
    meter = active_meter()
    if meter is None:
        return response
    call = meter.background.take(args[0] if args else kwargs.get("response_id"))
    if call is None:  # created elsewhere, or settled: no charge
        return response
    attempt = call.attempts[-1]
    request = replace(attempt.request, stream=kwargs.get("stream") is True)
    sending = Sending(meter, call, request, attempt)
    return take_response(meter, sending, ENDPOINT, response, hide=False, owns=True)
