"""The attempts of plugins whose SDK we do not see, in the shapes that LiveKit's plugins have."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from lane_kit import Lane, held, spent
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, llm

from aden import Budget, CallRecord, Degrade

BUDGET = Budget("calls", "10")
AT_ONCE = APIConnectOptions(max_retry=3, retry_interval=0.0)


@dataclass
class Options:
    """A plugin's own."""

    model: str


class Claude(llm.LLM[Any]):
    """Made as LiveKit's plugin for Anthropic: the stream sends by a closure over the LLM."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self._opts = Options("claude-sonnet-4-5")
        self.sent: list[str] = []
        self._answers = iter(answers)

    @property
    def model(self) -> str:
        """The configured model."""
        return self._opts.model

    @property
    def provider(self) -> str:
        """The host."""
        return "api.anthropic.com"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        conn_options: APIConnectOptions = AT_ONCE,
        **_: Any,
    ) -> llm.LLMStream:
        """Answer."""

        async def create_anthropic_stream() -> Any:
            self.sent.append(self._opts.model)
            return next(self._answers)

        return ClaudeStream(self, create_anthropic_stream, chat_ctx, conn_options)


class ClaudeStream(llm.LLMStream):
    """Reads events as LiveKit's plugin reads Anthropic's, 1.8.9."""

    def __init__(
        self, claude: Claude, create: Callable[[], Any], chat_ctx: Any, conn_options: Any
    ) -> None:
        super().__init__(claude, chat_ctx=chat_ctx, tools=[], conn_options=conn_options)
        self._create_anthropic_stream = create
        self._input_tokens = self._output_tokens = 0
        self._cache_read_tokens = self._cache_creation_tokens = 0

    async def _run(self) -> None:
        for event in await self._create_anthropic_stream():
            if isinstance(event, Exception):
                raise event
            if event is asyncio.sleep:
                await asyncio.sleep(60)
            if (chunk := self._parse_event(event)) is not None:
                self._event_ch.send_nowait(chunk)
        prompt = self._input_tokens + self._cache_read_tokens + self._cache_creation_tokens
        usage = llm.CompletionUsage(
            completion_tokens=self._output_tokens,
            prompt_tokens=prompt,
            total_tokens=prompt + self._output_tokens,
            prompt_cached_tokens=self._cache_read_tokens,
        )
        self._event_ch.send_nowait(llm.ChatChunk(id="msg_1", usage=usage))

    def _parse_event(self, event: Any) -> llm.ChatChunk | None:
        if event.type == "message_start":
            self._input_tokens = event.input_tokens
            self._cache_read_tokens = event.cached_tokens
            self._output_tokens = event.output_tokens
        elif event.type == "message_delta":
            self._output_tokens += event.output_tokens
        elif event.type == "content_block_delta":
            delta = llm.ChoiceDelta(role="assistant", content="word ")
            return llm.ChatChunk(id="msg_1", delta=delta)
        return None


BEGINS = SimpleNamespace(
    type="message_start", input_tokens=1000, cached_tokens=400, output_tokens=5
)
WORD = SimpleNamespace(type="content_block_delta")
ENDS = SimpleNamespace(type="message_delta", output_tokens=20)
ANSWER = [BEGINS, *[WORD] * 20, ENDS]
DROPPED = APIConnectionError("dropped")


async def ask(lane: Lane, claude: llm.LLM[Any], *budgets: Budget, cut: bool = False) -> CallRecord:
    """One request; the record of it."""
    with lane.instrumented(budgets=budgets or [BUDGET]):
        chat = llm.ChatContext.empty()
        chat.add_message(role="user", content="When is breakfast?")
        async with claude.chat(chat_ctx=chat) as stream:
            try:
                async for chunk in stream:
                    if cut and chunk.delta:
                        break
            except APIConnectionError:
                pass
        (record,) = lane.records
        assert held(lane, BUDGET) == 0
    return record


async def test_the_output_of_the_answer_s_beginning_is_not_counted_twice(lane: Lane) -> None:
    """The plugin adds it; Anthropic's last count includes it. LiveKit is told the same."""
    claude, told = Claude(ANSWER), list[Any]()
    claude.on("metrics_collected", told.append)
    record = await ask(lane, claude)
    usage = record.usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1400, 400, 20)
    assert (record.provider, usage.estimated) == ("anthropic", False)
    assert [each.completion_tokens for each in told] == [20]


