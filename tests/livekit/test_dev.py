"""Development: ``python agent.py dev`` and Ctrl-C, and the reload of LiveKit's command line."""

import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from control_plane import ControlPlane
from livekit.protocol.agent_pb import agent_dev
from workers import DISTRO, LAUNCH, PROGRAMS, Home, Worker, wait_until

from aden.testing import OpenAIServer
from otlp_sink import OTLPSink

AGENT = PROGRAMS / "talking_agent.py"
LENGTH = struct.Struct("!I")


class DevChannel:
    """The part of ``lk agent dev`` that hands the running jobs of a worker on to the next one."""

    def __init__(self) -> None:
        self.jobs: Any = agent_dev.GetRunningAgentJobsResponse()
        self._handed = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def take_jobs(self) -> None:
        """Ask the worker that is there which jobs run, as before a restart."""
        asking = agent_dev.GetRunningAgentJobsRequest()
        _send(self._worker, agent_dev.AgentDevMessage(get_running_jobs_request=asking))
        assert self._handed.wait(10)

    def _listen(self) -> None:
        while True:
            try:
                self._worker, _ = self._server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._talk, args=(self._worker,), daemon=True).start()

    def _talk(self, worker: socket.socket) -> None:
        said = worker.makefile("rb")
        while len(length := said.read(LENGTH.size)) == LENGTH.size:
            message = agent_dev.AgentDevMessage.FromString(said.read(*LENGTH.unpack(length)))
            if message.HasField("get_running_jobs_request"):
                _send(worker, agent_dev.AgentDevMessage(get_running_jobs_response=self.jobs))
            elif message.HasField("get_running_jobs_response"):
                self.jobs = message.get_running_jobs_response
                self._handed.set()


def _send(worker: socket.socket, message: Any) -> None:
    said = message.SerializeToString()
    worker.sendall(LENGTH.pack(len(said)) + said)


class Shop:
    """A local provider, LiveKit server and collector, and the home of an agent between them."""

    def __init__(
        self, path: Path, provider: OpenAIServer, plane: ControlPlane, sink: OTLPSink
    ) -> None:
        self.home = Home(path, provider)
        self.plane = plane
        self.sink = sink
        self.variables = {
            **self.home.environment,
            **plane.environment,
            "ADEN_API_URL": sink.url,
            "ADEN_API_KEY": "sk-aden-test",
            **DISTRO,
        }

    def worker(self, *command: str, action: tuple[str, ...]) -> Worker:
        """One that has never heard of Aden."""
        return Worker(
            AGENT, self.home.path, self.variables, command=(*LAUNCH, *command), action=action
        )

    def talks(self, worker: Worker, answers: int) -> None:
        """Wait until the agent is in the middle of an answer."""
        wait_until(lambda: self.home.asked == answers, 60, "nobody talks", worker)

    def assert_all_is_booked_and_shown(self, calls: int) -> None:
        """The answers that were cut by an estimate, nothing is held, each call has its span."""
        wait_until(lambda: self._shown == calls, 20, f"{self._shown} of {calls} calls are shown")
        records = self.home.journal()
        bill = [item.nano_usd for item in self.home.provider.bill.items]
        assert [each.cost for each in records[::2]] == bill[::2]
        assert [each.usage.estimated for each in records] == [False, True] * (calls // 2)
        assert {each.attribution.session_id for each in records} == {"AJ_call"}
        self.home.assert_nothing_is_held()
        jobs = [span for span in self.sink.spans if span.name == "job_entrypoint"]
        assert len(jobs) == calls // 2

    @property
    def _shown(self) -> int:
        spans = {span.attributes.get("aden.call.id") for span in self.sink.spans}
        return sum(record.id in spans for record in self.home.journal())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Open for one test."""
    with _opened(tmp_path) as opened:
        yield opened


@contextmanager
def _opened(path: Path) -> Iterator[Shop]:
    with (
        OpenAIServer(ttft_ms=5, token_interval_ms=2) as provider,
        ControlPlane() as plane,
        OTLPSink() as sink,
    ):
        yield Shop(path, provider, plane, sink)


def test_ctrl_c_in_the_middle_of_an_answer_books_and_shows_it(shop: Shop) -> None:
    """A terminal sends it to the worker and to its job processes at once."""
    with shop.worker(action=("dev",)) as worker:
        shop.plane.wait_for_worker()
        shop.plane.dispatch("AJ_call")
        shop.talks(worker, 2)
        os.killpg(worker.process.pid, signal.SIGINT)
        assert worker.process.wait(40) == 0
    shop.assert_all_is_booked_and_shown(calls=2)


def test_a_reload_in_the_middle_of_an_answer_books_it_and_the_job_goes_on(shop: Shop) -> None:
    """The job has a second process, on the account of the same session."""
    with DevChannel() as channel:
        start = ("-m", "livekit.agents", "start")
        options = ("--dev", "--cli-addr", channel.address)
        for answers in (2, 4):
            with shop.worker(*start, action=options) as worker:
                shop.plane.wait_for_worker()
                if answers == 2:
                    shop.plane.dispatch("AJ_call")
                shop.talks(worker, answers)
                channel.take_jobs()
                assert worker.terminate() == 0
    shop.assert_all_is_booked_and_shown(calls=4)
