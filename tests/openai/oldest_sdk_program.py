"""Asks in each way through whichever openai SDK is installed; prints what came of it as JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai

import aden
from aden.testing import OpenAIServer

ASK: dict[str, Any] = {"model": "gpt-4o", "input": "Say hello in 12 tokens."}
CHAT: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Say hello in 12 tokens."}],
}
ITEM = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Say hello in 12 tokens."}],
}
OVER = ("response.completed", "response.done")


def sync(client: Any) -> None:
    """One request each: over HTTP, as a stream, and over both kinds of WebSocket."""
    client.chat.completions.create(**CHAT)
    list(client.chat.completions.create(**CHAT, stream=True))
    client.responses.create(**ASK)
    with client.responses.connect() as connection:
        connection.response.create(**ASK)
        next(event for event in connection if event.type in OVER)
        connection.send_raw(json.dumps({"type": "response.create", **ASK}))
        next(event for event in connection if event.type in OVER)
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.conversation.item.create(item=ITEM)
        connection.response.create()
        next(event for event in connection if event.type in OVER)


async def awaiting(client: Any) -> None:
    """`sync`, awaiting."""
    await client.chat.completions.create(**CHAT)
    async for _ in await client.chat.completions.create(**CHAT, stream=True):
        pass
    await client.responses.create(**ASK)
    async with client.responses.connect() as connection:
        await connection.response.create(**ASK)
        await _over(connection)
        await connection.send_raw(json.dumps({"type": "response.create", **ASK}))
        await _over(connection)
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.conversation.item.create(item=ITEM)
        await connection.response.create()
        await _over(connection)


async def _over(connection: Any) -> None:
    async for event in connection:
        if event.type in OVER:
            return


def refused(client: Any) -> int:
    """How many ways to ask are refused."""
    return sum(map(_is_refused, (_chat, _respond, _respond_raw, _talk), [client] * 4))


def _is_refused(ask: Any, client: Any) -> bool:
    try:
        ask(client)
    except aden.RequestCancelledError:
        return True
    return False


def _chat(client: Any) -> None:
    client.chat.completions.create(**CHAT)


def _respond(client: Any) -> None:
    with client.responses.connect() as connection:
        connection.response.create(**ASK)


def _respond_raw(client: Any) -> None:
    with client.responses.connect() as connection:
        connection.send_raw(json.dumps({"type": "response.create", **ASK}))


def _talk(client: Any) -> None:
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.response.create()


def main() -> None:
    """Ask within a budget, and with none left."""
    told: list[aden.CallRecord] = []
    with OpenAIServer() as server:
        where: dict[str, Any] = {
            "base_url": server.base_url,
            "websocket_base_url": server.websocket_base_url,
        }
        client = openai.OpenAI(api_key="k", **where)
        aden.instrument(budgets=[aden.Budget("b", 1)], ledger="memory:", emit_metric=told.append)
        sync(client)
        asyncio.run(awaiting(openai.AsyncOpenAI(api_key="k", **where)))
        aden.flush()
        billed = server.bill.total_nano_usd
        aden.uninstrument()
        aden.instrument(budgets=[aden.Budget("b", 0)], ledger="memory:")
        said = {
            "version": openai.__version__,
            "calls": len(told),
            "billed": billed,
            "booked": sum(record.cost for record in told),
            "estimated": sum(record.usage.estimated for record in told),
            "refused": refused(client),
            "billed_after": server.bill.total_nano_usd,
        }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
