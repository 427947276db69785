"""A turn is as large before it is sent as the openai SDK's wrapper finds it, and quickly known."""

import time
from collections.abc import AsyncIterator
from typing import Any

from lane_kit import Lane
from livekit.agents import Agent, AgentSession, ModelSettings, function_tool, llm

from aden.core.request import Request
from aden.instrumentation.livekit.measuring import learn_tools, measure_context, measure_tools
from aden.instrumentation.openai import chat
from aden.instrumentation.openai.measuring import measure_messages
from aden.testing import OpenAIServer

PIXEL = "data:image/png;base64,iVBORw0KGgo="


@function_tool
async def weather(city: str, days: int = 3) -> str:
    """Look up the weather.

    Args:
        city: Where.
        days: How far ahead.
    """
    return f"{city} {days}: sunny, später wolkig"


@function_tool(raw_schema={"name": "raw", "parameters": {"type": "object", "properties": {}}})
async def raw(raw_arguments: dict[str, object]) -> None:
    """A tool with a schema of its own."""


def of_everything() -> llm.ChatContext:
    """A conversation with all that LiveKit keeps in one."""
    context = llm.ChatContext.empty()
    context.add_message(role="system", content=["You are a hotel.", "Antworte höflich."])
    context.add_message(role="user", content="Grüß Gott")
    context.items.append(llm.AgentHandoff(new_agent_id="other"))
    image = llm.ImageContent(image=PIXEL)
    context.add_message(role="user", content=["What is this?", image])
    context.add_message(role="user", content=[image])
    said = context.add_message(role="assistant", content="Let me see.")
    for number, city in enumerate(("Wien", "Zürich")):
        call = llm.FunctionCall(
            id=f"{said.id}/{number}",
            call_id=f"c{number}",
            name="weather",
            arguments=f'{{"city": "{city}"}}',
        )
        context.items.append(call)
    for number in range(2):
        output = llm.FunctionCallOutput(
            call_id=f"c{number}", name="weather", output="wärmer", is_error=False
        )
        context.items.append(output)
    context.items += [
        llm.FunctionCall(call_id="c9", name="weather", arguments="{}", group_id="alone"),
        llm.FunctionCallOutput(call_id="c9", name="weather", output="?", is_error=True),
    ]
    return context


def test_a_context_is_as_large_as_the_messages_that_livekit_makes_of_it() -> None:
    """Texts, images, tool calls of one answer and of their own; what is not sent counts nothing."""
    context = of_everything()
    messages, _ = context.to_provider_format(format="openai")
    assert measure_context(context) == measure_messages(messages)


class Measured(Agent):
    """Notes how large Aden takes each of its requests to be, before it is sent."""

    def __init__(self) -> None:
        super().__init__(instructions="You are a hotel.", tools=[weather, raw])
        self.sizes: list[tuple[int, int]] = []

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], _settings: ModelSettings
    ) -> AsyncIterator[llm.ChatChunk]:
        """Answer."""
        assert isinstance(self.session.llm, llm.LLM)
        async with self.session.llm.chat(chat_ctx=chat_ctx, tools=tools) as stream:
            request = vars(stream)["_aden_call"].request
            self.sizes.append((request.input_chars, request.input_extra_tokens))
            async for chunk in stream:
                yield chunk


async def test_a_turn_is_as_large_before_it_is_sent_as_on_the_wire(
    lane: Lane, provider: OpenAIServer
) -> None:
    """So its prompt is that of the turn before, which the provider counted, and what is new.

    How large tools are shows when they are sent first.
    """
    agent = Measured()
    with lane.instrumented():
        session: AgentSession[None] = AgentSession(llm=lane.llm())
        await session.start(agent)
        for question in ("When is breakfast?", "Call the tool.", "Und am Frühstücksbüfett?"):
            await session.run(user_input=question)
        await session.aclose()
    bodies = [each.body or {} for each in provider.requests if "messages" in (each.body or {})]
    sent = [chat.describe(body, None) for body in bodies]
    assert len(sent) == 4
    wire = [(each.input_chars, each.input_extra_tokens) for each in sent]
    assert agent.sizes[1:] == wire[1:]
    assert agent.sizes[0][1] == wire[0][1]
    assert 0.5 < agent.sizes[0][0] / wire[0][0] <= 1.5


async def test_a_plugin_whose_wire_is_not_seen_keeps_the_guess(lane: Lane) -> None:
    """There is nothing to learn from it."""
    tools: list[Any] = [weather]
    context = of_everything()
    guess = measure_tools(tools)
    learn_tools(tools, context, Request("other", "m", input_chars=measure_context(context)[0]))
    assert measure_tools(tools) == guess


def test_tools_that_nobody_has_sent_yet_take_no_time() -> None:
    """LiveKit needs milliseconds a tool to make its schema."""
    tools: list[Any] = [function_tool(weather._func, name=f"t{number}") for number in range(20)]
    assert _seconds(lambda: measure_tools(tools)) < 0.005


def test_a_long_conversation_is_measured_in_a_fraction_of_a_millisecond() -> None:
    """It stands before each first token, and grows with what was said."""
    context = llm.ChatContext.empty()
    for number in range(200):
        role: Any = ("user", "assistant")[number % 2]
        context.add_message(role=role, content="Please tell me of the breakfast. " * 6)
    best = min(_seconds(lambda: measure_context(context)) for _ in range(20))
    assert best < 0.001


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
