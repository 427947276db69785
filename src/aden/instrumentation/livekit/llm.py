"""``llm.LLMStream``: one gate and one Call a request, outside LiveKit's retries.

The SDK inside, where there is one, finds the Call in its context and feeds it the wire's facts.
"""

import asyncio
import contextlib
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.aside import aside
from aden.instrumentation.livekit.above import Above, is_adapter, running, stream_above
from aden.instrumentation.livekit.llm_figures import correct, tell_failed
from aden.instrumentation.livekit.measuring import learn_tools, measure_context, measure_tools
from aden.instrumentation.livekit.plugin import address_of, let_go, provider_name
from aden.instrumentation.livekit.refusal import BUSY_WAIT_MS, refusal_class
from aden.instrumentation.livekit.sendings import Sendings, send_model
from aden.instrumentation.livekit.turn import meant, told
from aden.instrumentation.openai import chat
from aden.instrumentation.openai.hosts import deployment_of
from aden.instrumentation.openai.most import with_most
from aden.instrumentation.told import get
from aden.metering.above import hand_down, release
from aden.metering.call import Call, Lane
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.telemetry.context import with_call
from aden.telemetry.spans import AboveSpan, FrameworkSpan


def made(wrapped: Callable[..., None], stream: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``LLMStream.__init__``: its tasks are made here and must find the Call."""
    call = _begin(stream, args, kwargs)
    if call is None:
        return wrapped(*args, **kwargs)
    stream._aden_call = call
    token = otel_context.attach(with_call(call))
    try:
        return wrapped(*args, **kwargs)
    finally:
        otel_context.detach(token)


async def main_task(
    wrapped: Callable[..., Awaitable[None]], stream: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``LLMStream._main_task``: decide, let LiveKit send and retry, settle."""
    call: Call | None = vars(stream).get("_aden_call")
    meter = active_meter()
    if call is None or meter is None:
        await wrapped(*args, **kwargs)
        return
    # LiveKit sets it in the function that a refusal never reaches; its aclose() ends the span.
    stream._llm_request_span = trace.get_current_span()
    above, sendings = stream_above(), None
    try:
        sendings = await _ready(meter, call, stream, above)
        with running(stream, call):
            await wrapped(*args, **kwargs)
    except RequestCancelledError as refusal:
        meter.settle(call, refusal)
        if above is None:
            await meant()
            told(refusal, stream._llm)
        else:
            above.refusals[id(stream._llm)] = refusal
        # Recoverable: preemptive generation makes up to four refusals of one user turn, and the
        # fourth unrecoverable error would close the session.
        stream._emit_error(refusal, recoverable=True)
        raise
    except asyncio.CancelledError:  # the caller spoke, or the turn was discarded: not an error
        call.stream_end = "cancelled"
        if sendings is not None:
            aside(sendings.cut)
        aside(_ended, meter, call, stream, sendings)
        raise
    except BaseException as error:
        aside(_release_or_settle, meter, call, stream, error)
        raise
    finally:
        aside(let_go, stream)
    aside(_ended, meter, call, stream, sendings)


async def _ready(meter: Meter, call: Call, stream: Any, above: Above | None) -> Sendings | None:
    """Admit it, and see its sendings; a mistake of ours in that is told, and it is sent."""
    try:
        call.span.bind(stream._llm_request_span)
        await _admit(meter, call, stream, above)
        return None if is_adapter(stream) else Sendings(meter, call, stream)
    except RequestCancelledError:
        raise
    except Exception:
        meter.cannot("gate", "an LLM stream could not be followed", trace=True)
        return None


def _ended(meter: Meter, call: Call, stream: Any, sendings: Sendings | None) -> None:
    _release_or_settle(meter, call, stream)
    if sendings is not None:
        aside(correct, meter, call, stream, sendings.told)
        if call.attempts:
            learn_tools(stream._tools, stream._chat_ctx, call.attempts[-1].request)


def _release_or_settle(
    meter: Meter, call: Call, stream: Any, error: BaseException | None = None
) -> None:
    try:
        if is_adapter(stream):
            release(meter, call)
    finally:
        meter.settle(call, error)


async def monitor(
    wrapped: Callable[..., Awaitable[None]], stream: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``LLMStream._metrics_monitor_task``, which writes last on LiveKit's span."""
    try:
        return await wrapped(*args, **kwargs)
    finally:
        call: Call | None = vars(stream).get("_aden_call")
        if call is not None:
            aside(_measured, call, stream)


def _measured(call: Call, stream: Any) -> None:
    if isinstance(call.span, FrameworkSpan):
        call.span.write()
    if (span := stream._llm_request_span) is not None:
        loop = asyncio.get_running_loop()
        weakref.finalize(stream, _left, span, time.time_ns(), loop).atexit = False
    if (meter := active_meter()) is not None:
        tell_failed(meter, call, stream)


def _left(span: trace.Span, ended_at_ns: int, loop: asyncio.AbstractEventLoop) -> None:
    """A stream is gone: end its span where nobody has closed it, as LiveKit's own judges do not.

    This may run in the middle of anything, exporters with their locks too; the loop does the rest.
    """
    if span.is_recording():
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(span.end, ended_at_ns)


def _begin(stream: Any, args: Any, kwargs: Mapping[str, Any]) -> Call | None:
    meter = active_meter()
    if meter is None:
        return None
    try:
        llm = args[0] if args else kwargs["llm"]
        request = _describe(meter, llm, kwargs["chat_ctx"], kwargs.get("tools") or [])
        above = stream_above()
        waited = above is not None and above.call.delay_s > 0
        asking = meter.asking()
        lane = Lane(
            refusal_class(), BUSY_WAIT_MS, asking.speaks, delayed=asking.delayed, waited=waited
        )
        call = meter.begin(request, _Params(request, kwargs), lane, asking)
        if is_adapter(stream):
            call.policy = call.policy.of_any_model
        call.span = AboveSpan() if is_adapter(stream) else FrameworkSpan()
    except Exception:
        meter.cannot("gate", "an LLM stream could not be described", trace=True)
        return None
    return call


async def _admit(meter: Meter, call: Call, stream: Any, above: Above | None) -> None:
    _demands(call, stream)
    if above is None or not hand_down(meter, above.call, call):
        if call.policy.bounds:
            _bound(meter, call, stream)
        await aadmit(meter, call)
    if above is not None:
        above.sent = True
    if call.model != call.request.model:
        send_model(stream, call.model)


def _demands(call: Call, stream: Any) -> None:
    """Note what the openai plugins ask of a model besides, which another one may not take."""
    extra = vars(stream).get("_extra_kwargs")
    if isinstance(extra, Mapping) and ("reasoning_effort" in extra or "response_format" in extra):
        form = extra.get("response_format")
        schema = isinstance(form, type) or get(form, "type") == "json_schema"
        call.request = replace(call.request, effort="reasoning_effort" in extra, schema=schema)


def _bound(meter: Meter, call: Call, stream: Any) -> None:
    """What bounds the request: what LiveKit's openai plugins are going to send by the SDK."""
    fields = vars(stream)
    if not {"_client", "_extra_kwargs", "_tool_ctx", "_strict_tool_schema"} <= fields.keys():
        return
    try:
        messages, _ = stream._chat_ctx.to_provider_format(format=stream._provider_fmt)
        strict = stream._strict_tool_schema
        kwargs = {
            "model": call.request.model,
            "messages": messages,
            "tools": stream._tool_ctx.parse_function_tools("openai", strict=strict),
            "stream": True,
            **stream._extra_kwargs,
        }
        exact = with_most(chat.describe(kwargs, stream._client), chat.ENDPOINT, kwargs)
        call.request = replace(exact, provider=call.request.provider)
    except Exception:
        meter.cannot("description", "a request could not be bounded", trace=True)


def _describe(meter: Meter, llm: Any, chat_ctx: Any, tools: list[Any]) -> Request:
    size, extra, media = 0, 0, False
    try:
        size, extra, media = measure_context(chat_ctx)
        size += measure_tools(tools)
    except Exception:  # what is too odd to be measured is gated too
        meter.cannot("description", "a request could not be measured", trace=True)
    host, port = address_of(llm)
    tier = getattr(getattr(llm, "_opts", None), "service_tier", None)
    return Request(
        provider=provider_name(llm),
        model=str(llm.model or "unknown"),
        stream=True,
        input_chars=size,
        input_extra_tokens=extra,
        media=media,
        pinned=deployment_of(getattr(llm, "_client", None)) is not None,
        service_tier=tier if isinstance(tier, str) else None,
        server_address=host,
        server_port=port,
    )


class _Params(Mapping[str, Any]):
    """The request as the hook reads it; messages are only formatted for a hook that looks."""

    def __init__(self, request: Request, kwargs: Mapping[str, Any]) -> None:
        self._values = {"model": request.model, "stream": True, "tools": kwargs.get("tools") or []}
        self._chat_ctx = kwargs["chat_ctx"]

    def __getitem__(self, key: str) -> Any:
        if key == "messages":
            return self._chat_ctx.to_provider_format(format="openai")[0]
        if key == "chat_ctx":
            return self._chat_ctx
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._values, "messages", "chat_ctx"))

    def __len__(self) -> int:
        return len(self._values) + 2
