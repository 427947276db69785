"""The span exporter ``aden_console``: a line for each call, for a launch without code."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

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
    """``[aden] 12:00:01 gpt-4o → gpt-4o-mini  in 120 / out 30  $0.001200  degrade (exhausted)``."""
    said: dict[str, Any] = dict(span.attributes or {})
    asked, sent = said.get(names.ASKED_MODEL, ""), said.get(names.REQUEST_MODEL, "")
    model = f"{asked} → {sent}" if asked and sent and asked != sent else sent or asked
    clock = time.strftime("%H:%M:%S", time.localtime((span.start_time or 0) / 1e9))
    mark = "~" if said.get(names.USAGE_ESTIMATED) else ""
    tokens = f"in {said.get(names.INPUT_TOKENS, 0)} / out {said.get(names.OUTPUT_TOKENS, 0)}"
    decided = said.get(names.DECISION_ACTION, "allow")
    if reason := said.get(names.DECISION_REASON):
        decided += f" ({reason})"
    end = said.get(names.ERROR_TYPE) or said.get(names.STREAM_END) or ""
    columns = f"[aden] {clock} {model:<28} {mark}{tokens:<22} {mark}${said[names.COST_USD]:.6f}"
    return f"{columns}  {decided}  {end}".rstrip()
