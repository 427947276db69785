"""Spans that nobody ends: a process that is cut off would take them, and their parents, along."""

import contextlib
import weakref

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from aden.core.forks import see_through_forks
from aden.telemetry.names import ENDED_AT_EXIT


class OpenSpans(SpanProcessor):
    """Knows the spans that are open; a span that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Begin anew: what is open is the parent's to end."""
        self._open: weakref.WeakValueDictionary[int, Span] = weakref.WeakValueDictionary()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """It is open now."""
        if (context := span.get_span_context()) is not None:
            self._open[context.span_id] = span

    def on_end(self, span: ReadableSpan) -> None:
        """It is no longer."""
        if span.context is not None:
            self._open.pop(span.context.span_id, None)

    def end_all(self) -> None:
        """End what is open, children before their parents, and say so on it. Never raises."""
        # The references at once: other threads may begin and end spans meanwhile.
        for reference in reversed(self._open.valuerefs()):
            if (span := reference()) is not None:
                with contextlib.suppress(Exception):
                    span.set_attribute(ENDED_AT_EXIT, True)
                    span.end()
