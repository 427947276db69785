"""A speech-to-speech agent with a budget a call: each reply is decided before it is asked for.

Run it as any LiveKit agent: python livekit_realtime.py dev
"""

import os

from dotenv import load_dotenv
from livekit import agents
from livekit.plugins import openai

from aden import Budget, MeterOptions, create_console_emitter, instrument

load_dotenv()


def prewarm(process: agents.JobProcess) -> None:
    """Runs in each job process, before the job."""
    instrument(
        MeterOptions(
            budgets=[
                Budget("day", "50", window="day"),
                Budget("each call", os.environ.get("CALL_LIMIT_USD", "1"), window="session"),
            ],
            # What the caller hears when the budget says no. A realtime model that cannot speak a
            # given text needs a voice for it: a tts= of the session, or a sound file.
            refusal_message="I'm sorry, our time is up. Goodbye.",
            on_refusal="close",
            emit_metric=create_console_emitter(pretty=True),
        )
    )


async def entrypoint(ctx: agents.JobContext) -> None:
    """Greet the caller, and talk."""
    session: agents.AgentSession[None] = agents.AgentSession(
        llm=openai.realtime.RealtimeModel(model="gpt-realtime"),
        tts=openai.TTS(model="gpt-4o-mini-tts"),  # for the refusal alone
    )
    agent = agents.Agent(instructions="You are a friendly voice assistant. Answer briefly.")
    if os.environ.get("AGENT_TEXT_ONLY") == "1":  # without a room: no media, text alone
        await session.start(agent)
        await session.generate_reply(instructions="Greet the caller in one sentence.")
        ctx.shutdown(reason="text only: greeted")
    else:
        await session.start(agent, room=ctx.room)
        await session.generate_reply(instructions="Greet the caller in one sentence.")


if __name__ == "__main__":
    agents.cli.run_app(agents.WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=prewarm))
