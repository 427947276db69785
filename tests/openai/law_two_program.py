"""A program with a global tracer provider of its own: one call that fits, one that does not."""

import json
import sys
from typing import Any

from lanes import make_client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shapes import REQUEST

import aden
from aden.testing import OpenAIServer, RecordingEmitter

exporter = InMemorySpanExporter()
asked: list[str] = []


def set_provider() -> None:
    """As an app does that brings its own telemetry."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def hook(params: Any, context: Any) -> aden.BeforeRequestResult:
    """Count, and let go."""
    asked.append(context.model)
    return aden.BeforeRequestResult.proceed()


def main(mode: str) -> None:
    """Print what became of both calls."""
    if mode in ("set before", "sdk disabled"):
        set_provider()
    calls = RecordingEmitter()
    aden.instrument(
        budgets=[aden.Budget("all", "0.0006")],
        ledger="memory:",
        emit_metric=calls,
        before_request=hook,
    )
    if mode == "set after":
        set_provider()
    blocked = False
    with OpenAIServer(ttft_ms=1, token_interval_ms=0) as server:
        chat = make_client("sync", server).chat.completions
        chat.create(**REQUEST)
        try:
            chat.create(**REQUEST)
        except aden.RequestCancelledError:
            blocked = True
    aden.flush()
    records = calls.records
    said = {
        "blocked": blocked,
        "asked": len(asked),
        "requests": len(server.requests),
        "records": len(records),
        "difference": sum(each.cost for each in records) - server.bill.total_nano_usd,
        "spans": len(exporter.get_finished_spans()),
    }
    print(json.dumps(said))


main(sys.argv[1])
