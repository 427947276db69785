"""The guide's agent in a worker without any LiveKit server: ``simulate.py <start method>``."""

import asyncio
import importlib
import sys
from typing import Any

from livekit.agents import AgentServer, WorkerOptions

voice_agent = importlib.import_module("livekit_voice_agent")
JOBS = 2


async def main(start_method: Any) -> None:
    """Run the jobs at once, each in its own process, and leave."""
    server = AgentServer.from_server_options(
        WorkerOptions(
            entrypoint_fnc=voice_agent.entrypoint,
            prewarm_fnc=voice_agent.initialize_aden_in_worker,
            num_idle_processes=JOBS,
            initialize_process_timeout=60,
            multiprocessing_context=start_method,
            host="127.0.0.1",
            port=0,
        )
    )
    started = asyncio.Event()
    server.on("worker_started", started.set)
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    for number in range(JOBS):
        await server.simulate_job(f"room-{number}", fake_job=True)
    while server.active_jobs:
        await asyncio.sleep(0.05)
    await server.aclose()
    await running


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
