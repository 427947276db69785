"""Law 11: what people said stays here, unless OpenTelemetry is told to capture it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from aden.otel.content import PrivateExporter, captured_on_spans
from aden.telemetry.content import CAPTURE


@pytest.fixture
def tracer() -> Iterator[TracerProvider]:
    """A provider of the app, which exports spans as they are."""
    provider = TracerProvider()
    yield provider
    provider.shutdown()


def exported(provider: TracerProvider, exporter: SpanExporter, inner: InMemorySpanExporter) -> None:
    """Let one span with content, and one without, through *exporter*."""
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("turn") as span:
        span.set_attributes(
            {
                "gen_ai.input.messages": "what the caller said",
                "gen_ai.output.messages": "what the agent said",
                "gen_ai.system_instructions": "how the agent is",
                "gen_ai.tool.call.arguments": "what the tool heard",
                "lk.pii.user_transcript": "what the caller said",
                "gen_ai.request.model": "gpt-4o",
                "aden.cost.usd": 0.25,
            }
        )
        span.add_event("gen_ai.user.message", {"content": "what the caller said"})
        span.add_event("retry", {"attempt": 2})
        span.set_status(Status(StatusCode.ERROR, "broken"))
        with provider.get_tracer("app").start_as_current_span("plain"):
            pass
    assert len(inner.get_finished_spans()) == 2


def test_a_private_exporter_takes_out_what_was_said_and_nothing_else(
    tracer: TracerProvider,
) -> None:
    """Name, ids, parent, status, figures and other events stay."""
    inner, app = InMemorySpanExporter(), InMemorySpanExporter()
    tracer.add_span_processor(SimpleSpanProcessor(app))
    exported(tracer, PrivateExporter(inner), inner)
    plain, turn = inner.get_finished_spans()
    assert dict(turn.attributes or {}) == {"gen_ai.request.model": "gpt-4o", "aden.cost.usd": 0.25}
    assert [event.name for event in turn.events] == ["retry"]
    assert "said" not in turn.to_json()
    whole = app.get_finished_spans()[1]
    for name in ("name", "context", "parent", "kind", "start_time", "end_time", "resource"):
        assert getattr(turn, name) == getattr(whole, name)
    assert (turn.status.status_code, turn.status.description) == (StatusCode.ERROR, "broken")
    assert turn.instrumentation_scope == whole.instrumentation_scope
    assert plain.parent == turn.context


def test_the_app_s_own_exporters_see_the_spans_as_they_were(tracer: TracerProvider) -> None:
    """Only the copy that Aden exports is private."""
    inner, app = InMemorySpanExporter(), InMemorySpanExporter()
    exported(tracer, PrivateExporter(inner), inner)
    exported_by_app(tracer, app)
    (span,) = app.get_finished_spans()
    assert (span.attributes or {})["gen_ai.input.messages"] == "what the caller said"


def exported_by_app(provider: TracerProvider, app: InMemorySpanExporter) -> None:
    """One more span, seen by both exporters."""
    provider.add_span_processor(SimpleSpanProcessor(app))
    with provider.get_tracer("app").start_as_current_span("turn") as span:
        span.set_attribute("gen_ai.input.messages", "what the caller said")
        assert isinstance(span, ReadableSpan)


@pytest.mark.parametrize(
    ("value", "captured"),
    [
        (None, False),
        ("", False),
        ("NO_CONTENT", False),
        ("EVENT_ONLY", False),
        ("false", False),
        ("SPAN_ONLY", True),
        ("span_and_event", True),
        ("true", False),
    ],
)
def test_content_is_captured_on_spans_where_opentelemetry_is_told_so(
    value: str | None, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and its values are those of the GenAI instrumentations."""
    if value is None:
        monkeypatch.delenv(CAPTURE, raising=False)
    else:
        monkeypatch.setenv(CAPTURE, value)
    assert captured_on_spans() is captured


def test_a_value_that_captures_nothing_is_pointed_out_once() -> None:
    """The process has exporters that keep content private, and calls that have some."""
    wrong = {CAPTURE: "true", "OTEL_TRACES_EXPORTER": "aden_console"}
    done = subprocess.run(
        [sys.executable, "-c", "import aden; aden.instrument(ledger='memory:')"],
        env={**os.environ, **wrong},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.count(f"aden: {CAPTURE}='true' is none of NO_CONTENT, SPAN_ONLY") == 1
