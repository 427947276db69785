"""``opentelemetry-instrument python agent.py``: gated without a line of code, wherever it asks."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aden.testing import OpenAIServer
from otlp_sink import OTLPSink

Launch = Callable[..., "subprocess.CompletedProcess[str]"]
PLACES = ("main", "loop", "fork-on-loop", "thread", "fork", "forkserver", "spawn")


def test_every_kind_of_process_and_thread_is_gated(
    launch: Launch, server: OpenAIServer, spent_budget: str
) -> None:
    """Nothing reaches the provider; multiprocessing's fork server gets no thread of ours."""
    done = launch(*PLACES, ADEN_BUDGETS=spent_budget)

    assert done.stdout.splitlines() == [
        "main refused exhausted",
        "loop refused exhausted",
        "fork-on-loop refused exhausted",
        "thread refused exhausted",
        "fork refused exhausted",
        "forkserver refused exhausted",
        "helper threads 1",
        "spawn refused exhausted",
    ]
    assert server.bill.items == ()


def test_the_fork_server_gets_no_sdk_although_something_is_to_be_sent(
    launch: Launch, server: OpenAIServer
) -> None:
    """Providers are built in the child, which also exports what it did before it ends."""
    with OTLPSink() as sink:
        done = launch("forkserver", "fork", "main", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert "helper threads 1" in done.stdout
        assert done.stdout.count("answered True") == 3
        deadline = time.monotonic() + 5
        while len([span for span in sink.spans if span.name == "chat gpt-4o"]) < 3:
            assert time.monotonic() < deadline, sink.spans
            time.sleep(0.02)
    assert len(server.bill.items) == 3


@pytest.mark.parametrize(("fail_open", "ending"), [("false", "refused"), ("true", "answered")])
def test_a_wrong_setting_is_no_way_around(launch: Launch, fail_open: str, ending: str) -> None:
    """OpenTelemetry would swallow an exception and run the application ungated."""
    done = launch("main", "spawn", ADEN_MODE="enforced", ADEN_FAIL_OPEN=fail_open)

    assert done.stdout.count(ending) == 2
    assert "ADEN_MODE='enforced'" in done.stderr
    if ending == "refused":
        assert "main refused misconfigured" in done.stdout


def test_a_key_is_not_sent_in_the_clear_and_not_shown(launch: Launch) -> None:
    """Nor is anything sent elsewhere instead."""
    done = launch("main", ADEN_API_URL="http://192.0.2.1:9", ADEN_API_KEY="sk-secret-1")
    assert "main refused misconfigured" in done.stdout
    assert "not sent in the clear" in done.stderr
    assert "sk-secret-1" not in done.stdout + done.stderr


def test_opentelemetrys_own_switches_hold(launch: Launch, spent_budget: str) -> None:
    """The instrumentor is turned off by its name; a disabled SDK is no way past a budget."""
    off = launch(
        "main", ADEN_BUDGETS=spent_budget, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="aden,openai"
    )
    assert "main answered True" in off.stdout
    disabled = launch("main", ADEN_BUDGETS=spent_budget, OTEL_SDK_DISABLED="true")
    assert "main refused exhausted" in disabled.stdout


def test_a_configuration_file_that_cannot_be_used_leaves_the_gate(
    launch: Launch, spent_budget: str, tmp_path: Path
) -> None:
    """OTEL_CONFIG_FILE needs a package of its own; without it there is no SDK, said once."""
    file = tmp_path / "otel.yaml"
    file.write_text("file_format: '1.0'\n")
    done = launch("main", ADEN_BUDGETS=spent_budget, OTEL_CONFIG_FILE=str(file))
    assert "main refused exhausted" in done.stdout
    assert "telemetry could not be set up" in done.stderr


OTHER_DISTRO = """
from opentelemetry import trace
from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

class Distro(BaseDistro):
    def _configure(self, **kwargs):
        print("the other distro")

class Configurator:
    def configure(self, **kwargs):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        trace.set_tracer_provider(provider)
"""
ENTRY_POINTS = """
[opentelemetry_distro]
other = other_distro:Distro
[opentelemetry_configurator]
other = other_distro:Configurator
"""


def test_beside_another_distro_the_gate_attaches_to_its_provider(
    launch: Launch, spent_budget: str, tmp_path: Path
) -> None:
    """Whichever OpenTelemetry finds first: the budget holds, and the span is on their console."""
    package = tmp_path / "other"
    (package / "other_distro-1.0.dist-info").mkdir(parents=True)
    (package / "other_distro.py").write_text(OTHER_DISTRO)
    (package / "other_distro-1.0.dist-info" / "METADATA").write_text("Name: other-distro\n")
    (package / "other_distro-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])

    done = launch(
        "main",
        ADEN_BUDGETS=spent_budget,
        PYTHONPATH=path,
        OTEL_PYTHON_DISTRO="other",
        OTEL_PYTHON_CONFIGURATOR="other",
    )

    assert done.stdout.startswith("the other distro")
    assert "main refused exhausted" in done.stdout
    assert '"aden.decision.reason": "exhausted"' in done.stdout


def test_a_program_that_asks_no_model_pays_for_nothing(launch: Launch) -> None:
    """Not even the budgets are read before something that makes requests is imported."""
    done = launch(ADEN_BUDGETS="/nowhere")
    assert (done.returncode, done.stdout) == (0, "")
    assert "/nowhere" not in done.stderr
