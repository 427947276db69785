"""The one span of a realtime reply: LiveKit's own where it makes one, else one of ours.

LiveKit begins its ``realtime_inference`` when the model has begun, so after our decision, and ends
it with the turn, which may be before the provider has told the usage. Replies that LiveKit
discards, and requests that are refused, get none.
"""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span

from aden.core.event_loop import running_loop
from aden.core.record import CallRecord
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.telemetry.attributes import of_place
from aden.telemetry.quiet import quietly
from aden.telemetry.spans import Answer, FrameworkSpan

EXPECTED_S = 1.0
"""LiveKit begins its span as soon as the loop runs again."""


class ReplySpan(FrameworkSpan):
    """Shows one reply. Begun late where LiveKit has no span for it, or has ended it.

    Attributes:
        expected: LiveKit is about to begin a span for it.
    """

    def __init__(self, meter: Meter, call: Call) -> None:
        super().__init__()
        self._meter = meter
        self._call = call
        self._asked_in = otel_context.get_current()
        self._span: Span = trace.INVALID_SPAN
        self._own = False
        self.expected = False

    @property
    def span(self) -> Span:
        """The span that shows it; once the call is settled, there is one that is open."""
        done = self._call.state == "settled" and not self.expected
        if done and not (self._own or self._span.is_recording()):
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
        """LiveKit's span for it has begun."""
        if self._own:
            return
        self.expected, place = False, self._meter.asking().place
        self.bind(span)
        self._call.place = place
        if self._call.state == "settled":  # the whole reply came at once
            self._written |= of_place(place)
            self.write()

    def finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        """Write what it came to. A span of ours ends when LiveKit has had its word."""
        super().finish(record, error, answer)
        if (loop := running_loop()) is None:  # nobody is about to begin one
            self.end()
            return
        if self.expected:
            loop.call_later(EXPECTED_S, self.end)
        elif self._own:
            loop.call_soon(self.end)

    def end(self) -> None:
        """LiveKit has had its word, or will begin no span any more."""
        if self._call.state != "settled":
            return
        if self.expected:
            self.expected = False
            self.write()
        if self._own and self._span.is_recording():
            quietly(self._span.end)


class _Told(threading.local):
    """The metrics that LiveKit is about to hear; a job has a thread of its own, or a process."""

    about: tuple[Any, ReplySpan] | None = None


_told = _Told()


def tells(metrics: Any, shown: ReplySpan) -> None:
    """LiveKit is about to hear *metrics*, which are of the reply that *shown* shows."""
    _told.about = metrics, shown


def record_metrics(wrapped: Callable[..., None], _module: Any, args: Any, kwargs: Any) -> None:
    """Wrapper of ``telemetry.utils.record_realtime_metrics``, which writes last on a span."""
    metrics = args[1] if len(args) > 1 else kwargs.get("ev")
    about, _told.about = _told.about, None
    shown = about[1] if about is not None and about[0] is metrics else None
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
