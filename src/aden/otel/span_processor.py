"""The span processor that applies the budget hooks when a call's span starts.

It is one of two who ask for the decision; the wrapper asks again right after ``start_span``, so
that no sampler and no missing processor lets a request past its budget.
"""

import weakref

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from aden.instrumentation.active import active_meter
from aden.metering.call import Call
from aden.telemetry.attributes import of_attribution, of_decision
from aden.telemetry.context import call_in


class BudgetSpanProcessor(SpanProcessor):
    """Finds the Call in the context, decides it, stamps the decision. Never raises."""

    def __init__(self) -> None:
        self._calls: weakref.WeakValueDictionary[int, Call] = weakref.WeakValueDictionary()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Bind the span to its call and apply the hooks, if the reservation is there already."""
        call = call_in(parent_context)
        meter = active_meter()
        if not isinstance(call, Call) or meter is None or call.state == "settled":
            return
        try:
            if call.span.span.get_span_context().is_valid:
                return  # a span below the call's own
            call.span.bind(span)
            if call.span.span is not span:
                return  # nobody shows this call: not telemetry, or a span that is not its own
            self._calls[span.get_span_context().span_id] = call
            meter.decide(call)
            span.set_attributes({**of_attribution(call.attribution), **of_decision(call.decision)})
        except Exception:
            meter.cannot("gate", "the span processor failed", trace=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Settle what nobody settled: the last resort."""
        context = span.context
        call = self._calls.pop(context.span_id, None) if context else None
        meter = active_meter()
        if call is not None and meter is not None and call.state == "sent":
            meter.settle(call)

    def shutdown(self) -> None:
        """Nothing to let go of."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept back."""
        return True
