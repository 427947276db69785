"""LiveKit Voice Agent with Aden instrumentation"""
import os
from dotenv import load_dotenv
load_dotenv()

from livekit import agents
from livekit.plugins import openai

from aden import (
    instrument, MeterOptions, create_console_emitter,
    BeforeRequestResult, RequestCancelledError,
)

# Budget enforcement callback
def budget_check(params, context):
    budget_info = getattr(context, 'budget', None)
    if budget_info and budget_info.get('exhausted', False):
        return BeforeRequestResult.cancel("Budget exhausted")
    if budget_info and budget_info.get('percent_used', 0) >= 95:
        return BeforeRequestResult.throttle(delay_ms=2000)
    if budget_info and budget_info.get('percent_used', 0) >= 80:
        return BeforeRequestResult.degrade(to_model="gpt-4o-mini", reason="Approaching limit")
    return BeforeRequestResult.proceed()

# Worker initialization - runs in each spawned process
def initialize_aden_in_worker(proc):
    instrument(MeterOptions(
        api_key=os.environ.get("ADEN_API_KEY"),
        server_url=os.environ.get("ADEN_API_URL"),
        emit_metric=create_console_emitter(pretty=True),
        on_alert=lambda alert: print(f"[Aden {alert.level}] {alert.message}"),
        before_request=budget_check,
    ))

async def entrypoint(ctx: agents.JobContext):
    # Your agent logic here
    session = agents.AgentSession(
        llm=openai.LLM(model="gpt-4o-mini"),
        # ...
    )
    agent = agents.Agent(instructions="You are a friendly voice assistant. Answer briefly.")
    # AGENT_TEXT_ONLY=1 runs the agent without joining the room: no LiveKit media, text alone.
    text_only = os.environ.get("AGENT_TEXT_ONLY") == "1"
    if text_only:
        await session.start(agent)
    else:
        await session.start(agent, room=ctx.room)
    try:
        await session.generate_reply(instructions="Greet the caller in one sentence.")
    except RequestCancelledError as refusal:
        print(f"Not today: {refusal}")
    if text_only:
        ctx.shutdown(reason="text only: greeted")

if __name__ == "__main__":
    agents.cli.run_app(agents.WorkerOptions(
        entrypoint_fnc=entrypoint,
        agent_name="my-agent",
        prewarm_fnc=initialize_aden_in_worker,
    ))
