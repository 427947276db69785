"""LiveKit sessions in this process, over a real socket to a local provider, gated and traced."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from caller import Caller
from livekit.agents import Agent, AgentSession, FlushSentinel, llm, telemetry
from livekit.plugins import openai
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_tracer_provider

import aden
from aden import AdenInstrumentor, CallRecord
from aden.ledger import Ledger
from aden.runtime import current_runtime
from aden.testing import OpenAIServer

INSTRUCTIONS = "You are the telephone assistant of a small hotel. Answer in plain sentences."


@dataclass
class Lane:
    """One provider, one instrumentation, and everything that came out of it."""

    provider: OpenAIServer
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    _records: list[CallRecord] = field(default_factory=list)

    @contextmanager
    def instrumented(self, **options: Any) -> Iterator[None]:
        """Instrument this process, LiveKit's tracer and ours on one provider."""
        options.setdefault("ledger", "memory:")
        tracer = TracerProvider()
        tracer.add_span_processor(SimpleSpanProcessor(self.exporter))
        telemetry.set_tracer_provider(tracer)
        instrumentor = AdenInstrumentor()
        instrumentor.instrument(tracer_provider=tracer, emit_metric=self._records.append, **options)
        try:
            yield
        finally:
            instrumentor.uninstrument()
            telemetry.set_tracer_provider(get_tracer_provider())

    @property
    def ledger(self) -> Ledger:
        """The ledger in force."""
        runtime = current_runtime()
        assert runtime is not None
        return runtime.meter.ledger

    @property
    def records(self) -> list[CallRecord]:
        """The calls that were emitted, oldest first."""
        aden.flush()
        return sorted(self._records, key=lambda record: record.at)

    def llm(self, model: str = "gpt-4o", **options: Any) -> openai.LLM:
        """The openai plugin's LLM, on the local provider."""
        return openai.LLM(
            model=model, base_url=self.provider.base_url, api_key="sk-test", **options
        )

    @asynccontextmanager
    async def session(
        self, model: str = "gpt-4o", *, agent: Agent | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """A running session without a room: text in, text out."""
        session: AgentSession[None] = AgentSession(**{"llm": self.llm(model), **options})
        await session.start(agent or Agent(instructions=INSTRUCTIONS))
        try:
            yield session
        finally:
            await session.aclose()

    @property
    def asked(self) -> int:
        """Chat requests that reached the provider."""
        return sum(request.path.endswith("/chat/completions") for request in self.provider.requests)

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """The finished spans, by start time; only those called *name*."""
        spans = self.exporter.get_finished_spans()
        chosen = [span for span in spans if name in (None, span.name)]
        return sorted(chosen, key=lambda span: span.start_time or 0)


class Answering(Agent):
    """An agent that knows how many of its answers have begun to arrive."""

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.begun = 0

    async def llm_node(
        self, chat_ctx: Any, tools: Any, model_settings: Any
    ) -> AsyncIterator[llm.ChatChunk | str | FlushSentinel]:
        """Answer."""
        has_begun = False
        async for chunk in Agent.default.llm_node(self, chat_ctx, tools, model_settings):
            self.begun += not has_begun
            has_begun = True
            yield chunk

    async def hears_drafts(self, caller: Caller) -> None:
        """Three drafts, each after the answer to the one before has begun, then what was said."""
        await caller.speak(
            "Say in 400 tokens",
            "Say in 400 tokens how",
            "Say in 400 tokens how to plan",
            final="Plan a day for us, please",
            pause_s=0.05,
            until=lambda drafts: until(lambda: self.begun == drafts),
        )


async def until(condition: Any) -> None:
    """Wait for it, at most 20 s."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def held(lane: Lane, budget: aden.Budget) -> int:
    """Nano-dollars that open holds take up of *budget*."""
    (balance,) = lane.ledger.balances([(budget.id, budget.span)])
    return balance.held


def spent(lane: Lane, budget: aden.Budget) -> int:
    """Nano-dollars of *budget* that are spent."""
    (balance,) = lane.ledger.balances([(budget.id, budget.span)])
    return balance.spent
