"""What did not arrive is counted by its cause and said once, with a hint; no key is shown."""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider

from aden.otel.accounted import AccountedSpanProcessor
from aden.otel.destinations import Signal
from aden.otel.exporters import Exporters
from aden.otel.losses import Losses
from aden.otel.session import outcome_of
from endpoints import Answer, Endpoint, Mute, always, nobody

KEY = "sk-secret-of-the-tests"
PARTLY = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
).SerializeToString()


def send(url: str, losses: Losses, spans: int = 5) -> None:
    """Export some spans to an Aden server at *url*."""
    exporter = Exporters(losses, url, KEY).spans("aden")
    assert exporter is not None
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(AccountedSpanProcessor(exporter, 60_000))
    for number in range(spans):
        provider.get_tracer("t").start_span(f"span {number}").end()
    provider.force_flush()
    provider.shutdown()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that gives up soon."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    for name in [name for name in os.environ if name.startswith("OTEL_EXPORTER_OTLP_")]:
        if name != "OTEL_EXPORTER_OTLP_TIMEOUT":
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("answer", "cause", "hint"),
    [
        (always(400), "http_400", "does it speak OTLP"),
        (always(401), "http_401", "ADEN_API_KEY"),
        (always(403), "http_403", "may not write"),
        (always(404), "http_404", "base URL"),
        (always(413), "http_413", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
        (always(429), "http_429", "throttles"),
        (always(429, Retry_After="3600"), "http_429", "throttles"),
        (always(500), "http_500", "HTTP 500"),
        (always(503), "http_503", "HTTP 503"),
        (always(200, b"<html>", content_type="text/html"), "not_otlp", "web page"),
        (always(301, location="https://other/v1/traces"), "redirected", "name its target"),
    ],
)
def test_each_refusal_is_counted_by_its_cause(
    answer: Answer, cause: str, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's own counters call most of these exported."""
    losses = Losses()
    with Endpoint(answer) as endpoint, caplog.at_level(logging.DEBUG):
        send(endpoint.url, losses)
        assert endpoint.seen[0][0] == "/v1/traces"
        assert endpoint.seen[0][1]["authorization"] == f"Bearer {KEY}"
        assert endpoint.seen[0][1]["content-encoding"] == "gzip"
    assert losses.totals() == {("traces", cause): 5}
    (said,) = [each.getMessage() for each in caplog.records if each.name == "aden.otel"]
    assert said.startswith(f"aden: 5 spans were not taken by {endpoint.url}/v1/traces")
    assert hint in said
    assert KEY not in caplog.text


def test_what_is_taken_is_not_lost() -> None:
    """Nor is anything said of it."""
    losses = Losses()
    with Endpoint(always(200, content_type="application/x-protobuf")) as endpoint:
        send(endpoint.url, losses)
    assert losses.totals() == {}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PARTLY, "application/x-protobuf"),
        (
            json.dumps({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}),
            "application/json; charset=utf-8",
        ),
    ],
)
def test_a_partial_success_counts_what_was_left_out(
    body: bytes | str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK takes it for a success without a word."""
    losses = Losses()
    sent = body if isinstance(body, bytes) else body.encode()
    with Endpoint(always(200, sent, content_type=kind)) as endpoint:
        send(endpoint.url, losses)
    assert losses.totals() == {("traces", "rejected"): 3}
    assert "too old" in caplog.text


def test_an_endpoint_that_is_away_or_mute_is_told_apart() -> None:
    """Refused connections, and connections on which nothing comes."""
    away, mute = Losses(), Losses()
    send(nobody(), away)
    with Mute() as url:
        send(url, mute)
    assert away.totals() == {("traces", "connection"): 5}
    assert mute.totals() == {("traces", "timeout"): 5}


def test_what_cannot_be_written_is_counted() -> None:
    """A text that is no UTF-8 makes the exporter raise, and all that goes with it is lost."""
    losses = Losses()
    with Endpoint(always(200, content_type="application/x-protobuf")) as endpoint:
        exporter = Exporters(losses, endpoint.url, KEY).spans("aden")
        assert exporter is not None
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(AccountedSpanProcessor(exporter, 60_000))
        for name in ("whole", "half \ud83d"):
            provider.get_tracer("t").start_span(name).end()
        provider.force_flush()
        provider.shutdown()
    assert losses.totals() == {("traces", "other"): 2}


def test_a_full_queue_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty spans at once, and room for eight; the rest arrives."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    losses = Losses()
    exporter = Exporters(losses, None, None).spans("console")
    assert exporter is not None
    held = _Held(exporter)
    processor = AccountedSpanProcessor(held, 60_000)  # type: ignore[arg-type]
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for number in range(20):
        provider.get_tracer("t").start_span(f"span {number}").end()
    provider.force_flush()
    provider.shutdown()
    assert losses.totals().get(("traces", "queue_full"), 0) == 20 - held.taken


class _Held:
    """Counts what comes to an exporter, and takes its time."""

    def __init__(self, inner: object) -> None:
        self.account = inner.account  # type: ignore[attr-defined]
        self.handed = 0
        self.taken = 0

    def export(self, spans: list[object]) -> object:
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.handed += len(spans)
        time.sleep(0.2)
        self.taken += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to stop."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def test_metric_points_that_are_lost_are_counted() -> None:
    """They leave as deltas: what is refused is gone."""
    losses = Losses()
    with Endpoint(always(401)) as endpoint:
        exporter = Exporters(losses, endpoint.url, KEY).metrics("aden")
        assert exporter is not None
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        counter = provider.get_meter("t").create_counter("c")
        counter.add(1, {"a": "1"})
        counter.add(1, {"a": "2"})
        provider.force_flush()
        provider.shutdown()
    assert losses.totals() == {("metrics", "http_401"): 2}


def test_losses_are_a_metric() -> None:
    """By signal and cause."""
    losses, reader = Losses(), InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("t")
    meter.create_observable_counter("aden.telemetry.lost", [losses.observe])
    losses.count("traces", "http_404", 7, "somewhere")
    data = reader.get_metrics_data()
    assert data is not None
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (point.value, dict(point.attributes or {})) == (  # type: ignore[union-attr]
        7,
        {"aden.telemetry.signal": "traces", "aden.telemetry.cause": "http_404"},
    )


def test_a_cause_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However often it happens; each cause for itself."""
    losses = Losses()
    for _ in range(5):
        losses.count("traces", "timeout", 1, "x")
        losses.count("metrics", "timeout", 1, "x")
    assert len([each for each in caplog.records if each.name == "aden.otel"]) == 2
    assert losses.totals() == {("traces", "timeout"): 5, ("metrics", "timeout"): 5}


def test_an_exporter_that_cannot_be_made_is_said_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The message names what is installed."""
    assert Exporters(Losses(), None, None).spans("jeager") is None
    assert "no traces go to jeager" in caplog.text
    assert "otlp" in caplog.text


SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")


@given(
    signal=st.sampled_from(SIGNALS),
    status=st.integers(100, 599),
    kind=st.sampled_from(["application/x-protobuf", "application/json", "text/html", "", "?;"]),
    body=st.binary(max_size=60),
)
def test_no_answer_breaks_the_reader(signal: Signal, status: int, kind: str, body: bytes) -> None:
    """Garbage is no rejection; only a 2xx without a page is a success."""
    outcome = outcome_of(signal, status, {"Content-Type": kind}, body)
    assert outcome.rejected >= 0
    if not 200 <= status < 300:
        assert outcome.cause is not None


PROGRAM = """
import sys, time, aden, openai
aden.instrument(server_url=sys.argv[2], api_key={key!r}, ledger="memory:", budgets=[])
client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
client.chat.completions.create(model="gpt-4o", messages=[{{"role": "user", "content": "Hi"}}])
print(time.monotonic(), flush=True)
"""


@pytest.mark.parametrize("trouble", ["mute", "away", "throttles", "html"])
def test_the_exit_is_bounded_whatever_the_endpoint_does(
    trouble: str, tmp_path: Path, run_program: Callable[..., tuple[float, str]]
) -> None:
    """Two seconds, and a line that says what was lost or may be."""
    answers = {
        "throttles": always(429, Retry_After="5"),
        "html": always(200, b"<html></html>", content_type="text/html"),
    }
    program = PROGRAM.format(key=KEY)
    if trouble == "mute":
        with Mute() as url:
            took_s, said = run_program(program, url)
    elif trouble == "away":
        took_s, said = run_program(program, nobody())
    else:
        with Endpoint(answers[trouble]) as endpoint:
            took_s, said = run_program(program, endpoint.url)
    assert took_s < 5  # two, and what a loaded machine adds
    assert "aden:" in said
    assert KEY not in said


BESIDE = """
import sys, time, aden, openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
aden.instrument(server_url=sys.argv[2], api_key="k", ledger="memory:", budgets=[])
client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
started = time.monotonic()
trace.get_tracer_provider().force_flush(500)
print(time.monotonic() - started < 5, flush=True)
"""


def test_a_provider_of_the_application_s_does_not_wait_for_our_endpoint(
    run_program: Callable[..., tuple[float, str]],
) -> None:
    """It is flushed, and ended at the exit, by the application, which knows no time-out of ours."""
    with Mute() as url:
        took_s, said = run_program(BESIDE, url)
    assert took_s < 9  # an exporter tries for ten, and we wait for two
    assert "not taken" in said
