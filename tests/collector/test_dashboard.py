"""The dashboard's queries, against the metrics that Aden really emits and a real Prometheus."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_kit import Prometheus, dashboard, queries, tool_or_skip

from aden.telemetry import names

AGENT = Path(__file__).parent / "programs/scraped_agent.py"
QUERIES = queries()
NOTHING_NOW = {"Budget used B", "Open reservations A"}
"""No request is open when it is asked."""


@dataclass
class Scraped:
    """Prometheus after two rounds of calls, and what they have cost."""

    prometheus: Prometheus
    cost_usd: float


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """An agent that works, is scraped, and works again."""
    tool_or_skip("prometheus")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "ADEN_"))}
    agent = subprocess.Popen(
        [sys.executable, AGENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    try:
        port = json.loads(agent.stdout.readline())["port"]
        directory = tmp_path_factory.mktemp("prometheus")
        with Prometheus(directory, f"127.0.0.1:{port}") as prometheus:
            cost_usd = 0.0
            for _ in range(2):
                print(file=agent.stdin, flush=True)
                cost_usd = json.loads(agent.stdout.readline())["cost_usd"]
                prometheus.wait_for("sum(aden_client_cost_total)", cost_usd)
            yield Scraped(prometheus, cost_usd)
    finally:
        agent.kill()
        agent.wait(5)


@pytest.mark.parametrize("query", QUERIES)
def test_each_query_has_data(scraped: Scraped, query: str) -> None:
    """None is empty after calls, a stream, an error, a refusal and a loss."""
    values = [value for _, value in scraped.prometheus.query(QUERIES[query])]

    assert values
    assert all(math.isfinite(value) for value in values)
    if query not in NOTHING_NOW:
        assert max(values) > 0


def test_the_spend_shown_is_what_the_calls_have_cost(scraped: Scraped) -> None:
    """To nine digits."""
    ((_, shown),) = scraped.prometheus.query(QUERIES["Spend today A"])

    assert scraped.cost_usd > 0
    assert shown == pytest.approx(scraped.cost_usd, rel=1e-9)


def test_the_time_to_the_first_token_is_not_read_off_two_kinds_of_buckets(scraped: Scraped) -> None:
    """LiveKit's histogram of that name, in the same process, reaches to 10,000 s."""
    p50, p95 = (
        scraped.prometheus.query(QUERIES[f"Time to first token {each}"])[0][1] for each in "AB"
    )

    assert 0.005 <= p50 <= p95 < 60


def test_dollars_are_told_apart_by_the_model_that_was_sent(scraped: Scraped) -> None:
    """One line a model."""
    found = scraped.prometheus.query(QUERIES["Dollars in the last hour, by model A"])

    assert {labels["gen_ai_request_model"] for labels, _ in found} == {"gpt-4o", "gpt-4o-mini"}


def test_refusals_are_counted_by_their_reason(scraped: Scraped) -> None:
    """Two rounds, one refusal each."""
    found = scraped.prometheus.query(QUERIES["Refusals by reason A"])

    ((labels, value),) = found
    assert labels["aden_decision_reason"] == "exhausted"
    assert value == 2


def test_lost_telemetry_is_told_by_its_cause(scraped: Scraped) -> None:
    """The server that stands in for Aden's takes no spans, nor metrics a second later."""
    found = scraped.prometheus.query(QUERIES["Telemetry lost A"])

    lost = {(each["aden_telemetry_signal"], each["aden_telemetry_cause"]) for each, _ in found}
    assert ("traces", "http_404") in lost
    assert lost <= {("traces", "http_404"), ("metrics", "http_404")}


def test_queries_name_only_metrics_and_labels_that_aden_has() -> None:
    """So a name that changes in Aden has to change here too."""
    told = {each for name, each in vars(names).items() if name.isupper() and isinstance(each, str)}
    metrics = "|".join(
        each.replace(".", "_") for name, each in vars(names).items() if name.startswith("METRIC_")
    )
    labels = {each.replace(".", "_") for each in told}
    metric = re.compile(rf"({metrics})(_seconds)?(_total|_bucket|_sum|_count|\(_ratio\))?")

    for expression in QUERIES.values():
        for word in re.findall(r"\b(?:aden|gen_ai|error)_\w+(?:\(_ratio\))?", expression):
            assert word in labels or metric.fullmatch(word), word


def test_no_query_leaves_out_what_a_new_series_begins_with() -> None:
    """Wherever something is counted, as `test_totals` shows it."""
    for expression in QUERIES.values():
        assert "rate(" not in expression
        for counter, window in re.findall(r"increase\(([^\[]+)\[(\w+)\]\)", expression):
            assert f"({counter} unless {counter} offset {window}) or increase(" in expression


def test_each_panel_has_a_title_a_description_and_a_place_of_its_own() -> None:
    """No two overlap."""
    panels = dashboard()["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in panels)
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)


def test_no_variable_of_grafana_is_left_that_the_tests_do_not_know() -> None:
    """Else a query here is not the one there."""
    assert not [each for each in QUERIES.values() if "$" in each]
