"""Attributes that are written past the SDK's checks are what the SDK would have kept."""

import threading
from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import INVALID_SPAN, Span

from aden.telemetry.attributes import Value
from aden.telemetry.written import write

GIVEN: dict[str, Value] = {
    "text": "hotel " * 100,
    "count": 0,
    "cost": 0.25,
    "sure": False,
    "reasons": ("stop", "length"),
}


def _span(limits: SpanLimits | None = None) -> Any:
    return TracerProvider(span_limits=limits).get_tracer("test").start_span("chat", None)


def _kept(span: Any) -> dict[str, object]:
    return dict(span.attributes)


def test_the_sdk_keeps_attributes_where_they_are_written() -> None:
    """It fails where a release of the SDK moves them; then its own method writes."""
    kept = _span()._attributes
    assert type(kept) is BoundedAttributes
    assert type(kept._dict) is dict
    assert isinstance(kept._lock, type(threading.Lock()))


@pytest.mark.parametrize(
    "limits",
    [
        None,
        SpanLimits(max_span_attributes=3),
        SpanLimits(max_span_attributes=0),
        SpanLimits(max_span_attribute_length=7),
        SpanLimits(max_attribute_length=7),
    ],
)
def test_a_span_keeps_what_its_own_method_would_have_kept(limits: SpanLimits | None) -> None:
    """Limits of number and length are the SDK's to apply."""
    ours, theirs = _span(limits), _span(limits)
    for span in (ours, theirs):
        span.set_attribute("text", "before")
    write(ours, GIVEN)
    theirs.set_attributes(GIVEN)
    assert _kept(ours) == _kept(theirs)
    assert ours.dropped_attributes == theirs.dropped_attributes


class _Name(str):
    """A string of somebody's own kind."""


@pytest.mark.parametrize("odd", [["a", "b"], _Name("a"), None, object, {"a": 1}])
def test_what_is_no_plain_value_is_left_to_the_sdk(odd: Any) -> None:
    """It copies, turns to text, or drops."""
    ours, theirs = _span(), _span()
    write(ours, {**GIVEN, "odd": odd})
    theirs.set_attributes({**GIVEN, "odd": odd})
    assert _kept(ours) == _kept(theirs)


def test_a_list_that_changes_later_does_not_change_the_span() -> None:
    """The SDK's method makes a tuple of it."""
    span, reasons = _span(), ["stop"]
    write(span, {"reasons": reasons})
    reasons.append("length")
    assert _kept(span) == {"reasons": ("stop",)}


def test_a_span_that_has_ended_keeps_what_it_had() -> None:
    """Nothing is written after an exporter may have it."""
    span = _span()
    span.end()
    write(span, GIVEN)
    assert _kept(span) == {}


def test_a_span_of_no_sdk_is_asked_by_its_own_method() -> None:
    """An API without an SDK, or another implementation."""

    class Foreign:
        told: dict[str, Any]

        def is_recording(self) -> bool:
            return True

        def set_attributes(self, attributes: dict[str, Any]) -> None:
            self.told = attributes

    span: Any = Foreign()
    write(span, GIVEN)
    assert span.told == GIVEN
    nothing: Span = INVALID_SPAN
    write(nothing, GIVEN)
