"""What instrumentation adds to a call, in CPU time: nothing, the official instrumentor, Aden.

The provider answers from memory inside the client, so that only CPU is measured. Each row is a
process of its own; the rounds of all processes are interleaved, and the median is shown. The row
"bare" stands there twice: what differs between the two is noise. "Collected" is what a call costs
later, when metrics are collected, on the thread that does this. Run: make bench
"""

import argparse
import gc
import json
import multiprocessing
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

CHUNKS = 200
WARM_UP = 30
REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "temperature": 0.5,
    "max_completion_tokens": 400,
    "messages": [
        {"role": "system", "content": "You are a hotel's voice agent. " * 8},
        {"role": "user", "content": "Is there a room for two tonight?"},
    ],
}
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
USAGE = {
    "prompt_tokens": 80,
    "completion_tokens": CHUNKS,
    "total_tokens": 80 + CHUNKS,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
ROWS = ("bare", "floor", "official", "no budget", "memory", "sqlite", "bare again")
COLUMNS = ("plain call", "first chunk", "chunk", "stream's end", "collected", "KiB at peak")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=20, help="calls of each shape in a round")
    parser.add_argument("--rows", nargs="*", default=ROWS, choices=ROWS)
    arguments = parser.parse_args()
    figures = _measure(arguments.rows, arguments.rounds, arguments.calls)
    bare = figures["bare"] if "bare" in figures else (0.0,) * len(COLUMNS)
    print("µs of CPU, added to the row 'bare'; in it, what a call costs without instrumentation")
    print(f"{'':<12}" + "".join(f"{column:>14}" for column in COLUMNS))
    for row, values in figures.items():
        shown = (
            values
            if row == "bare"
            else [mine - its for mine, its in zip(values, bare, strict=True)]
        )
        print(f"{row:<12}" + "".join(f"{value:>14.1f}" for value in shown))
    if {"bare", "official", "memory"} <= set(figures):
        compared = figures["memory"], figures["official"], bare
        ratios = [
            (ours - its) / (theirs - its) if theirs != its else 0.0
            for ours, theirs, its in zip(*compared, strict=True)
        ]
        print("\nthe row 'memory' divided by the row 'official'")
        print(f"{'':<12}" + "".join(f"{ratio:>14.2f}" for ratio in ratios))


def _measure(rows: list[str], rounds: int, calls: int) -> dict[str, tuple[float, ...]]:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="aden-bench-") as directory:
        workers = {}
        for row in rows:
            ours, theirs = context.Pipe()
            arguments = (theirs, row, f"{directory}/{row.replace(' ', '-')}.db", calls)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            workers[row] = ours
        taken: dict[str, list[tuple[float, ...]]] = {row: [] for row in rows}
        for _ in range(rounds):
            for row, worker in workers.items():
                worker.send("round")
                taken[row].append(worker.recv())
        for worker in workers.values():
            worker.send("end")
    return {
        row: tuple(statistics.median(column) for column in zip(*measured, strict=True))
        for row, measured in taken.items()
    }


