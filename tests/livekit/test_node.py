"""An ``llm_node`` of the program's own: whichever request in it is refused, the caller hears it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane
from livekit.agents import Agent
from test_heard import SORRY, call

from aden import Budget, RequestCancelledError

NOTHING_LEFT = [Budget("calls", "0")]


class LibraryError(Exception):
    """How a library says that a request failed."""


class Library(Agent):
    """An agent that answers by a library, which raises errors of its own."""

    async def llm_node(self, *args: Any) -> AsyncIterator[Any]:
        """Answer."""
        try:
            async for chunk in Agent.default.llm_node(self, *args):
                yield chunk
        except Exception as error:
            raise LibraryError("the graph failed") from error


class Grouping(Agent):
    """An agent that asks in tasks of a group."""

    async def llm_node(self, *args: Any) -> str:
        """Answer."""
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self._ask(*args))
        return asked.result()

    async def _ask(self, chat_ctx: Any, *_: Any) -> str:
        return (await self.session.llm.chat(chat_ctx=chat_ctx).collect()).text  # type: ignore[union-attr]


@pytest.mark.parametrize(("agent", "raised"), [(Library, LibraryError), (Grouping, ExceptionGroup)])
async def test_a_refusal_that_a_library_has_wrapped_is_heard(
    lane: Lane, agent: type[Agent], raised: type[Exception]
) -> None:
    """The program gets the error that it raised."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, agent(instructions=INSTRUCTIONS)) as line:
            for _ in range(5):
                with pytest.raises(raised):
                    await line.session.run(user_input="When is breakfast?")
            assert line.voice.spoken == [SORRY] * 5
            assert line.answers() == [SORRY] * 5
            assert len(line.errors) == 5
            assert all(event.error.recoverable for event in line.errors)
            assert not line.closed


async def test_with_raise_the_wrapped_refusal_is_the_program_s_alone(lane: Lane) -> None:
    """It is told of it, and nothing is said."""
    with lane.instrumented(budgets=NOTHING_LEFT, on_refusal="raise"):
        async with call(lane, Library(instructions=INSTRUCTIONS)) as line:
            with pytest.raises(LibraryError):
                await line.session.run(user_input="When is breakfast?")
            assert line.voice.spoken == []
            assert len(line.errors) == 1


class Router(Agent):
    """An agent that asks another LLM than the session's first."""

    def __init__(self, other: Any) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._other = other

    async def llm_node(self, chat_ctx: Any, *args: Any) -> AsyncIterator[Any]:
        """Ask both."""
        await self._other.chat(chat_ctx=chat_ctx).collect()
        async for chunk in Agent.default.llm_node(self, chat_ctx, *args):
            yield chunk


async def test_the_session_is_told_of_the_refusal_of_an_llm_that_it_does_not_know(
    lane: Lane,
) -> None:
    """That LLM's own event reaches nobody."""
    with lane.instrumented(budgets=NOTHING_LEFT, refusal_message=SORRY):
        async with call(lane, Router(lane.llm("gpt-4o-mini"))) as line:
            with pytest.raises(RequestCancelledError):
                await line.session.run(user_input="When is breakfast?")
            assert line.voice.spoken == [SORRY]
            (event,) = line.errors
            assert isinstance(event.error.error, RequestCancelledError)
            assert event.error.recoverable
