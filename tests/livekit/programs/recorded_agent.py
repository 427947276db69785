"""An agent whose jobs LiveKit's cloud records, with Aden set up where their metadata say."""

import logging
import os

from livekit import agents
from livekit.plugins import openai

import aden

logger = logging.getLogger("agent")


def prewarm(process: agents.JobProcess) -> None:
    """The usual place."""
    if os.environ.get("AGENT_PREWARMS"):
        aden.instrument()


async def entrypoint(ctx: agents.JobContext) -> None:
    """Ask twice, the second time past a budget."""
    session: agents.AgentSession[None] = agents.AgentSession(llm=openai.LLM(model="gpt-4o-mini"))
    if ctx.job.metadata == "before the session":
        aden.instrument()
    await session.start(
        agents.Agent(instructions="Answer in plain sentences."),
        record={"audio": False, "transcript": True, "traces": True, "logs": True},
    )
    if ctx.job.metadata == "after the session":
        aden.instrument()
    logger.warning("the agent asks")
    await session.run(user_input="The secret word is walnut.")
    try:
        with aden.attribution(customer_id="poor"):
            await session.run(user_input="Once more?")
    except aden.RequestCancelledError:
        logger.warning("the agent is refused")
    ctx.shutdown()


if __name__ == "__main__":
    agents.cli.run_app(
        agents.WorkerOptions(
            entrypoint_fnc=entrypoint,
            prewarm_fnc=prewarm,
            num_idle_processes=0,
            initialize_process_timeout=60,
        )
    )
