"""Keeps the spans of calls that matter, whatever ratio is sampled.

A sampler decides when a span starts and cannot know how it ends. So `AdenSampler` has the spans of
calls that its delegate drops recorded without being sampled (``RECORD_ONLY``), and `KeptSpans`, in
front of an exporting processor, hands those on that turned out to matter.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.util.types import Attributes

from aden.metering.call import Call
from aden.otel.copies import copy_of
from aden.telemetry import names
from aden.telemetry.context import call_in

logger = logging.getLogger("aden.otel")

EXPENSIVE_USD = 0.05
"""Default of `KeptSpans`: a call that costs as much is kept."""
_KEPT_ACTIONS = ("block", "degrade")


class AdenSampler(Sampler):
    """Samples as *delegate* does, and records the spans of calls that it drops."""

    def __init__(self, delegate: Sampler) -> None:
        self._delegate = delegate

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The delegate's word; a call's own span is recorded at least."""
        result = self._delegate.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        if result.decision is not Decision.DROP or not _starts_a_call(parent_context):
            return result
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        """Its name, with the delegate's."""
        return f"AdenSampler{{{self._delegate.get_description()}}}"


class KeptSpans(SpanProcessor):
    """Hands on what is sampled, and of the rest refused, degraded, failed and expensive calls.

    Args:
        exporting: A processor that exports, such as a ``BatchSpanProcessor``.
        expensive_usd: A call that costs as much, in US dollars, is kept.
    """

    def __init__(self, exporting: SpanProcessor, expensive_usd: float = EXPENSIVE_USD) -> None:
        self._exporting = exporting
        self._expensive_usd = expensive_usd

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is known yet."""
        self._exporting.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand *span* on, if it is sampled or matters."""
        context = span.context
        if context is not None and not context.trace_flags.sampled and self._matters(span):
            span = _sampled(span, context)
        self._exporting.on_end(span)

    def _matters(self, span: ReadableSpan) -> bool:
        said: Mapping[str, Any] = span.attributes or {}
        if names.CALL_ID not in said:
            return False
        return (
            said.get(names.DECISION_ACTION) in _KEPT_ACTIONS
            or names.ERROR_TYPE in said
            or said.get(names.COST_USD, 0.0) >= self._expensive_usd
        )

    def shutdown(self) -> None:
        """Stop exporting."""
        self._exporting.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what is queued."""
        return self._exporting.force_flush(timeout_millis)


def _starts_a_call(parent_context: Context | None) -> bool:
    """Whether the span is a call's own: the first inside it."""
    call = call_in(parent_context)
    return (
        isinstance(call, Call)
        and call.state != "settled"
        and not call.span.span.get_span_context().is_valid
    )


def _sampled(span: ReadableSpan, context: SpanContext) -> ReadableSpan:
    """A copy that exporting processors do not pass over."""
    flags = TraceFlags(context.trace_flags | TraceFlags.SAMPLED)
    sampled = SpanContext(
        context.trace_id, context.span_id, context.is_remote, flags, context.trace_state
    )
    return copy_of(span, context=sampled)


def sampler_named(environment: Mapping[str, str]) -> AdenSampler | None:
    """Ours, where ``OTEL_TRACES_SAMPLER`` names it; None: OpenTelemetry's own hold."""
    if environment.get("OTEL_TRACES_SAMPLER", "").strip().lower() != "aden":
        return None
    return by_ratio(environment.get("OTEL_TRACES_SAMPLER_ARG"))


def by_ratio(argument: str | None) -> AdenSampler:
    """The sampler ``aden``: what ``OTEL_TRACES_SAMPLER=aden`` names.

    Args:
        argument: ``OTEL_TRACES_SAMPLER_ARG``, the share of traces from 0 to 1; None: all. What is
            no such number is pointed out and means all, as with OpenTelemetry's own samplers.
    """
    try:
        delegate = TraceIdRatioBased(float(argument or 1))
    except ValueError:
        logger.warning(
            "aden: OTEL_TRACES_SAMPLER_ARG=%r is no share from 0 to 1; all is sampled", argument
        )
        delegate = TraceIdRatioBased(1.0)
    return AdenSampler(ParentBased(delegate))
