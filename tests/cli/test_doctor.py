"""`aden doctor` and ``ADEN_DOCTOR``: as users run them, against endpoints that go wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aden
from aden.doctor.configuration import masked
from aden.doctor.dry_call import dry_call
from aden.doctor.endpoints import WAIT_S
from aden.doctor.gate import gate
from aden.doctor.opentelemetry import opentelemetry
from aden.instrumentation.openai import OPENAI
from aden.ledger import open_ledger
from aden.runtime import current_runtime
from endpoints import Endpoint, Mute, always, nobody
from otlp_sink import OTLPSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

    Run = Callable[..., "subprocess.CompletedProcess[str]"]

KEY = "sk-secret-4711"
DOCTOR = (sys.executable, "-m", "aden", "doctor", "--json")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command with variables, a budget and a ledger of its own."""
    budgets = tmp_path / "budgets.toml"
    budgets.write_text('[[budget]]\nid = "calls"\nlimit_usd = 5\n')

    def start(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OTEL_", "ADEN_"))
        }
        ours = {"ADEN_LEDGER": f"sqlite://{tmp_path}/ledger.db", "ADEN_BUDGETS": str(budgets)}
        return subprocess.run(
            command,
            env={**inherited, **ours, **variables},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return start


def found(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """The findings of a report, by part and name."""
    report = json.loads(done.stdout)
    return {(each["part"], each["what"]): each for each in report["findings"]}


def test_where_all_is_well_it_says_so_and_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    """The gate is proved by refused requests, each endpoint by a request; nothing is booked."""
    with OTLPSink() as sink:
        done = run(*DOCTOR, ADEN_API_URL=sink.url, ADEN_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    findings = found(done)
    assert {each["level"] for each in findings.values()} == {"ok"}
    dry = findings["gate", "dry call"]["facts"]
    assert dry["sent"] is False
    assert set(dry["calls"].values()) == {"refused"}
    assert len(dry["calls"]) == 5
    assert [span.name for span in sink.spans] == ["aden doctor"]
    assert sink.authorizations == {f"Bearer {KEY}"}
    assert findings["endpoints", "traces to aden"]["facts"]["cause"] is None
    livekit = findings["coverage", "livekit-agents"]["said"]
    assert ("may freeze" in livekit) == (sys.version_info < (3, 12))
    assert findings["ledger", "place"]["facts"]["reach"] == "host"
    assert 0 < findings["ledger", "answers"]["facts"]["median_ms"] < 50
    assert findings["policy", "in force"]["facts"]["budgets"] == ["calls"]
    assert findings["policy", "in force"]["facts"]["source"].endswith("budgets.toml")
    assert findings["policy", "in force"]["facts"]["age_s"] < 90
    processors = findings["opentelemetry", "tracer provider"]["facts"]["parts"]
    assert any("OTLPSpanExporter" in each for each in processors)
    assert "BudgetSpanProcessor" in processors
    assert findings["configuration", "ADEN_API_KEY"]["said"] == "***"
    assert KEY not in done.stdout
    ledger = open_ledger(f"sqlite://{tmp_path}/ledger.db")
    assert (list(ledger.journal()), ledger.accounts(), ledger.holds()) == ([], (), ())
    ledger.close()


def test_what_endpoints_answer_is_told_in_bounded_time(run: Run) -> None:
    """One that is silent, one that is not there, one that does not accept the key."""
    with Mute() as mute, Endpoint(always(401)) as refusing:
        began = time.monotonic()
        done = run(
            *DOCTOR,
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{refusing.url}/v1/traces",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{mute}/v1/metrics",
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{nobody()}/v1/logs",
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer {KEY}",
        )
        took = time.monotonic() - began
    assert done.returncode == 2
    assert took < WAIT_S + 30  # Python and two SDKs start on a busy machine
    findings = {what: each for (part, what), each in found(done).items() if part == "endpoints"}
    assert {each["level"] for each in findings.values()} == {"failure"}
    assert findings["traces to otlp"]["facts"]["cause"] == "http_401"
    assert "OTEL_EXPORTER_OTLP_HEADERS" in findings["traces to otlp"]["said"]
    assert "did not take it within 5 s" in findings["metrics to otlp"]["said"]
    assert "cannot be reached" in findings["logs to otlp"]["said"]
    assert KEY not in done.stdout + done.stderr


def test_a_partial_success_is_no_success(run: Run) -> None:
    """OpenTelemetry's own exporters do not mention it."""
    body = json.dumps({"partialSuccess": {"rejectedSpans": 1, "errorMessage": "no such tenant"}})
    answer = always(200, body.encode(), content_type="application/json")
    with Endpoint(answer) as endpoint:
        done = run(*DOCTOR, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{endpoint.url}/v1/traces")
    assert done.returncode == 2
    assert "rejected 1: no such tenant" in found(done)["endpoints", "traces to otlp"]["said"]


def test_a_wrong_setting_and_a_ledger_that_is_down_are_failures(run: Run) -> None:
    """And neither ends the examination; a typo is a warning."""
    down = run(*DOCTOR, ADEN_LEDGER="redis://:pass-4711@127.0.0.1:1/0", ADEN_BUDGET="x")
    assert down.returncode == 2
    findings = found(down)
    failed = [key for key, each in findings.items() if each["level"] == "failure"]
    assert failed == [("ledger", "answers")]
    assert findings["configuration", "ADEN_BUDGET"]["level"] == "warning"
    assert "pass-4711" not in down.stdout + down.stderr

    wrong = run(*DOCTOR, ADEN_BUDGETS="/nowhere.toml")
    assert wrong.returncode == 2
    assert "/nowhere.toml" in found(wrong)["gate", "settings"]["said"]
    assert found(wrong)["policy", "in force"]["said"] == "not known: a setting is wrong, see gate"


def test_without_budgets_it_warns(run: Run) -> None:
    """A gate that limits nothing is most likely not what was meant; for people as text."""
    done = run(*DOCTOR[:-1], ADEN_BUDGETS="", ADEN_LEDGER="", ADEN_MODE="observe")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[-1] == "0 failure(s), 2 warning(s)"
    assert [line.split()[1] for line in lines if line.startswith("  WARN")] == ["mode", "in"]


def test_a_ledger_that_a_container_takes_along_is_a_warning(run: Run, tmp_path: Path) -> None:
    """In the words of a worker's log; a place that somebody chose is none."""
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "XDG_STATE_HOME": str(tmp_path)}
    done = run(*DOCTOR, ADEN_LEDGER="", **pod)
    assert done.returncode == 1, done.stdout
    doubt = found(done)["ledger", "lasts"]
    assert doubt["level"] == "warning"
    assert f"{tmp_path}/aden/ledger.db is lost with this container" in doubt["said"]
    assert "ADEN_LEDGER" in doubt["said"]

    worker = run(sys.executable, "-c", "import aden; aden.instrument()", ADEN_LEDGER="", **pod)
    assert f"aden: {doubt['said'].removeprefix('no: ')}" in worker.stderr.splitlines()
    assert ("ledger", "lasts") not in found(run(*DOCTOR, **pod))


def test_a_model_of_a_ladder_without_a_price_is_a_warning(run: Run, tmp_path: Path) -> None:
    """With the budget, the model and the way to a price; a price makes it well."""
    step = '[[budget.ladder]]\naction = "degrade"\nat = 80\nto = "house-model"\n'
    (tmp_path / "ladder.toml").write_text(f'[[budget]]\nid = "calls"\nlimit_usd = 5\n{step}')
    ladder = {"ADEN_BUDGETS": str(tmp_path / "ladder.toml")}
    done = run(*DOCTOR, **ladder)
    assert done.returncode == 1, done.stdout
    doubt = found(done)["policy", "unknown price"]
    assert doubt["level"] == "warning"
    assert "budget 'calls' degrades to 'house-model'" in doubt["said"]
    assert "`aden prices house-model` says how to name its price" in doubt["said"]

    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nprovider = "openai"\nmodel = "house-model"\nfree = true\n')
    assert run(*DOCTOR, ADEN_PRICES=str(prices), **ladder).returncode == 0


def test_a_worker_says_once_what_is_in_force_in_it(run: Run) -> None:
    """On its error stream, without the dry call, also where it ends at once."""
    program = "import aden; aden.instrument(); aden.instrument(fail_open=True); print('work')"
    with OTLPSink() as sink:
        done = run(
            sys.executable,
            "-c",
            program,
            ADEN_DOCTOR="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            OTEL_RESOURCE_ATTRIBUTES="service.name=hotel",
            OTEL_TRACES_SAMPLER="always_off",
        )
    assert (done.returncode, done.stdout) == (0, "work\n")
    assert done.stderr.count("failure(s), ") == done.stderr.count("0 failure(s), ") == 1
    assert done.stderr.count(" took it in ") == 3
    assert [span.name for span in sink.spans] == ["aden doctor"]
    assert "in force" in done.stderr
    assert "dry call" not in done.stderr


def test_under_the_zero_code_launch_it_says_who_launched(run: Run) -> None:
    """And which distro was chosen among those that are installed."""
    launcher = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    done = run(
        launcher,
        *DOCTOR,
        OTEL_PYTHON_DISTRO="aden",
        OTEL_PYTHON_CONFIGURATOR="aden",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    findings = found(done)
    assert findings["opentelemetry", "launched"]["facts"]["auto_instrumentation"] is True
    assert findings["opentelemetry", "distro"]["said"].startswith("aden (aden-py")
    assert "aden" in findings["opentelemetry", "instrumentors"]["facts"]["active"]


def test_wrappers_that_somebody_took_off_are_found_out(instrumented: Callable[..., House]) -> None:
    """By looking, and by a request that reached a socket."""
    instrumented()
    runtime = current_runtime()
    assert runtime is not None
    subject = runtime.subject()
    assert {each.level for each in [*gate(subject), *dry_call(subject)]} == {"ok"}
    OPENAI.undo()
    try:
        (unwrapped,) = [each for each in gate(subject) if each.level == "failure"]
        assert "Completions.create" in unwrapped.said
        (tried,) = dry_call(subject)
        assert (tried.level, tried.facts["sent"]) == ("failure", True)
    finally:
        OPENAI.apply()
    assert {each.level for each in dry_call(subject)} == {"ok"}
    aden.AdenInstrumentor().uninstrument()
    assert next(each.what for each in gate(subject) if each.level == "failure") == "in force"


def test_the_dry_call_leaves_the_gate_as_it_was(instrumented: Callable[..., House]) -> None:
    """The budgets in force have seen nothing of it."""
    house = instrumented(budgets=[aden.Budget("all", 1)])
    runtime = current_runtime()
    assert runtime is not None
    list(dry_call(runtime.subject()))
    assert house.settled(0) == ()
    assert house.spans == ()


def test_whose_the_providers_are_and_what_they_lead_to(
    instrumented: Callable[..., House],
) -> None:
    """Those that the application handed over, with what it has put on them, its own parts too."""
    instrumented()
    runtime = current_runtime()
    assert runtime is not None
    findings = {each.what: each for each in opentelemetry(runtime.subject())}
    tracer, meter = findings["tracer provider"], findings["meter provider"]
    assert {tracer.level, meter.level} == {"ok"}
    assert tracer.said.startswith("the application's (opentelemetry.sdk.trace.TracerProvider)")
    assert tracer.facts["parts"] == [
        "SimpleSpanProcessor → InMemorySpanExporter",
        "OpenSpans (of house)",
        "BudgetSpanProcessor",
    ]
    assert meter.facts["parts"] == ["InMemoryMetricReader"]
    assert findings["logger provider"].said.startswith("none is set")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("ADEN_API_KEY", "abc", "***"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,c=d", "***"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b", "***"),
        ("ADEN_LEDGER", "redis://u:p%40@host:1/0?password=x", "redis://***@host:1/0?password=***"),
        ("ADEN_LEDGER", "redis://u:p%40@host/0", "redis://***@host/0"),
        ("ADEN_LEDGER", "sqlite:///var/lib/l.db?journal=5", "sqlite:///var/lib/l.db?journal=5"),
        ("ADEN_API_URL", "https://host/path", "https://host/path"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "***"),
        ("ADEN_MODE", "observe", "observe"),
    ],
)
def test_what_is_secret_is_masked(name: str, value: str, shown: str) -> None:
    """Keys, headers, and what URLs carry of them."""
    assert masked(name, value) == shown
