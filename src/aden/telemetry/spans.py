"""One inference span a call: ours through util-genai, or a framework's own, enriched."""

import logging
import timeit
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from aden.core.record import CallRecord
from aden.core.request import Request
from aden.telemetry import names
from aden.telemetry.attributes import Value, of_record
from aden.telemetry.context import with_call

if TYPE_CHECKING:
    from opentelemetry.util.genai.invocation import InferenceInvocation

logger = logging.getLogger("aden.telemetry")


class SpanHandle(Protocol):
    """What the meter does with a span, whoever made it. No method raises."""

    span: Span

    def bind(self, span: Span) -> None:
        """The span has started; told by the span processor, before ``start_span`` returns."""

    def sending(self, model: str) -> None:
        """The request goes out now, to *model*: name the span after it and start the clock."""

    def first_chunk(self) -> None:
        """A stream's first chunk has arrived."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the span current while the request is on its way."""

    def finish(self, record: CallRecord, error: BaseException | None) -> None:
        """Write what the call came to, and end the span if it is ours."""


class NoSpan:
    """No span: telemetry is off or broken."""

    span: Span = trace.INVALID_SPAN

    def bind(self, span: Span) -> None:
        """Nothing to bind."""

    def sending(self, model: str) -> None:
        """Nothing to name."""

    def first_chunk(self) -> None:
        """Nothing to note."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """No span to make current."""
        yield

    def finish(self, record: CallRecord, error: BaseException | None) -> None:
        """Nothing to end."""


NO_SPAN: SpanHandle = NoSpan()


class CallSpan:
    """Our own span: a util-genai invocation."""

    span: Span = trace.INVALID_SPAN

    def __init__(self, call: object) -> None:
        self._call = call
        self._invocation: InferenceInvocation | None = None

    def start(self, handler: Any, request: Request) -> None:
        """Open the span with the call in its context, so that span processors find it."""
        invocation = handler.inference(
            request.provider,
            request_model=request.model or None,
            server_address=request.server_address,
            server_port=request.server_port,
            operation_name=request.operation,
            context=with_call(self._call),
            _attach_to_context=False,
        )
        invocation.request_stream = request.stream or None
        invocation.attributes.update(request.span_attributes)
        self._invocation = invocation
        self.span = invocation.span

    def bind(self, span: Span) -> None:
        """The processor sees the span before the invocation is there."""
        self.span = span

    def sending(self, model: str) -> None:
        """Name the span after the model that is sent; the wait before it is not the provider's."""
        _quietly(lambda: self._sending(model))

    def _sending(self, model: str) -> None:
        invocation = self._invocation
        if invocation is None:
            return
        if model != invocation.request_model:
            invocation.data.request_model = model
            self.span.set_attribute(names.REQUEST_MODEL, model)
            self.span.update_name(f"{invocation.data.operation_name} {model}")
        invocation._monotonic_start_s = timeit.default_timer()

    def first_chunk(self) -> None:
        """Record the time to the first chunk, once; later chunks cost nothing here."""
        if self._invocation is not None:
            _quietly(self._invocation.record_stream_chunk)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the span current while the request is on its way."""
        if self._invocation is None:
            yield
            return
        token = otel_context.attach(self._invocation.context)
        try:
            yield
        finally:
            otel_context.detach(token)

    def finish(self, record: CallRecord, error: BaseException | None) -> None:
        """Write usage, cost and decision, and end the span."""
        _quietly(lambda: self._finish(record, error))

    def _finish(self, record: CallRecord, error: BaseException | None) -> None:
        invocation = self._invocation
        if invocation is None:  # what came after the span's start was cut off
            self.span.end()
            return
        usage = record.usage
        invocation.input_tokens = usage.input_tokens
        invocation.output_tokens = usage.output_tokens
        invocation.response_id = record.response_id
        invocation.response_model_name = record.response_model
        invocation.finish_reasons = record.finish_reasons or None
        invocation.attributes.update(of_record(record))
        # The invocation reads the clock itself, to the same effect, and writes this one.
        invocation.attributes.pop(names.RESPONSE_TTFC, None)
        if error is None:
            invocation.stop()
        else:
            invocation.fail(error)


class FrameworkSpan:
    """A span that a framework made and will end itself."""

    span: Span = trace.INVALID_SPAN

    def __init__(self) -> None:
        self._bound = False
        self._written: dict[str, Value] = {}

    def bind(self, span: Span) -> None:
        """Take the first span that starts inside the call: the framework's inference span."""
        if not self._bound:
            self._bound = True
            self.span = span

    def sending(self, model: str) -> None:
        """Name the model that is sent."""
        _quietly(lambda: self.span.set_attribute(names.REQUEST_MODEL, model))

    def first_chunk(self) -> None:
        """The framework times its own chunks."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """The framework keeps its own span current."""
        yield

    def finish(self, record: CallRecord, error: BaseException | None) -> None:
        """Note what the call came to; the framework ends the span later."""
        self._written = {
            **of_record(record),
            names.PROVIDER_NAME: record.provider,
            names.REQUEST_MODEL: record.model,
        }
        if error is not None:
            self._written[names.ERROR_TYPE] = type(error).__qualname__
            _quietly(lambda: self.span.set_status(Status(StatusCode.ERROR, str(error))))
        self.write()

    def write(self) -> None:
        """Write our figures; called again after the framework's own last word."""
        _quietly(lambda: self.span.set_attributes(self._written))


_said: set[str] = set()


def _quietly(work: Any) -> bool:
    """Telemetry code never raises into the app; what broke is said once a kind."""
    try:
        work()
        return True
    except Exception as error:
        kind = f"{type(error).__name__}: {error}"
        if kind not in _said and len(_said) < 100:
            _said.add(kind)
            logger.exception("aden: telemetry failed; budgets are not affected")
        return False
