"""Exporters by name, each with its losses booked."""

import contextlib
import logging
import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from aden.otel.accounted import (
    Account,
    AccountedLogExporter,
    AccountedMetricExporter,
    AccountedSpanExporter,
)
from aden.otel.content import PrivateExporter, captured_on_spans
from aden.otel.destinations import Signal, at
from aden.otel.losses import Losses
from aden.otel.session import AccountedSession, AdenSession

logger = logging.getLogger("aden.otel")

_GRPC = "otlp_proto_grpc"
# A job process lives for one call: what it counted must not look like a reset to its reader.
_DELTA: dict[type, AggregationTemporality] = {
    Counter: AggregationTemporality.DELTA,
    Histogram: AggregationTemporality.DELTA,
    ObservableCounter: AggregationTemporality.DELTA,
    UpDownCounter: AggregationTemporality.CUMULATIVE,
}


class Exporters:
    """Makes exporters; what cannot be made is said once and left out.

    Args:
        losses: Where what they cannot hand over is booked.
        url: Base URL of an Aden server, for the exporter ``aden``.
        key: Its key.
    """

    def __init__(self, losses: Losses, url: str | None, key: str | None) -> None:
        self._losses = losses
        self._url = url
        self._key = key
        self._said_unread = self._said_protocol = False

    def spans(self, name: str) -> AccountedSpanExporter | None:
        """A span exporter; what was said stays here unless it is asked for."""
        made = self._make("traces", name)
        if made is None:
            return None
        exporter, account = made
        if not captured_on_spans() and name != "console":
            exporter = PrivateExporter(exporter)
        return AccountedSpanExporter(exporter, account)

    def metrics(self, name: str) -> MetricExporter | None:
        """A metric exporter."""
        made = self._make("metrics", name)
        return AccountedMetricExporter(*made) if made else None

    def logs(self, name: str) -> AccountedLogExporter | None:
        """An exporter of events."""
        made = self._make("logs", name)
        return AccountedLogExporter(*made) if made else None

    def _make(self, signal: Signal, name: str) -> tuple[Any, Account] | None:
        if name == "otlp":
            name = self._spoken(signal)
        try:
            if name in ("aden", "otlp", "otlp_proto_http"):
                return self._otlp(signal, name)
            exporter = _console(signal, name) or _by_entry_point(signal, name)
        except Exception as error:
            logger.error("aden: no %s go to %s: %s", signal, name, error)
            return None
        return exporter, Account(self._losses, signal, name, None)

    def _spoken(self, signal: Signal) -> str:
        """The exporter for the protocol that the environment names."""
        protocol = _protocol(signal)
        if protocol not in ("", "grpc", "http/protobuf") and not self._said_protocol:
            self._said_protocol = True
            logger.warning(_NO_PROTOCOL, protocol)
        return _GRPC if protocol == "grpc" else "otlp"

    def _otlp(self, signal: Signal, name: str) -> tuple[Any, Account]:
        session = AdenSession(signal) if name == "aden" else AccountedSession(signal)
        arguments: dict[str, Any] = {"session": session}
        if name == "aden":
            assert self._url is not None
            arguments |= {
                "endpoint": at(self._url, signal),
                "headers": {"authorization": f"Bearer {self._key}"},
                "compression": Compression.Gzip,
            }
        arguments |= _temporality(signal, always=name == "aden")
        with _headers_kept_secret() as unread:
            exporter = _otlp_class(signal)(**arguments)
        if unread.found and name != "aden" and not self._said_unread:
            self._said_unread = True
            logger.error(_UNREAD)
        client: Any = getattr(exporter, "_client", None)
        if hasattr(client, "_logger"):
            client._logger = _silent  # a line for each batch, with what the endpoint's URL holds
        return exporter, Account(self._losses, signal, _checked(exporter, signal), session)


def _otlp_class(signal: Signal) -> Any:
    if signal == "traces":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter
    if signal == "metrics":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        return OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter


def _console(signal: Signal, name: str) -> Any:
    if name == "aden_console" and signal == "traces":
        from aden.otel.console import ConsoleSpans

        return ConsoleSpans()
    if name != "console":
        return None
    if signal == "traces":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if signal == "metrics":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

        return ConsoleMetricExporter()
    from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter

    return ConsoleLogRecordExporter()


def _by_entry_point(signal: Signal, name: str) -> SpanExporter | MetricExporter | Any:
    group = f"opentelemetry_{signal}_exporter"
    known = {each.name: each for each in entry_points(group=group)}
    if name not in known:
        have = ", ".join(sorted({*known, "otlp", "console", "none"}))
        raise LookupError(f"no exporter of that name is installed; there are {have}")
    return known[name].load()(**({} if name != _GRPC else _temporality(signal)))


def _protocol(signal: Signal) -> str:
    """How ``otlp`` is spoken: ``http/protobuf``, as what Aden depends on does, or ``grpc``."""
    name = "OTEL_EXPORTER_OTLP_PROTOCOL"
    own = os.environ.get(name.replace("_OTLP_", f"_OTLP_{signal.upper()}_"))
    return (own or os.environ.get(name, "")).strip().lower()


def _temporality(signal: Signal, *, always: bool = False) -> dict[str, Any]:
    """An argument of an OTLP exporter: deltas, unless somebody prefers otherwise."""
    preference = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
    wanted = signal == "metrics" and (always or not preference)
    return {"preferred_temporality": dict(_DELTA)} if wanted else {}


def _checked(exporter: Any, signal: Signal) -> str:
    """An endpoint as a log may name it; one that is no URL is pointed out."""
    url = str(getattr(exporter, "_endpoint", ""))
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    name = own if os.environ.get(own) else "OTEL_EXPORTER_OTLP_ENDPOINT"
    try:
        parts = urlsplit(url)
        at = parts.netloc.rpartition("@")[2]
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        at, good = "", False
    if good:
        return f"{parts.scheme}://{at}{parts.path}"
    shown = url.rpartition("@")[2]
    logger.error("aden: %s: %r is no URL such as http://collector:4318", name, shown)
    return shown


_NO_PROTOCOL = (
    "aden: OTEL_EXPORTER_OTLP_PROTOCOL=%r is none of http/protobuf, grpc; telemetry goes by "
    "http/protobuf"
)
_UNREAD = (
    "aden: an entry of OTEL_EXPORTER_OTLP_HEADERS is left out: it is no name=value, with commas, "
    "spaces and percent signs of the value percent-encoded (Bearer%20…)"
)
_silent = logging.getLogger("aden.otel.sdk")
_silent.setLevel(logging.CRITICAL + 1)


class _Unread(logging.Filter):
    """Lets no line through that shows a header."""

    found = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.found = True
        return False


@contextlib.contextmanager
def _headers_kept_secret() -> Iterator[_Unread]:
    """OpenTelemetry shows a header that it cannot read, and so the key in it."""
    reader, unread = logging.getLogger("opentelemetry.util.re"), _Unread()
    reader.addFilter(unread)
    try:
        yield unread
    finally:
        reader.removeFilter(unread)
