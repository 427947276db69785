"""The metrics of a call: the conventions' histograms, and our own instruments.

Names, units, descriptions and buckets of the histograms are those of the GenAI conventions as
``opentelemetry-util-genai`` 1.3b0 makes them
(https://github.com/open-telemetry/opentelemetry-python-genai); a test compares the two.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry.metrics import Meter

from aden.core.money import to_usd
from aden.core.record import CallRecord
from aden.core.request import Request
from aden.telemetry import names
from aden.telemetry.attributes import Value, start_attributes
from aden.telemetry.budget_gauge import show_budgets
from aden.telemetry.later import Points, hand_over

if TYPE_CHECKING:
    from opentelemetry.context import Context

LEDGER_BUCKETS = tuple(1e-5 * 2**step for step in range(18))
"""From 10 µs, as for SQLite, to 1.3 s."""
SECONDS_BUCKETS = tuple(0.01 * 2**step for step in range(14))
TOKEN_BUCKETS = tuple(4**step for step in range(14))


class Instruments:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._put = Points().put
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

    def first_chunk(
        self, seconds: float, attributes: Mapping[str, Value], context: "Context | None"
    ) -> None:
        """A stream began."""
        self._put(self._first_chunk.record, seconds, attributes, context)

    def finished(
        self,
        seconds: float,
        attributes: Mapping[str, Value],
        tokens: tuple[int | None, int | None],
        context: "Context | None",
    ) -> None:
        """An operation ended; *tokens* of input and output, None where nobody counted."""
        self._put(self._duration.record, seconds, attributes, context)
        for kind, count in zip(("input", "output"), tokens, strict=True):
            if count is not None:
                self._put(
                    self._tokens.record, count, {**attributes, names.TOKEN_TYPE: kind}, context
                )

    def operation(self, record: CallRecord, name: str) -> None:
        """An operation whose span is a framework's, by the conventions."""
        labels = start_attributes(Request(record.provider, record.model, name))
        if record.response_model is not None:
            labels[names.RESPONSE_MODEL] = record.response_model
        if record.ttft_ms is not None:
            self.first_chunk(record.ttft_ms / 1000, labels, None)
        if record.error_type is not None:
            labels[names.ERROR_TYPE] = record.error_type
        tokens = (record.usage.input_tokens, record.usage.output_tokens)
        self.finished(record.latency_ms / 1000, labels, tokens, None)

    def settled(self, record: CallRecord) -> None:
        """A call is settled."""
        if record.cost:
            labels: dict[str, Value] = {
                names.PROVIDER_NAME: record.provider,
                names.REQUEST_MODEL: record.model,
                names.USAGE_ESTIMATED: record.usage.estimated,
            }
            self._put(self._cost.add, to_usd(record.cost), labels)
        if observed := record.observed:
            self._put(
                self._observed.add,
                record.repeats,
                {
                    names.OBSERVED_ACTION: observed.action,
                    names.OBSERVED_REASON: observed.reason or "none",
                },
            )
        decision = record.decision
        self._put(
            self._decisions.add,
            record.repeats,
            {
                names.DECISION_ACTION: decision.action,
                names.DECISION_REASON: decision.reason or "none",
                names.DECISION_SOURCE: decision.source or "none",
            },
        )

    def reserved(self, seconds: float, system: str, outcome: str) -> None:
        """The ledger was asked for a reservation."""
        labels = {names.LEDGER_SYSTEM: system, names.LEDGER_OUTCOME: outcome}
        self._put(self._reserve.record, seconds, labels)

    def failed(self, leg: str) -> None:
        """A leg of the gate could not be evaluated."""
        self._put(self._failures.add, 1, {"aden.gate.leg": leg})
