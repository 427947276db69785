"""Sessions that bill by their time (``live``, ``realtime.translations``). Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aden.core.request import Request, Scalar
from aden.core.usage import Usage, milliseconds
from aden.instrumentation.openai import responses
from aden.instrumentation.openai.hosts import server_of
from aden.instrumentation.openai.parameters import text
from aden.instrumentation.told import get

HELD_MS = 60_000
"""By a session that begins; what it outgrows is held as it goes."""
BYTES_PER_MS = 24 * 2
"""Of 24 kHz 16-bit audio, the one form that a translation takes."""
FRAME_MS = 200
"""A translation works in whole frames of so much (openai 3.54,
``RealtimeTranslationInputAudioBufferAppendEvent``)."""
_BEGUN = ("session.started", "session.created")
CLOSED = "session.closed"


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the SDK's connections that are one session each."""

    api: str
    """As ``openai.api.type`` shows it."""
    begins: str | None
    """The client's event by which it begins to bill; None where it was begun elsewhere."""


LIVE = Kind("live", "session.start")
ATTACHED = Kind("live", None)
TRANSLATION = Kind("translation", "session.input_audio_buffer.append")


def describe(kind: Kind, model: str, client: Any, session: str | None = None) -> Request:
    """A session, as far as it shows before it begins; its model is fixed."""
    provider, host, port = server_of(client)
    attributes: dict[str, Scalar | tuple[str, ...]] = {
        "openai.api.type": kind.api,
        "gen_ai.output.type": "speech",
    }
    if session is not None:
        attributes["gen_ai.conversation.id"] = session
    return Request(
        provider=provider,
        model=model,
        stream=True,
        carries=Usage(session_ms=HELD_MS, estimated=True),
        pinned=True,
        boundless="the length of a session",
        server_address=host,
        server_port=port,
        span_attributes=attributes,
    )


def delegated(model: str, client: Any, session: str | None) -> Request:
    """What a session's own backend is asked; what it reads, nobody sees."""
    asked = {"model": model, "stream": True, "conversation": session or "unknown"}
    return replace(responses.describe(asked, client), pinned=True)


def model_of(event: Mapping[str, Any]) -> str | None:
    """The session's model, where an event of either side names it."""
    return text(get(event.get("session"), "model"))


def delegates_to(event: Mapping[str, Any]) -> str | None:
    """The model of the session's backend, where an event names it."""
    delegation = get(event.get("session"), "delegation")
    backend = get(delegation, "responses") or get(delegation, "decisions")
    return text(get(backend, "model"))


def session_id(event: Mapping[str, Any]) -> str | None:
    """The session's own name, where an event tells it."""
    return text(get(event.get("session"), "id"))


def begun(event: Mapping[str, Any]) -> bool:
    """Whether an event says that the session runs now."""
    return event.get("type") in _BEGUN


def told_ms(event: Mapping[str, Any]) -> int | None:
    """Milliseconds of the session so far, where the provider tells them."""
    return milliseconds(get(event.get("usage"), "seconds"))


def audio_ms(data: object) -> float:
    """Milliseconds of audio in base64."""
    return len(data) * 3 / 4 / BYTES_PER_MS if isinstance(data, str) else 0.0


def in_frames(heard_ms: float) -> int:
    """Milliseconds of audio as a translation works on them."""
    return -(-round(heard_ms) // FRAME_MS) * FRAME_MS
