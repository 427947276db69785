"""Spans and metrics of one process, made from the providers it was given."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind

from aden.core.bill import SessionBill
from aden.core.record import CallRecord
from aden.core.request import Request
from aden.errors import RefusalDetails
from aden.telemetry import session_bill
from aden.telemetry.attributes import Value, proposed_cost, start_attributes
from aden.telemetry.call_span import CallSpan
from aden.telemetry.content import DEFAULTS, Capture, ContentOptions, make_capture
from aden.telemetry.events import Events
from aden.telemetry.instruments import Instruments
from aden.telemetry.quiet import quietly
from aden.telemetry.spans import NO_SPAN, SpanHandle

if TYPE_CHECKING:
    from opentelemetry.context import Context

logger = logging.getLogger("aden.telemetry")
SCOPE = "aden"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
"""The conventions' version that util-genai 1.3b0 names."""


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What is shown beyond what always is."""

    proposed_cost: bool = False
    """The cost also by the names that are proposed for the conventions."""


SHOWS = ShowOptions()


@dataclass(frozen=True, slots=True)
class CountedIn:
    """Where calls are counted."""

    meter_provider: Any = None
    """None: the global one."""
    frameworks_operations: bool = False
    """By the conventions' metrics also calls whose span is a framework's, as it tells none here."""


GLOBAL = (CountedIn(),)


class Telemetry:
    """Opens spans and counts what calls came to. Never raises."""

    def __init__(
        self,
        version: str,
        tracer_provider: Any = None,
        counted_in: Sequence[CountedIn] = GLOBAL,
        logger_provider: Any = None,
        completion_hook: Any = None,
        content: ContentOptions = DEFAULTS,
        shows: ShowOptions = SHOWS,
    ) -> None:
        self._tracer = _tracer(version, tracer_provider)
        self._instruments = [
            Instruments(_meter(version, each.meter_provider)) for each in counted_in
        ]
        self._tells_frameworks = [
            instruments
            for instruments, each in zip(self._instruments, counted_in, strict=True)
            if each.frameworks_operations
        ]
        self._capture: Capture | None = None
        self.opened: Callable[[Request], object] = lambda _request: None
        """Told of each span of ours, for a framework that would show the request too."""
        self._shows = shows
        scope = (SCOPE, version, SCHEMA_URL)
        self._events: Events | None = None
        quietly(lambda: setattr(self, "_events", Events(logger_provider, scope)))
        quietly(
            lambda: setattr(
                self, "_capture", make_capture(logger_provider, completion_hook, content, scope)
            )
        )

    @property
    def wants_content(self) -> bool:
        """Whether what is said is to be gathered."""
        return self._capture is not None and self._capture.wants_content

    def start(self, request: Request, span: CallSpan) -> SpanHandle:
        """Open *span* for a call; the call is found in its context by span processors."""
        tracer = self._tracer
        if tracer is None:
            return NO_SPAN
        if quietly(span.start, tracer, self._instruments, self._capture, request):
            quietly(self.opened, request)
            return span
        quietly(span.span.end)  # where it did start, and what comes after it broke
        return NO_SPAN

    def late(self, request: Request, at_s: float, context: "Context") -> Span:
        """A span of a call that began at *at_s* (seconds since the epoch), for who ends it."""
        tracer, begun = self._tracer, list[Span]()
        if tracer is not None:
            name, labels = f"{request.operation} {request.model}", start_attributes(request)
            quietly(
                lambda: begun.append(
                    tracer.start_span(
                        name, context, SpanKind.CLIENT, labels, start_time=int(at_s * 1e9)
                    )
                )
            )
        return begun[0] if begun else trace.INVALID_SPAN

    def count(self, record: CallRecord, frameworks: str | None = None) -> None:
        """Count a settled call; *frameworks*: the operation that a framework's span is for."""
        for each in self._instruments:
            each.later(each.settled, record)
        if frameworks is not None:
            for each in self._tells_frameworks:
                each.later(each.operation, record, frameworks)

    def refused(self, record: CallRecord, details: RefusalDetails, span: SpanHandle) -> None:
        """Tell of a refusal as an event."""
        if (events := self._events) is not None:
            quietly(events.tell, record, details, span.span)

    def session_ended(self, bill: SessionBill, parent: "Context") -> None:
        """Tell of a session's bill, on a span that begins in *parent* and in an event."""
        quietly(self._session_ended, bill, parent)

    def _session_ended(self, bill: SessionBill, parent: "Context") -> None:
        attributes, context = session_bill.attributes_of(bill), parent
        if (tracer := self._tracer) is not None:
            context = session_bill.show(bill, tracer, attributes, parent)
        if (events := self._events) is not None:
            events.emit(session_bill.event_of(attributes, context))

    def proposed(self, record: CallRecord) -> dict[str, Value]:
        """The cost by the names that are proposed for the conventions, where that is opted in."""
        return proposed_cost(record) if self._shows.proposed_cost else {}

    def reserved(self, seconds: float, system: str, outcome: str) -> None:
        """Count an answer of the ledger: *outcome* is ``granted``, ``refused`` or what failed."""
        for each in self._instruments:
            each.later(each.reserved, seconds, system, outcome)

    def failed(self, what: str) -> None:
        """Count a leg of the gate that could not be evaluated: ``hook``, ``ledger``, ``gate``."""
        for each in self._instruments:
            each.later(each.failed, what)


def _tracer(version: str, provider: Any) -> trace.Tracer | None:
    try:
        return trace.get_tracer(SCOPE, version, provider, schema_url=SCHEMA_URL)
    except Exception:
        logger.exception("aden: the tracer provider does not work: no spans; budgets still hold")
        return None


def _meter(version: str, provider: Any) -> metrics.Meter:
    try:
        return metrics.get_meter(SCOPE, version, provider, schema_url=SCHEMA_URL)
    except Exception:
        logger.exception("aden: the meter provider does not work: no metrics; budgets still hold")
        return metrics.NoOpMeter(SCOPE, version)
