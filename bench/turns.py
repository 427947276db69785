"""Time to first token of a LiveKit turn, with and without Aden.

Each row is a process with its own agent sessions, all rows ask one local server over loopback, and
their rounds take turns. A turn is timed from the agent's `llm_node` to the model's first token; the
others follow one by one, as a model makes them. In the row "opentelemetry" its SDK records what
LiveKit itself has to show, as it does in Aden's rows.
The row "bare" stands there twice: what differs between the two is this machine's noise.
Run: make bench
"""

import argparse
import asyncio
import logging
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from typing import Any

ROWS = ("bare", "opentelemetry", "memory", "sqlite", "bare again")
SESSIONS = (1, 50)
TURN_S = 5.0
"""A caller asks, is answered, and asks again: with fifty sessions, ten turns a second in all."""
WARM_UP = 2
"""Turns of each session."""
FIRST_TOKEN_MS, NEXT_TOKEN_MS = 20, 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--turns", type=int, default=50, help="turns of a round, over all sessions")
    parser.add_argument("--sessions", type=int, nargs="*", default=SESSIONS)
    parser.add_argument("--turn-s", type=float, default=TURN_S, help="from turn to turn, of many")
    arguments = parser.parse_args()
    from aden.testing import OpenAIServer

    head = f"{'median':>10}{'p99':>10}{'+ median':>12}{'+ p99':>10}"
    print(f"{'ms to the first token of a LiveKit turn':<42}{head}")
    with OpenAIServer(ttft_ms=FIRST_TOKEN_MS, token_interval_ms=NEXT_TOKEN_MS) as server:
        for sessions in arguments.sessions:
            taken = _measure(server.base_url, sessions, arguments)
            bare = _figures(taken["bare"])
            for row, waits in taken.items():
                median, p99 = _figures(waits)
                added = f"{median - bare[0]:>12.2f}{p99 - bare[1]:>10.2f}" if row != "bare" else ""
                name = f"{row}, {sessions} session{'s' * (sessions > 1)}"
                print(f"{name:<42}{median:>10.2f}{p99:>10.2f}{added}", flush=True)


def _figures(waits: list[float]) -> tuple[float, float]:
    ordered = sorted(waits)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)]


def _measure(url: str, sessions: int, arguments: argparse.Namespace) -> dict[str, list[float]]:
    context = multiprocessing.get_context("spawn")
    taken: dict[str, list[float]] = {row: [] for row in ROWS}
    with tempfile.TemporaryDirectory(prefix="aden-bench-") as directory:
        workers: dict[str, Connection] = {}
        for row in ROWS:
            ours, theirs = context.Pipe()
            database = f"{directory}/{row.replace(' ', '-')}.db"
            args = (theirs, row, url, database, sessions, arguments.turn_s)
            context.Process(target=_work, args=args, daemon=True).start()
            workers[row] = ours
        for worker in workers.values():
            worker.recv()  # warm
        for _ in range(arguments.rounds):
            for row, worker in workers.items():
                worker.send(arguments.turns)
                taken[row] += worker.recv()
        for worker in workers.values():
            worker.send(None)
    return taken


def _work(
    parent: Connection, row: str, url: str, database: str, sessions: int, turn_s: float
) -> None:
    os.environ["OPENAI_API_KEY"] = "sk-bench"
    logging.disable(logging.WARNING)
    if row == "opentelemetry":
        _record_livekits_spans()
    elif not row.startswith("bare"):
        import aden

        ledger = f"sqlite://{database}" if row == "sqlite" else "memory:"
        aden.instrument(budgets=[aden.Budget("bench", 1_000_000)], ledger=ledger)
    asyncio.run(_rounds(parent, url, sessions, turn_s))


def _record_livekits_spans() -> None:
    """OpenTelemetry's SDK without Aden: LiveKit's own spans and metrics are recorded, not sent."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider())


async def _rounds(parent: Connection, url: str, sessions: int, turn_s: float) -> None:
    from livekit.agents import Agent, AgentSession
    from livekit.plugins import openai

    waits: list[float] = []
    running: list[AgentSession[None]] = []
    for _ in range(sessions):
        session: AgentSession[None] = AgentSession(
            llm=openai.LLM(model="gpt-4o", base_url=url, max_completion_tokens=100)
        )
        await session.start(_timed(Agent, waits)(instructions="You answer a hotel's telephone."))
        running.append(session)
    await _turns(running, WARM_UP * len(running), turn_s)
    parent.send("warm")
    while (turns := await asyncio.to_thread(parent.recv)) is not None:
        waits.clear()
        await _turns(running, turns, turn_s)
        parent.send(list(waits))


def _timed(agent: Any, waits: list[float]) -> Any:
    """An agent whose turns note how long their first token took."""

    class Timed(agent):  # type: ignore[misc]
        async def llm_node(self, chat_ctx: Any, tools: Any, model_settings: Any) -> Any:
            started = time.perf_counter()
            waiting = True
            async for chunk in agent.default.llm_node(self, chat_ctx, tools, model_settings):
                if waiting:
                    waits.append((time.perf_counter() - started) * 1e3)
                    waiting = False
                yield chunk

    return Timed


async def _turns(sessions: list[Any], turns: int, turn_s: float) -> None:
    """Turns at their rate, each in the session that has been silent for longest; alone, at once."""
    if len(sessions) == 1:
        for _ in range(turns):
            await _turn(sessions[0])
        return
    asked = []
    for number in range(turns):
        asked.append(asyncio.create_task(_turn(sessions[number % len(sessions)])))
        await asyncio.sleep(random.expovariate(len(sessions) / turn_s))
    await asyncio.gather(*asked)


async def _turn(session: Any) -> None:
    from livekit.agents import ChatContext

    await session.current_agent.update_chat_ctx(ChatContext.empty())  # every turn costs the same
    await session.run(user_input="Answer in 8 tokens, please: is there a room for two tonight?")


if __name__ == "__main__":
    main()