def _work(parent: Connection, row: str, database: str, calls: int) -> None:
    client, forget = _client(), _instrument(row, database)
    for _ in range(WARM_UP):
        _plain(client)
        _stream(client)
    gc.collect()
    gc.freeze()
    while parent.recv() == "round":
        for _ in range(calls):  # the others' rounds have emptied the processor's caches
            _plain(client)
        plain = statistics.median(_plain(client) for _ in range(calls))
        streams = [_stream(client) for _ in range(max(1, calls // 4))]
        first, chunk, end = (statistics.median(column) for column in zip(*streams, strict=True))
        started = time.process_time()
        forget()
        collected = (time.process_time() - started) * 1e6 / (2 * calls + len(streams))
        parent.send((plain, first, chunk, end, collected, _peak(client)))


def _plain(client: Any) -> float:
    started = time.process_time()
    client.chat.completions.create(**REQUEST)
    return (time.process_time() - started) * 1e6


def _stream(client: Any) -> tuple[float, float, float]:
    started = time.process_time()
    stream = client.chat.completions.create(**REQUEST, **STREAM)
    next(stream)
    first = time.process_time()
    for _ in range(CHUNKS - 1):
        next(stream)
    last = time.process_time()
    for _ in stream:
        pass
    ended = time.process_time()
    del stream
    return (
        (first - started) * 1e6,
        (last - first) * 1e6 / (CHUNKS - 1),
        (ended - last) * 1e6,
    )


def _peak(client: Any) -> float:
    """Most memory that one plain call holds at once, telemetry that is kept included."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    client.chat.completions.create(**REQUEST)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (peak - before) / 1024


def _instrument(row: str, database: str) -> Callable[[], None]:
    """Put the row's instrumentation in force; gives what empties the exporters."""
    if row.startswith("bare"):
        return lambda: None
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(exporter))
    providers = {"tracer_provider": tracer, "meter_provider": MeterProvider([reader])}
    if row == "official":
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(**providers)
    elif row == "floor":
        _floor(**providers)
    else:
        from aden import AdenInstrumentor, Budget

        budgets = [] if row == "no budget" else [Budget("bench", 1_000_000)]
        ledger = f"sqlite://{database}" if row == "sqlite" else "memory:"
        AdenInstrumentor().instrument(**providers, budgets=budgets, ledger=ledger)

    def forget() -> None:
        exporter.clear()
        reader.get_metrics_data()

    return forget


def _floor(tracer_provider: Any, meter_provider: Any) -> None:
    """The least that the conventions ask for: a span, 16 attributes, three histogram points."""
    import functools

    from openai.resources.chat.completions import Completions
    from opentelemetry.trace import SpanKind

    tracer, meter = tracer_provider.get_tracer("floor"), meter_provider.get_meter("floor")
    duration, tokens = meter.create_histogram("duration"), meter.create_histogram("tokens")
    start = {f"start.{number}": "value" for number in range(5)}
    end = {f"end.{number}": "value" for number in range(11)}
    input_tokens, output_tokens = {**start, "type": "input"}, {**start, "type": "output"}
    create = Completions.create

    @functools.wraps(create)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = tracer.start_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=start)
        response = create(*args, **kwargs)
        span.set_attributes(end)
        duration.record(0.1, start)
        tokens.record(80, input_tokens)
        tokens.record(200, output_tokens)
        span.end()
        return response

    Completions.create = wrapper


def _client() -> Any:
    import httpx2
    import openai

    head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-2024-08-06"}
    message = {"role": "assistant", "content": "Yes, there is. " * 20, "refusal": None}
    whole = json.dumps(
        {
            **head,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ).encode()
    events = b"".join(_events({**head, "object": "chat.completion.chunk"}))

    class FromMemory(httpx2.BaseTransport):
        """Answers without a socket."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if b'"stream":true' in request.read():
                return httpx2.Response(
                    200, headers={"content-type": "text/event-stream"}, content=events
                )
            return httpx2.Response(200, headers={"content-type": "application/json"}, content=whole)

    http_client = httpx2.Client(transport=FromMemory())
    return openai.OpenAI(api_key="k", base_url="http://127.0.0.1/v1", http_client=http_client)


def _events(head: dict[str, Any]) -> Iterator[bytes]:
    for number in range(CHUNKS):
        delta = {"role": "assistant", "content": ""} if not number else {"content": "word "}
        end = "stop" if number == CHUNKS - 1 else None
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        yield b"data: %s\n\n" % json.dumps({**head, "choices": [choice], "usage": None}).encode()
    yield b"data: %s\n\n" % json.dumps({**head, "choices": [], "usage": USAGE}).encode()
    yield b"data: [DONE]\n\n"


if __name__ == "__main__":
    main()
