"""`aden.livekit.prewarm`: settings from the environment, and law 9: never an exception."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_plane import ControlPlane
from jobs import in_a_job
from lane_kit import Lane, until
from livekit.agents import JobContext
from test_heard import call
from workers import OURS, PROGRAMS, Home, Worker, wait_until

import aden
import aden.livekit
from aden import RequestCancelledError
from aden.budgets.heard import DEFAULT_MESSAGE
from aden.runtime import current_runtime
from aden.testing import OpenAIServer
from otlp_sink import OTLPSink

BROKEN = [
    pytest.param("ADEN_BUDGETS", "{tmp}/nowhere.toml", "ADEN_BUDGETS", id="no budgets file"),
    pytest.param("ADEN_BUDGETS", "{tmp}/broken.toml", "limit_usd", id="budget without a limit"),
    pytest.param(
        "ADEN_LEDGER", "sqlite:////proc/aden/ledger.db", "ADEN_LEDGER", id="ledger's place"
    ),
    pytest.param("ADEN_LEDGER", "postgres://somewhere", "ADEN_LEDGER", id="ledger's kind"),
    pytest.param("ADEN_MODE", "nonsense", "ADEN_MODE", id="mode"),
    pytest.param("ADEN_FAIL_OPEN", "perhaps", "ADEN_FAIL_OPEN", id="fail open"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment without anything of ours; what prewarm put in force is taken back."""
    for name in os.environ:
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    (tmp_path / "broken.toml").write_text('[[budget]]\nid = "calls"\n')
    yield monkeypatch
    aden.uninstrument()


