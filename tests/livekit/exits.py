"""A worker whose jobs end in every way at once, and what each of them left behind."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from control_plane import FAILED, SUCCESS, ControlPlane
from workers import PROGRAMS, Home, Worker, lives, wait_until

from aden.core.record import CallRecord
from aden.core.window import Window
from aden.ledger.protocol import Balance
from aden.ledger.sqlite import SqliteLedger
from aden.testing import OpenAIServer
from otlp_sink import OTLPSink

LEASE_S = 60
LONG_S = 100
"""How long anything may take on a machine that does much else."""
FLUSH_S = 5.0
"""The same for a flush; below the 10 s after which LiveKit kills what does not end."""


@dataclass
class Shop:
    """A worker, and all that is around it. What came in can be read after it has closed."""

    worker: Worker
    plane: ControlPlane
    sink: OTLPSink
    home: Home
    pids: dict[str, int] = field(default_factory=dict)

    def start(self, job: str, ask: int, then: str) -> None:
        """Offer a job that asks so many questions and then does something."""
        questions = [f"Answer in {10 + number} tokens." for number in range(ask)]
        self.plane.dispatch(job, json.dumps({"ask": questions, "then": then}))

    def has_asked(self, *jobs: str) -> None:
        """Wait until jobs have got their answers."""
        for job in jobs:
            self.worker.says(f"<{job} has asked>", LONG_S)
            found = re.search(rf"<{job} runs in (\d+)>", self.worker.output)
            assert found is not None
            self.pids[job] = int(found[1])

    def answers(self, requests: int) -> None:
        """Wait until the provider has been asked so often."""
        wait_until(
            lambda: self.home.asked >= requests, LONG_S, "no answer is under way", self.worker
        )

    def shows(self, *jobs: str) -> None:
        """Wait until all that jobs have settled is at the collector, spans and cost."""
        wait_until(
            lambda: all(self.calls(job) and self.shown(job) for job in jobs),
            LONG_S,
            f"the calls of {jobs} are not shown",
            self.worker,
        )
        settled = sum(record.cost for record in self.home.journal()) / 1e9
        wait_until(
            lambda: self.sink.total("aden.client.cost") == pytest.approx(settled, rel=1e-9),
            LONG_S,
            "the cost of the calls is not shown",
            self.worker,
        )

    def kill(self, job: str) -> None:
        """End a job's process as the kernel does when memory runs out."""
        os.kill(self.pids[job], signal.SIGKILL)

    def gone(self, *jobs: str) -> None:
        """Wait until the processes of jobs have ended."""
        for job in jobs:
            pid = self.pids[job]
            wait_until(lambda p=pid: not lives(p), LONG_S, f"{job} lives on", self.worker)

    def calls(self, job: str) -> list[CallRecord]:
        """The settled calls of a job."""
        journal = self.home.journal()
        return [record for record in journal if record.attribution.session_id == job]

    def shown(self, job: str) -> bool:
        """Whether the span of each settled call of a job is at the collector."""
        spans = {span.attributes.get("aden.call.id") for span in self.sink.spans}
        return {record.id for record in self.calls(job)} <= spans

    def assert_handed_out(self, job: str, calls: int) -> None:
        """All of *job* is in the ledger, at the collector as one tree, and at the emitter once."""
        records = self.calls(job)
        assert len(records) == calls
        spans = {span.span_id: span for span in self.sink.trace(job)}
        assert spans, f"the root span of {job} is lost"
        assert all(span.parent_id in spans for span in spans.values() if span.parent_id)
        assert self.shown(job)
        emitted = (self.home.path / "emitted.txt").read_text().split()
        assert [emitted.count(record.id) for record in records] == [1] * calls

    def assert_emitted_undisturbed(self, job: str) -> None:
        """No emitter of *job* was cut off and asked again."""
        emitted = (self.home.path / "emitted.txt").read_text().split()
        assert {emitted.count(f"began:{record.id}") for record in self.calls(job)} == {1}

    def assert_succeeded(self, job: str) -> None:
        """The process of *job* ended with 0, and was not killed."""
        assert self.plane.status[job] == SUCCESS, self.worker.output

    def assert_cost_is_shown(self) -> None:
        """The cost at the collector is what all processes have settled."""
        settled = sum(record.cost for record in self.home.journal()) / 1e9
        assert self.sink.total("aden.client.cost") == pytest.approx(settled, rel=1e-9)

    def balance(self, *, in_s: float = 0.0) -> Balance:
        """The budget as it stands, or will stand after some seconds in which nobody asks."""
        path = Path(self.home.ledger_url.removeprefix("sqlite://"))
        ledger = SqliteLedger(path, lambda: time.time() + in_s)
        try:
            (balance,) = ledger.balances([("calls", Window())])
        finally:
            ledger.close()
        return balance

    def assert_open_call_is_booked(self) -> None:
        """What nobody could settle is held, and is spend as soon as its lease ends."""
        settled = sum(record.cost for record in self.home.journal())
        now = self.balance()
        assert (now.held > 0, now.unconfirmed, now.settled) == (True, 0, settled)
        later = self.balance(in_s=LEASE_S + 1)
        assert (later.held, later.unconfirmed > 0, later.settled) == (0, True, settled)


