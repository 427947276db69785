"""Our own inference span, by the GenAI conventions: name, attributes, status, metrics."""

import time
import timeit
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Tracer

from aden.core.record import CallRecord
from aden.core.request import Request
from aden.telemetry import names, nesting
from aden.telemetry.attributes import Value, cap, of_record, start_attributes
from aden.telemetry.content import Capture, Content
from aden.telemetry.context import with_call
from aden.telemetry.instruments import Instruments
from aden.telemetry.quiet import quietly
from aden.telemetry.spans import Answer, failed
from aden.telemetry.written import write


class CallSpan:
    """The span of one call; inside another instrumentation's inference, that one's."""

    span: Span = trace.INVALID_SPAN
    context: Context | None = None

    def __init__(self, call: object, since: float | None = None) -> None:
        """*since*: the Unix second at which it begins, where that is over already."""
        self._call = call
        self._since = since
        self._labels: dict[str, Value] = {}
        self._outer: Any = None
        self._conversation: dict[str, Value] = {}
        self._cap: dict[str, Value] = {}
        self._first_chunk_at: float | None = None

    def start(
        self,
        tracer: Tracer,
        instruments: Sequence[Instruments],
        capture: Capture | None,
        request: Request,
    ) -> None:
        """Open the span with the call in its context, so that span processors find it."""
        self._instruments = instruments
        self._capture = capture
        self._request = request
        self._started = timeit.default_timer()
        since_ns = None
        if self._since is not None:
            self._started -= max(time.time() - self._since, 0.0)
            since_ns = round(self._since * 1e9)
        context = with_call(self._call)
        spoken = nesting.protocol(request.operation)
        if spoken is not None:
            self._conversation = nesting.conversation()
            self._outer = nesting.open_outside(spoken)
            if self._outer is not None:
                self.span, self.context = trace.get_current_span(), context
                return
        self._labels = start_attributes(request)
        name = f"{request.operation} {request.model}" if request.model else request.operation
        self.span = tracer.start_span(
            name, context, SpanKind.CLIENT, self._labels, start_time=since_ns
        )
        self.context = trace.set_span_in_context(self.span, context)
        if spoken is not None:
            self.context = nesting.published(spoken, self.context)

    def bind(self, span: Span) -> None:
        """The processor sees the span before `start` has it."""
        self.span = span

    def sending(self, model: str) -> None:
        """Name the span after the model that is sent; the wait before it is not the provider's."""
        self._started = timeit.default_timer()
        if model != self._labels.get(names.REQUEST_MODEL, ""):
            quietly(self._rename, model)

    def _rename(self, model: str) -> None:
        self._labels[names.REQUEST_MODEL] = model
        self.span.set_attribute(names.REQUEST_MODEL, model)
        self.span.update_name(f"{self._request.operation} {model}")

    def capped(self, tokens: int | None) -> None:
        """Stands in place of the request's own cap."""
        self._cap = cap(tokens)

    def first_chunk(self) -> None:
        """Note the time, once; what is made of it waits for the end."""
        self._first_chunk_at = timeit.default_timer()

    def finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        """Write usage, cost and decision, and end the span."""
        if not quietly(self._finish, record, error, answer):
            quietly(self._abandon)
        self._call = self.context = None  # they refer to this span: let all go with the call

    def _finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        if self.context is None:  # what came after the span's start was cut off
            self.span.end()
            return
        seconds = timeit.default_timer() - self._started
        ttfc = None
        if self._first_chunk_at is not None:
            ttfc = max(self._first_chunk_at - self._started, 0.0)
        failure = None if error is None else _by_conventions(error)
        try:
            if self._outer is not None:
                prepared = self._capture.prepare(answer.content) if self._capture else None
                nesting.fill(self._outer, self._attributes(record, answer, ttfc, failure), prepared)
                return
            if self.span.is_recording() or self._capture is not None:
                attributes = self._attributes(record, answer, ttfc, failure)
                self._show(attributes, answer.content, error)
            said, span = answer.labels, self.span.get_span_context()
            if failure is not None:
                said = {**said, names.ERROR_TYPE: failure}
            for each in self._instruments:
                each.later(each.finished, record, self._labels, said, seconds, ttfc, span)
        finally:
            if self._outer is None:
                self.span.end()

    def _abandon(self) -> None:
        if self._outer is None and self.span.is_recording():
            self.span.end()

    def _show(
        self,
        attributes: dict[str, Value],
        content: Content | None,
        error: BaseException | None,
    ) -> None:
        if error is not None:
            self.span.set_status(failed(error))
        if self._capture is None or self._request.operation == "embeddings":  # no inference
            write(self.span, attributes)
            return
        prepared = self._capture.prepare(content)
        write(self.span, attributes | self._capture.on_span(prepared))
        self._capture.tell(prepared, self._labels | attributes, self.span, self.context)

    def _attributes(
        self, record: CallRecord, answer: Answer, ttfc: float | None, failure: str | None
    ) -> dict[str, Value]:
        attributes: dict[str, Value] = {
            **self._conversation,
            **self._request.span_attributes,
            **self._cap,
            **answer.attributes,
        }
        if self._request.stream:
            attributes[names.REQUEST_STREAM] = True
        if failure is not None:
            attributes[names.ERROR_TYPE] = failure
        attributes |= of_record(record)
        if ttfc is not None:
            attributes[names.RESPONSE_TTFC] = ttfc
        return attributes


def _by_conventions(error: BaseException) -> str:
    """``error.type`` as util-genai writes it: the class with its module, or the error's own word.

    Records and LiveKit's spans have the class alone, as LiveKit writes it (`core.failure`).
    """
    said = getattr(error, "_gen_ai_error_type", None)  # util-genai's own mark
    if isinstance(said, str):
        return said
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
