"""The HTTP session of an exporter: knows what became of the latest request.

OpenTelemetry's exporters tell a failure only by a log line, a partial success not at all, and take
a redirect for a success.
"""

import json
import os
import ssl
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
        self._pid = os.getpid()
        self._parents: list[requests.adapters.BaseAdapter] = []
        self.latest = Outcome()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """`requests.Session.send`, without following redirects: a POST would become a GET."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            # The parent goes on to use the connections that are open, and a thread of it may have
            # held the locks that closing them asks for.
            self._parents = [*self.adapters.values()]
            self.connect_anew()
        kwargs["allow_redirects"] = False
        if isinstance(self.verify, str):  # before what the environment says for others
            kwargs["verify"] = self.verify
        self.latest = Outcome("other")
        try:
            response = super().send(request, **kwargs)
        except OSError as error:  # which requests' own errors are
            self.latest = Outcome(_cause(error), detail=_why(error))
            raise
        self.latest = outcome_of(
            self._signal, response.status_code, dict(response.headers), response.content
        )
        return response

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """`requests.Session.prepare_request`, whose errors show the header or the URL.

        A password in ``.netrc`` does not take the place of a header that was given.
        """
        try:
            prepared = super().prepare_request(request)
        except requests.RequestException as error:
            self.latest = Outcome(_cause(error))
            raise type(error)(f"the request cannot be made: {type(error).__name__}") from None
        given = {name.lower(): value for name, value in (request.headers or {}).items()}
        if "authorization" in given:
            prepared.headers["authorization"] = given["authorization"]
        return prepared

    def connect_anew(self) -> None:
        """Forget the connections that are open."""
        for prefix in list(self.adapters):
            self.mount(prefix, requests.adapters.HTTPAdapter())


_TO_ADEN = frozenset({"authorization", "content-encoding", "content-length", "content-type"})
"""Headers that an Aden server gets; else those of ``OTEL_EXPORTER_OTLP_HEADERS`` would go along."""


class AdenSession(AccountedSession):
    """To an Aden server: nobody else gets its key, and it gets nobody else's."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.connect_anew()

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """With its own headers alone."""
        prepared = super().prepare_request(request)
        for name in [*prepared.headers]:
            if name.lower() not in _TO_ADEN and name.lower() != "user-agent":
                del prepared.headers[name]
        return prepared

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Over a proxy only what is encrypted; plain http goes to this machine."""
        if (request.url or "").startswith("http:"):
            kwargs["proxies"] = {}
        return super().send(request, **kwargs)

    def connect_anew(self) -> None:
        """Trust whom the policy is fetched from: the system's certificates, or SSL_CERT_FILE's."""
        super().connect_anew()
        self.mount("https://", _SystemsTrust())


class _SystemsTrust(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """With Python's own context, to which requests adds what it trusts itself."""
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The same behind a proxy."""
        kwargs["ssl_context"] = ssl.create_default_context()
        return super().proxy_manager_for(*args, **kwargs)


_CAUSES: tuple[tuple[type[Exception], str], ...] = (
    (requests.Timeout, "timeout"),
    (requests.exceptions.SSLError, "certificate"),
    (requests.exceptions.ProxyError, "proxy"),
    (requests.exceptions.InvalidHeader, "bad_header"),
    (requests.exceptions.InvalidProxyURL, "proxy"),
    (requests.exceptions.InvalidURL, "bad_url"),
    (requests.exceptions.InvalidSchema, "bad_url"),
    (requests.exceptions.MissingSchema, "bad_url"),
    (requests.RequestException, "connection"),
)


def _cause(error: OSError) -> str:
    """What else an ``OSError`` is about: a file of certificates that is not there."""
    if isinstance(error, requests.exceptions.SSLError) and "VERIFY_FAILED" not in str(error):
        return "tls"
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "certificate")


def _why(error: BaseException) -> str:
    """The system's own words, which hold no secret; else the kind of the error."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno and found.strerror:
            return str(found.strerror)
        found = found.__cause__ or found.__context__
    said = str(error) if not isinstance(error, requests.RequestException) else ""
    return said[:_MAX_DETAIL] or type(error).__name__


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
