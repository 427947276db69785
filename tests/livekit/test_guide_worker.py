"""The guide's agent as a user runs it: ``python examples/livekit_voice_agent.py start``.

One worker, two jobs in two processes, against a local provider, LiveKit server and collector.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from control_plane import SUCCESS, ControlPlane
from workers import ROOT, Home, Worker, wait_until

from aden.core.money import format_usd
from aden.core.record import CallRecord
from aden.testing import Bill, OpenAIServer
from otlp_sink import OTLPSink, Seen

EXAMPLE = ROOT / "examples" / "livekit_voice_agent.py"
JOBS = ("AJ_one", "AJ_two")
LINE = re.compile(r"^\[aden\] .*$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What a worker's life left behind."""

    status: dict[str, str]
    exit_code: int
    output: str
    journal: tuple[CallRecord, ...]
    bill: Bill
    sink: OTLPSink


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Start the worker, give it two jobs at once, end it with SIGTERM."""
    path: Path = tmp_path_factory.mktemp("guide")
    with OpenAIServer() as provider, ControlPlane() as plane, OTLPSink() as sink:
        home = Home(path, provider)
        variables = {
            **home.environment,
            **plane.environment,
            "ADEN_API_URL": sink.url,
            "ADEN_API_KEY": "sk-aden-test",
            "AGENT_TEXT_ONLY": "1",
        }
        with Worker(EXAMPLE, path, variables) as worker:
            plane.wait_for_worker()
            for job in JOBS:
                plane.dispatch(job)
            status = {job: plane.wait_for(job, SUCCESS, "JS_FAILED") for job in JOBS}
            exit_code = worker.terminate()
            wait_until(lambda: all(sink.trace(job) for job in JOBS), 10, "no trace", worker)
            yield Run(status, exit_code, worker.output, home.journal(), provider.bill, sink)


def test_both_jobs_succeed_and_the_worker_ends_cleanly(run: Run) -> None:
    """The LiveKit server hears of success, and SIGTERM ends the worker with 0."""
    assert run.status == dict.fromkeys(JOBS, SUCCESS)
    assert run.exit_code == 0
    assert "Traceback" not in run.output


def test_each_job_runs_in_a_process_of_its_own_and_books_in_the_shared_ledger(run: Run) -> None:
    """Two calls from two processes, on the account of their jobs, at what the provider bills."""
    assert {record.attribution.session_id for record in run.journal} == set(JOBS)
    assert len({record.pid for record in run.journal}) == len(run.journal) == 2
    assert {record.attribution.agent for record in run.journal} == {"my-agent"}
    assert sum(record.cost for record in run.journal) == run.bill.total_nano_usd


def test_each_call_prints_one_line_on_the_console(run: Run) -> None:
    """The guide's console emitter works in job processes, to the last line."""
    lines = LINE.findall(run.output)
    assert len(lines) == 2
    for record in run.journal:
        (line,) = [line for line in lines if f"{record.attribution.session_id}/" in line]
        assert f"/{record.pid}" in line
        assert "gpt-4o-mini" in line
        assert "of calls" in line


def test_the_trace_of_a_job_is_one_tree_with_the_job_as_its_root(run: Run) -> None:
    """Nothing is lost at a job's end, root span included, and no parent is missing."""
    for job in JOBS:
        spans = {span.span_id: span for span in run.sink.trace(job)}
        names = [span.name for span in spans.values()]
        assert [span.name for span in spans.values() if not span.parent_id] == ["job_entrypoint"]
        assert all(span.parent_id in spans for span in spans.values() if span.parent_id)
        assert {"agent_session", "agent_turn", "llm_request", "job_shutdown"} <= set(names)
    assert {span.trace_id for span in run.sink.spans} == {
        span.trace_id for job in JOBS for span in run.sink.trace(job)
    }


def test_the_inference_span_of_each_job_carries_what_the_call_came_to(run: Run) -> None:
    """The figures on the exported span are those of the journal."""
    for record in run.journal:
        span = _request(run, str(record.attribution.session_id))
        assert span.attributes["aden.call.id"] == record.id
        assert span.attributes["aden.cost.usd"] == record.cost / 1e9
        assert span.attributes["aden.decision.action"] == "allow"
        assert span.attributes["aden.attribution.session_id"] == record.attribution.session_id
        assert span.attributes["gen_ai.usage.output_tokens"] == record.usage.output_tokens
        assert record.trace_id == span.trace_id


def test_the_bill_of_each_job_arrives_in_its_trace_and_stands_in_the_log(run: Run) -> None:
    """Told before the process hands out its telemetry; the guide's agent never asked for it."""
    for record in run.journal:
        job = str(record.attribution.session_id)
        trace = run.sink.trace(job)
        (root,) = (span for span in trace if span.name == "job_entrypoint")
        (bill,) = (span for span in trace if span.name == "aden.session")
        assert bill.parent_id == root.span_id
        assert bill.attributes["aden.session.cost.usd"] == record.cost / 1e9
        assert bill.attributes["aden.livekit.job.id"] == job
        assert run.output.count(f"aden: session {job}: {format_usd(record.cost)} for 1 call ") == 1


def test_telemetry_goes_to_the_aden_server_with_the_bearer_key(run: Run) -> None:
    """`ADEN_API_URL` and `ADEN_API_KEY`, as the guide's prewarm function passes them on."""
    assert run.sink.authorizations == {"Bearer sk-aden-test"}
    assert "sk-aden-test" not in run.output


def test_the_cost_counter_adds_up_to_the_ledger(run: Run) -> None:
    """Each process reports what it spent, once, before it ends."""
    assert run.sink.total("aden.client.cost") == pytest.approx(
        sum(record.cost for record in run.journal) / 1e9, rel=1e-12
    )
    assert run.sink.total("aden.client.decisions") == 2


def test_what_was_said_stays_private(run: Run) -> None:
    """LiveKit writes prompts and answers on its spans; they do not leave the process unasked."""
    said = ("Greet the caller", "friendly voice assistant")
    for span in run.sink.spans:
        assert not [name for name in span.attributes if "messages" in name or ".pii." in name]
        assert not [text for text in said if text in str(span.attributes)]


def _request(run: Run, job: str) -> Seen:
    (span,) = [span for span in run.sink.trace(job) if span.name == "llm_request"]
    return span
