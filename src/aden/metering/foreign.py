"""Calls that somebody else made and told of: booked and shown, never decided."""

import time
from dataclasses import dataclass

from opentelemetry.trace import NonRecordingSpan, SpanContext

from aden.budgets.plan import Estimate
from aden.core.decision import Decision
from aden.core.request import Request
from aden.core.usage import Usage
from aden.metering.call import Lane
from aden.metering.meter import Meter
from aden.telemetry.spans import NoSpan

_LANE = Lane()
_NOTHING_ASKED = Estimate(0, 0)


@dataclass(frozen=True, slots=True)
class Told:
    """What an ended span of another instrumentation says of a call."""

    request: Request
    usage: Usage
    span: SpanContext
    duration_s: float
    response_id: str | None = None
    response_model: str | None = None
    error_type: str | None = None


def book(meter: Meter, told: Told) -> None:
    """Charge every budget that the call counts against, by the usage that was told."""
    call = meter.begin(told.request, {}, _LANE)
    call.started_at = time.time() - told.duration_s
    call.started = time.perf_counter() - told.duration_s
    call.plan = meter.planned(call, lambda _model: _NOTHING_ASKED)
    call.decided = True
    call.decision = Decision(source="foreign")
    handle = NoSpan()
    handle.span = NonRecordingSpan(told.span)
    call.span = handle
    attempt = call.attempt(told.request)
    attempt.response_id, attempt.response_model = told.response_id, told.response_model
    attempt.saw_usage(told.usage)
    call.state = "sent"
    meter.settle(call)
