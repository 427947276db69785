"""One inference span a call, whoever made it: ours (`call_span`), a framework's own, or none."""

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from aden.core.failure import error_type
from aden.core.record import CallRecord
from aden.core.value import value
from aden.telemetry import names
from aden.telemetry.attributes import Value, cap, of_record, of_refusal
from aden.telemetry.characters import whole
from aden.telemetry.content import Content
from aden.telemetry.quiet import quietly
from aden.telemetry.written import write

if TYPE_CHECKING:
    from opentelemetry.context import Context


@value
class Answer:
    """What an answer said beyond usage and model, by the conventions' names."""

    attributes: Mapping[str, Value] = field(default_factory=dict)
    """For the span."""
    labels: Mapping[str, Value] = field(default_factory=dict)
    """For the metrics too; of low cardinality."""
    content: Content | None = None
    """The messages, where they are captured."""


NO_ANSWER = Answer()


class SpanHandle(Protocol):
    """What the meter does with a span, whoever made it. No method raises."""

    span: Span
    context: "Context | None"
    """Current while the request is on its way, the Call in it; None where nothing is to change."""

    def bind(self, span: Span) -> None:
        """The span has started; told by the span processor, before ``start_span`` returns."""

    def sending(self, model: str) -> None:
        """The request goes out now, to *model*: name the span after it and start the clock."""

    def capped(self, tokens: int | None) -> None:
        """A cap of our own on each choice is written into the request; None: it is not."""

    def first_chunk(self) -> None:
        """A stream's first chunk has arrived."""

    def finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        """Write what the call came to, and end the span if it is ours."""


class NoSpan:
    """No span: telemetry is off or broken."""

    span: Span = trace.INVALID_SPAN
    context: "Context | None" = None

    def bind(self, span: Span) -> None:
        """Nothing to bind."""

    def sending(self, model: str) -> None:
        """Nothing to name."""

    def capped(self, tokens: int | None) -> None:
        """Nothing to note."""

    def first_chunk(self) -> None:
        """Nothing to note."""

    def finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        """Nothing to end."""


NO_SPAN: SpanHandle = NoSpan()


class FrameworkSpan:
    """A span that a framework made and will end itself."""

    span: Span = trace.INVALID_SPAN
    context: "Context | None" = None

    def __init__(self, untold: Mapping[str, Value] | None = None) -> None:
        """*untold*: what the framework does not say of the request."""
        self._bound = False
        self._untold = untold or {}
        self._cap: dict[str, Value] = {}
        self._written: dict[str, Value] = {}

    def bind(self, span: Span) -> None:
        """Take the first span that starts inside the call: the framework's inference span."""
        if not self._bound:
            self._bound = True
            self.span = span

    def sending(self, model: str) -> None:
        """Name the model that is sent."""
        quietly(self.span.set_attribute, names.REQUEST_MODEL, model)

    def capped(self, tokens: int | None) -> None:
        """Written at the end: the framework may write its own before."""
        self._cap = cap(tokens)

    def first_chunk(self) -> None:
        """The framework times its own chunks."""

    def finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        """Note what the call came to; the framework ends the span later."""
        self._written = {
            **self._untold,
            **self._cap,
            **answer.attributes,
            **of_record(record),
            names.PROVIDER_NAME: record.provider,
            names.REQUEST_MODEL: record.model,
        }
        if error is not None:
            self._written[names.ERROR_TYPE] = error_type(error)
            quietly(lambda: self.span.set_status(failed(error)))
        self.write()

    def write(self) -> None:
        """Write our figures; called again after the framework's own last word."""
        quietly(write, self.span, self._written)


class AboveSpan(FrameworkSpan):
    """A framework's span above those of requests: it shows why none was made, and no cost."""

    def finish(self, record: CallRecord, error: BaseException | None, answer: Answer) -> None:
        """Write what was decided, where that is the end of it."""
        if error is not None:
            self._written = {**of_refusal(record), names.ERROR_TYPE: error_type(error)}
            quietly(lambda: self.span.set_status(failed(error)))
        self.write()


def failed(error: BaseException) -> Status:
    """The status of a span that ends by *error*."""
    return Status(StatusCode.ERROR, whole(str(error)))
