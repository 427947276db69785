"""Points of metrics wait until metrics are collected; none is lost, and none is told twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import openai
import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from aden import AdenInstrumentor, Budget
from aden.telemetry import later
from otel_kit import Sdk

if TYPE_CHECKING:
    from aden.testing import OpenAIServer


class Points:
    """Takes points down, as an instrument does."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def record(self, amount: float, _labels: Mapping[str, Any], _context: Any) -> None:
        """Take one down."""
        self.seen.append(amount)


@pytest.fixture
def points() -> Iterator[Points]:
    """An instrument; nothing of others waits before or after."""
    later.hand_over()
    yield Points()
    later.hand_over()


def test_the_first_point_makes_sure_that_somebody_collects_and_others_wait(points: Points) -> None:
    """A provider may be made when it is first recorded on."""
    for amount in (1, 2, 3):
        later.put(points.record, amount, {})
    assert points.seen == [1]
    later.hand_over()
    assert points.seen == [1, 2, 3]
    later.hand_over()
    assert points.seen == [1, 2, 3]


def test_where_nobody_collects_a_thousand_wait_and_no_more(points: Points) -> None:
    """What comes then is recorded at once, so nothing is lost and nothing grows."""
    for amount in range(later.POINTS_MAX + 11):
        later.put(points.record, amount, {})
    assert len(points.seen) == 11
    later.hand_over()
    assert sorted(points.seen) == list(range(later.POINTS_MAX + 11))


def test_a_point_that_cannot_be_recorded_takes_no_other_along(points: Points) -> None:
    """Whoever collects goes on."""

    def broken(*_: object) -> None:
        raise ValueError("no")

    for record in (points.record, broken, points.record):
        later.put(record, 1, {})
    later.hand_over()
    assert points.seen == [1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_tells_nothing_of_its_parent_s(points: Points) -> None:
    """Each process records what it has counted."""
    for amount in (1, 2):
        later.put(points.record, amount, {})
    if (child := os.fork()) == 0:
        later.hand_over()
        os._exit(len(points.seen))  # what was recorded before the fork
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_calls_are_collected_with_their_trace(server: OpenAIServer) -> None:
    """An exemplar names the span of the call that made the point, long after it has ended."""
    sdk = Sdk()
    AdenInstrumentor().instrument(**sdk.providers, ledger="memory:", budgets=[Budget("all", "1")])
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        for _ in range(3):
            client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "Hi"}]
            )
    data = sdk.reader.get_metrics_data()
    AdenInstrumentor().uninstrument()
    assert data is not None
    metrics = {
        metric.name: metric.data.data_points
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    (duration,) = metrics["gen_ai.client.operation.duration"]
    assert isinstance(duration, HistogramDataPoint)
    assert duration.count == 3
    traces = {span.context.trace_id for span in sdk.spans if span.context is not None}
    assert {each.trace_id for each in duration.exemplars} <= traces
    assert duration.exemplars
