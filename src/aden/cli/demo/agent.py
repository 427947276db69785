"""The agent of the demo: the guide's lines, and a conversation for them to have.

Imported by LiveKit's worker and again by each of its job processes.
"""

import asyncio
import contextlib
import os
import sys

from livekit import agents
from livekit.plugins import openai

from aden import (
    BeforeRequestContext,
    BeforeRequestResult,
    MeterOptions,
    RequestCancelledError,
    create_console_emitter,
    instrument,
)
from aden.cli.demo.script import INSTRUCTIONS, REFUSED_TURNS, TURNS

ANSWERED_S = 10.0
"""How long the caller who interrupts waits for the agent to begin."""


# fmt: off
def budget_check(params: object, context: BeforeRequestContext) -> BeforeRequestResult:
    """The guide's own budget check."""
    budget_info = getattr(context, 'budget', None)
    if budget_info and budget_info.get('exhausted', False):
        return BeforeRequestResult.cancel("Budget exhausted")
    if budget_info and budget_info.get('percent_used', 0) >= 95:
        return BeforeRequestResult.throttle(delay_ms=2000)
    if budget_info and budget_info.get('percent_used', 0) >= 80:
        return BeforeRequestResult.degrade(to_model="gpt-4o-mini", reason="Approaching limit")
    return BeforeRequestResult.proceed()


def initialize_aden_in_worker(proc: agents.JobProcess) -> None:
    """The guide's own prewarm function."""
    instrument(MeterOptions(
        api_key=os.environ.get("ADEN_API_KEY"),
        server_url=os.environ.get("ADEN_API_URL"),
        emit_metric=create_console_emitter(pretty=True),
        on_alert=lambda alert: print(f"[Aden {alert.level}] {alert.message}"),
        before_request=budget_check,
    ))
# fmt: on


async def entrypoint(ctx: agents.JobContext) -> None:
    """The guide's entrypoint, with a dearer model to degrade from and something to talk about."""
    print(f"[job] {ctx.job.id} runs in process {os.getpid()}")
    sys.stdout.flush()
    try:
        session: agents.AgentSession[None] = agents.AgentSession(llm=openai.LLM(model="gpt-4o"))
        await session.start(agents.Agent(instructions=INSTRUCTIONS))
        await _converse(session)
    except Exception as error:  # LiveKit's log, which would say so, is silent here
        print(f"[job] {ctx.job.id} failed: {error}", flush=True)
        raise
    ctx.shutdown(reason="the conversation is over")


async def _converse(session: "agents.AgentSession[None]") -> None:
    refused = 0
    for number, question in enumerate(TURNS):
        try:
            if number == 1:
                await _interrupted_turn(session, question)
            else:
                await session.run(user_input=question)
        except RequestCancelledError:
            refused += 1
            if refused == REFUSED_TURNS:
                return


async def _interrupted_turn(session: "agents.AgentSession[None]", question: str) -> None:
    """The caller speaks while the agent answers, once it has begun to."""
    handle = session.generate_reply(user_input=question)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWERED_S):
            while session.agent_state != "speaking" and not handle.done():
                await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    with contextlib.suppress(RuntimeError):  # the answer was shorter than the caller's patience
        handle.interrupt()
    await handle
