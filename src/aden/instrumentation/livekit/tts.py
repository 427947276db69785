"""``tts.ChunkedStream`` and ``tts.SynthesizeStream``: one Call a request, whichever plugin it is.

It is billed by the text that the plugin was given, or by what it tells of tokens. The SDK inside,
where there is one, finds the Call in its context and feeds it the wire's facts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace

from aden.errors import RequestCancelledError
from aden.instrumentation.active import active_meter
from aden.instrumentation.aside import aside
from aden.instrumentation.livekit.plugin import let_go
from aden.instrumentation.livekit.speaking import TYPICAL_CHARACTERS, Speaking, request_for
from aden.instrumentation.livekit.speech import OPERATION, begin
from aden.instrumentation.livekit.untold import tell_tts
from aden.instrumentation.livekit.who import at_speech_node
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.telemetry import names
from aden.telemetry.context import with_call
from aden.telemetry.spans import FrameworkSpan

_inside: ContextVar[Speaking | None] = ContextVar("aden_speaking", default=None)
"""Whose plugin's code runs: a stream that is made there is a part of it."""


def made(wrapped: Callable[..., None], stream: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``__init__``: the stream's tasks are made here and must find the Call."""
    speaking = _begin(stream, kwargs)
    if speaking is None:
        return wrapped(*args, **kwargs)
    stream._aden_speaking = speaking
    token = otel_context.attach(with_call(speaking.call))
    try:
        return wrapped(*args, **kwargs)
    finally:
        otel_context.detach(token)


async def main_task(
    wrapped: Callable[..., Awaitable[None]], stream: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``_main_task``: hold, let LiveKit send and retry, settle."""
    speaking = _of(stream)
    meter = active_meter()
    if speaking is None or meter is None:
        await wrapped(*args, **kwargs)
        return
    aside(_watch, stream, speaking)
    if not speaking.owns:
        try:
            await wrapped(*args, **kwargs)
        finally:
            aside(let_go, stream)
            aside(speaking.finished)
        return
    # LiveKit sets it in the function that a refusal never reaches; its aclose() ends the span.
    stream._tts_request_span = trace.get_current_span()
    aside(speaking.call.span.bind, stream._tts_request_span)
    try:
        await aadmit(meter, speaking.call)
        await wrapped(*args, **kwargs)
    except RequestCancelledError as refusal:
        meter.settle(speaking.call, refusal)
        stream._emit_error(refusal, recoverable=True)
        raise
    except asyncio.CancelledError:  # the caller spoke: not an error
        speaking.call.stream_end = "cancelled"
        aside(speaking.settle)
        raise
    except BaseException as error:
        aside(speaking.settle, error)
        raise
    finally:
        aside(let_go, stream)
    aside(speaking.settle)


async def node(wrapped: Callable[..., Awaitable[Any]], _module: Any, args: Any, kwargs: Any) -> Any:
    """Wrapper of those tasks of LiveKit that ask ``tts_node`` and ``transcription_node``.

    What these ask besides, such as a translation, is a part of what is said, or written: of an
    answer, LiveKit's history knows only that.
    """
    with at_speech_node():
        return await wrapped(*args, **kwargs)


async def monitor(
    wrapped: Callable[..., Awaitable[None]], stream: Any, args: Any, kwargs: Any
) -> None:
    """Wrapper of ``_metrics_monitor_task``: LiveKit's last word on the request."""
    await wrapped(*args, **kwargs)
    speaking = _of(stream)
    meter = active_meter()
    if speaking is None:
        return
    del stream._aden_speaking  # which refers to the stream
    if meter is None or not speaking.owns:
        return
    try:
        tell_tts(stream, speaking)
    except Exception:
        meter.cannot("reader", "what LiveKit did not tell could not be told", trace=True)


def push_text(wrapped: Callable[..., None], stream: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``SynthesizeStream.push_text``: LiveKit drops some of what it is given."""
    taken = len(stream._input_buffer)
    wrapped(*args, **kwargs)
    speaking = _of(stream)
    if speaking is not None and len(stream._input_buffer) > taken:
        aside(speaking.given, len(stream._input_buffer[-1]))


def _of(stream: Any) -> Speaking | None:
    found: Speaking | None = vars(stream).get("_aden_speaking")
    return found


def _begin(stream: Any, kwargs: Any) -> Speaking | None:
    meter = active_meter()
    if meter is None:
        return None
    try:
        if _is_adapter(stream):
            return None
        return _described(meter, stream, kwargs["tts"], kwargs.get("input_text"))
    except Exception:
        meter.cannot("gate", "a TTS stream could not be described", trace=True)
        return None


def _described(meter: Meter, stream: Any, tts: Any, text: str | None) -> Speaking:
    """*text* is None where it comes as it is spoken."""
    held = TYPICAL_CHARACTERS if text is None else len(text)
    request = request_for(meter, tts, held, None, stream=text is None, exact=text is not None)
    around = _inside.get()
    if around is not None and around.running:  # an adapter that LiveKit does not know as one
        return Speaking(meter, around.call, stream, tts, text, owns=False)
    call = begin(meter, request)
    call.span = FrameworkSpan({names.OPERATION_NAME: OPERATION, **request.span_attributes})
    return Speaking(meter, call, stream, tts, text, owns=True)


def _is_adapter(stream: Any) -> bool:
    """A stream above other streams: it sends nothing itself."""
    return type(stream)._tts_attempt_span_name is None


def _watch(stream: Any, speaking: Speaking) -> None:
    """See each sending of the plugin, and each frame that comes back."""
    run, channel = stream._run, stream._event_ch
    send = channel.send_nowait

    async def _run(*args: Any, **kwargs: Any) -> None:
        token = _inside.set(speaking)
        aside(speaking.began)
        try:
            await run(*args, **kwargs)
        except BaseException as error:
            aside(speaking.ended, error)
            raise
        finally:
            _inside.reset(token)
        aside(speaking.ended, None)

    def send_nowait(audio: Any) -> None:
        aside(speaking.spoke, audio)
        send(audio)

    stream._run = _run
    channel.send_nowait = send_nowait
