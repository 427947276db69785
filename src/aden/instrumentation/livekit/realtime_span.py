"""The one span of a realtime reply: LiveKit's own where it makes one, else one of ours.

LiveKit begins its ``realtime_inference`` when the model has begun, so after our decision, and ends
it with the turn, which may be before the provider has told the usage. Replies that LiveKit
discards, and requests that are refused, get none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span

from aden.core.record import CallRecord
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.telemetry.quiet import quietly
from aden.telemetry.spans import Answer, FrameworkSpan


class ReplySpan(FrameworkSpan):
    """Shows one reply. Begun late where LiveKit has no span for it, or has ended it."""

    def __init__(self, meter: Meter, call: Call) -> None:
        super().__init__()
        self._meter = meter
        self._call = call
        self._asked_in = otel_context.get_current()
        self._span: Span = trace.INVALID_SPAN
        self._own = False

    @property
    def span(self) -> Span:
        """The span that shows it; once the call is settled, there is one that is open."""
        if self._call.state == "settled" and not (self._own or self._span.is_recording()):
            parent = self._asked_in
            if self._span.get_span_context().is_valid:
                parent = trace.set_span_in_context(self._span, parent)
            call, self._own = self._call, True
            self._span = self._meter.telemetry.late(call.request, call.started_at, parent)
        return self._span

    @span.setter
    def span(self, span: Span) -> None:
        self._span = span

    def generated(self, span: Span) -> None:
        """LiveKit's span for it has begun; too late where the whole reply came at once."""
        if self._call.state != "settled":
            self.bind(span)
            self._call.place = self._meter.asking().place

    def finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        """Write what it came to. A span of ours ends when LiveKit has had its word."""
        super().finish(record, error, answer)
        if not self._own:
            return
        try:
            asyncio.get_running_loop().call_soon(self._end)
        except RuntimeError:  # outside of a loop
            self._end()

    def _end(self) -> None:
        quietly(self._span.end)


_told: list[tuple[Any, ReplySpan]] = []


def tells(metrics: Any, shown: ReplySpan) -> None:
    """LiveKit is about to hear *metrics*, which are of the reply that *shown* shows."""
    _told[:] = [(metrics, shown)]


def record_metrics(wrapped: Callable[..., None], _module: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``telemetry.utils.record_realtime_metrics``, which writes last on a span."""
    metrics = args[1] if len(args) > 1 else kwargs.get("ev")
    shown = next((shown for told, shown in _told if told is metrics), None)
    _told.clear()
    span = args[0] if args else kwargs.get("span")
    if shown is None or span is None:
        return wrapped(*args, **kwargs)
    wrapped(span if span.is_recording() else shown.span, metrics)
    return shown.write()


async def generation(
    wrapped: Callable[..., Awaitable[Any]], _activity: Any, args: Any, kwargs: Any
) -> Any:
    """Wrapper of ``AgentActivity._realtime_generation_task_impl``: a reply is spoken."""
    shown = getattr(kwargs.get("generation_ev"), "_aden_span", None)
    if shown is not None and (span := kwargs.get("inference_span")) is not None:
        shown.generated(span)
    return await wrapped(*args, **kwargs)
