"""What was said stays private: content leaves this process only where OpenTelemetry is told so.

Frameworks write prompts and answers on their spans without being asked (LiveKit does by default).
"""

import os
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.util.types import AttributeValue

from aden.otel.copies import copy_of
from aden.telemetry.content import read_mode

_CONTENT = frozenset(
    {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.tool.description",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.retrieval.query.text",
        "gen_ai.retrieval.documents",
    }
)
"""Attributes that the conventions mark as likely to contain what people said
(https://github.com/open-telemetry/semantic-conventions-genai)."""
_CONTENT_EVENTS = ("gen_ai.system.", "gen_ai.user.", "gen_ai.assistant.", "gen_ai.tool.")


def captured_on_spans() -> bool:
    """Whether OpenTelemetry's own variable asks for content on spans."""
    return read_mode(os.environ) in ("SPAN_ONLY", "SPAN_AND_EVENT")


class PrivateExporter(SpanExporter):
    """Hands spans on without what was said in them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies without content; the app's own exporters see the spans as they were."""
        return self._exporter.export([_without_content(span) for span in spans])

    def shutdown(self) -> None:
        """Stop exporting."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what the exporter itself keeps back."""
        return self._exporter.force_flush(timeout_millis)


def _without_content(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    events = [event for event in span.events if not _is_content_event(event.name)]
    if len(events) == len(span.events) and not any(map(_is_content, attributes)):
        return span
    return copy_of(span, attributes=_kept(attributes), events=events)


def _kept(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if not _is_content(name)}


def _is_content(name: str) -> bool:
    # ``pii`` is LiveKit's own mark for what people said: ``lk.pii.user_transcript``.
    return name in _CONTENT or "pii" in name.split(".")


def _is_content_event(name: str) -> bool:
    return name == "gen_ai.choice" or (
        name.startswith(_CONTENT_EVENTS) and name.endswith(".message")
    )
