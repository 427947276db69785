"""The wrappers around a billing method of the SDK: admit, send, read, settle."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from aden.core.interruption import interrupts
from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.aside import aside
from aden.instrumentation.in_place import Wrapper
from aden.instrumentation.measured import measured_here
from aden.instrumentation.openai.attempts import NOTHING, Sending, current_sending
from aden.instrumentation.openai.caps import cap_name, refuses_cap
from aden.instrumentation.openai.concrete import concrete
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.most import with_most
from aden.instrumentation.openai.parameters import as_sent, text
from aden.instrumentation.openai.refusal import refusal_class
from aden.instrumentation.openai.taking import take_response
from aden.instrumentation.openai.usage_asked import refuses_usage, tells_usage
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.shells import aadmit, abear, admit, afall_back, bear, fall_back
from aden.telemetry.context import call_in
from aden.telemetry.quiet import quietly


def create(endpoint: Endpoint) -> Wrapper:
    """The wrapper for a sync method."""

    def wrapper(wrapped: Callable[..., Any], resource: Any, args: Any, kwargs: Any) -> Any:
        meter = active_meter()
        if meter is None or args:  # the SDK takes keywords only and says so itself
            return wrapped(*args, **kwargs)
        return perform(meter, endpoint, resource._client, wrapped, concrete(kwargs))

    return wrapper


def async_create(endpoint: Endpoint) -> Wrapper:
    """The wrapper for an async method."""

    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], resource: Any, args: Any, kwargs: Any
    ) -> Any:
        meter = active_meter()
        if meter is None or args:
            return await wrapped(*args, **kwargs)
        return await aperform(meter, endpoint, resource._client, wrapped, concrete(kwargs))

    return wrapper


def perform(
    meter: Meter,
    endpoint: Endpoint,
    client: Any,
    wrapped: Callable[..., Any],
    kwargs: dict[str, Any],
    *,
    lowest: bool = False,
) -> Any:
    """Admit a request, send it with *wrapped*, which takes keywords, and meter its answer.

    *lowest*: below it nobody gates the request once more.
    """
    if (outer := _outer_call()) is not None and current_sending.get() is not None:
        return wrapped(**kwargs)  # create under parse: the outer wrapper sees it all
    call = sending = None
    try:
        if outer is not None:
            sending = _joined(meter, outer, endpoint, client, kwargs)
        else:
            call = _begin(meter, endpoint, client, kwargs)
            admit(meter, call)
            sending = Sending(meter, call, call.request.to(call.model))
        with sending:
            response, hide = _send(endpoint, sending, wrapped, kwargs)
        return take_response(meter, sending, endpoint, response, hide=hide, owns=call is not None)
    except BaseException as error:  # also what a signal's handler raises while the answer is read
        if not _is_ours(meter, call, sending, error, lowest=lowest):
            raise
    return wrapped(**kwargs) if sending is None or not sending.went else sending.came


async def aperform(
    meter: Meter,
    endpoint: Endpoint,
    client: Any,
    wrapped: Callable[..., Awaitable[Any]],
    kwargs: dict[str, Any],
    *,
    lowest: bool = False,
) -> Any:
    """`perform`, awaiting."""
    if (outer := _outer_call()) is not None and current_sending.get() is not None:
        return await wrapped(**kwargs)
    call = sending = None
    try:
        if outer is not None:
            sending = _joined(meter, outer, endpoint, client, kwargs)
        else:
            call = _begin(meter, endpoint, client, kwargs)
            await aadmit(meter, call)
            sending = Sending(meter, call, call.request.to(call.model))
        with sending:
            response, hide = await _asend(endpoint, sending, wrapped, kwargs)
        return take_response(meter, sending, endpoint, response, hide=hide, owns=call is not None)
    except BaseException as error:  # also what a signal's handler raises while the answer is read
        if not _is_ours(meter, call, sending, error, lowest=lowest):
            raise
    return await wrapped(**kwargs) if sending is None or not sending.went else sending.came


def _is_ours(
    meter: Meter,
    call: Call | None,
    sending: Sending | None,
    error: BaseException,
    *,
    lowest: bool,
) -> bool:
    """Settle what ended by *error*; whether only our own code failed, so that the request goes on.

    Then it is sent as if we were not there, if it was not sent before: the client's own request
    method gates it once more, or, where this is that, it is booked as one that nobody follows.
    """
    if sending is not None:
        aside(sending.leave)  # where it was interrupted on its way out
    theirs = isinstance(error, RequestCancelledError) or interrupts(error)
    if theirs or (sending is not None and sending.went and sending.came is NOTHING):
        if call is not None:
            aside(meter.settle, call, error)
        return False
    meter.cannot("gate", f"a request could not be followed: {error!r:.200}", trace=True)
    if sending is not None and (sending.went or lowest):
        sending.unseen()
    elif lowest and call is not None:
        call.attempt(call.request).silent = True
    if call is not None:
        meter.settle(call, None if call.attempts else error)
    return True


def _begin(meter: Meter, endpoint: Endpoint, client: Any, kwargs: dict[str, Any]) -> Call:
    request, asking = _describe(meter, endpoint, client, kwargs), meter.asking()
    if request.task == "transcript":
        measured_here()
    spoken = asking.speaks or (request.task in _HEARD and asking.in_session)
    lane = Lane(refusal_class(), asking.busy_wait_ms, spoken, asking.delayed)
    call = meter.begin(request, dict(kwargs), lane, asking)
    if call.policy.bounds:
        call.request = _bounded(meter, request, endpoint, kwargs)
    if meter.telemetry.wants_content:
        quietly(endpoint.ask, call, kwargs)
    return call


_HEARD = ("speech", "transcript")
"""What a caller would hear as silence. In a session a running turn's speech is not refused: what is
exhausted stops the next answer of its LLM."""


def _describe(meter: Meter, endpoint: Endpoint, client: Any, kwargs: dict[str, Any]) -> Request:
    """The request; where it is too odd to be measured, its model alone, for that is gated too."""
    try:
        return endpoint.describe(as_sent(kwargs, client), client)
    except Exception:
        meter.cannot("description", "a request could not be measured", trace=True)
        return Request(
            "openai", text(kwargs.get("model")) or "", stream=kwargs.get("stream") is True
        )


def _bounded(meter: Meter, request: Request, endpoint: Endpoint, kwargs: dict[str, Any]) -> Request:
    """*request* with what bounds it; where that cannot be told, its model's window does."""
    try:
        return with_most(request, endpoint, kwargs)
    except Exception:
        meter.cannot("description", "a request could not be bounded", trace=True)
        return request


