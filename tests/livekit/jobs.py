"""LiveKit jobs in threads of this process: a real worker, its own loop for each job."""

import asyncio
from collections.abc import Awaitable, Callable

from livekit.agents import AgentServer, JobContext, JobExecutorType, WorkerOptions


async def in_a_job(work: Callable[[JobContext], Awaitable[None]], jobs: int = 1) -> None:
    """Run *work* as the entrypoint of a job, or of several at once; raises what one raises."""
    done: list[BaseException | None] = []

    async def entrypoint(ctx: JobContext) -> None:
        try:
            await work(ctx)
            done.append(None)
        except BaseException as error:
            done.append(error)
            raise
        finally:
            ctx.shutdown()

    server = AgentServer.from_server_options(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            job_executor_type=JobExecutorType.THREAD,
            num_idle_processes=jobs,
            initialize_process_timeout=60,
            host="127.0.0.1",
            port=0,
        )
    )
    started = asyncio.Event()
    server.on("worker_started", started.set)
    running = asyncio.create_task(server.run(devmode=True, unregistered=True))
    await started.wait()
    await asyncio.gather(
        *(server.simulate_job(f"room-{number}", fake_job=True) for number in range(jobs))
    )
    while server.active_jobs or len(done) < jobs:
        await asyncio.sleep(0.02)
    await server.aclose()
    await running
    for error in done:
        if error is not None:
            raise error
