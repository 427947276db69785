"""Processes that live for one call: their metrics add up to what the ledger says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aden.core.money import to_usd
from aden.ledger import open_ledger
from otlp_sink import OTLPSink

if TYPE_CHECKING:
    from aden.testing import OpenAIServer

PROGRAM = Path(__file__).parent / "programs" / "short_jobs.py"
JOBS = 90
AT_ONCE = 4


@pytest.mark.timeout(600)
def test_metrics_of_many_short_processes_add_up(server: OpenAIServer, tmp_path: Path) -> None:
    """Cost, tokens and decisions to the last call; as many series as models, not as processes."""
    budgets = tmp_path / "budgets.toml"
    budgets.write_text(
        '[[budget]]\nid = "all"\nlimit_usd = 100\n'
        '[[budget]]\nid = "each"\nlimit_usd = 1\nscope = { customer = "*" }\n'
    )
    url = f"sqlite://{tmp_path}/ledger.db"
    with OTLPSink() as sink:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OTEL_", "ADEN_"))
        } | {
            "ADEN_LEDGER": url,
            "ADEN_BUDGETS": str(budgets),
            "ADEN_FLUSH_TIMEOUT": "10",
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        }
        done = subprocess.run(
            [sys.executable, PROGRAM, server.base_url, str(JOBS), str(AT_ONCE)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    ledger = open_ledger(url)
    records = list(ledger.journal())
    ledger.close()
    calls = sum(1 + number % 3 for number in range(JOBS))
    assert len(records) == len(server.requests) == calls
    cost = to_usd(sum(record.cost for record in records))
    tokens = sum(
        (record.usage.input_tokens or 0) + (record.usage.output_tokens or 0) for record in records
    )
    assert abs(sink.total("aden.client.cost") - cost) <= cost / 100
    assert abs(sink.total("aden.client.decisions") - calls) <= calls / 100
    assert abs(sink.total("gen_ai.client.token.usage") - tokens) <= tokens / 100

    (resource,) = {tuple(sorted(each.items())) for each in sink.metric_resources}
    assert "service.instance.id" not in dict(resource)
    series = {(point.metric, *sorted(point.attributes.items())) for point in sink.points}
    assert len(series) <= 60, sorted(series)
    said = {str(value) for *_, attributes in series for value in attributes}
    numbered = ("customer-", "session-", "user-", "user_")
    assert not [each for each in said if any(word in each for word in numbered)]
