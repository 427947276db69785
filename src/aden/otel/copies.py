"""A span that has ended cannot be changed: what is exported instead is a copy."""

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext
from opentelemetry.util.types import AttributeValue


def copy_of(
    span: ReadableSpan,
    *,
    context: SpanContext | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    events: Sequence[Event] | None = None,
) -> ReadableSpan:
    """A copy of *span*; what is None stays as it is."""
    return ReadableSpan(
        name=span.name,
        context=span.context if context is None else context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes if attributes is None else attributes,
        events=span.events if events is None else events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
