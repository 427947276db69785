"""The span exporter ``aden_console``: a line for each call, for a launch without code."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from aden.core.attribution import Attribution
from aden.core.decision import Decision
from aden.core.line import pretty_line
from aden.core.money import NANO, NanoUSD
from aden.core.record import CallRecord
from aden.core.usage import Usage
from aden.telemetry import names


class ConsoleSpans(SpanExporter):
    """Prints the spans that carry a cost; other spans are left out."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """One write a line: many processes share the terminal."""
        for span in spans:
            if span.attributes and names.COST_USD in span.attributes:
                sys.stdout.write(line_of(span) + "\n")
        sys.stdout.flush()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to let go of."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept back."""
        return True


def line_of(span: ReadableSpan) -> str:
    """The line that ``create_console_emitter()`` prints for the same call."""
    said: dict[str, Any] = dict(span.attributes or {})
    started, ended = span.start_time or 0, span.end_time or 0
    model = str(said.get(names.REQUEST_MODEL, ""))
    return pretty_line(
        CallRecord(
            id=str(said.get(names.CALL_ID, "")),
            at=started / 1e9,
            provider=str(said.get(names.PROVIDER_NAME, "")),
            asked_model=str(said.get(names.ASKED_MODEL, model)),
            model=model,
            usage=_usage(said),
            cost=NanoUSD(round(said[names.COST_USD] * NANO)),
            decision=_decision(said),
            attribution=Attribution(session_id=said.get(names.ATTRIBUTION + "session_id")),
            attempts=said.get(names.ATTEMPTS, 0),
            stream_end=said.get(names.STREAM_END),
            ttft_ms=_ms(said.get(names.RESPONSE_TTFC)),
            latency_ms=max(0, ended - started) / 1e6,
            error_type=said.get(names.ERROR_TYPE),
            budget_id=said.get(names.BUDGET_ID),
            percent_used=said.get(names.BUDGET_PERCENT_USED),
            repeats=said.get(names.DECISION_REPEATS, 1),
            pid=os.getpid(),
        )
    )


def _decision(said: Mapping[str, Any]) -> Decision:
    return Decision(
        said.get(names.DECISION_ACTION, "allow"),
        said.get(names.DECISION_REASON),
        said.get(names.DECISION_SOURCE),
        delay_ms=said.get(names.DECISION_DELAY_MS, 0),
    )


def _usage(said: Mapping[str, Any]) -> Usage:
    return Usage(
        said.get(names.INPUT_TOKENS),
        said.get(names.OUTPUT_TOKENS),
        said.get(names.CACHE_READ_TOKENS),
        estimated=bool(said.get(names.USAGE_ESTIMATED)),
        audio_input_ms=_ms(said.get(names.AUDIO_INPUT_SECONDS)),
        audio_output_ms=_ms(said.get(names.AUDIO_OUTPUT_SECONDS)),
        session_ms=_ms(said.get(names.SESSION_SECONDS)),
        characters=said.get(names.CHARACTERS),
        images=said.get(names.IMAGES),
        web_searches=said.get(names.WEB_SEARCHES),
        file_searches=said.get(names.FILE_SEARCHES),
    )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
