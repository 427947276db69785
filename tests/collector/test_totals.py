"""How the dashboard sums up a counter, in simulated hours, by Prometheus' own test tool."""

import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_kit import COLLECTOR, queries, tool_or_skip

SPEND = queries()["Spend today A"]
"""Over a window of an hour."""


def promtool(*arguments: str | Path) -> str:
    """Run it; what it complains of is in the error."""
    done = subprocess.run(
        [tool_or_skip("promtool"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("samples", "dollars"),
    [
        pytest.param("5+1x180", 60, id="what-an-old-series-gained"),
        pytest.param("_x150 7+0x30", 7, id="all-of-a-series-whose-first-value-came-in-the-window"),
        pytest.param("7+0x180", 0, id="nothing-of-a-series-that-stood-still"),
        pytest.param("5+1x150 1+1x29", 60, id="both-sides-of-a-restart"),
    ],
)
def test_spend_of_an_hour_is(tmp_path: Path, samples: str, dollars: int) -> None:
    """Of the hour that ends where the samples do."""
    case = {
        "interval": "1m",
        "input_series": [{"series": "aden_client_cost_total", "values": samples}],
        "promql_expr_test": [
            {
                "expr": f"round({SPEND}, 0.000001)",
                "eval_time": "3h",
                "exp_samples": [{"labels": "{}", "value": dollars}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))

    promtool("test", "rules", file)


def test_increase_alone_would_lose_what_a_new_series_begins_with(tmp_path: Path) -> None:
    """Why the queries are as they are: this one shows nothing of seven dollars."""
    case = {
        "interval": "1m",
        "input_series": [{"series": "aden_client_cost_total", "values": "_x150 7+0x30"}],
        "promql_expr_test": [
            {
                "expr": "sum(increase(aden_client_cost_total[1h]))",
                "eval_time": "3h",
                "exp_samples": [{"labels": "{}", "value": 0}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))

    promtool("test", "rules", file)


def test_prometheus_accepts_its_configuration() -> None:
    """Debian's 2.42 does; what only 3.x knows is not in it."""
    assert "SUCCESS" in promtool("check", "config", COLLECTOR / "prometheus.yml")
