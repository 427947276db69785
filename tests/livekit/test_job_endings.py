"""Law 12: however a job's process ends, what it held is handed out before it is gone."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from control_plane import ControlPlane
from workers import PROGRAMS, Home, Worker, lives, wait_until

from aden.core.record import CallRecord
from aden.core.window import Window
from aden.ledger.sqlite import SqliteLedger
from aden.testing import OpenAIServer
from otlp_sink import OTLPSink

LEASE_S = 60
EXPORT_EVERY_S = 1.0
ENDED = ("JS_SUCCESS", "JS_FAILED")


@dataclass
class Shop:
    """A worker whose jobs do what they are told, and all that is around it."""

    worker: Worker
    plane: ControlPlane
    sink: OTLPSink
    home: Home

    def start(self, job: str, ask: int, then: str) -> int:
        """Start a job that asks so many questions; its process id, when it has asked them."""
        questions = [f"Answer in {10 + number} tokens." for number in range(ask)]
        self.plane.dispatch(job, json.dumps({"ask": questions, "then": then}))
        self.worker.says(f"<{job} has asked>")
        found = re.search(rf"<{job} runs in (\d+)>", self.worker.output)
        assert found is not None
        return int(found[1])

    def calls(self, job: str) -> list[CallRecord]:
        """The settled calls of a job."""
        journal = self.home.journal()
        return [record for record in journal if record.attribution.session_id == job]

    def gone(self, pid: int, timeout_s: float = 20) -> None:
        """Wait until a process has ended."""
        wait_until(lambda: not lives(pid), timeout_s, f"process {pid} lives on", self.worker)

    def assert_handed_out(self, job: str, calls: int) -> None:
        """Everything of *job* is in the ledger, at the collector and at the emitter, now."""
        records = self.calls(job)
        assert len(records) == calls
        spans = {span.span_id: span for span in self.sink.trace(job)}
        assert spans, f"the root span of {job} is lost"
        assert all(span.parent_id in spans for span in spans.values() if span.parent_id)
        shown = {span.attributes.get("aden.call.id") for span in spans.values()}
        assert {record.id for record in records} <= shown
        emitted = (self.home.path / "emitted.txt").read_text().split()
        assert [emitted.count(record.id) for record in records] == [1] * calls


@pytest.fixture(params=["forkserver", "spawn"])
def start_method(request: pytest.FixtureRequest) -> str:
    """Both ways in which LiveKit starts job processes."""
    return str(request.param)


@contextmanager
def shop(
    start_method: str, path: Path, sink: OTLPSink, *options: str, idle_processes: int = 2
) -> Iterator[Shop]:
    """Open a shop; whatever is left of it afterwards is killed."""
    with OpenAIServer(ttft_ms=20, token_interval_ms=2) as provider, ControlPlane() as plane, sink:
        home = Home(path, provider)
        variables = {
            **home.environment,
            **plane.environment,
            "ADEN_API_URL": sink.url,
            "ADEN_API_KEY": "sk-aden-test",
            "AGENT_START_METHOD": start_method,
            "AGENT_IDLE_PROCESSES": str(idle_processes),
        }
        with Worker(PROGRAMS / "exit_agent.py", path, variables, *options) as worker:
            plane.wait_for_worker()
            yield Shop(worker, plane, sink, home)


def test_jobs_that_end_by_themselves_or_are_ended_lose_nothing(
    start_method: str, tmp_path: Path
) -> None:
    """`ctx.shutdown()`, a room that is deleted, and a worker that drains on SIGTERM."""
    with shop(start_method, tmp_path, OTLPSink(), "--drain-timeout", "1") as it:
        pid = it.start("AJ_shutdown", ask=2, then="shutdown")
        it.gone(pid)
        it.assert_handed_out("AJ_shutdown", calls=2)
        assert it.plane.wait_for("AJ_shutdown", *ENDED) == "JS_SUCCESS"

        pid = it.start("AJ_deleted", ask=1, then="stay")
        it.plane.end("AJ_deleted")
        it.gone(pid)
        it.assert_handed_out("AJ_deleted", calls=1)
        emitted = (it.home.path / "emitted.txt").read_text().split()
        assert len(emitted) == len(set(emitted)), "an emitter was cut off and asked again"

        pid = it.start("AJ_drained", ask=1, then="talk")
        wait_until(lambda: _answering(it, 4), 10, "no answer is under way", it.worker)
        assert it.worker.terminate() == 0
        assert not lives(pid)
        it.assert_handed_out("AJ_drained", calls=2)
        cut = it.calls("AJ_drained")[-1]
        assert (cut.stream_end, cut.usage.estimated) == ("cancelled", True)
        total = sum(record.cost for record in it.home.journal()) / 1e9
        assert it.sink.total("aden.client.cost") == pytest.approx(total, rel=1e-9)


def test_a_job_whose_worker_is_killed_hands_out_everything(
    start_method: str, tmp_path: Path
) -> None:
    """The worker gets SIGKILL in mid-answer; its job notices, settles, exports and ends."""
    with shop(start_method, tmp_path, OTLPSink(), idle_processes=1) as it:
        pid = it.start("AJ_orphan", ask=1, then="talk")
        wait_until(lambda: _answering(it, 2), 10, "no answer is under way", it.worker)
        it.worker.process.kill()
        it.gone(pid)
        it.assert_handed_out("AJ_orphan", calls=2)
        total = sum(record.cost for record in it.home.journal()) / 1e9
        assert it.sink.total("aden.client.cost") == pytest.approx(total, rel=1e-9)


def test_a_job_that_livekit_has_to_kill_has_handed_out_everything_before(
    start_method: str, tmp_path: Path
) -> None:
    """A thread of it hangs, so that it never comes to the end of Python; LiveKit kills it."""
    with shop(start_method, tmp_path, OTLPSink(), idle_processes=1) as it:
        pid = it.start("AJ_hanging", ask=1, then="hang")
        it.plane.end("AJ_hanging")
        assert it.plane.wait_for("AJ_hanging", *ENDED) == "JS_FAILED"
        it.gone(pid)
        it.assert_handed_out("AJ_hanging", calls=1)


def test_the_spend_of_a_killed_job_is_never_lost(start_method: str, tmp_path: Path) -> None:
    """SIGKILL in mid-answer: settled calls stay, the open one is booked when its lease ends."""
    with shop(start_method, tmp_path, OTLPSink(), idle_processes=1) as it:
        pid = it.start("AJ_killed", ask=2, then="talk")
        wait_until(lambda: _answering(it, 3), 10, "no answer is under way", it.worker)
        time.sleep(EXPORT_EVERY_S + 0.7)
        os.kill(pid, signal.SIGKILL)
        it.gone(pid)
        settled = it.calls("AJ_killed")
        assert len(settled) == 2
        shown = {span.attributes.get("aden.call.id") for span in it.sink.spans}
        assert {record.id for record in settled} <= shown, "older than a second, and not exported"
        total = sum(record.cost for record in settled) / 1e9
        assert it.sink.total("aden.client.cost") == pytest.approx(total, rel=1e-9)
        path = Path(it.home.ledger_url.removeprefix("sqlite://"))
        (now,) = SqliteLedger(path).balances([("calls", Window())])
        assert (now.held > 0, now.unconfirmed) == (True, 0)
        later = SqliteLedger(path, lambda: time.time() + LEASE_S + 1)
        (then,) = later.balances([("calls", Window())])
        assert (then.held, then.unconfirmed > 0) == (0, True)
        assert then.settled == sum(record.cost for record in settled)


def test_a_collector_that_stops_answering_holds_no_exit_up(
    start_method: str, tmp_path: Path
) -> None:
    """Telemetry is lost then, and said to be; the spend is in the ledger, and the process ends."""
    with shop(start_method, tmp_path, OTLPSink()) as it:
        usual = _time_to_end(it, "AJ_usual")
        it.sink.silent = True
        stuck = _time_to_end(it, "AJ_stuck")
        assert stuck - usual < 2.8, f"{stuck:.1f} s instead of {usual:.1f} s"
        assert len(it.calls("AJ_stuck")) == 1
        assert "telemetry was not taken within 2 s" in it.worker.output


def _time_to_end(it: Shop, job: str) -> float:
    """Seconds from a job's `ctx.shutdown()` to the end of its process."""
    pid = it.start(job, ask=1, then="shutdown")
    asked = time.monotonic()
    it.gone(pid)
    return time.monotonic() - asked


def _answering(it: Shop, requests: int) -> bool:
    """Whether the provider has been asked so often, and speaks."""
    chats = [seen for seen in it.home.provider.requests if seen.path.endswith("/completions")]
    return len(chats) >= requests
