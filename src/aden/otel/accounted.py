"""Exporters that count what they could not hand over."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from aden.core.forks import see_through_forks
from aden.otel.destinations import Signal
from aden.otel.losses import Losses
from aden.otel.service import of_the_service
from aden.otel.session import Outcome


class Answered(Protocol):
    """What knows the outcome of an exporter's latest request."""

    latest: Outcome


class Account:
    """Where the losses of one exporter are booked."""

    def __init__(
        self, losses: Losses, signal: Signal, where: str, session: Answered | None
    ) -> None:
        self._losses = losses
        self._signal = signal
        self.where = where
        self._session = session

    @property
    def latest(self) -> Outcome:
        """What became of the latest request, as far as the exporter lets that be known."""
        return self._session.latest if self._session is not None else Outcome()

    def close(self, items: int, *, taken: bool) -> None:
        """An export of *items* ended."""
        latest = self.latest
        if taken and latest.cause is None:
            self._losses.count(
                self._signal, "rejected", min(items, latest.rejected), self.where, latest.detail
            )
        else:
            cause = latest.cause or "other"
            self._losses.count(self._signal, cause, items, self.where, latest.detail)

    @contextmanager
    def exporting(self, items: int) -> Iterator[None]:
        """Around an export that may raise: what cannot be written is lost as well."""
        try:
            yield
        except Exception as error:
            self._losses.count(self._signal, "other", items, self.where, type(error).__name__)
            raise

    def dropped(self, items: int) -> None:
        """Items never came to the exporter: the queue before it was full."""
        self._losses.count(self._signal, "queue_full", items, self.where)


class AccountedSpanExporter(SpanExporter):
    """A span exporter, and the queue in front of it."""

    def __init__(self, inner: SpanExporter, account: Account) -> None:
        self._inner = inner
        self.account = account
        self.handed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, and book what was not taken."""
        self.handed += len(spans)
        with self.account.exporting(len(spans)):
            result = self._inner.export(spans)
        self.account.close(len(spans), taken=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Stop exporting."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what the exporter itself keeps back."""
        return self._inner.force_flush(timeout_millis)


class AccountedSpanProcessor(BatchSpanProcessor):
    """The SDK's batch processor; what its full queue drops is booked.

    The queue drops its oldest span for each that comes when it is full. So whatever was offered,
    was not handed to the exporter and does not fit into the queue is lost.
    """

    def __init__(self, exporter: AccountedSpanExporter, every_ms: int) -> None:
        super().__init__(exporter, schedule_delay_millis=every_ms)
        self._accounted = exporter
        # As the SDK itself reads OTEL_BSP_MAX_QUEUE_SIZE, also where that is no number.
        self._room: int = self._default_max_queue_size()  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()
        self._offered = 0
        self._dropped = 0
        see_through_forks(self)

    def on_end(self, span: ReadableSpan) -> None:
        """Offer a span to the queue."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            self._offered += 1
            waiting = self._offered - self._accounted.handed - self._dropped
            if waiting > self._room:
                self._dropped += 1
                self._accounted.account.dropped(1)
        super().on_end(span)

    def after_fork_in_child(self) -> None:
        """In a forked child the queue is empty."""
        self._lock = threading.Lock()
        self._offered = self._dropped = self._accounted.handed = 0


class AccountedMetricExporter(MetricExporter):
    """A metric exporter."""

    def __init__(self, inner: Any, account: Account) -> None:
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)
        self._inner: MetricExporter = inner
        self.account = account
        self._pid = os.getpid()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Export, and book what was not taken. In a forked child nothing: the parent tells it."""
        if os.getpid() != self._pid:
            return MetricExportResult.SUCCESS
        points = sum(
            len(metric.data.data_points)
            for resource in metrics_data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        with self.account.exporting(points):
            result = self._inner.export(of_the_service(metrics_data), timeout_millis, **kwargs)
        self.account.close(points, taken=result is MetricExportResult.SUCCESS)
        return result

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop exporting."""
        self._inner.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Export what the exporter itself keeps back."""
        return self._inner.force_flush(timeout_millis)


class AccountedLogExporter(LogRecordExporter):
    """An exporter of events."""

    def __init__(self, inner: LogRecordExporter, account: Account) -> None:
        self._inner = inner
        self.account = account

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Export, and book what was not taken."""
        with self.account.exporting(len(batch)):
            result = self._inner.export(batch)
        self.account.close(len(batch), taken=result is LogRecordExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Stop exporting."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        """Export what the exporter itself keeps back."""
        return self._inner.force_flush(timeout_millis)
