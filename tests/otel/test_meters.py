"""Our meter provider goes on over forks, uninstruments and other set-ups, and counts once."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, InMemoryMetricReader

from aden.otel.meters import OwnMeters, OwnReader
from aden.otel.parts import parts_of
from aden.telemetry.later import Points
from aden.testing import OpenAIServer
from otlp_sink import OTLPSink


class Reader(InMemoryMetricReader):
    """What one SDK provider has counted."""

    def counted(self) -> dict[str, Any]:
        """Each metric's only value; of a histogram its sum."""
        data = self.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        points = {metric.name: metric.data.data_points[0] for metric in found}
        return {
            name: getattr(each, "value", getattr(each, "sum", 0)) for name, each in points.items()
        }


class Ended(Reader):
    """Notes what a counter had come to when its provider ended."""

    last: float | None = None

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """The provider ends."""
        self.last = self.counted()["counter"]
        super().shutdown(timeout_millis, **kwargs)


def made(reader: Reader) -> MeterProvider:
    """An SDK provider with one reader."""
    return MeterProvider([reader], shutdown_on_exit=False)


def instruments(meters: OwnMeters) -> Callable[[int], None]:
    """One of each kind; records a number on them all."""
    meter = meters.get_meter("app", "1")
    seen = [0]
    counter, level = meter.create_counter("counter"), meter.create_up_down_counter("level")
    sizes, gauge = meter.create_histogram("sizes", unit="By"), meter.create_gauge("gauge")
    for create in (
        meter.create_observable_counter,
        meter.create_observable_gauge,
        meter.create_observable_up_down_counter,
    ):
        create(create.__name__, [lambda _options: [Observation(seen[0])]])

    def record(number: int) -> None:
        counter.add(number)
        level.add(number)
        sizes.record(number)
        gauge.set(number)
        seen[0] = number

    return record


KINDS = (
    *("counter", "level", "sizes", "gauge", "create_observable_counter"),
    *("create_observable_gauge", "create_observable_up_down_counter"),
)


def test_instruments_record_where_the_provider_is_filled_now() -> None:
    """Nowhere, in one place, in another, each from zero; whenever they were made."""
    meters, first, second = OwnMeters(), Reader(), Reader()
    record = instruments(meters)
    record(1)
    meters.fill(partial(made, first))
    record(2)
    assert first.counted() == dict.fromkeys(KINDS, 2)
    meters.fill(partial(made, second))
    record(3)
    later = instruments(meters)
    later(0)
    expected = dict.fromkeys(KINDS, 3) | {"gauge": 0}
    assert second.counted() == expected, "the first callbacks of a name stay, as in the SDK"
    meters.fill(None)
    record(4)
    assert meters.force_flush()


def test_a_name_that_is_not_allowed_is_refused_where_it_is_given() -> None:
    """Not at the first measurement."""
    meters = OwnMeters()
    meters.fill(partial(made, Reader()))
    with pytest.raises(Exception, match="1 & 2"):
        meters.get_meter("app").create_counter("1 & 2")


def test_points_that_wait_are_recorded_where_they_were_counted() -> None:
    """An application that ends the provider ends nothing that it had counted before."""
    meters, first = OwnMeters(), Ended()
    meters.fill(lambda: MeterProvider([first], shutdown_on_exit=False))
    points, counter = Points(), meters.get_meter("app").create_counter("counter")
    for _ in range(3):
        points.put(lambda amount, *_: counter.add(amount), 1, {})
    meters.shutdown()
    assert first.last == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_begins_at_zero_and_with_locks_of_its_own() -> None:
    """What the parent counted is the parent's to tell, whatever its threads were doing."""
    meters = OwnMeters()
    readers: list[Reader] = []

    def anew() -> MeterProvider:
        readers.append(Reader())
        return made(readers[-1])

    meters.fill(anew)
    record = instruments(meters)
    record(5)
    with meters._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                record(2)
                code = 0 if readers[-1].counted() == dict.fromkeys(KINDS, 2) else 2
            finally:
                os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert readers[-1].counted()["counter"] == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_leaves_its_parents_reader_alone() -> None:
    """No thread of it is started again, and no lock is asked for that the parent's thread holds."""
    meters = OwnMeters()
    meters.fill(
        lambda: MeterProvider(
            [OwnReader(ConsoleMetricExporter(out=io.StringIO()), 600_000)], shutdown_on_exit=False
        )
    )
    count = meters.get_meter("app").create_counter("counter").add
    count(1)
    (reader,) = parts_of(meters)
    with reader._shutdown_event._cond, reader._export_lock:
        child = os.fork()
        if child == 0:
            before = threads_of_readers()
            count(1)
            os._exit(0 if (before, threads_of_readers()) == (0, 1) else 1)
        too_long = threading.Timer(60, os.kill, (child, signal.SIGKILL))  # a child that waits
        too_long.start()
        status = os.waitpid(child, 0)[1]
        too_long.cancel()
    meters.shutdown()
    assert status == 0


def threads_of_readers() -> int:
    """How many of the SDK's run in this process."""
    return sum(each.name.startswith("OtelPeriodic") for each in threading.enumerate())


FORKS = """
import multiprocessing as mp, openai, sys, aden

def ask():
    client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])

if __name__ == "__main__":
    aden.instrument(budgets=[], ledger="memory:")
    for _ in range(10):
        ask()
    children = [mp.get_context("fork").Process(target=ask) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
"""


BESIDE = """
import openai, os, sys, aden
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

metrics.set_meter_provider(MeterProvider())
aden.instrument(server_url=sys.argv[2], api_key="k", budgets=[], ledger="memory:")
if (child := os.fork()) == 0:
    client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
    for _ in range(3):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
    aden.flush()
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_counts_beside_a_provider_that_nobody_collects(
    server: OpenAIServer,
) -> None:
    """The application's provider has no reader; an Aden server gets the figures all the same."""
    with OTLPSink() as sink:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "ADEN_"))}
        subprocess.run(
            [sys.executable, "-c", BESIDE, server.base_url, sink.url],
            env=clean | {"ADEN_FLUSH_TIMEOUT": "60"},
            check=True,
            capture_output=True,
            timeout=90,
        )
        assert sink.total("aden.client.decisions") == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_children_of_a_busy_process_count_their_own_calls_and_use_their_own_connections(
    server: OpenAIServer,
) -> None:
    """Thirteen calls are thirteen: a child tells nothing of its parent's once more."""
    with OTLPSink() as sink:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "ADEN_"))}
        done = subprocess.run(
            [sys.executable, "-c", FORKS, server.base_url],
            env=clean | {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "ADEN_FLUSH_TIMEOUT": "60"},
            check=True,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert sink.total("aden.client.decisions") == 13
        assert len([span for span in sink.spans if span.name == "chat gpt-4o"]) == 13
        assert sink.broken == []
        assert "not taken" not in done.stderr
