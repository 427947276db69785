"""Realtime sessions of LiveKit's openai plugin, on the local provider, alone or under an agent."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from lane_kit import INSTRUCTIONS, Lane
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm
from livekit.plugins import openai

from aden import Budget

WIDE = Budget("calls", "100")
RATE = 24_000
SOUND = b"\x10\x20" * (RATE // 10)
SILENCE = bytes(len(SOUND))
QUESTION = "Say hello in 12 tokens."


@asynccontextmanager
async def talking(lane: Lane, **options: Any) -> AsyncIterator[Any]:
    """The plugin's own session, without an agent; the server does not detect turns."""
    async with model(lane, **options) as realtime:
        session = realtime.session()
        try:
            yield session
        finally:
            await session.aclose()


@asynccontextmanager
async def model(lane: Lane, **options: Any) -> AsyncIterator[Any]:
    """The plugin's model, on the local provider."""
    options.setdefault("turn_detection", None)
    options.setdefault("input_audio_transcription", None)
    async with aiohttp.ClientSession() as http:
        yield openai.realtime.RealtimeModel(
            model="gpt-realtime",
            base_url=lane.provider.websocket_base_url,
            api_key="sk-test",
            http_session=http,
            **options,
        )


@asynccontextmanager
async def agent(
    lane: Lane, *, on: Any = None, made: Callable[[], Agent] | None = None, **options: Any
) -> AsyncIterator[Any]:
    """An agent with a realtime model; text in, text out."""
    async with model(lane, **options) as realtime:
        session: AgentSession[None] = AgentSession(llm=on or realtime)
        await session.start(made() if made else Agent(instructions=INSTRUCTIONS))
        try:
            yield session
        finally:
            await session.aclose()


def rt_session(session: Any) -> Any:
    """The realtime session under an agent."""
    return session._activity.realtime_llm_session


async def ask(session: Any, question: str = QUESTION) -> None:
    """Add a question to the conversation."""
    context = session.chat_ctx.copy()
    context.add_message(role="user", content=question)
    await session.update_chat_ctx(context)


async def heard(generation: llm.GenerationCreatedEvent) -> str:
    """What a reply says, to its end."""
    return "".join(
        [text async for message in generation.message_stream async for text in message.text_stream]
    )


def speak(session: Any, *, stop: bool = True) -> None:
    """Say something of half a second into a session's microphone, and fall silent."""
    for data in (*[SOUND] * 5, *([SILENCE] if stop else [])):
        session.push_audio(rtc.AudioFrame(data, RATE, 1, len(data) // 2))
