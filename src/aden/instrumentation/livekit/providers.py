"""LiveKit's own tracer, which keeps the provider that it saw first, and what it sends to its cloud.

Both are set up per process, by whoever comes first: a job that LiveKit records makes providers of
its own where it finds none.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import wrapt

logger = logging.getLogger("aden.livekit")

_TRACES = "livekit.agents.telemetry.traces"
_CLOUD_HOSTS = (".livekit.cloud", ".livekit.run")


def adopt_tracer_provider(provider: Any) -> None:
    """Let LiveKit's spans go through *provider*, now or when LiveKit is imported."""

    def adopt(_module: Any) -> None:
        telemetry = sys.modules.get("livekit.agents.telemetry")
        setter = getattr(telemetry, "set_tracer_provider", None)
        if setter is None:
            logger.warning(
                "aden: this LiveKit has no telemetry.set_tracer_provider; its spans "
                "stay where it sends them"
            )
            return
        setter(provider)
        try:
            _move_recording(provider)
        except Exception:
            logger.exception("aden: LiveKit's cloud gets no spans of the running job any more")

    wrapt.register_post_import_hook(adopt, "livekit.agents.telemetry")


def records_to_cloud(environ: Mapping[str, str]) -> bool:
    """Whether LiveKit records to its cloud, if a job is to be recorded; by its own variables."""
    if environ.get("LIVEKIT_OBSERVABILITY_URL"):
        return True
    try:
        host = urlsplit(environ.get("LIVEKIT_URL", "")).hostname or ""
    except ValueError:
        return False
    return host.endswith(_CLOUD_HOSTS)


def is_for_cloud(provider: Any) -> bool:
    """Whether LiveKit has made a meter or logger provider for its cloud."""
    cloud = _cloud()
    made = dict(getattr(cloud, "_exit_targets", ()))
    logger_made = "LoggerProvider" in made and provider is getattr(cloud, "_logger_provider", None)
    return logger_made or provider is getattr(cloud, "_owned_meter_provider", _NOTHING)


_NOTHING = object()


def _cloud() -> Any:
    return getattr(sys.modules.get(_TRACES), "_cloud", None)


def _move_recording(provider: Any) -> None:
    """A job that is recorded already goes on being recorded through *provider*.

    LiveKit does so itself, but only when the next recording begins.
    """
    cloud = _cloud()
    if getattr(cloud, "_trace_provider_attached", None) in (None, provider):
        return
    with cloud._lock:
        cloud._ensure_trace_pipeline(None, cloud._observability_url)
