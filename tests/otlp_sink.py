"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP and keeps what came in."""

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True)
class Seen:
    """A span as it arrived."""

    name: str
    scope: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One sum or histogram data point as it arrived."""

    metric: str
    value: float
    attributes: dict[str, Any]
    scope: str


class OTLPSink:
    """Listens on a free port of 127.0.0.1.

    Args:
        silent: Accept every request and never answer.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.spans: list[Seen] = []
        self.points: list[Point] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        """Name and attributes of each log record."""
        self.lines: list[str] = []
        """The text of each log record."""
        self.metric_resources: list[dict[str, Any]] = []
        self.authorizations: set[str] = set()
        self.broken: list[str] = []
        """Requests that were no OTLP."""
        self.requests = 0
        self.silent = silent
        self.stopping = threading.Event()
        self._server = _Server(self)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """What goes into ``ADEN_API_URL``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def trace(self, job_id: str) -> list[Seen]:
        """The spans of the trace to which a job's root span belongs; empty without that."""
        roots = [
            span
            for span in self.spans
            if span.name == "job_entrypoint" and job_id in span.attributes.values()
        ]
        ids = {root.trace_id for root in roots}
        return [span for span in self.spans if span.trace_id in ids]

    def total(self, metric: str) -> float:
        """The sum over a counter's points."""
        return sum(point.value for point in self.points if point.metric == metric)

    def take(self, path: str, body: bytes) -> None:
        """Keep one request's contents."""
        self.requests += 1
        signal = path.split("/")  # of OTLP's own paths, and of those of LiveKit's cloud
        if "traces" in signal:
            self._take_spans(ExportTraceServiceRequest.FromString(body))
        elif "metrics" in signal:
            self._take_points(ExportMetricsServiceRequest.FromString(body))
        elif "logs" in signal:
            self._take_events(ExportLogsServiceRequest.FromString(body))

    def _take_spans(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    seen = Seen(
                        span.name,
                        scope.scope.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        _read(span.attributes),
                    )
                    self.spans.append(seen)

    def _take_events(self, request: ExportLogsServiceRequest) -> None:
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    self.events.append((record.event_name, _read(record.attributes)))
                    self.lines.append(record.body.string_value)

    def _take_points(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            self.metric_resources.append(_read(resource.resource.attributes))
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in (*metric.sum.data_points, *metric.gauge.data_points):
                        value = point.as_double or float(point.as_int)
                        self.points.append(
                            Point(metric.name, value, _read(point.attributes), scope.scope.name)
                        )
                    for observed in metric.histogram.data_points:
                        self.points.append(
                            Point(
                                metric.name,
                                observed.sum,
                                _read(observed.attributes),
                                scope.scope.name,
                            )
                        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, sink: OTLPSink) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sink = sink


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sink = self.server.sink
        sink.authorizations.add(self.headers.get("Authorization") or "")
        if sink.silent:
            sink.requests += 1
            sink.stopping.wait(60)
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        try:
            sink.take(self.path, body)
        except DecodeError as error:
            sink.broken.append(f"{self.path}: {error}")
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _read(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(each) for each in value.array_value.values)
    return getattr(value, kind) if kind else None
