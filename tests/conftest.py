"""What most tests need: a local provider, and this process instrumented for one test."""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import aden
from aden.testing import OpenAIServer
from house import House

# Nothing leaves this machine: reading the system's authorities takes each client 40 to 90 ms.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("authority.pem"))
settings.register_profile("aden", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aden")  # how fast examples are made says something of the machine only


def pytest_collection_finish() -> None:
    """Five thousand tests and what they import are not looked at by each collection."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passed when it was run again tells why it failed before."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"{report.nodeid} failed at first")
        terminalreporter.line(report.longreprtext)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A local OpenAI-compatible server that answers at once and keeps an exact bill."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=0) as running:
        yield running


@pytest.fixture
def instrumented(server: OpenAIServer) -> Iterator[Callable[..., House]]:
    """Instrument this process until the test ends.

    ``house = instrumented(budgets=[…], before_request=…)``; ``tracer_provider`` and
    ``meter_provider`` replace the house's own.
    """

    def start(tracer_provider: Any = None, meter_provider: Any = None, **options: Any) -> House:
        house = House(server, tracer_provider=tracer_provider, meter_provider=meter_provider)
        return house.start(**options)

    yield start
    aden.AdenInstrumentor().uninstrument()
    aden.uninstrument()


@pytest.fixture
def complaints(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What Aden has logged as errors so far: ``complaints()``."""

    def lines() -> list[str]:
        return [
            each.getMessage()
            for each in caplog.records
            if each.name.startswith("aden") and each.levelno >= logging.ERROR
        ]

    return lines
