"""Places for what exports: the SDK's providers take no processor back, so places are emptied.

Whoever flushes or ends a provider waits for an endpoint of ours no longer than we do ourselves: the
application does that too, with a provider of its own, and at its end.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Generic, TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from aden.otel.exit import Background
from aden.telemetry.quiet import broke

P = TypeVar("P", SpanProcessor, LogRecordProcessor)
PATIENCE_S = 2.0


class _Slot(Generic[P]):
    def __init__(self) -> None:
        self.now: tuple[P, ...] = ()
        self.patience_s = PATIENCE_S
        """So long is waited for what is taken away, and for a flush."""

    def fill(self, processors: Sequence[P]) -> None:
        """Put these in place; those that were there hand out what they hold, and end."""
        old, self.now = self.now, tuple(processors)
        if old:
            ends = Background(*(each.shutdown for each in old))
            ends.wait(time.monotonic() + self.patience_s)

    def shutdown(self) -> None:
        """The provider ends."""
        self.fill(())

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what is queued."""
        if not self.now:
            return True
        flushes = Background(*(partial(each.force_flush, timeout_millis) for each in self.now))
        return flushes.wait(time.monotonic() + min(timeout_millis / 1000, self.patience_s))


class SpanSlot(_Slot[SpanProcessor], SpanProcessor):
    """For spans."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span has started."""
        try:
            for each in self.now:
                each.on_start(span, parent_context)
        except Exception as error:  # which whoever starts a span would have
            broke(error)

    def on_end(self, span: ReadableSpan) -> None:
        """A span has ended."""
        try:
            for each in self.now:
                each.on_end(span)
        except Exception as error:
            broke(error)


class LogSlot(_Slot[LogRecordProcessor], LogRecordProcessor):
    """For events."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """An event is emitted."""
        for each in self.now:
            each.on_emit(log_record)
