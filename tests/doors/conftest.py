"""A launch by OpenTelemetry's own command, as a platform team makes it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from aden.testing import OpenAIServer

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """The provider."""
    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as running:
        yield running


@pytest.fixture
def launch(
    server: OpenAIServer, tmp_path: Path
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run ``opentelemetry-instrument python calls.py PLACE …`` with environment variables."""
    if not any(each.name == "aden" for each in entry_points(group="opentelemetry_distro")):
        pytest.fail("aden-py is not installed in this environment: pip install -e .")
    command = Path(sys.executable).with_name("opentelemetry-instrument")

    def run(*places: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OTEL_", "ADEN_"))
        }
        environment |= {
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "k",
            "ADEN_LEDGER": f"sqlite://{tmp_path}/ledger.db",
            "OTEL_PYTHON_DISTRO": "aden",
            "OTEL_PYTHON_CONFIGURATOR": "aden",
            # The official instrumentor, which tests need elsewhere, would import the SDK at once.
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "openai",
            "ADEN_FLUSH_TIMEOUT": "20",
            **variables,
        }
        return subprocess.run(
            [command, sys.executable, PROGRAMS / "calls.py", *places],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def spent_budget(tmp_path: Path) -> str:
    """Path of a budget file that lets nothing through."""
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\nid = "all"\nlimit_usd = 0\n')
    return str(path)
