"""How long a caller waits for a refusal's words, in ms: from the turn to the text that a TTS gets.

A LiveKit session whose budget is used up, for each `on_refusal` that speaks, with an LLM and with a
`FallbackAdapter` over two. A function that never ends is the worst that a program can hand over to.
The TTS itself takes no time here. Run: make bench
"""

import argparse
import asyncio
import contextlib
import logging
import os
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests" / "livekit"))
os.environ["OPENAI_API_KEY"] = "sk-bench"

from livekit.agents import Agent, AgentSession, llm
from livekit.plugins import openai
from telephone import Earpiece, Voice

import aden

WARM_UP = 2


async def _never(_refused: object) -> str:
    await asyncio.sleep(3600)
    return ""


ROWS: dict[str, dict[str, Any]] = {
    "say": {"on_refusal": "say"},
    "close": {"on_refusal": "close"},
    "hand_over": {"on_refusal": "hand_over", "hand_over": lambda _refused: "Please hold the line."},
    "hand_over that never ends": {"on_refusal": "hand_over", "hand_over": _never},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=30)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"{'ms until a refusal is heard':<46}{'median':>8}{'most':>8}")
    for name, options in ROWS.items():
        for adapted in (False, True):
            waits = asyncio.run(_row(options, adapted, arguments.turns))
            shown = f"{name}, FallbackAdapter" if adapted else name
            print(f"{shown:<46}{statistics.median(waits):>8.1f}{max(waits):>8.1f}", flush=True)


async def _row(options: dict[str, Any], adapted: bool, turns: int) -> list[float]:
    aden.instrument(ledger="memory:", budgets=[aden.Budget("calls", 0)], **options)
    try:
        return [await _turn(adapted) for _ in range(WARM_UP + turns)][WARM_UP:]
    finally:
        aden.uninstrument()


async def _turn(adapted: bool) -> float:
    """One session, one turn: with ``close`` it is the last."""
    models = [openai.LLM(model=name, base_url="http://127.0.0.1:9/v1") for name in ("gpt-4o", "o1")]
    voice = Voice()
    session: AgentSession[None] = AgentSession(
        llm=llm.FallbackAdapter(models) if adapted else models[0], tts=voice
    )
    session.output.audio = Earpiece()
    await session.start(Agent(instructions="You answer a hotel's telephone."))
    started = asyncio.get_running_loop().time()
    handle = session.generate_reply(user_input="Is there a room for two tonight?")
    with contextlib.suppress(aden.RequestCancelledError):
        await handle
    await session.aclose()
    return (voice.spoken_at[0] - started) * 1e3


if __name__ == "__main__":
    main()
