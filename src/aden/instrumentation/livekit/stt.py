"""``stt.STT.recognize`` and ``stt.RecognizeStream``: whatever plugin listens, what it hears counts.

The SDK inside ``recognize``, where there is one, finds the Call in its context and feeds it.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Any

from opentelemetry import context as otel_context

from aden.core.request import Request
from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.aside import aside, unfollowed
from aden.instrumentation.livekit.hearing import Hearing, request_for
from aden.instrumentation.livekit.speech import begin, never_billed
from aden.instrumentation.livekit.untold import Told, tell_stt
from aden.instrumentation.livekit.who import at_speech_node
from aden.instrumentation.measured import measured_here, measured_outside
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.telemetry.context import with_call

_ADAPTERS = "livekit.agents.stt."
_BASE = "livekit.agents.stt.stt"
_recognising: ContextVar[Call | None] = ContextVar("aden_recognising", default=None)


async def recognize(
    wrapped: Callable[..., Awaitable[Any]], stt: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``STT.recognize``: a whole sound at once."""
    meter = active_meter()
    if meter is None or _is_adapter(stt):
        return await wrapped(*args, **kwargs)
    measured_here()
    outer = _recognising.get()
    if outer is not None and outer.joinable:  # an adapter that LiveKit does not know as one
        return await _recognise(meter, outer, stt, wrapped, args, kwargs)
    call = _begin(meter, stt, _sound(args, kwargs))
    if call is None:
        return await wrapped(*args, **kwargs)
    try:
        await aadmit(meter, call)
        event = await _recognise(meter, call, stt, wrapped, args, kwargs)
    except BaseException as error:
        meter.settle(call, error)
        raise
    meter.settle(call)
    aside(_tell_tokens, meter, stt, call)
    return event


async def _recognise(
    meter: Meter,
    call: Call,
    stt: Any,
    wrapped: Callable[..., Awaitable[Any]],
    args: Any,
    kwargs: Any,
) -> Any:
    sent = len(call.attempts)
    pauses_after: BaseException | None = None

    def ended(by: Any) -> None:
        nonlocal sent
        if len(call.attempts) == sent:
            _heard(meter, call, stt, _sound(args, kwargs), by)
        sent = len(call.attempts)

    def failed(error: Any) -> None:
        nonlocal pauses_after
        if error.recoverable and _recognising.get() is call:  # LiveKit tries again
            pauses_after = error.error
            ended(error.error)

    stt.on("error", failed)
    token = _recognising.set(call)
    context = otel_context.attach(call.span.context or with_call(call))
    try:
        event = await wrapped(*args, **kwargs)
    except BaseException as error:
        # LiveKit pauses where it deals with the failure: what ends it there ends no sending.
        if pauses_after is None or error.__context__ is not pauses_after:
            ended(error)
        raise
    finally:
        otel_context.detach(context)
        _recognising.reset(token)
        stt.off("error", failed)
    ended(event)
    return event


def _sound(args: Any, kwargs: Any) -> Any:
    return args[0] if args else kwargs["buffer"]


def _begin(meter: Meter, stt: Any, sound: Any) -> Call | None:
    try:
        return begin(meter, _whole(meter, stt, sound, exact=True))
    except Exception:
        meter.cannot("gate", "a recognition could not be described", trace=True)
        return None


def _whole(meter: Meter, stt: Any, sound: Any, *, exact: bool) -> Request:
    """The request to recognise a sound that is there."""
    frames = sound if isinstance(sound, list) else [sound]
    heard_ms = round(sum(frame.duration for frame in frames) * 1000)
    request = request_for(meter, stt, heard_ms, stream=False, exact=exact)
    return replace(request, service_tier=_PRERECORDED.get(request.provider))


_PRERECORDED = {"deepgram": "batch"}
"""Whose rates for a sound that is there already are others, by the tier of the price table."""


def _heard(meter: Meter, call: Call, stt: Any, sound: Any, ended: Any) -> None:
    """Count what no SDK has told of; *ended* by an error, or by an event with what was said."""
    try:
        failed = isinstance(ended, BaseException)
        attempt = call.attempt(_whole(meter, stt, sound, exact=not failed))
        attempt.over = not failed
        if failed and never_billed(ended):
            attempt.ended_free()
        elif not failed and ended.alternatives:
            attempt.saw_text(ended.alternatives[0].text)
    except Exception:
        meter.cannot("reader", "what was recognised could not be counted", trace=True)


