"""The clients behind one face, so that each shape of a call is written once.

The sync clients are used inside the running loop of the test, as some programs do.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aden.testing import OpenAIServer

KINDS = ("sync", "async", "azure", "async azure", "module")
_MODULE_DEFAULTS = {
    name: getattr(openai, name)
    for name in ("api_key", "base_url", "max_retries", "timeout", "default_headers")
}


def make_client(kind: str, server: OpenAIServer, **options: Any) -> Any:
    """A client that does not retry and waits for ten seconds, unless *options* say otherwise.

    It keeps no connection, for a test's loop is closed before the garbage collector closes clients.
    """
    defaults: dict[str, Any] = {
        "api_key": "key",
        "max_retries": 0,
        "timeout": 10.0,
        "default_headers": {"connection": "close"},
    }
    options = defaults | options
    # Short ones are for answers that do not come: a busy machine is slow to connect.
    options["timeout"] = openai.Timeout(options["timeout"], connect=10.0)
    if kind == "module":
        openai.base_url = server.base_url + "/"
        for name, value in options.items():
            setattr(openai, name, value)
        openai._reset_client()
        return openai
    if "azure" in kind:
        make: Any = openai.AsyncAzureOpenAI if "async" in kind else openai.AzureOpenAI
        return make(azure_endpoint=server.azure_endpoint, api_version="2024-10-21", **options)
    make = openai.AsyncOpenAI if kind == "async" else openai.OpenAI
    return make(**({"base_url": server.base_url} | options))


class Lane:
    """One client, and what differs between sync and async use of it."""

    def __init__(self, kind: str, server: OpenAIServer, **options: Any) -> None:
        self.is_async = "async" in kind
        self.server = server
        self.client = make_client(kind, server, **options)

    @property
    def responses(self) -> Any:
        """``client.responses``."""
        return self.client.responses

    @property
    def chat(self) -> Any:
        """``client.chat.completions``."""
        return self.client.chat.completions

    async def create(self, **request: Any) -> Any:
        """The answer to a request."""
        return await self.get(self.chat.create(**request))

    async def get(self, value: Any) -> Any:
        """The value, awaited where it has to be."""
        return await value if self.is_async else value

    async def each(self, iterable: Any) -> AsyncIterator[Any]:
        """``for`` or ``async for``."""
        if self.is_async:
            async for item in iterable:
                yield item
        else:
            for item in iterable:
                yield item

    async def all(self, iterable: Any) -> list[Any]:
        """Everything that is left in it."""
        if self.is_async:
            return [item async for item in iterable]
        return list(iterable)

    async def take(self, iterable: Any, count: int) -> list[Any]:
        """The next *count* items, by ``next`` or ``anext``."""
        if self.is_async:
            return [await iterable.__anext__() for _ in range(count)]
        return [next(iterable) for _ in range(count)]

    @asynccontextmanager
    async def within(self, manager: Any) -> AsyncIterator[Any]:
        """``with`` or ``async with``."""
        if self.is_async:
            async with AsyncExitStack() as stack:
                yield await stack.enter_async_context(manager)
        else:
            with ExitStack() as sync_stack:
                yield sync_stack.enter_context(manager)

    async def close(self) -> None:
        """Close the client's connections."""
        if self.client is not openai:
            await self.get(self.client.close())
            return
        for name, value in _MODULE_DEFAULTS.items():
            setattr(openai, name, value)
        openai._reset_client()


async def cancelled_when(ready: Callable[[], bool], work: Any, *, after_s: float = 0) -> Any:
    """Run *work* as a task and cancel it *after_s* from when *ready* says so; gives its result."""
    task = asyncio.ensure_future(work)
    while not ready():
        await asyncio.sleep(0.002)
    await asyncio.sleep(after_s)
    task.cancel()
    return await task
