"""An agent whose jobs do what their metadata says: how many turns, and how they end."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from livekit import agents
from livekit.plugins import openai

import aden


def append(line: str) -> None:
    """Write a line where the test looks for it."""
    with Path("emitted.txt").open("a") as file:
        file.write(f"{line}\n")


async def note(record: aden.CallRecord) -> None:
    """An emitter that takes its time on the job's event loop."""
    append(f"began:{record.id}")
    await asyncio.sleep(0.3)
    append(record.id)


def prewarm(process: agents.JobProcess) -> None:
    """Instrument the job's process; the rest is in the environment."""
    aden.instrument(emit_metric=note)


async def entrypoint(ctx: agents.JobContext) -> None:
    """Ask, then do as the plan says."""
    plan = json.loads(ctx.job.metadata)
    session: agents.AgentSession[None] = agents.AgentSession(llm=openai.LLM(model="gpt-4o-mini"))
    await session.start(agents.Agent(instructions="Answer in plain sentences."))
    print(f"<{ctx.job.id} runs in {os.getpid()}>", flush=True)
    for question in plan["ask"]:
        await session.run(user_input=question)
    print(f"<{ctx.job.id} has asked>", flush=True)
    if plan["then"] == "shutdown":
        ctx.shutdown()
    elif plan["then"] == "talk":
        session.generate_reply(user_input="Tell me in 60000 tokens.")
    elif plan["then"] == "hang":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)


if __name__ == "__main__":
    executor: Any = os.environ["AGENT_EXECUTOR"]
    threads = executor == "thread"
    kind = agents.JobExecutorType.THREAD if threads else agents.JobExecutorType.PROCESS
    agents.cli.run_app(
        agents.WorkerOptions(
            entrypoint_fnc=entrypoint,
            prewarm_fnc=prewarm,
            num_idle_processes=0,
            initialize_process_timeout=90,
            job_executor_type=kind,
            multiprocessing_context="forkserver" if threads else executor,
        )
    )
