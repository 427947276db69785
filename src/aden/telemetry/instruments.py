"""The metrics of a call: the conventions' histograms, and our own instruments.

Names, units, descriptions and buckets of the histograms are those of the GenAI conventions as
``opentelemetry-util-genai`` 1.3b0 makes them
(https://github.com/open-telemetry/opentelemetry-python-genai); a test compares the two.
"""

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from aden.core.money import to_usd
from aden.core.record import CallRecord
from aden.core.request import Request
from aden.telemetry import names
from aden.telemetry.attributes import Value, start_attributes
from aden.telemetry.budget_gauge import show_budgets
from aden.telemetry.later import Points, hand_over

LEDGER_BUCKETS = tuple(1e-5 * 2**step for step in range(18))
"""From 10 µs, as for SQLite, to 1.3 s."""
SECONDS_BUCKETS = tuple(0.01 * 2**step for step in range(14))
TOKEN_BUCKETS = tuple(4**step for step in range(14))


class Instruments:
    """The instruments of one meter. What a method counts, it counts at once; `later`: in time."""

    def __init__(self, meter: Meter) -> None:
        self.later = Points().put
        """Call one of the methods below when metrics are collected; what it is given changes no
        more. Never raises."""
        self._duration = meter.create_histogram(
            names.METRIC_DURATION,
            unit="s",
            description="Duration of GenAI client operation",
            explicit_bucket_boundaries_advisory=SECONDS_BUCKETS,
        )
        self._tokens = meter.create_histogram(
            names.METRIC_TOKENS,
            unit="{token}",
            description="Number of input and output tokens used by GenAI clients",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        )
        self._first_chunk = meter.create_histogram(
            names.METRIC_FIRST_CHUNK,
            unit="s",
            description="Time to receive the first chunk, measured from when the client issues the"
            " generation request to when the first chunk is received in the response stream.",
            explicit_bucket_boundaries_advisory=SECONDS_BUCKETS,
        )
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
        self._reserve = meter.create_histogram(
            names.METRIC_RESERVE,
            unit="s",
            description="How long the ledger took to answer a reservation.",
            explicit_bucket_boundaries_advisory=LEDGER_BUCKETS,
        )
        show_budgets(meter)
        hand_over()  # to the instruments before these

    def finished(
        self,
        record: CallRecord,
        attributes: Mapping[str, Value],
        said: Mapping[str, Value],
        seconds: float,
        ttfc_s: float | None,
        span: trace.SpanContext | None = None,
    ) -> None:
        """An operation ended.

        Args:
            record: What it came to.
            attributes: By which all is counted.
            said: What is known at the end only, besides.
            seconds: How long it took.
            ttfc_s: Seconds to a stream's first chunk; None where there was none.
            span: What an exemplar refers to.
        """
        context = None
        if span is not None:  # of the context, an exemplar needs no more than who the span is
            context = trace.set_span_in_context(trace.NonRecordingSpan(span), Context())
        labels = {**attributes}
        if record.response_model is not None:
            labels[names.RESPONSE_MODEL] = record.response_model
        if ttfc_s is not None:
            self._first_chunk.record(ttfc_s, labels, context)
        labels = {**labels, **said}
        self._duration.record(seconds, labels, context)
        usage = record.usage
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count is not None:
                self._tokens.record(count, {**labels, names.TOKEN_TYPE: kind}, context)

    def operation(self, record: CallRecord, name: str) -> None:
        """An operation whose span is a framework's, by the conventions."""
        labels = start_attributes(Request(record.provider, record.model, name))
        ttfc_s = None if record.ttft_ms is None else record.ttft_ms / 1000
        said: dict[str, Value] = {}
        if record.error_type is not None:
            said[names.ERROR_TYPE] = record.error_type
        self.finished(record, labels, said, record.latency_ms / 1000, ttfc_s)

    def settled(self, record: CallRecord) -> None:
        """A call is settled."""
        if record.cost:
            labels: dict[str, Value] = {
                names.PROVIDER_NAME: record.provider,
                names.REQUEST_MODEL: record.model,
                names.USAGE_ESTIMATED: record.usage.estimated,
            }
            self._cost.add(to_usd(record.cost), labels)
        if observed := record.observed:
            labels = {
                names.OBSERVED_ACTION: observed.action,
                names.OBSERVED_REASON: observed.reason or "none",
            }
            self._observed.add(record.repeats, labels)
        decision = record.decision
        labels = {
            names.DECISION_ACTION: decision.action,
            names.DECISION_REASON: decision.reason or "none",
            names.DECISION_SOURCE: decision.source or "none",
        }
        self._decisions.add(record.repeats, labels)

    def reserved(self, seconds: float, system: str, outcome: str) -> None:
        """The ledger was asked for a reservation."""
        self._reserve.record(seconds, {names.LEDGER_SYSTEM: system, names.LEDGER_OUTCOME: outcome})

    def failed(self, leg: str) -> None:
        """A leg of the gate could not be evaluated."""
        self._failures.add(1, {names.GATE_LEG: leg})