def _tell_tokens(meter: Meter, stt: Any, call: Call) -> None:
    """What the SDK inside told, and LiveKit drops; how long the sound is, LiveKit has told."""
    told = replace(call.attempts[-1].usage, audio_input_ms=None)
    tell_stt(meter, stt, told, streamed=False)


async def main_task(
    wrapped: Callable[..., Awaitable[None]], stream: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``RecognizeStream._main_task``: hold a slice, listen, book as it is told."""
    meter = active_meter()
    if meter is None or _is_adapter(stream):
        await wrapped(*args, **kwargs)
        return
    measured_here()
    hearing = _hearing(meter, stream)
    if hearing is None:
        await wrapped(*args, **kwargs)
        return
    try:
        await hearing.open()
    except RequestCancelledError as refusal:
        stream._emit_error(refusal, recoverable=True)
        raise
    except Exception:
        meter.cannot("gate", "an STT stream could not be decided", trace=True)
    token = measured_outside.set(hearing.stand_down)
    aside(_watch, stream, hearing)
    whole = False
    try:
        await wrapped(*args, **kwargs)
        whole = True
    finally:
        measured_outside.reset(token)
        try:
            await hearing.close(whole=whole)
        except Exception as error:
            unfollowed(error)


async def monitor(
    wrapped: Callable[..., Awaitable[None]], stream: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``_metrics_monitor_task``: a stream that is closed cancels it in mid-report."""
    meter = active_meter()
    if meter is None or _is_adapter(stream):
        await wrapped(*args, **kwargs)
        return
    told = Told(meter, stream._stt)
    (events,) = args or kwargs.values()
    try:
        await wrapped(told.follow(events))
    finally:
        hearing = _of(stream)
        if hearing is not None:
            aside(partial(tell_stt, streamed=True), meter, stream._stt, hearing.booked, told.usage)


async def closed(
    wrapped: Callable[..., Awaitable[None]], stream: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``RecognizeStream.aclose``: LiveKit's FallbackAdapter leaves streams behind.

    Those by which it tries an STT that has failed again stay open until that adapter is closed,
    or for ever, and get nothing more to hear.
    """
    try:
        await wrapped(*args, **kwargs)
    finally:
        for left in getattr(stream, "_recovering_streams", ()):
            if (hearing := _of(left)) is not None:
                hearing.leave()


async def node(
    wrapped: Callable[..., Awaitable[None]], pipeline: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``_STTPipeline._stt_pump``, which asks an agent's ``stt_node``.

    What one of the program's own asks besides, such as a correction, is a part of what is heard:
    where it fails, LiveKit listens no more.
    """
    from livekit.agents import Agent

    if getattr(pipeline._stt_node, "__func__", None) is Agent.stt_node:
        await wrapped(*args, **kwargs)
        return
    with at_speech_node():
        await wrapped(*args, **kwargs)


def push_frame(wrapped: Callable[..., None], stream: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``RecognizeStream.push_frame``."""
    wrapped(*args, **kwargs)
    hearing = _of(stream)
    if hearing is not None:
        frame = args[0] if args else kwargs["frame"]
        aside(hearing.pushed, getattr(frame, "duration", 0.0))


def _hearing(meter: Meter, stream: Any) -> Hearing | None:
    try:
        stream._aden_hearing = Hearing(meter, stream, stream._stt)
    except Exception:
        meter.cannot("gate", "an STT stream could not be described", trace=True)
    return _of(stream)


def _of(stream: Any) -> Hearing | None:
    found: Hearing | None = vars(stream).get("_aden_hearing")
    return found


def _is_adapter(listener: Any) -> bool:
    """An STT, or its stream, that hands on to others, and their metrics."""
    modules = (cls.__module__ for cls in type(listener).__mro__)
    return any(name.startswith(_ADAPTERS) and name != _BASE for name in modules)


def _watch(stream: Any, hearing: Hearing) -> None:
    channel = stream._event_ch
    send = channel.send_nowait

    def send_nowait(event: Any) -> None:
        aside(hearing.sent, event)
        send(event)

    channel.send_nowait = send_nowait