@pytest.mark.parametrize(("name", "value", "named"), BROKEN)
async def test_a_wrong_setting_arms_the_gate_and_names_itself_in_each_refusal(
    name: str,
    value: str,
    named: str,
    lane: Lane,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Nothing is raised in prewarm, and nothing gets through."""
    environment.setenv(name, value.format(tmp=tmp_path))
    aden.livekit.prewarm()
    async with lane.session() as session:
        for _ in range(2):
            with pytest.raises(RequestCancelledError) as refusal:
                await session.run(user_input="Hello?")
            assert refusal.value.reason == "misconfigured"
            assert named in str(refusal.value)
            assert value.format(tmp=tmp_path).rpartition("/")[2].split(".")[0] in str(refusal.value)
    assert lane.asked == 0


async def test_a_caller_hears_the_refusal_of_a_gate_that_could_not_be_set_up(
    lane: Lane, environment: pytest.MonkeyPatch
) -> None:
    """A running turn's speech is borne as on any other gate: neither mute nor deaf."""
    environment.setenv("ADEN_MODE", "nonsense")
    aden.livekit.prewarm()
    async with call(lane, listens=True) as line:
        await line.spoken_turn()
        await until(lambda: line.voice.said() == DEFAULT_MESSAGE)
        assert [type(each.error).__name__ for each in line.errors] == ["LLMError"]
    assert lane.asked == 0


async def test_a_gate_that_could_not_be_set_up_has_the_operator_s_words_for_a_caller(
    lane: Lane, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is another setting that is wrong."""
    environment.setenv("ADEN_BUDGETS", str(tmp_path / "broken.toml"))
    environment.setenv("ADEN_REFUSAL_MESSAGE", "Gerade nicht.")
    aden.livekit.prewarm()
    async with call(lane) as line:
        await line.turn()
        assert line.voice.spoken == ["Gerade nicht."]


async def test_a_job_s_bill_names_what_a_gate_that_could_not_be_set_up_refused(
    lane: Lane, environment: pytest.MonkeyPatch
) -> None:
    """Its budget changes nothing about that."""
    environment.setenv("ADEN_MODE", "nonsense")
    aden.livekit.prewarm()

    async def work(ctx: JobContext) -> None:
        budget = aden.livekit.session_budget(ctx, "1")
        async with lane.session() as session:
            with pytest.raises(RequestCancelledError) as refusal:
                await session.run(user_input="Hello?")
        assert refusal.value.reason == "misconfigured"
        aden.flush()
        assert budget.bill.total.refused == 1

    await in_a_job(work)
    assert lane.asked == 0


@pytest.mark.parametrize(("name", "value", "named"), BROKEN[:-1])
async def test_with_fail_open_a_wrong_setting_lets_requests_through(
    name: str,
    value: str,
    named: str,
    lane: Lane,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The operator asked for it; the log says what is wrong and what is done about it."""
    environment.setenv(name, value.format(tmp=tmp_path))
    environment.setenv("ADEN_FAIL_OPEN", "true")
    aden.livekit.prewarm()
    async with lane.session() as session:
        await session.run(user_input="Hello?")
        await session.run(user_input="Hello again?")
    runtime = current_runtime()
    assert runtime is not None
    journal = list(runtime.meter.ledger.journal())
    assert lane.asked == len(journal) == 2
    assert sum(record.cost for record in journal) == lane.provider.bill.total_nano_usd
    said = [line for line in caplog.messages if "requests are let through" in line]
    assert len(said) == 1  # a line a minute, not one a request
    assert named in said[0]


async def test_prewarm_takes_its_settings_from_the_environment(
    lane: Lane, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Budgets and ledger as the variables say."""
    home = Home(tmp_path, lane.provider)
    for name, value in home.environment.items():
        environment.setenv(name, value)
    aden.livekit.prewarm()
    async with lane.session() as session:
        await session.run(user_input="Hello?")
    (record,) = home.journal()
    assert record.budget_id == "calls"
    assert record.cost == lane.provider.bill.total_nano_usd


async def test_prewarm_again_changes_nothing(
    lane: Lane, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """LiveKit's thread executor prewarms one process once for each job, while others run."""
    home = Home(tmp_path, lane.provider)
    for name, value in home.environment.items():
        environment.setenv(name, value)
    aden.livekit.prewarm()
    first = current_runtime()
    async with lane.session() as session:
        await session.run(user_input="Hello?")
        aden.livekit.prewarm()
        await session.run(user_input="Hello again?")
    again = current_runtime()
    assert first is not None
    assert again is not None
    assert again.meter.ledger is first.meter.ledger
    assert again.meter.dispatcher is first.meter.dispatcher
    assert again.meter.estimator is first.meter.estimator
    assert again.meter.leases is first.meter.leases
    assert again.meter.reserver.outage is first.meter.reserver.outage
    assert len(home.journal()) == lane.asked == 2
    assert sum(record.cost for record in home.journal()) == lane.provider.bill.total_nano_usd


def test_prewarm_takes_what_is_loaded_out_of_the_collectors_way_once(
    environment: pytest.MonkeyPatch,
) -> None:
    """A full collection would stop a call; what comes after belongs to calls, and is looked at."""
    environment.setenv("ADEN_LEDGER", "memory:")
    program = """
import gc, aden.livekit
frozen = [gc.get_freeze_count()]
for _ in range(2):
    aden.livekit.prewarm()
    frozen.append(gc.get_freeze_count())
print(*frozen, len(gc.get_objects()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    before, first, second, looked_at = map(int, done.stdout.split()[-4:])
    assert before == 0
    assert first >= second > 10_000 > looked_at


def test_a_job_process_with_a_wrong_setting_lives_and_refuses(
    provider: OpenAIServer, tmp_path: Path
) -> None:
    """LiveKit would kill a process whose prewarm raises; this one serves and says it."""
    home = Home(tmp_path, provider)
    with ControlPlane() as plane:
        variables = {**home.environment, **plane.environment, "ADEN_MODE": "nonsense"}
        with Worker(PROGRAMS / "refused_agent.py", tmp_path, variables) as worker:
            plane.wait_for_worker()
            plane.dispatch("AJ_refused")
            assert plane.wait_for("AJ_refused", "JS_SUCCESS", "JS_FAILED") == "JS_SUCCESS"
            assert "<refused: misconfigured: ADEN_MODE='nonsense' is not valid" in worker.output
    assert not [seen for seen in provider.requests if seen.path.endswith("/completions")]


def test_what_a_misconfigured_gate_lets_through_is_counted(
    provider: OpenAIServer, tmp_path: Path
) -> None:
    """Each such request counts as a failure of the configuration, at the operator's collector."""
    home = Home(tmp_path, provider)
    with ControlPlane() as plane, OTLPSink() as sink:
        variables = {
            **home.environment,
            **plane.environment,
            "ADEN_MODE": "nonsense",
            "ADEN_FAIL_OPEN": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        }
        with Worker(PROGRAMS / "refused_agent.py", tmp_path, variables) as worker:
            plane.wait_for_worker()
            plane.dispatch("AJ_answered")
            assert plane.wait_for("AJ_answered", "JS_SUCCESS", "JS_FAILED") == "JS_SUCCESS"
            assert "<answered>" in worker.output
            wait_until(lambda: sink.trace("AJ_answered"), 10, "no trace", worker)
        failures = [point for point in sink.points if point.metric == "aden.gate.failures"]
        assert sum(point.value for point in failures) == 1
        assert {point.attributes["aden.gate.leg"] for point in failures} == {"configuration"}
        cost = provider.bill.total_nano_usd / 1e9
        assert sink.total("aden.client.cost") == pytest.approx(cost, rel=1e-9)
