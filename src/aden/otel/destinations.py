"""Where telemetry is to be sent, as the environment says."""

from collections.abc import Mapping

OTLP_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)


def sends_anything(env: Mapping[str, str], url: str | None = None, key: str | None = None) -> bool:
    """Whether there is an Aden server with a key, or an OTLP endpoint.

    Args:
        env: The environment.
        url: Aden server that code names; None: as ``ADEN_API_URL`` says.
        key: Its key; None: as ``ADEN_API_KEY`` says.
    """
    server = (url or env.get("ADEN_API_URL")) and (key or env.get("ADEN_API_KEY"))
    return bool(server) or any(env.get(name) for name in OTLP_ENDPOINTS)
