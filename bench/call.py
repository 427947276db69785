"""The bill of a scripted call of ten minutes: what local providers charge and what Aden booked.

A LiveKit session with a caller on the line all the time: forty turns, every fifth of them
interrupted by the caller, the first of all too, tools, one request that fails over to another
model, and a budget that degrades towards the end. The sound is played faster than it is spoken.
Run: make bench
"""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1] / "tests" / name) for name in ("livekit", "")]
os.environ["OPENAI_API_KEY"] = "sk-bench"

from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool, llm
from livekit.agents.voice import io
from livekit.plugins import openai
from speech_provider import Ear, SpeechProvider, Voice, frame
from telephone import Earpiece

import aden
from aden import Budget, CallRecord, Degrade
from aden.testing import BillItem, OpenAIServer, Status

MINUTES = 10
TURNS = 40
INTERRUPTED = range(0, TURNS, 5)
TOOLS = range(3, TURNS, 10)
FAILS_OVER = 12
FASTER = 30
"""Times faster than it is spoken."""
QUESTIONS = (
    "Is there a room for two tonight? Please tell me in detail.",
    "What does it cost, and is breakfast in it?",
    "May I bring my dog? Answer in one sentence.",
    "Please call the tool and tell me what is free.",
    "And how do I get to you from the station? In detail, please.",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--limit-usd", default="1.40", help="from 80 % of it on, it degrades")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    asyncio.run(_compare(arguments.turns, arguments.limit_usd))


async def _compare(turns: int, limit_usd: str) -> None:
    records: list[CallRecord] = []
    budget = Budget("call", limit_usd, ladder=[Degrade(at=80, to="gpt-4o-mini")])
    with OpenAIServer(ttft_ms=20, token_interval_ms=10) as server:
        async with SpeechProvider().running() as speech:
            aden.instrument(budgets=[budget], ledger="memory:", emit_metric=records.append)
            await _call(server, speech, turns)
            await asyncio.to_thread(server.wait_idle)
            aden.flush()
            _print(records, server.bill.items, speech)


async def _call(server: OpenAIServer, speech: SpeechProvider, turns: int) -> None:
    models = [
        openai.LLM(model=name, base_url=server.base_url, max_retries=0)
        for name in ("gpt-4o", "gpt-4.1")
    ]
    session: AgentSession[None] = AgentSession(
        llm=llm.FallbackAdapter(models, max_retry_per_llm=0),
        stt=Ear(speech),
        tts=Voice(speech),
        turn_detection="manual",
    )
    session.input.audio = _Line()
    session.output.audio = Earpiece()
    with aden.attribution(session_id="call"):
        await session.start(
            Agent(instructions="You answer a hotel's telephone.", tools=[free_rooms])
        )
        for number in range(turns):
            if number == FAILS_OVER:
                server.script(Status(500))
            await _turn(session, number)
    await asyncio.sleep(max(0.0, MINUTES * 60 / FASTER - session.input.audio.heard_s / FASTER))
    await session.aclose()


@function_tool
async def free_rooms() -> str:
    """The rooms that are free tonight."""
    return "Room 12 and room 14, from 110 euros."


async def _turn(session: Any, number: int) -> None:
    question = QUESTIONS[3 if number in TOOLS else number % len(QUESTIONS)]
    if number not in INTERRUPTED:
        await session.run(user_input=question)
        return
    handle = session.generate_reply(user_input=QUESTIONS[0])
    await asyncio.sleep(0.5)  # some fifty tokens
    with contextlib.suppress(RuntimeError):
        handle.interrupt(force=True)
    await handle


class _Line(io.AudioInput):
    """The caller's microphone, faster than it is spoken."""

    def __init__(self) -> None:
        super().__init__(label="line")
        self.heard_s = 0.0

    async def __anext__(self) -> rtc.AudioFrame:
        if self.heard_s >= MINUTES * 60:
            await asyncio.sleep(3600)
        await asyncio.sleep(0.1 / FASTER)
        self.heard_s += 0.1
        return frame(100)


def _print(
    records: Iterable[CallRecord], items: Iterable[BillItem], speech: SpeechProvider
) -> None:
    billed = {item.response_id: item for item in items}
    llms = [
        (record, billed[record.response_id]) for record in records if record.response_id in billed
    ]
    reported = [pair for pair in llms if not pair[0].usage.estimated]
    first, *cut = [pair for pair in llms if pair[0].usage.estimated]
    print(f"{'':<42}{'calls':>6}{'billed':>13}{'booked':>13}{'difference':>12}")
    _line("LLM, usage reported", reported)
    _line("LLM, interrupted", cut)
    _line("LLM, interrupted, first turn of all", [first])
    for name, kind, unit in (
        ("TTS", "speech", "characters"),
        ("STT", "transcript", "audio_input_ms"),
    ):
        ours = [record for record in records if getattr(record.usage, unit)]
        theirs = sum(item.nano_usd for item in speech.bill if item.kind == kind)
        _figures(name, len(ours), theirs, sum(record.cost for record in ours))
    print(
        "tokens of interrupted answers           billed in   ours      error    billed out   ours"
    )
    for record, item in (first, *cut):
        ours = record.usage
        error = (ours.input_tokens or 0) / item.input_tokens - 1
        print(
            f"  {record.model:<36}{item.input_tokens:>11}{ours.input_tokens or 0:>7}{error:>10.1%}"
            f"{item.output_tokens:>13}{ours.output_tokens or 0:>7}"
        )
    degraded = sum(record.decision.action == "degrade" for record in records)
    print(
        f"degraded: {degraded} requests; failed over: {sum(r.model == 'gpt-4.1' for r in records)}"
    )


def _line(name: str, pairs: list[tuple[CallRecord, BillItem]]) -> None:
    theirs = sum(item.nano_usd or 0 for _, item in pairs)
    _figures(name, len(pairs), theirs, sum(record.cost for record, _ in pairs))


def _figures(name: str, calls: int, theirs: int, ours: int) -> None:
    share = f"{(ours - theirs) / theirs:.2%}" if theirs else ""
    print(f"{name:<42}{calls:>6}{theirs / 1e9:>12.6f}${ours / 1e9:>12.6f}${share:>11}")


if __name__ == "__main__":
    main()
