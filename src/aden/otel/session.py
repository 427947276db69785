"""The HTTP session of an exporter: knows what became of the latest request.

OpenTelemetry's exporters tell a failure only by a log line, a partial success not at all, and take
a redirect for a success.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from google.protobuf.message import DecodeError

from aden.otel.destinations import Signal

_MAX_DETAIL = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request."""

    cause: str | None = None
    """Why nothing of it was taken; None: it was."""
    rejected: int = 0
    """Items that were left out although the request was taken."""
    detail: str = ""


class AccountedSession(requests.Session):
    """A session that notes the outcome of its latest request."""

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self._signal = signal
        self.latest = Outcome()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """`requests.Session.send`, without following redirects: a POST would become a GET."""
        kwargs["allow_redirects"] = False
        self.latest = Outcome("other")
        try:
            response = super().send(request, **kwargs)
        except requests.Timeout:
            self.latest = Outcome("timeout")
            raise
        except requests.RequestException as error:
            self.latest = Outcome("connection", detail=type(error).__name__)
            raise
        self.latest = outcome_of(
            self._signal, response.status_code, dict(response.headers), response.content
        )
        return response

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """`requests.Session.prepare_request`; an endpoint that is no URL is told as such."""
        self.latest = Outcome("bad_url")
        return super().prepare_request(request)


def outcome_of(signal: Signal, status: int, headers: dict[str, str], body: bytes) -> Outcome:
    """Read an endpoint's answer (https://opentelemetry.io/docs/specs/otlp/#otlphttp-response)."""
    lower = {name.lower(): value for name, value in headers.items()}
    if 300 <= status < 400:
        target = urlsplit(lower.get("location", ""))
        return Outcome("redirected", detail=f"to {target.scheme}://{target.hostname or ''}")
    if not 200 <= status < 300:
        return Outcome(f"http_{status}", detail=f"HTTP {status}")
    kind = lower.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return Outcome()
    if kind == "application/json":
        return _partial(*_read_json(body))
    if kind in ("application/x-protobuf", ""):
        return _partial(*_read_protobuf(signal, body))
    return Outcome("not_otlp", detail=kind[:_MAX_DETAIL])


def _partial(rejected: int, message: str) -> Outcome:
    return Outcome(None, max(0, rejected), message[:_MAX_DETAIL])


def _read_json(body: bytes) -> tuple[int, str]:
    try:
        partial = json.loads(body).get("partialSuccess", {})
        rejected = next((int(v) for k, v in partial.items() if k.startswith("rejected")), 0)
        return rejected, str(partial.get("errorMessage", ""))
    except (ValueError, TypeError, AttributeError):
        return 0, ""


def _read_protobuf(signal: Signal, body: bytes) -> tuple[int, str]:
    try:
        partial = _RESPONSES[signal]()(body).partial_success
    except DecodeError:
        return 0, ""
    field = {"traces": "spans", "metrics": "data_points", "logs": "log_records"}[signal]
    return int(getattr(partial, f"rejected_{field}")), str(partial.error_message)


def _traces() -> Callable[[bytes], Any]:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    return trace_service_pb2.ExportTraceServiceResponse.FromString


def _metrics() -> Callable[[bytes], Any]:
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

    return metrics_service_pb2.ExportMetricsServiceResponse.FromString


def _logs() -> Callable[[bytes], Any]:
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

    return logs_service_pb2.ExportLogsServiceResponse.FromString


_RESPONSES = {"traces": _traces, "metrics": _metrics, "logs": _logs}
