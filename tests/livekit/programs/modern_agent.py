"""An agent as LiveKit's documentation writes it today."""

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.plugins import openai

import aden.livekit

server = AgentServer(
    setup_fnc=aden.livekit.prewarm,
    preload_modules=["aden.livekit"],
    initialize_process_timeout=60,
    num_idle_processes=1,
    port=0,
)


@server.rtc_session()
async def concierge(ctx: JobContext) -> None:
    """Greet the caller."""
    session: AgentSession[None] = AgentSession(llm=openai.LLM(model="gpt-4o-mini"))
    await session.start(Agent(instructions="Answer in plain sentences."))
    await session.run(user_input="Greet the caller.")
    ctx.shutdown()


if __name__ == "__main__":
    cli.run_app(server)