@contextmanager
def shop(
    path: Path,
    executor: str,
    *options: str,
    python: str = sys.executable,
    flush_s: float = 2.0,
) -> Iterator[Shop]:
    """Open a shop; whatever is left of it afterwards is killed."""
    with (
        OpenAIServer(ttft_ms=20, token_interval_ms=5) as provider,
        ControlPlane() as plane,
        OTLPSink() as sink,
    ):
        home = Home(path, provider)
        variables = {
            **home.environment,
            **plane.environment,
            "ADEN_API_URL": sink.url,
            "ADEN_API_KEY": "sk-aden-test",
            "ADEN_FLUSH_TIMEOUT": str(flush_s),
            "AGENT_EXECUTOR": executor,
        }
        program = PROGRAMS / "exit_agent.py"
        with Worker(program, path, variables, *options, command=(python,)) as worker:
            plane.wait_for_worker(LONG_S)
            yield Shop(worker, plane, sink, home)


def endings(path: Path, executor: str, python: str) -> Shop:
    """One worker: a job that shuts down, one whose room is deleted, one killed, one drained.

    In processes also one that hangs until LiveKit kills it.
    """
    processes = executor != "thread"
    with shop(path, executor, "--drain-timeout", "1", python=python, flush_s=FLUSH_S) as it:
        it.start("AJ_shutdown", ask=2, then="shutdown")
        it.start("AJ_deleted", ask=1, then="stay")
        it.start("AJ_drained", ask=1, then="talk")
        if processes:
            it.start("AJ_hanging", ask=1, then="hang")
            it.start("AJ_killed", ask=2, then="talk")
            it.has_asked("AJ_hanging", "AJ_killed")
            it.plane.end("AJ_hanging")
        it.has_asked("AJ_shutdown", "AJ_deleted", "AJ_drained")
        it.plane.end("AJ_deleted")
        it.answers(9 if processes else 5)
        if processes:
            it.shows("AJ_killed")
            it.kill("AJ_killed")
            it.gone("AJ_shutdown", "AJ_deleted", "AJ_hanging", "AJ_killed")
            it.plane.wait_for("AJ_hanging", SUCCESS, FAILED, timeout_s=LONG_S)
        for job in ("AJ_shutdown", "AJ_deleted"):
            it.plane.wait_for(job, SUCCESS, FAILED, timeout_s=LONG_S)
        assert it.worker.terminate(LONG_S) == 0, it.worker.output
        it.gone("AJ_drained")
        return it


def orphan(path: Path, executor: str, python: str) -> Shop:
    """One worker that is killed in mid-answer; a job in a process of its own outlives it."""
    with shop(path, executor, python=python, flush_s=FLUSH_S) as it:
        it.start("AJ_orphan", ask=1, then="talk")
        it.has_asked("AJ_orphan")
        it.answers(2)
        it.shows("AJ_orphan")
        it.worker.process.kill()
        it.worker.process.wait(LONG_S)
        it.gone("AJ_orphan")
        return it
