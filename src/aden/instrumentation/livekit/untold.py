"""What LiveKit does not tell of: requests that were cut off, or failed, and are billed."""

import time
from typing import Any

from aden.instrumentation.livekit.speaking import Speaking


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
    tts.emit("metrics_collected", metrics)


def _is_missing(stream: Any) -> bool:
    """Whether LiveKit has emitted none: of a streamed segment it then still keeps the text."""
    if not hasattr(stream, "_mtc_pending_texts"):
        return bool(stream._current_attempt_has_error)
    return bool(stream._mtc_pending_texts or stream._mtc_text)
