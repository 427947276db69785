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
        session.generate_reply(user_input="Tell me in 20000 tokens.")
    elif plan["then"] == "hang":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)


if __name__ == "__main__":
    start_method: Any = os.environ["AGENT_START_METHOD"]
    agents.cli.run_app(
        agents.WorkerOptions(
            entrypoint_fnc=entrypoint,
            prewarm_fnc=prewarm,
            num_idle_processes=int(os.environ["AGENT_IDLE_PROCESSES"]),
            initialize_process_timeout=60,
            shutdown_process_timeout=3,
            multiprocessing_context=start_method,
        )
    )
