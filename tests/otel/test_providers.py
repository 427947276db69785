"""Whose providers there are: Aden's figures come to its server, and to the app's endpoint once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View

import aden
from aden.runtime import current_runtime
from aden.testing import OpenAIServer
from otlp_sink import OTLPSink

PROGRAM = Path(__file__).parent / "programs" / "providers_of_the_app.py"


def run(provider: str, app: str, ours: str, *what: str) -> None:
    """The program, to its end."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "ADEN_"))}
    subprocess.run(
        [sys.executable, str(PROGRAM), provider, app, ours, *what],
        env=clean
        | {
            "ADEN_FLUSH_TIMEOUT": "10",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        },
        check=True,
        timeout=90,
    )


def counted(sink: OTLPSink) -> tuple[int, float]:
    """Inference spans and decisions that came to an endpoint."""
    spans = [span for span in sink.spans if span.name == "chat gpt-4o"]
    return len(spans), sink.total("aden.client.decisions")


@pytest.mark.parametrize(
    ("what", "app_gets", "aden_gets"),
    [
        (("traces", "metrics", "again", "anew"), (3, 3), (3, 3)),
        (("traces",), (1, 0), (1, 1)),
        (("traces", "endpoint"), (1, 1), (1, 1)),
        (("metrics", "endpoint"), (1, 1), (1, 1)),
        (("endpoint", "again", "anew"), (3, 3), (3, 3)),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_each_endpoint_gets_each_call_once(
    what: tuple[str, ...],
    app_gets: tuple[int, int],
    aden_gets: tuple[int, int],
    server: OpenAIServer,
) -> None:
    """Whatever the application has set; instrumented again, or anew after an uninstrument."""
    with OTLPSink() as app, OTLPSink() as ours:
        run(server.base_url, app.url, ours.url, *what)
        assert (counted(app), counted(ours)) == (app_gets, aden_gets)
        # What the application counts for itself is not Aden's business.
        assert app.total("app.own") == float("metrics" in what)
        assert ours.total("app.own") == 0


def test_an_application_that_exports_to_the_aden_server_itself_is_not_counted_twice(
    server: OpenAIServer,
) -> None:
    """Neither its spans nor its metrics; nor where both variables name the same place."""
    with OTLPSink() as both:
        run(server.base_url, both.url, both.url, "traces", "metrics")
        assert counted(both) == (1, 1)
    with OTLPSink() as both:
        run(server.base_url, both.url, both.url, "endpoint")
        assert counted(both) == (1, 1)


def test_views_of_the_application_change_nothing_at_the_aden_server(
    server: OpenAIServer, house_of: Any
) -> None:
    """It counts there what it would count without them."""
    reader = InMemoryMetricReader()
    views = [View(instrument_name="*", aggregation=DropAggregation())]
    meters = MeterProvider([reader], views=views, shutdown_on_exit=False)
    with OTLPSink() as ours:
        house_of(meter_provider=meters, server_url=ours.url, api_key="k")
        runtime = current_runtime()
        assert runtime is not None
        runtime.meter.telemetry.failed("hook")
        aden.flush(10)
        assert ours.total("aden.gate.failures") == 1
    assert reader.get_metrics_data() is None


@pytest.fixture
def house_of(instrumented: Any) -> Any:
    """Instrument this process without budgets."""
    return lambda **options: instrumented(budgets=[], **options)
