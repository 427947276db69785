"""What the sessions of other providers tell, in the words of OpenAI's protocol."""

import time
from collections.abc import Mapping
from typing import Any

from aden.core.usage import token_count
from aden.instrumentation.openai.parameters import is_given
from aden.instrumentation.openai.realtime import TRANSCRIBED
from aden.instrumentation.openai.socket_meter import CREATE
from aden.instrumentation.told import get
from aden.metering.call import Call


def asked(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``generate_reply``, or ``say``, asks for."""
    wanted = {name: value for name, value in kwargs.items() if is_given(value)}
    if "tools" in wanted:
        wanted["tools"] = [str(getattr(tool, "info", tool)) for tool in wanted["tools"]]
    said = wanted.pop("text", args[0] if args else None)
    if isinstance(said, str):
        wanted["input"] = said
    return wanted


def create(call: Call) -> dict[str, Any]:
    """The request for a reply."""
    named = {"metadata": {"client_event_id": call.id}}
    return {"type": CREATE, "event_id": call.id, "response": named}


def created(response_id: str, asked: str | None) -> dict[str, Any]:
    """A reply begins: *asked* names the request that it answers, None where the server began it."""
    response = {"id": response_id, "metadata": {"client_event_id": asked}}
    return {"type": "response.created", "response": response}


def of_reply(metrics: Any) -> bool:
    """Whether *metrics* are a reply's: those of a connection name none."""
    return bool(get(metrics, "request_id")) and get(metrics, "type") == "realtime_model_metrics"


def done(metrics: Any) -> dict[str, Any]:
    """A reply is over: LiveKit's details have the names of OpenAI's usage.

    Zeros stand there also where a provider tells nothing.
    """
    told = bool(get(metrics, "input_tokens") or get(metrics, "output_tokens"))
    response = {
        "id": str(metrics.request_id),
        "status": "cancelled" if get(metrics, "cancelled") else "completed",
        "usage": metrics if told else None,
    }
    return {"type": "response.done", "response": response}


def transcribed(metrics: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was said has been written down, by which model and at which usage."""
    model = get(get(metrics, "metadata"), "model_name") or ""
    session = {"input_audio_transcription": {"model": model}}
    usage: dict[str, Any] = {"type": "duration", "seconds": get(metrics, "audio_duration")}
    if get(metrics, "input_tokens") or get(metrics, "output_tokens"):
        usage = {
            "type": "tokens",
            "input_tokens": get(metrics, "input_tokens"),
            "output_tokens": get(metrics, "output_tokens"),
            "input_token_details": {"audio_tokens": get(metrics, "input_audio_tokens")},
        }
    return (
        {"type": "session.updated", "session": session},
        {"type": TRANSCRIBED, "usage": usage},
    )


def of_response(model: Any, response: Any) -> Any:
    """The metrics of a reply that LiveKit tells nothing of."""
    from livekit.agents.metrics import RealtimeModelMetrics as Metrics
    from livekit.agents.metrics.base import Metadata

    usage = get(response, "usage")
    heard, said = get(usage, "input_token_details"), get(usage, "output_token_details")
    cached = _counts(get(heard, "cached_tokens_details"), "text", "audio", "image")
    details = _counts(heard, "text", "audio", "image", "cached")
    total = _counts(usage, "input", "output", "total")
    return Metrics(
        label=model.label,
        request_id=str(get(response, "id")),
        timestamp=time.time(),
        cancelled=get(response, "status") == "cancelled",
        **total,
        input_token_details=Metrics.InputTokenDetails(
            **details, cached_tokens_details=Metrics.CachedTokenDetails(**cached)
        ),
        output_token_details=Metrics.OutputTokenDetails(**_counts(said, "text", "audio", "image")),
        metadata=Metadata(model_name=model.model, model_provider=model.provider),
    )


def _counts(usage: Any, *kinds: str) -> dict[str, Any]:
    return {f"{kind}_tokens": token_count(get(usage, f"{kind}_tokens")) or 0 for kind in kinds}


def are_new(metrics: Any) -> bool:
    """Whether nobody has told these *metrics* yet: adapters emit once more what they hear."""
    if hasattr(metrics, "_aden_told"):
        return False
    object.__setattr__(metrics, "_aden_told", True)  # a pydantic model refuses other names
    return True
