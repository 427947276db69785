"""Where telemetry is to be sent: as the environment says, and an Aden server beside it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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


def destinations(env: Mapping[str, str], *, server: bool) -> Destinations:
    """Read the environment.

    ``OTEL_<SIGNAL>_EXPORTER`` names exporters, several with commas, ``none`` for none. Where it is
    not set, an OTLP endpoint (``OTEL_EXPORTER_OTLP_ENDPOINT``, or the signal's own) means ``otlp``.

    Args:
        env: The environment.
        server: Whether there is an Aden server with a key; it takes traces and metrics.
    """
    found = {signal: _named(env, signal) for signal in SIGNALS}
    if server:
        for signal in ("traces", "metrics"):
            found[signal] = ("aden", *found[signal])
    return Destinations(**found)


def _named(env: Mapping[str, str], signal: Signal) -> tuple[str, ...]:
    text = env.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if text:
        names = dict.fromkeys(name.strip() for name in text.split(","))
        return tuple(name for name in names if name and name != "none")
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    return ("otlp",) if env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or env.get(own) else ()
