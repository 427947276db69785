"""What LiveKit does not tell of: requests that were cut off, or failed, and are billed."""

import time
from collections.abc import AsyncIterator
from typing import Any

from aden.core.usage import NO_USAGE, Usage
from aden.instrumentation.livekit.hearing import read_usage
from aden.instrumentation.livekit.speaking import Speaking
from aden.instrumentation.livekit.who import current_session
from aden.metering.meter import Meter


def tell_tts(stream: Any, speaking: Speaking) -> None:
    """The metrics of a TTS request that was cut off or failed, which the provider bills.

    LiveKit tells of a streamed segment when its last frame is there, and of nothing that failed, so
    ``session.usage`` would lack it.
    """
    if not speaking.billed_characters or not _is_missing(stream):
        return
    from livekit.agents.metrics import TTSMetrics
    from livekit.agents.metrics.base import Metadata

    tts, streamed = stream._tts, hasattr(stream, "_mtc_pending_texts")
    started = stream._started_time
    metrics = TTSMetrics(
        label=tts.label,
        request_id="",
        timestamp=time.time(),
        ttfb=-1.0,
        duration=time.perf_counter() - started if started else 0.0,
        audio_duration=speaking.spoken_ms / 1000,
        cancelled=True,
        characters_count=speaking.billed_characters,
        input_tokens=stream._input_tokens,
        output_tokens=stream._output_tokens,
        streamed=streamed,
        metadata=Metadata(model_name=tts.model, model_provider=tts.provider),
    )
    tell(tts, metrics)


def _is_missing(stream: Any) -> bool:
    """Whether LiveKit has emitted none: of a streamed segment it then still keeps the text."""
    if not hasattr(stream, "_mtc_pending_texts"):
        return bool(stream._current_attempt_has_error)
    return bool(stream._mtc_pending_texts or stream._mtc_text)


def tell_stt(
    meter: Meter, stt: Any, booked: Usage, told: Usage = NO_USAGE, *, streamed: bool
) -> None:
    """The metrics of what was booked beyond what LiveKit *told* of."""
    try:
        lacking = Usage(
            audio_input_ms=_beyond(booked.audio_input_ms, told.audio_input_ms),
            input_tokens=_beyond(booked.input_tokens, told.input_tokens),
            output_tokens=_beyond(booked.output_tokens, told.output_tokens),
            audio_input_tokens=_beyond(booked.audio_input_tokens, told.audio_input_tokens),
        )
        if lacking.audio_input_ms or lacking.input_tokens or lacking.output_tokens:
            tell(stt, _stt_metrics(stt, lacking, streamed=streamed))
    except Exception:
        meter.cannot("reader", "what LiveKit did not tell could not be told", trace=True)


class Told:
    """What LiveKit has made metrics of, of one STT stream."""

    def __init__(self, meter: Meter, stt: Any) -> None:
        self.usage = NO_USAGE
        self._meter = meter
        self._stt = stt

    async def follow(self, events: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same events; LiveKit has dealt with one when it wants the next."""
        session = current_session()
        async for event in events:
            if event.recognition_usage is None:
                yield event
                continue
            before = None if session is None else session.usage
            yield event
            try:
                self._dealt_with(event, session, before)
            except Exception:
                self._meter.cannot("reader", "a report could not be followed", trace=True)

    def _dealt_with(self, event: Any, session: Any, before: Any) -> None:
        usage = read_usage(event.recognition_usage)
        self.usage += usage
        if usage.counted and session is not None and session.usage == before:
            session._usage_collector.collect(_stt_metrics(self._stt, usage, streamed=True))


def _stt_metrics(stt: Any, usage: Usage, *, streamed: bool) -> Any:
    from livekit.agents.metrics import STTMetrics
    from livekit.agents.metrics.base import Metadata

    return STTMetrics(
        label=stt.label,
        request_id="",
        timestamp=time.time(),
        duration=0.0,
        audio_duration=(usage.audio_input_ms or 0) / 1000,
        streamed=streamed,
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        input_audio_tokens=usage.audio_input_tokens or 0,
        metadata=Metadata(model_name=stt.model, model_provider=stt.provider),
    )


def tell(plugin: Any, metrics: Any) -> None:
    """As LiveKit tells of metrics; a session that ends stops to listen before its STT does."""
    session = current_session()
    before = None if session is None else session.usage
    plugin.emit("metrics_collected", metrics)
    if session is not None and session.usage == before:
        session._usage_collector.collect(metrics)


def _beyond(booked: int | None, told: int | None) -> int:
    return max(0, (booked or 0) - (told or 0))
