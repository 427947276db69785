"""A program whose application brings providers of its own: all of them, or one.

``providers_of_the_app.py PROVIDER-URL APP-URL ADEN-URL WHAT…``, where WHAT names what the
application sets (``traces``, ``metrics``), whether an ``endpoint`` is set for OpenTelemetry, and
whether it is instrumented ``again``, or ``anew`` after an uninstrument.
"""

import os
import sys

import openai
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import aden

provider_url, app_url, aden_url, *what = sys.argv[1:]
if "traces" in what:
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{app_url}/v1/traces")))
    trace.set_tracer_provider(tracers)
if "metrics" in what:
    exporter = OTLPMetricExporter(f"{app_url}/v1/metrics")
    meters = MeterProvider([PeriodicExportingMetricReader(exporter)])
    metrics.set_meter_provider(meters)
    meters.get_meter("app").create_counter("app.own").add(1)
if "endpoint" in what:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = app_url


def start() -> None:
    """Aden, with its server."""
    aden.instrument(server_url=aden_url, api_key="k", budgets=[], ledger="memory:")


def ask() -> None:
    """One call."""
    client = openai.OpenAI(base_url=provider_url, api_key="k")
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])


start()
ask()
if "again" in what:
    start()
    ask()
if "anew" in what:
    aden.uninstrument()
    ask()
    start()
    ask()
