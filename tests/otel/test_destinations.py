"""Where telemetry goes, by OpenTelemetry's variables and an Aden server beside them."""

import pytest

from aden.otel.destinations import Destinations, at, destinations

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("env", "server", "expected"),
    [
        ({}, False, Destinations()),
        ({}, True, Destinations(("aden",), ("aden",))),
        ({BASE: "http://c:4318"}, False, Destinations(("otlp",), ("otlp",), ("otlp",))),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/t"},
            False,
            Destinations(("otlp",)),
        ),
        ({BASE: "http://c"}, True, Destinations(("aden", "otlp"), ("aden", "otlp"), ("otlp",))),
        (
            {"OTEL_TRACES_EXPORTER": "otlp, aden_console,otlp", "OTEL_METRICS_EXPORTER": "none"},
            False,
            Destinations(("otlp", "aden_console")),
        ),
        # The collector that ADEN_API_URL names already.
        ({BASE: "http://aden/"}, True, Destinations(("aden",), ("aden",), ("otlp",))),
        (
            {BASE: "http://c", "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": " none "},
            False,
            Destinations((), ("otlp",)),
        ),
    ],
)
def test_each_signal_has_its_exporters(
    env: dict[str, str], server: bool, expected: Destinations
) -> None:
    """A signal's variable wins over an endpoint; an Aden server takes traces and metrics too."""
    assert destinations(env, "http://aden" if server else None) == expected
    assert bool(expected) is bool(env or server)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://aden.example.com", "https://aden.example.com/v1/traces"),
        ("https://aden.example.com/", "https://aden.example.com/v1/traces"),
        ("https://aden.example.com/base/", "https://aden.example.com/base/v1/traces"),
        ("wss://aden.example.com:8443", "https://aden.example.com:8443/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_a_signal_has_a_path_below_the_base(url: str, expected: str) -> None:
    """With a path, a trailing slash, a port, IPv6."""
    assert at(url, "traces") == expected
