"""Places for what exports: the SDK's providers take no processor back, so places are emptied."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

P = TypeVar("P", SpanProcessor, LogRecordProcessor)


class _Slot(Generic[P]):
    def __init__(self) -> None:
        self.now: tuple[P, ...] = ()

    def fill(self, processors: Sequence[P]) -> None:
        """Put these in place; those that were there hand out what they hold, and end."""
        old, self.now = self.now, tuple(processors)
        for each in old:
            each.shutdown()

    def shutdown(self) -> None:
        """The provider ends."""
        self.fill(())

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what is queued."""
        flushed = [each.force_flush(timeout_millis) for each in self.now]
        return all(flushed)


class SpanSlot(_Slot[SpanProcessor], SpanProcessor):
    """For spans."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span has started."""
        for each in self.now:
            each.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """A span has ended."""
        for each in self.now:
            each.on_end(span)


class LogSlot(_Slot[LogRecordProcessor], LogRecordProcessor):
    """For events."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """An event is emitted."""
        for each in self.now:
            each.on_emit(log_record)
