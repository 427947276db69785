"""LiveKit's cloud records a job: it gets what it would get without Aden, and so do we."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from control_plane import FAILED, SUCCESS, ControlPlane
from workers import PROGRAMS, Home, Worker

from aden.core.record import CallRecord
from aden.instrumentation.livekit.providers import records_to_cloud
from aden.testing import OpenAIServer
from otlp_sink import OTLPSink, Seen

BUDGETS = """\
[[budget]]
id = "calls"
limit_usd = "1"

[[budget]]
id = "poor"
limit_usd = 0
scope = {customer = "poor"}
"""
SECRET = "walnut"
AFTER = "after the session"

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Recorded:
    """What arrived of one job, here and there."""

    order: str
    ours: OTLPSink
    cloud: OTLPSink
    calls: tuple[CallRecord, ...]


def _requests(sink: OTLPSink) -> list[Seen]:
    return [span for span in sink.spans if span.name == "llm_request"]


@pytest.fixture(scope="module", params=["prewarm", "before the session", AFTER])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """A job that was recorded; Aden was set up at three different moments."""
    path: Path = tmp_path_factory.mktemp("recorded")
    job = "AJ_recorded"
    with OpenAIServer() as provider, ControlPlane() as plane, OTLPSink() as ours:
        with OTLPSink() as cloud:
            home = Home(path, provider, BUDGETS)
            variables = {
                **home.environment,
                **plane.environment,
                "OTEL_EXPORTER_OTLP_ENDPOINT": ours.url,
                "LIVEKIT_OBSERVABILITY_URL": cloud.url,
                "ADEN_ON_REFUSAL": "raise",
                "AGENT_PREWARMS": "1" if request.param == "prewarm" else "",
            }
            with Worker(PROGRAMS / "recorded_agent.py", path, variables) as worker:
                plane.wait_for_worker()
                plane.dispatch(job, request.param, recorded=True)
                assert plane.wait_for(job, SUCCESS, FAILED, timeout_s=100) == SUCCESS
                assert worker.terminate(100) == 0
        yield Recorded(request.param, ours, cloud, home.journal())


def test_the_cloud_gets_the_whole_trace(recorded: Recorded) -> None:
    """In either order; the spans that LiveKit had begun before are its alone."""
    (trace,) = {span.trace_id for span in recorded.cloud.spans if span.name == "job_entrypoint"}
    whole = {span.name for span in recorded.cloud.spans if span.trace_id == trace}
    assert {"job_entrypoint", "agent_session", "agent_turn", "llm_request"} <= whole
    assert len(_requests(recorded.cloud)) == 2


def test_we_get_the_requests_with_their_cost(recorded: Recorded) -> None:
    """One that was answered, one that was refused."""
    costs = [span.attributes["aden.cost.usd"] for span in _requests(recorded.ours)]
    assert len(recorded.calls) == 2
    assert sorted(costs) == sorted(call.cost / 1e9 for call in recorded.calls)
    if recorded.order != AFTER:
        assert "agent_session" in {span.name for span in recorded.ours.spans}


def test_the_cloud_gets_its_logs_and_the_session_s_report(recorded: Recorded) -> None:
    """What was said stands in the report; it is LiveKit's to keep."""
    assert "the agent asks" in recorded.cloud.lines
    assert "the agent is refused" in recorded.cloud.lines
    assert "session report" in recorded.cloud.lines
    assert SECRET in str(recorded.cloud.events)


def test_what_was_said_does_not_leave_through_our_exporters(recorded: Recorded) -> None:
    """LiveKit would hand its report to a logger provider of ours if it found one."""
    assert SECRET not in str(recorded.ours.events)
    assert SECRET not in str([span.attributes for span in recorded.ours.spans])
    events = [name for name, _ in recorded.ours.events]
    assert "aden.refusal" in events
    assert all(name.startswith("aden.") for name in events)


def test_the_cloud_gets_livekits_metrics_and_we_get_ours(recorded: Recorded) -> None:
    """Our meter provider is private: the global one is LiveKit's, and its alone."""
    theirs = {point.metric for point in recorded.cloud.points}
    assert "lk.agents.usage.llm_output_tokens" in theirs
    assert not [name for name in theirs if name.startswith("aden.")]
    spent = sum(call.cost for call in recorded.calls) / 1e9
    assert recorded.ours.total("aden.client.cost") == pytest.approx(spent, rel=1e-9)
    tokens = [p for p in recorded.ours.points if p.metric == "gen_ai.client.token.usage"]
    (answered,) = [call for call in recorded.calls if call.usage.output_tokens]
    told = {point.attributes["gen_ai.token.type"]: point.value for point in tokens}
    assert told["output"] == answered.usage.output_tokens


@pytest.mark.parametrize(
    ("variables", "records"),
    [
        ({}, False),
        ({"LIVEKIT_URL": "ws://127.0.0.1:7880"}, False),
        ({"LIVEKIT_URL": "wss://livekit.cloud.example"}, False),
        ({"LIVEKIT_URL": "wss://hotel-1234.livekit.cloud"}, True),
        ({"LIVEKIT_URL": "wss://hotel.livekit.run/"}, True),
        ({"LIVEKIT_URL": "wss://[broken"}, False),
        ({"LIVEKIT_OBSERVABILITY_URL": "https://example.com"}, True),
    ],
)
def test_where_livekit_would_record_is_read_from_its_own_variables(
    variables: dict[str, str], records: bool
) -> None:
    """As LiveKit reads them for a job."""
    assert records_to_cloud(variables) is records
