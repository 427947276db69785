"""One agent for many customers: each has a budget of its own.

Whoever dispatches the job names the customer in its metadata: {"customer_id": "acme"}. Run it as
any LiveKit agent: python livekit_multi_tenant.py dev
"""

import os

from dotenv import load_dotenv
from livekit import agents
from livekit.plugins import openai

from aden import ANY, Alert, Budget, Degrade, MeterOptions, create_console_emitter, instrument

load_dotenv()

EACH_CUSTOMER = Budget(
    "each customer",
    limit_usd=os.environ.get("CUSTOMER_LIMIT_USD", "20"),
    window="month",
    scope={"customer": ANY},
    ladder=[Alert(at=80), Degrade(at=90, to="gpt-4o-mini")],
)
EVERYBODY = Budget("everybody", limit_usd="500", window="month")


def prewarm(process: agents.JobProcess) -> None:
    """Runs in each job process, before the job."""
    instrument(
        MeterOptions(
            budgets=[EACH_CUSTOMER, EVERYBODY],
            emit_metric=create_console_emitter(pretty=True),
            on_alert=lambda alert: print(f"[Aden {alert.level}] {alert.message}"),
        )
    )


async def entrypoint(ctx: agents.JobContext) -> None:
    """Nothing in here knows of customers or budgets."""
    session: agents.AgentSession[None] = agents.AgentSession(llm=openai.LLM(model="gpt-4o"))
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
