"""An agent that is set up by `aden.livekit.prewarm` alone and greets its caller, if it may."""

from livekit import agents
from livekit.plugins import openai

import aden.livekit


async def entrypoint(ctx: agents.JobContext) -> None:
    """Greet, or say why not."""
    session: agents.AgentSession[None] = agents.AgentSession(llm=openai.LLM(model="gpt-4o-mini"))
    await session.start(agents.Agent(instructions="Answer in plain sentences."))
    try:
        await session.run(user_input="Hello?")
        print("<answered>", flush=True)
    except aden.RequestCancelledError as refusal:
        print(f"<refused: {refusal.reason}: {refusal}>", flush=True)
    ctx.shutdown()


if __name__ == "__main__":
    agents.cli.run_app(
        agents.WorkerOptions(
            entrypoint_fnc=entrypoint,
            prewarm_fnc=aden.livekit.prewarm,
            num_idle_processes=1,
            initialize_process_timeout=60,
        )
    )