def _degrade_refused(sending: Sending, error: Exception) -> bool:
    """The provider names the model, or a parameter that this model does not take."""
    if sending.call.model == sending.call.request.model:
        return False
    status = getattr(error, "status_code", None)
    if status == _NOT_THERE:
        return True
    if status not in _REFUSES_MODEL:
        return False
    return bool(getattr(error, "param", None)) or "model" in str(error).lower()


_NOT_THERE = 404
"""In whatever words: Azure's miss a deployment, OpenRouter's an endpoint."""
_REFUSES_MODEL = (400, 403, 422)
"""Also for a project without access to it, and by servers that check parameters at their door."""


def _send(endpoint: Endpoint, sending: Sending, wrapped: Any, kwargs: Any) -> tuple[Any, bool]:
    """Send it; gives the response, and whether usage in it is to be hidden.

    Where the provider does not take the degraded model, the asked one is sent, once.
    """
    while True:
        sending.went = False
        bear(sending.meter, sending.call, sending.request)
        sent, hide = _compose(endpoint, sending, kwargs)
        sending.went = True
        try:
            sending.came = wrapped(**sent)
            return sending.came, hide
        except Exception as error:
            model = _after(endpoint, sending, kwargs, sent, error, hide=hide)
            if model is None:
                raise
            if model == "asked" and not fall_back(sending.meter, sending.call):
                raise
        if model == "asked":
            sending.request = sending.request.to(sending.call.model)


