"""Points of metrics wait until metrics are collected; none is lost, and none is told twice."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import openai
import pytest
from opentelemetry.metrics import NoOpCounter, NoOpMeter, NoOpMeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint

import aden
from aden import AdenInstrumentor, Budget
from aden.telemetry import later
from otel_kit import Sdk

if TYPE_CHECKING:
    from aden.testing import OpenAIServer


class Instrument:
    """Takes points down; the only one of its meter."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.put = later.Points().put

    def record(self, amount: float, _labels: Mapping[str, Any]) -> None:
        """Take one down."""
        self.seen.append(amount)


@pytest.fixture
def points() -> Iterator[Instrument]:
    """An instrument; nothing of others waits before or after."""
    later.hand_over()
    yield Instrument()
    later.hand_over()


def test_the_first_point_makes_sure_that_somebody_collects_and_others_wait(
    points: Instrument,
) -> None:
    """A provider may be made when it is first recorded on."""
    for amount in (1, 2, 3):
        points.put(points.record, amount, {})
    assert points.seen == [1]
    later.hand_over()
    assert points.seen == [1, 2, 3]
    later.hand_over()
    assert points.seen == [1, 2, 3]


def test_where_nobody_collects_a_thousand_wait_and_no_more(points: Instrument) -> None:
    """What comes then is recorded at once, so nothing is lost and nothing grows."""
    for amount in range(later.POINTS_MAX + 11):
        points.put(points.record, amount, {})
    assert len(points.seen) == 11
    later.hand_over()
    assert sorted(points.seen) == list(range(later.POINTS_MAX + 11))


def test_each_meter_s_first_point_is_recorded_at_once(points: Instrument) -> None:
    """What another one has recorded makes nobody who collects from this one."""
    other = Instrument()
    for instrument in (points, other, points, other):
        instrument.put(instrument.record, 1, {})
    assert (points.seen, other.seen) == ([1], [1])
    later.hand_over()
    assert (points.seen, other.seen) == ([1, 1], [1, 1])


def test_who_collects_waits_for_what_another_hands_over_just_then(points: Instrument) -> None:
    """Else a process's last collection might come before its last point."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> None:
        begun.set()
        go_on.wait(5)
        points.seen.append(2)

    for record in (points.record, slow):
        points.put(record, 1, {})
    first = threading.Thread(target=later.hand_over)
    first.start()
    assert begun.wait(5)
    threading.Timer(0.1, go_on.set).start()
    later.hand_over()
    assert points.seen == [1, 2]
    first.join()


def test_a_point_that_cannot_be_recorded_takes_no_other_along(points: Instrument) -> None:
    """Whoever collects goes on."""

    def broken(*_: object) -> None:
        raise ValueError("no")

    for record in (points.record, broken, points.record):
        points.put(record, 1, {})
    later.hand_over()
    assert points.seen == [1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_tells_nothing_of_its_parent_s(points: Instrument) -> None:
    """Each process records what it has counted."""
    for amount in (1, 2):
        points.put(points.record, amount, {})
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


class Sums(NoOpMeterProvider):
    """A provider that sends each point on: it has no collections, and asks no callbacks."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def get_meter(self, name: str, *args: Any, **kwargs: Any) -> NoOpMeter:
        """A meter whose counters add up here."""
        sums = self.of

        class Meter(NoOpMeter):
            def create_counter(self, name: str, *_: Any, **__: Any) -> NoOpCounter:
                counter = NoOpCounter(name)
                counter.add = lambda amount, *_: sums.update({name: amount})  # type: ignore[method-assign]
                return counter

        return Meter(name)


def test_a_provider_without_collections_has_each_point_when_it_is_flushed(
    server: OpenAIServer,
) -> None:
    """What nobody asked for until then would else be lost with the process."""
    sums = Sums()
    AdenInstrumentor().instrument(meter_provider=sums, ledger="memory:", budgets=[])
    with openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        for _ in range(3):
            client.embeddings.create(model="text-embedding-3-small", input="Hi")
    aden.flush()
    counted = sums.of["aden.client.decisions"]
    AdenInstrumentor().uninstrument()
    assert counted == 3
