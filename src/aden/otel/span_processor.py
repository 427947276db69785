"""The span processor that applies the budget hooks when a call's span starts.

It is one of two who ask for the decision; the wrapper asks again right after ``start_span``, so
that no sampler and no missing processor lets a request past its budget.
"""

import weakref
from collections import deque

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from aden.instrumentation.active import active_meter
from aden.metering.call import Call
from aden.metering.foreign import book
from aden.metering.meter import Meter
from aden.otel import foreign
from aden.telemetry.attributes import of_decision
from aden.telemetry.context import call_in


class BudgetSpanProcessor(SpanProcessor):
    """Finds the Call in the context, decides it, stamps the decision. Never raises."""

    def __init__(self) -> None:
        self._calls: weakref.WeakValueDictionary[int, Call] = weakref.WeakValueDictionary()
        self._foreign: weakref.WeakValueDictionary[int, Span] = weakref.WeakValueDictionary()
        self._answers: deque[str] = deque(maxlen=1000)
        """Of calls that were metered here lately; a framework's span above tells of them again."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Bind the span to its call and apply the hooks, if the reservation is there already."""
        meter = active_meter()
        if meter is None:
            return
        try:
            call = call_in(parent_context)
            if not isinstance(call, Call) or call.state == "settled":
                if foreign.is_foreign(span.instrumentation_scope):
                    self._foreign[span.get_span_context().span_id] = span
                return
            if call.span.span.get_span_context().is_valid:
                return  # a span below the call's own
            call.span.bind(span)
            if call.span.span is not span:
                return  # nobody shows this call: not telemetry, or a span that is not its own
            self._calls[span.get_span_context().span_id] = call
            meter.decide(call)
            for name, said in of_decision(call.decision).items():  # mostly one
                span.set_attribute(name, said)
        except Exception:
            meter.cannot("gate", "the span processor failed", trace=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Settle what nobody settled: the last resort. Book what another instrumentation tells."""
        context, meter = span.context, active_meter()
        if context is None:
            return
        call = self._calls.pop(context.span_id, None)
        told = self._foreign.pop(context.span_id, None) if call is None else None
        if meter is None:
            return
        try:
            if call is not None:
                self._answers.extend(each.response_id for each in call.attempts if each.response_id)
                if call.state == "sent":
                    meter.settle(call)
            elif told is not None and meter.options.meter_foreign:
                self._book(meter, span)
        except Exception:
            meter.cannot("settlement", "what a span told of a call was not booked", trace=True)

    def _book(self, meter: Meter, span: ReadableSpan) -> None:
        told = foreign.read(span)
        if told is not None and told.response_id not in self._answers:
            book(meter, told)

    def shutdown(self) -> None:
        """Nothing to let go of."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept back."""
        return True
