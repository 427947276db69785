"""The span exporter ``aden_console``: what a zero-code launch prints."""

import os
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from aden import Attribution, CallRecord
from aden.core.decision import Decision
from aden.core.line import pretty_line
from aden.core.money import NanoUSD
from aden.core.request import Request
from aden.core.usage import Usage
from aden.otel.console import ConsoleSpans, line_of
from aden.telemetry.attributes import of_record, start_attributes
from aden.telemetry.names import REQUEST_MODEL

RECORD = CallRecord(
    id="op",
    at=1000.0,
    provider="openai",
    asked_model="gpt-4o",
    model="gpt-4o-mini",
    usage=Usage(1200, 80, 1024),
    cost=NanoUSD(151_200),
    decision=Decision("degrade", "hook", "hook", model="gpt-4o-mini"),
    attribution=Attribution(session_id="mock-job-1234"),
    attempts=1,
    ttft_ms=43.0,
    latency_ms=170.0,
    budget_id="calls",
    percent_used=83.25,
    pid=os.getpid(),
)
REFUSED = replace(
    RECORD,
    model="gpt-4o",
    usage=Usage(),
    cost=NanoUSD(0),
    decision=Decision("block", "exhausted", "ledger"),
    attempts=0,
    ttft_ms=None,
    error_type="RequestCancelledError",
)


def span_of(record: CallRecord) -> ReadableSpan:
    """The inference span that shows *record*."""
    asked = start_attributes(Request(record.provider, record.model))
    errors = {"error.type": record.error_type} if record.error_type else {}
    return ReadableSpan(
        f"chat {record.model}",
        attributes={**asked, **of_record(record), **errors, REQUEST_MODEL: record.model},
        start_time=round(record.at * 1e9),
        end_time=round(record.at * 1e9 + record.latency_ms * 1e6),
    )


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        REFUSED,
        replace(REFUSED, repeats=12),
        replace(RECORD, usage=Usage(10, 5, estimated=True), stream_end="abandoned"),
        replace(RECORD, usage=Usage(audio_output_ms=4000, characters=60), ttft_ms=None),
        replace(RECORD, usage=Usage(audio_input_ms=12_300, session_ms=15_000, images=2)),
        replace(RECORD, budget_id=None, percent_used=None, attribution=Attribution()),
        replace(RECORD, percent_used=None),
        replace(RECORD, decision=Decision("throttle", "policy", "policy", delay_ms=2000)),
        replace(RECORD, error_type="APITimeoutError"),
    ],
)
def test_a_span_is_told_in_the_line_of_its_call(record: CallRecord) -> None:
    """Job, process, budget and all, as an emitter in code tells it."""
    assert line_of(span_of(record)) == pretty_line(record)


def test_only_spans_with_a_cost_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """LiveKit has many more, and each of them ends up here."""
    ConsoleSpans().export([ReadableSpan("agent_turn"), span_of(RECORD), ReadableSpan("tts_node")])
    (line,) = capsys.readouterr().out.splitlines()
    assert "job-1234/" in line
    assert "83.2 % of calls" in line
    assert line.endswith("degrade (by hook)")