async def test_an_interrupted_answer_has_the_prompt_that_anthropic_told(lane: Lane) -> None:
    """It comes before the first word."""
    record = await ask(lane, Claude([BEGINS, *[WORD] * 5, asyncio.sleep]), cut=True)
    usage = record.usage
    assert (usage.input_tokens, usage.cached_tokens) == (1400, 400)
    assert 0 < (usage.output_tokens or 0) <= 10
    assert (usage.estimated, record.stream_end) == (True, "cancelled")


async def test_a_degrade_reaches_a_plugin_that_sends_by_a_closure(lane: Lane) -> None:
    """Sent, priced and counted as the cheaper model; the plugin itself keeps its own."""
    claude, told = Claude(ANSWER), list[Any]()
    claude.on("metrics_collected", told.append)
    record = await ask(lane, claude, Budget("calls", "10", ladder=[Degrade(0, "claude-haiku-4-5")]))
    assert claude.sent == ["claude-haiku-4-5"]
    assert (record.asked_model, record.model) == ("claude-sonnet-4-5", "claude-haiku-4-5")
    assert claude.model == "claude-sonnet-4-5"
    assert [each.metadata.model_name for each in told] == ["claude-haiku-4-5"]


async def test_each_attempt_of_a_plugin_is_seen_and_a_dropped_one_is_paid(lane: Lane) -> None:
    """A status is not billed; a line that broke may be."""
    refused = APIStatusError("overloaded", status_code=529)
    whole = await ask(lane, Claude(ANSWER))
    lane._records.clear()
    retried = await ask(lane, Claude([refused], ANSWER))
    assert (retried.attempts, retried.cost) == (2, whole.cost)
    lane._records.clear()
    dropped = await ask(lane, Claude([BEGINS, DROPPED], ANSWER))
    assert dropped.attempts == 2
    assert dropped.usage.input_tokens == 2800
    assert dropped.cost > whole.cost * 1.5


async def test_a_plugin_that_fails_for_good_is_charged_for_what_may_be_billed(lane: Lane) -> None:
    """Four attempts, none of which told how it ended."""
    with lane.instrumented(budgets=[BUDGET]):
        chat = llm.ChatContext.empty()
        chat.add_message(role="user", content="When is breakfast?")
        with pytest.raises(APIConnectionError):
            await Claude(*[[DROPPED]] * 4).chat(chat_ctx=chat).collect()
        (record,) = lane.records
        assert (record.attempts, record.usage.estimated) == (4, True)
        assert 0 < record.cost == spent(lane, BUDGET)


class Gemini(llm.LLM[Any]):
    """Made as LiveKit's plugin for Google: it leaves the thoughts out of the completion."""

    @property
    def model(self) -> str:
        """The configured model."""
        return "gemini-2.5-flash"

    @property
    def provider(self) -> str:
        """A display name."""
        return "Gemini"

    def chat(self, *, chat_ctx: llm.ChatContext, **_: Any) -> llm.LLMStream:
        """Answer."""
        return GeminiStream(self, chat_ctx=chat_ctx, tools=[], conn_options=AT_ONCE)


class GeminiStream(llm.LLMStream):
    """Gives a usage with each chunk."""

    async def _run(self) -> None:
        for output, thoughts in ((10, 50), (20, 80)):
            usage = llm.CompletionUsage(
                completion_tokens=output, prompt_tokens=100, total_tokens=100 + output + thoughts
            )
            delta = llm.ChoiceDelta(role="assistant", content="word ")
            self._event_ch.send_nowait(llm.ChatChunk(id="r", delta=delta, usage=usage))


async def test_thoughts_that_a_plugin_leaves_out_are_counted_as_output(lane: Lane) -> None:
    """Google bills them; its total has them. LiveKit is told as well."""
    gemini, told = Gemini(), list[Any]()
    gemini.on("metrics_collected", told.append)
    record = await ask(lane, gemini)
    usage = record.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (100, 100, 80)
    assert [(each.prompt_tokens, each.completion_tokens) for each in told] == [(100, 100)]
