"""A stand-in for the part of a LiveKit server that workers talk to: the ``/agent`` websocket."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, Self

from aiohttp import WSMsgType, web
from livekit import api
from livekit.protocol import agent, models

KEY, SECRET = "devkey", "secret-of-at-least-thirty-two-bytes"
RUNNING, SUCCESS, FAILED = "JS_RUNNING", "JS_SUCCESS", "JS_FAILED"


class ControlPlane:
    """Registers workers, offers them jobs, hears how these end. Its loop has a thread of its own.

    A job whose worker says that it is not available is offered again, as LiveKit does.
    """

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.port = 0
        self._agent_name = ""
        self._offered: dict[str, agent.Job] = {}
        self._worker: web.WebSocketResponse | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a worker finds this server."""
        return {
            "LIVEKIT_URL": f"ws://127.0.0.1:{self.port}",
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
        }

    def wait_for_worker(self, timeout_s: float = 60) -> None:
        """Wait until a worker has registered."""
        _until(lambda: self._worker is not None, timeout_s, "no worker registered")

    def dispatch(self, job_id: str, metadata: str = "", *, recorded: bool = False) -> None:
        """Offer a job to the worker; *recorded* as LiveKit's cloud is told to."""
        job = agent.Job(
            id=job_id,
            dispatch_id=f"AD_{job_id}",
            room=models.Room(sid=f"RM_{job_id}", name=f"room-{job_id}"),
            type=agent.JobType.JT_ROOM,
            metadata=metadata,
            agent_name=self._agent_name,
            enable_recording=recorded,
        )
        self._offered[job_id] = job
        self._do(self._offer(job))

    def end(self, job_id: str) -> None:
        """Tell the worker that a job is over, as when its room is deleted."""
        termination = agent.JobTermination(job_id=job_id)
        self._do(self._send(agent.ServerMessage(termination=termination)))

    def wait_for(self, job_id: str, *statuses: str, timeout_s: float = 60) -> str:
        """Wait until a job has one of *statuses*; which one."""
        _until(
            lambda: self.status.get(job_id) in statuses,
            timeout_s,
            f"{job_id} is {self.status.get(job_id)}, not {statuses}",
        )
        return self.status[job_id]

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/agent", self._converse)])
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _converse(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            if frame.type is WSMsgType.BINARY:
                await self._hear(socket, agent.WorkerMessage.FromString(frame.data))
        return socket

    async def _hear(self, socket: web.WebSocketResponse, message: agent.WorkerMessage) -> None:
        kind = message.WhichOneof("message")
        if kind == "register":
            self._worker = socket
            self._agent_name = message.register.agent_name
            registered = agent.RegisterWorkerResponse(worker_id="AW_test")
            await self._send(agent.ServerMessage(register=registered))
        elif kind == "availability":
            await self._answered(message.availability)
        elif kind == "update_job":
            update = message.update_job
            self.status[update.job_id] = agent.JobStatus.Name(update.status)

    async def _answered(self, answer: agent.AvailabilityResponse) -> None:
        job = self._offered[answer.job_id]
        if not answer.available:
            self._loop.call_later(0.3, lambda: self._loop.create_task(self._offer(job)))
            return
        token = (
            api.AccessToken(KEY, SECRET)
            .with_identity(answer.participant_identity)
            .with_grants(api.VideoGrants(room_join=True, room=job.room.name, agent=True))
            .to_jwt()
        )
        assignment = agent.JobAssignment(job=job, token=token)
        await self._send(agent.ServerMessage(assignment=assignment))

    async def _offer(self, job: agent.Job) -> None:
        await self._send(agent.ServerMessage(availability=agent.AvailabilityRequest(job=job)))

    async def _send(self, message: agent.ServerMessage) -> None:
        assert self._worker is not None, "no worker has registered"
        await self._worker.send_bytes(message.SerializeToString())


def _until(condition: Any, timeout_s: float, complaint: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)
