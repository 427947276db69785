"""Spans and metrics of one process, made from the providers it was given."""

import logging
from typing import Any

from opentelemetry import metrics

from aden.core.money import to_usd
from aden.core.record import CallRecord
from aden.core.request import Request
from aden.telemetry import names
from aden.telemetry.spans import NO_SPAN, CallSpan, SpanHandle, _quietly

logger = logging.getLogger("aden.telemetry")
SCOPE = "aden"


class Telemetry:
    """Opens spans and counts what calls came to. Never raises."""

    def __init__(
        self,
        version: str,
        tracer_provider: Any = None,
        meter_provider: Any = None,
        logger_provider: Any = None,
        completion_hook: Any = None,
    ) -> None:
        self._handler = _handler(
            version, tracer_provider, meter_provider, logger_provider, completion_hook
        )
        meter = _meter(version, meter_provider)
        self._cost = meter.create_counter(
            names.METRIC_COST, unit="{USD}", description="What requests to model providers cost."
        )
        self._decisions = meter.create_counter(
            names.METRIC_DECISIONS, unit="{call}", description="Decisions about requests."
        )
        self._observed = meter.create_counter(
            names.METRIC_OBSERVED,
            unit="{call}",
            description="What would have been decided about requests that are only observed.",
        )
        self._failures = meter.create_counter(
            names.METRIC_FAILURES,
            unit="{failure}",
            description="Times that hook, ledger or gate could not be evaluated.",
        )

    def start(self, request: Request, span: CallSpan) -> SpanHandle:
        """Open *span* for a call; the call is found in its context by span processors."""
        if self._handler is None:
            return NO_SPAN
        if _quietly(lambda: span.start(self._handler, request)):
            return span
        _quietly(span.span.end)  # where it did start, and what comes after it broke
        return NO_SPAN

    def count(self, record: CallRecord) -> None:
        """Count a settled call."""
        _quietly(lambda: self._count(record))

    def failed(self, what: str) -> None:
        """Count a leg of the gate that could not be evaluated: ``hook``, ``ledger``, ``gate``."""
        _quietly(lambda: self._failures.add(1, {"aden.gate.leg": what}))

    def _count(self, record: CallRecord) -> None:
        labels: dict[str, str | bool] = {
            names.PROVIDER_NAME: record.provider,
            names.REQUEST_MODEL: record.model,
            names.USAGE_ESTIMATED: record.usage.estimated,
        }
        if record.cost:
            self._cost.add(to_usd(record.cost), labels)
        if observed := record.observed:
            self._observed.add(
                1,
                {
                    names.OBSERVED_ACTION: observed.action,
                    names.OBSERVED_REASON: observed.reason or "none",
                },
            )
        decision = record.decision
        self._decisions.add(
            1,
            {
                names.DECISION_ACTION: decision.action,
                names.DECISION_REASON: decision.reason or "none",
                names.DECISION_SOURCE: decision.source or "none",
            },
        )


def _meter(version: str, provider: Any) -> metrics.Meter:
    try:
        return metrics.get_meter(SCOPE, version, provider)
    except Exception:
        logger.exception("aden: the meter provider does not work: no metrics; budgets still hold")
        return metrics.NoOpMeter(SCOPE, version)


def _handler(version: str, tracer: Any, meter: Any, logs: Any, hook: Any) -> Any:
    try:
        from opentelemetry.util.genai.completion_hook import (
            load_completion_hook,
        )
        from opentelemetry.util.genai.handler import TelemetryHandler

        return TelemetryHandler(
            tracer_provider=tracer,
            meter_provider=meter,
            logger_provider=logs,
            completion_hook=hook or load_completion_hook(),
            instrumentation_scope_name=SCOPE,
            instrumentation_scope_version=version,
        )
    except Exception:
        logger.exception(
            "aden: opentelemetry-util-genai does not work here: no spans; budgets still hold"
        )
        return None
