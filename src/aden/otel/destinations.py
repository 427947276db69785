"""Where telemetry is to be sent: as the environment says, and an Aden server beside it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from aden.core.web import http_scheme

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")


@dataclass(frozen=True, slots=True)
class Destinations:
    """For each signal the names of exporters, as OpenTelemetry's variables write them.

    ``otlp`` is OTLP over HTTP as ``OTEL_EXPORTER_OTLP_*`` says, ``aden`` an Aden server,
    ``console`` the SDK's own, ``aden_console`` a line a call; others are found by their entry
    points.
    """

    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()

    def of(self, signal: Signal) -> tuple[str, ...]:
        """The exporters of one signal."""
        found: tuple[str, ...] = getattr(self, signal)
        return found

    def __bool__(self) -> bool:
        return bool(self.traces or self.metrics or self.logs)


def destinations(env: Mapping[str, str], server: str | None) -> Destinations:
    """Read the environment.

    ``OTEL_<SIGNAL>_EXPORTER`` names exporters, several with commas, ``none`` for none. Where it is
    not set, an OTLP endpoint (``OTEL_EXPORTER_OTLP_ENDPOINT``, or the signal's own) means ``otlp``.
    Where that is the Aden server, ``aden`` is enough.

    Args:
        env: The environment.
        server: Base URL of an Aden server for which there is a key; it takes traces and metrics.
    """
    found = {signal: _named(env, signal) for signal in SIGNALS}
    if server:
        for signal in _TO_ADEN:
            same = _endpoint(env, signal) == at(server, signal)
            others = (name for name in found[signal] if not (same and name == "otlp"))
            found[signal] = ("aden", *others)
    return Destinations(**found)


_TO_ADEN: tuple[Signal, ...] = ("traces", "metrics")


def at(url: str, signal: Signal) -> str:
    """A signal's path below the base URL of an Aden server."""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/v1/{signal}"
    return urlunsplit((http_scheme(parts.scheme), parts.netloc, path, "", ""))


def _endpoint(env: Mapping[str, str], signal: Signal) -> str:
    """Where ``otlp`` sends a signal."""
    own = env.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    base = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").removesuffix("/")
    return own or f"{base}/v1/{signal}"


def _named(env: Mapping[str, str], signal: Signal) -> tuple[str, ...]:
    text = env.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if text:
        names = dict.fromkeys(name.strip() for name in text.split(","))
        return tuple(name for name in names if name and name != "none")
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    return ("otlp",) if env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or env.get(own) else ()
