"""A session's bill as a span and as an event.

Its amounts have names of their own: who adds up ``aden.cost.usd`` counts no call twice.
"""

from collections.abc import Mapping

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import Tracer, set_span_in_context

from aden.core.bill import SessionBill
from aden.core.money import to_usd
from aden.telemetry import names
from aden.telemetry.attributes import Value, of_attribution, of_place


def attributes_of(bill: SessionBill) -> dict[str, Value]:
    """Everything but its turns, of which there are as many as an agent spoke."""
    total = bill.total
    costs = {
        names.SESSION_COMPONENT_COST.format(name): to_usd(sums.cost)
        for name, sums in bill.components.items()
    }
    return {
        names.SESSION_DURATION: bill.duration_s,
        names.SESSION_COST: to_usd(total.cost),
        names.SESSION_ESTIMATED: to_usd(total.estimated),
        names.SESSION_UNPRICED: to_usd(total.unpriced),
        names.SESSION_CALLS: total.calls,
        names.SESSION_REFUSED: total.refused,
        names.SESSION_OPEN: bill.open_calls,
        **costs,
        names.SESSION_MODELS: list(bill.models),
        names.SESSION_MODEL_COSTS: _costs(bill),
        **of_attribution(bill.attribution),
        **of_place(bill.place),
    }


def show(
    bill: SessionBill, tracer: Tracer, attributes: Mapping[str, Value], parent: Context
) -> Context:
    """Make the span, as long as the session was; the context in which it stands."""
    start = int(bill.started_at * 1e9)
    span = tracer.start_span(names.SESSION, parent, attributes=attributes, start_time=start)
    span.end(start + int(bill.duration_s * 1e9))
    return set_span_in_context(span, parent)


def event_of(attributes: Mapping[str, Value], context: Context) -> LogRecord:
    """The same as an event."""
    return LogRecord(
        event_name=names.SESSION,
        severity_number=SeverityNumber.INFO,
        attributes=dict(attributes),
        context=context,
    )


def _costs(bill: SessionBill) -> list[float]:
    return [to_usd(sums.cost) for sums in bill.models.values()]
