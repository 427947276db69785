"""LiveKit's own figures of an LLM request, put right where it cannot know them.

It counts by the last usage that a plugin gives it: none where the caller interrupts, the last
attempt's where one was retried, nothing where a request fails. And it names the configured model.
"""

import time
from typing import Any

import wrapt

from aden.core.usage import Usage
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.metering.pricing import bill


class Served(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """An LLM by the name of the model that was sent instead of its own."""

    def __init__(self, llm: Any, model: str) -> None:
        super().__init__(llm)
        self._self_model = model

    @property
    def model(self) -> str:
        """The model that was sent."""
        return self._self_model


def correct(meter: Meter, call: Call, stream: Any, told: tuple[int, int] | None) -> None:
    """What LiveKit is about to count of a settled call: all that is billed, by the model sent.

    *told* are the input and output tokens that it was told last.
    """
    try:
        if not call.attempts:
            return
        used = _billed(meter, call)
        if (used.input_tokens or 0, used.output_tokens or 0) != (told or (0, 0)):
            channel = stream._event_ch
            type(channel).send_nowait(channel, _usage_chunk(call, used))
        if call.model != call.request.model:
            stream._llm = Served(stream._llm, call.model)
    except Exception:
        meter.cannot("reader", "LiveKit's own figures could not be corrected", trace=True)


def tell_failed(meter: Meter, call: Call, stream: Any) -> None:
    """The metrics of a request that failed and is billed, of which LiveKit makes none."""
    try:
        if call.attempts and stream._current_attempt_has_error:
            _tell_failed(meter, call, stream)
    except Exception:
        meter.cannot("reader", "what LiveKit did not tell could not be told", trace=True)


def _tell_failed(meter: Meter, call: Call, stream: Any) -> None:
    used = _billed(meter, call)
    if not (used.input_tokens or used.output_tokens):
        return
    from livekit.agents.metrics import LLMMetrics
    from livekit.agents.metrics.base import Metadata

    llm = stream._llm
    metrics = LLMMetrics(
        label=llm.label,
        request_id=_response_id(call),
        timestamp=time.time(),
        duration=time.perf_counter() - call.started,
        ttft=-1.0,
        cancelled=call.stream_end == "cancelled",
        tokens_per_second=0.0,
        metadata=Metadata(model_name=llm.model, model_provider=llm.provider),
        **_counts(used),
    )
    llm.emit("metrics_collected", metrics)  # heard by a session where it is the session's


def _billed(meter: Meter, call: Call) -> Usage:
    return bill(call, meter.estimator, meter.prices).amounts.usage


def _usage_chunk(call: Call, used: Usage) -> Any:
    from livekit.agents.llm import ChatChunk, CompletionUsage

    return ChatChunk(id=_response_id(call), usage=CompletionUsage(**_counts(used)))


def _response_id(call: Call) -> str:
    return next((each.response_id for each in reversed(call.attempts) if each.response_id), "")


def _counts(used: Usage) -> dict[str, Any]:
    """A usage by LiveKit's names."""
    return {
        "prompt_tokens": used.input_tokens or 0,
        "completion_tokens": used.output_tokens or 0,
        "total_tokens": (used.input_tokens or 0) + (used.output_tokens or 0),
        "prompt_cached_tokens": used.cached_tokens or 0,
        "cache_creation_tokens": used.cache_write_tokens or 0,
        "reasoning_tokens": used.reasoning_tokens or 0,
    }
