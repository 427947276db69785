"""What a plugin (an LLM, a TTS, an STT) says of itself: its provider and where that is."""

import functools
import sys
from typing import Any
from urllib.parse import urlsplit

from aden.instrumentation.openai.hosts import provider_of

UNKNOWN = "unknown"
"""LiveKit's own word for a plugin that names no model or no provider."""
_PLUGINS = "livekit.plugins."
_SPEAKS = {"livekit.plugins.anthropic.llm": "anthropic"}
"""Whose API a plugin speaks to a host that nobody knows, where it is not OpenAI's."""


def address_of(plugin: Any) -> tuple[str | None, int | None]:
    """Host and port, where a plugin's name for its provider is the host of its base URL."""
    return _address(str(plugin.provider or ""))


@functools.lru_cache(maxsize=256)
def _address(label: str) -> tuple[str | None, int | None]:
    if "." not in label and ":" not in label and label != "localhost":
        return None, None
    try:
        parts = urlsplit(f"//{label}")
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def let_go(stream: Any) -> None:
    """Take our methods off a plugin's stream that is over.

    They refer to it, so that it would wait for the garbage collector, which stops all sessions.
    """
    for name in ("_run", "_parse_event"):
        vars(stream).pop(name, None)
    vars(stream._event_ch).pop("send_nowait", None)


def provider_name(plugin: Any) -> str:
    """LiveKit's plugins name a display name ("MistralAI"), or the host of their base URL.

    What the conventions do not list is in lower case, as price tables have it ("deepgram").
    """
    host, port = address_of(plugin)
    if host is not None:
        found = provider_of("Azure" in type(plugin).__name__, host, port)
        return _SPEAKS.get(type(plugin).__module__, found) if found == "openai" else found
    label = str(plugin.provider or UNKNOWN)
    if label == UNKNOWN:
        label = _package_of(plugin)
    trace_types = sys.modules.get("livekit.agents.telemetry.trace_types")
    normalise = getattr(trace_types, "gen_ai_provider_name", None)
    return str((normalise(label) if normalise else None) or label).lower()


def _package_of(plugin: Any) -> str:
    """The vendor whose name a package of LiveKit's has; xAI's STT tells of none otherwise."""
    names = (each.__module__ for each in type(plugin).__mro__)
    own = (name.removeprefix(_PLUGINS) for name in names if name.startswith(_PLUGINS))
    return next((name.split(".")[0] for name in own), UNKNOWN)


def shows_wire(session: Any) -> bool:
    """Whether a realtime session tells by events what goes over its WebSocket: LiveKit's own do."""
    names = (each.__module__ for each in type(session).__mro__)
    own = (
        name for name in names if name.startswith(("livekit.agents.", "livekit.plugins.openai."))
    )
    return any("openai" in name and "realtime" in name for name in own)
