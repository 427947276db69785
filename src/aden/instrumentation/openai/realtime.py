"""The Realtime API: a ``response.create`` described, its events read. Pure functions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aden.core.request import Request, Scalar
from aden.core.usage import token_count
from aden.instrumentation.openai.endpoint import ContentReader, Endpoint
from aden.instrumentation.openai.hosts import server_of
from aden.instrumentation.openai.measuring import (
    AUDIO_TOKENS_PER_BASE64_BYTE,
    measure,
    speech_tokens,
)
from aden.instrumentation.openai.parameters import failure, metadata_of, text
from aden.instrumentation.openai.usage import REALTIME, note_usage
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt

SPEECH = ("response.output_audio.delta", "response.audio.delta")
"""Pieces of speech; the second is the name in the beta."""
_CAPS = ("max_output_tokens", "max_response_output_tokens")
"""The second is the name in the beta."""
ADDED, TOLD = "_items", "_instructions"
"""Under which a `SocketMeter` puts what was added to the conversation since the last response, and
the instructions of the session."""
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_BUSY = "conversation_already_has_active_response"
_FINISH_REASONS = {"completed": "stop", "max_output_tokens": "length"}


def describe(asked: Mapping[str, Any], client: Any) -> Request:
    """What a ``response.create`` asks; the session's model and id are put into *asked*.

    The model is the connection's: it cannot be degraded. What the session heard before is not
    sent again.
    """
    provider, host, port = server_of(client)
    size, extra = asked.get("_said", (0, 0))
    for name in ("instructions", "input", "tools"):
        text, tokens = measure(asked.get(name))
        size, extra = size + text, extra + tokens
    session = asked.get("_session")
    limit = next((cap for name in _CAPS if (cap := token_count(asked.get(name)))), None)
    attributes: dict[str, Scalar | tuple[str, ...]] = {"openai.api.type": "realtime"}
    if limit is not None:
        attributes["gen_ai.request.max_tokens"] = limit
    if isinstance(session, str):
        attributes["gen_ai.conversation.id"] = session
    return Request(
        provider=provider,
        model=str(asked.get("model") or ""),
        stream=True,
        input_chars=size,
        input_extra_tokens=extra,
        max_output_tokens=limit,
        pinned=True,
        conversation_id=session if isinstance(session, str) else None,
        is_kept=True,
        unseen_input=True,
        speech=asked.get("output_modalities") != ["text"],
        server_address=host,
        server_port=port,
        metadata=metadata_of(asked),
        span_attributes=attributes,
    )


def said_by(event: Mapping[str, Any]) -> tuple[int, int]:
    """(bytes of text, tokens that bytes do not show) that a client's event adds to the session."""
    if event.get("type") == "input_audio_buffer.append":
        return 0, round(len(event.get("audio") or "") * AUDIO_TOKENS_PER_BASE64_BYTE)
    if event.get("type") == "conversation.item.create":
        return measure(get(event.get("item"), "content"))
    if event.get("type") == "session.update":
        session = event.get("session")
        return measure([get(session, "instructions"), get(session, "tools")])
    return 0, 0


def rewrite(asked: dict[str, Any], _model: str, _ask: bool) -> tuple[dict[str, Any], bool]:
    """Nothing is changed: the model is the connection's."""
    return asked, False


def read(attempt: Attempt, response: Any) -> None:
    """Note what a response object says."""
    if isinstance(identity := get(response, "id"), str):
        attempt.response_id = identity
    status, details = get(response, "status"), get(response, "status_details")
    attempt.over = status in ("completed", "cancelled", "incomplete", "failed")
    if not attempt.over:
        return
    reason = str(get(details, "reason") or status)
    attempt.finish_reasons = ("error",) if status == "failed" else (_finish(reason),)
    if status == "failed":
        attempt.failure = failure(get(details, "error"))
    note_usage(attempt, get(response, "usage"), REALTIME)


def feed(attempt: Attempt, event: Any, _hide_usage: bool) -> bool:
    """Note what an event says; the caller sees each."""
    kind = get(event, "type")
    if not isinstance(kind, str):
        return True
    delta = get(event, "delta")
    if kind in SPEECH and isinstance(delta, str):
        attempt.saw_speech(speech_tokens(delta))
    elif kind.endswith(".delta") and isinstance(delta, str) and delta:
        attempt.saw_text(delta)
    elif (response := get(event, "response")) is not None:
        read(attempt, response)
    elif kind == "error":
        attempt.failure = failure(get(event, "error"))
    return True


def refuses(error: Any) -> bool:
    """Whether an error that names no event of the client's refuses a ``response.create``.

    A server knows only names that the client gave. The parameter at fault is named from the event's
    own object on, as in ``Unknown parameter: 'session.custom_voice_id'``
    (https://github.com/livekit/agents/issues/1403); some servers name the event itself.
    """
    if get(error, "code") == _BUSY:
        return True
    param = text(get(error, "param")) or ""
    return param.partition(".")[0] == "response" and param != "response.cancel"


def _finish(reason: str) -> str:
    return _FINISH_REASONS.get(reason, reason)


def bounded(request: Request) -> Request:
    """*request* as far as its most shows: the model reads all of the session, which nobody sees."""
    return replace(request, most_text_tokens=None, speech=True, can_be_ended=False)


def transcriber_of(event: Mapping[str, Any]) -> str | None:
    """Which model writes down what a session hears; None where its settings name none."""
    session = event.get("session")
    heard = get(get(get(session, "audio"), "input"), "transcription")
    model = get(heard or get(session, "input_audio_transcription"), "model")
    return model if isinstance(model, str) else None


def settings_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a session's settings say of its responses; empty where an event tells none."""
    session = event.get("session")
    settings: dict[str, Any] = {
        name: cap for name in _CAPS if (cap := token_count(get(session, name)))
    }
    if isinstance(modalities := get(session, "output_modalities"), list):
        settings["output_modalities"] = modalities
    return settings


def _content() -> ContentReader:
    from aden.instrumentation.openai import realtime_content

    return realtime_content


ENDPOINT = Endpoint(describe, rewrite, read, feed, _content, caps=_CAPS[:1])
BETA = Endpoint(describe, rewrite, read, feed, _content, caps=_CAPS[1:])