async def _asend(
    endpoint: Endpoint, sending: Sending, wrapped: Any, kwargs: Any
) -> tuple[Any, bool]:
    """`_send`, awaiting."""
    while True:
        sending.went = False
        await abear(sending.meter, sending.call, sending.request)
        sent, hide = _compose(endpoint, sending, kwargs)
        sending.went = True
        try:
            sending.came = await wrapped(**sent)
            return sending.came, hide
        except Exception as error:
            model = _after(endpoint, sending, kwargs, sent, error, hide=hide)
            if model is None:
                raise
            if model == "asked" and not await afall_back(sending.meter, sending.call):
                raise
        if model == "asked":
            sending.request = sending.request.to(sending.call.model)


def _after(
    endpoint: Endpoint,
    sending: Sending,
    kwargs: Mapping[str, Any],
    sent: Mapping[str, Any],
    error: Exception,
    *,
    hide: bool,
) -> Literal["same", "asked"] | None:
    """What *error* is answered by; None: by nothing, it is the caller's.

    By the same request, where the server refused only what we added, which is remembered and not
    added again; by the asked model, where it does not take the degraded one.
    """
    request = sending.request
    try:
        if hide and refuses_usage(request, error):
            return "same"
        if refuses_cap(endpoint, request, kwargs, sent, error):
            takes = cap_name(endpoint, kwargs, request) is not None
            sending.request = replace(request, takes_cap=takes)
            return "same"
        endpoint.note_unparsed(sending)
        return "asked" if _degrade_refused(sending, error) else None
    except Exception:
        sending.meter.cannot("reader", "a failure could not be read", trace=True)
        return None


def _compose(
    endpoint: Endpoint, sending: Sending, kwargs: dict[str, Any]
) -> tuple[dict[str, Any], bool]:
    """What is sent: the decided model and cap; and whether usage in the answer is to be hidden."""
    request = sending.request
    try:
        ask = request.stream and tells_usage(request)
        sent, hide = endpoint.rewrite(kwargs, request.model, ask)
        if sending.call.policy.bounds:
            _cap(endpoint, sending, kwargs, sent)
        return sent, hide
    except Exception:
        sending.meter.cannot("gate", "a request could not be rewritten", trace=True)
        degraded = request.model != sending.call.request.model
        return ({**kwargs, "model": request.model} if degraded else kwargs), False


def _cap(
    endpoint: Endpoint, sending: Sending, kwargs: dict[str, Any], sent: dict[str, Any]
) -> None:
    """Write into *sent* by how much its hold bounds it, which may be less than its own cap."""
    quote, request = sending.call.quote, sending.request
    if quote is None:
        return
    cap = quote.cut.cap if quote.model == request.model else None
    name = cap_name(endpoint, kwargs, request) if cap is not None else None
    if name is not None and cap is not None:
        own = kwargs.get(name)  # which may not have been read
        sent[name] = min(own, cap) if isinstance(own, int) and own > 0 else cap
    if quote.bound is not None:
        sending.call.span.capped(cap if name else None)


def _outer_call() -> Call | None:
    """The call that this request is a part of: one that is on its way in this context."""
    outer = call_in()
    return outer if isinstance(outer, Call) and outer.joinable else None


def _joined(
    meter: Meter, call: Call, endpoint: Endpoint, client: Any, kwargs: dict[str, Any]
) -> Sending:
    """A request inside an open call: no second gate, but its facts feed that call.

    What asks the call's own model is degraded with it; a second model inside a call is left alone.
    """
    request = _describe(meter, endpoint, client, kwargs)
    if call.policy.bounds:
        request = _bounded(meter, request, endpoint, kwargs)
    model = call.model if request.model == call.request.model else request.model
    return Sending(meter, call, request.to(model), joined=True)
