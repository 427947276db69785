"""A LiveKit agent that has never heard of Aden. README.md says how it gets its budget."""

import os

from livekit import agents
from livekit.plugins import openai


async def entrypoint(ctx: agents.JobContext) -> None:
    """Greet whoever calls."""
    session: agents.AgentSession[None] = agents.AgentSession(llm=openai.LLM(model="gpt-4o-mini"))
    agent = agents.Agent(instructions="You are a friendly voice assistant. Answer briefly.")
    if os.environ.get("AGENT_TEXT_ONLY") == "1":  # without a room: no media, text alone
        await session.start(agent)
        await session.generate_reply(instructions="Greet the caller in one sentence.")
        ctx.shutdown(reason="text only: greeted")
    else:
        await session.start(agent, room=ctx.room)
        await session.generate_reply(instructions="Greet the caller in one sentence.")


if __name__ == "__main__":
    agents.cli.run_app(agents.WorkerOptions(entrypoint_fnc=entrypoint, agent_name="my-agent"))
