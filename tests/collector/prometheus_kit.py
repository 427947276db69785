"""A real Prometheus for the tests, started and stopped by them, and promtool beside it."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTOR = Path(__file__).parents[2] / "collector"


def tool_or_skip(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; without it the test is skipped."""
    found = os.environ.get(name.upper()) or shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: install Debian's prometheus, or name one in {name.upper()}")
    return found


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana is given it."""
    text = (COLLECTOR / "grafana/dashboards/aden.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def queries() -> dict[str, str]:
    """Each query of each panel by the panel's title, over a window of an hour."""
    found = {}
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__range_s", "3600").replace("$__range", "1h")
            found[f"{panel['title']} {target['refId']}"] = expression
    return found


class Prometheus:
    """One server with our configuration, scraping another target.

    Args:
        directory: Where its configuration and data lie.
        target: What it scrapes in place of the collector, as ``host:port``.
    """

    def __init__(self, directory: Path, target: str) -> None:
        config = yaml.safe_load((COLLECTOR / "prometheus.yml").read_text())
        config["global"]["scrape_interval"] = "1s"
        config["scrape_configs"] = config["scrape_configs"][:1]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._url = f"http://{address}"
        self._process = subprocess.Popen(
            [
                tool_or_skip("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
                "--log.level=error",
            ]
        )

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait(5)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series that an expression has now: labels and value."""
        about = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{about}", timeout=5) as answer:
            data = json.load(answer)["data"]
        return [(each["metric"], float(each["value"][1])) for each in data["result"]]

    def wait_for(self, expression: str, value: float) -> None:
        """Wait until an expression has one series of that value, to nine digits."""
        deadline = time.monotonic() + 30
        seen: object = None
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "Prometheus does not run"
            try:
                seen = self.query(expression)
            except OSError as error:
                seen = error
            else:
                if len(seen) == 1 and seen[0][1] == pytest.approx(value, rel=1e-9):
                    return
            time.sleep(0.2)
        pytest.fail(f"{expression} is {seen} instead of {value}")
