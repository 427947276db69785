"""How the WebSockets are used: one answer on each, or one session."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from lanes import Lane
from response_shapes import OURS_ALONE

if TYPE_CHECKING:
    from aden.testing import OpenAIServer

ASK: dict[str, Any] = {
    "model": "gpt-4o",
    "input": "Say hello in 12 tokens.",
    "max_output_tokens": 40,
}
ITEM = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Say hello in 12 tokens."}],
}
SECOND = base64.b64encode(bytes(48_000)).decode()
OVER = ("response.completed", "response.failed", "response.incomplete", "response.done", "error")
every_client = pytest.mark.parametrize("kind", ["sync", "async"])
WORDS = ("response.output_text.delta", "response.output_audio.delta")


def lane_to(kind: str, server: OpenAIServer) -> Lane:
    """A client whose WebSockets lead to the server."""
    return Lane(kind, server, websocket_base_url=server.websocket_base_url)


async def answer(lane: Lane, connection: Any, words: int | None = None) -> list[Any]:
    """The events of one response, or those up to a number of words."""
    events: list[Any] = []
    while True:
        event = await lane.get(connection.recv())
        events.append(event)
        said = [each.type for each in events if each.type in WORDS]
        if event.type in OVER or len(said) == words:
            return events


async def respond(lane: Lane, connection: Any, words: int | None = None) -> list[Any]:
    """One response of the Responses API."""
    await lane.get(connection.response.create(**ASK))
    return await answer(lane, connection, words)


async def talk(lane: Lane, connection: Any, words: int | None = None) -> list[Any]:
    """One response of the Realtime API to a question in text."""
    await lane.get(connection.conversation.item.create(item=ITEM))
    await lane.get(connection.response.create(response={"max_output_tokens": 40}))
    return await answer(lane, connection, words)


async def talk_in_the_beta(lane: Lane, connection: Any, words: int | None = None) -> list[Any]:
    """The same, where a cap has its older name."""
    await lane.get(connection.conversation.item.create(item=ITEM))
    await lane.get(connection.response.create(response={"max_response_output_tokens": 40}))
    return await answer(lane, connection, words)


API: dict[str, tuple[Any, Any]] = {
    "responses": (lambda lane: lane.responses.connect(), respond),
    "realtime": (lambda lane: lane.client.realtime.connect(model="gpt-realtime"), talk),
    "beta responses": (lambda lane: lane.client.beta.responses.connect(), respond),
    "beta realtime": (
        lambda lane: lane.client.beta.realtime.connect(model="gpt-realtime"),
        talk_in_the_beta,
    ),
}
every_api = pytest.mark.parametrize("api", API)

SESSION: dict[str, Any] = {
    "model": "gpt-live-1",
    "delegation": {"type": "responses", "responses": {"model": "gpt-4o"}},
}


async def until(lane: Lane, connection: Any, kind: str) -> list[Any]:
    """The events up to one of a kind."""
    events: list[Any] = []
    while not events or events[-1].type != kind:
        events.append(await lane.get(connection.recv()))
    return events


async def begin(lane: Lane, connection: Any, session: dict[str, Any] = SESSION) -> Any:
    """Start a session; gives the event that says so."""
    await lane.get(connection.session.start(session=session))
    return (await until(lane, connection, "session.started"))[-1]


async def speak(lane: Lane, connection: Any, seconds: int = 3) -> list[str]:
    """Say something; gives what kinds of events came."""
    kinds = []
    for _ in range(seconds):
        await lane.get(connection.session.input_audio.append(audio=SECOND))
        kinds += [e.type for e in await until(lane, connection, "session.usage.updated")]
    return kinds


async def converse(lane: Lane) -> Any:
    """A whole session of three seconds."""
    async with lane.within(lane.client.live.connect()) as connection:
        started = await begin(lane, connection)
        kinds = await speak(lane, connection)
        await lane.get(connection.session.close())
        closed = (await until(lane, connection, "session.closed"))[-1]
        return type(connection), type(started), kinds, OURS_ALONE.sub("", repr(closed))[:60]


async def translate(lane: Lane) -> Any:
    """A whole translation of three seconds."""
    manager = lane.client.realtime.translations.connect(model="gpt-realtime-translate")
    async with lane.within(manager) as connection:
        for _ in range(3):
            await lane.get(connection.session.input_audio_buffer.append(audio=SECOND))
        await lane.get(connection.session.close())
        return [each.type for each in await until(lane, connection, "session.closed")]
