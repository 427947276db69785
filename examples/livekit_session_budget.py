"""50 cents a call: the caller hears when they are used up, and the log says what the call cost.

Run it as any LiveKit agent: python livekit_session_budget.py dev
In a terminal, without a LiveKit server: python livekit_session_budget.py console --text
"""

import os

from dotenv import load_dotenv
from livekit import agents
from livekit.plugins import openai

import aden.livekit
from aden import Degrade, RequestCancelledError

load_dotenv()

QUESTIONS = ("When is breakfast?", "And on Sundays?", "Is there a pool?", "A sauna?", "A gym?")


class Receptionist(agents.Agent):
    """Knows what is left of its budget."""

    def __init__(self, budget: aden.livekit.SessionBudget) -> None:
        super().__init__(instructions="You are the receptionist of a small hotel. Answer briefly.")
        self.budget = budget

    @agents.function_tool
    async def time_left(self) -> str:
        """How much of the call is left."""
        return f"{100 - self.budget.percent_used:.0f} per cent"


async def entrypoint(ctx: agents.JobContext) -> None:
    """One call, with a budget of its own."""
    budget = aden.livekit.session_budget(
        ctx,
        limit_usd=os.environ.get("CALL_LIMIT_USD", "0.50"),
        ladder=[Degrade(at=80, to="gpt-4o-mini")],
        on_refusal="close",
        refusal_message="Your free minutes are used up. Thank you for calling, goodbye.",
    )
    session: agents.AgentSession[None] = agents.AgentSession(
        llm=openai.LLM(model="gpt-4o"), stt=openai.STT(), tts=openai.TTS()
    )
    if os.environ.get("AGENT_TEXT_ONLY") == "1":  # without a room: no media, text alone
        await rehearse(session, Receptionist(budget))
        ctx.shutdown(reason="text only: rehearsed")
    else:
        await session.start(Receptionist(budget), room=ctx.room)
        await session.generate_reply(instructions="Greet the caller in one sentence.")


async def rehearse(session: agents.AgentSession[None], agent: Receptionist) -> None:
    """Ask until the budget says no, and print what a caller would hear."""
    session.on("conversation_item_added", hear)
    await session.start(agent)
    try:
        for question in QUESTIONS:
            await session.run(user_input=question)
            print(f"${agent.budget.remaining:.6f} left")
    except RequestCancelledError as refusal:
        print(f"no more: {refusal}")


def hear(added: agents.ConversationItemAddedEvent) -> None:
    """Print what was said."""
    if added.item.type == "message":
        print(f"{added.item.role}: {added.item.text_content}")


if __name__ == "__main__":
    agents.cli.run_app(
        agents.WorkerOptions(entrypoint_fnc=entrypoint, prewarm_fnc=aden.livekit.prewarm)
    )
