"""A neighbour between Aden and the SDK gives something of its own around the SDK's answer.

As AgentOps' instrumentor and Braintrust's ``auto_instrument()`` do where Aden comes after them.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
import wrapt
from lanes import Lane
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.responses import AsyncResponses, Responses
from shapes import REQUEST, STREAM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aden.testing import OpenAIServer
    from house import House

ASK = {"model": "gpt-4o", "input": "Say hello in 12 tokens."}


class Opaque:
    """Has nothing of the SDK's; it can be read in both ways."""

    def __init__(self, answer: Any) -> None:
        self._inside = answer

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._inside)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self._inside.__anext__()


class Delegating(Opaque):
    """Has all that is the SDK's, and reads the SDK's stream by itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)


class Bare(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """Is the SDK's object, but has no ``__dict__`` to be looked into: so it is with wrapt 1."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        msg = "this __dict__ descriptor does not support it"
        raise TypeError(msg)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__wrapped__)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.__wrapped__.__aiter__()  # type: ignore[no-any-return]


def around(kind: type) -> Any:
    """A wrapper of the SDK's method."""

    def below(wrapped: Any, _resource: Any, args: Any, kwargs: Any) -> Any:
        answer = wrapped(*args, **kwargs)
        return _later(kind, answer) if inspect.isawaitable(answer) else kind(answer)

    return below


async def _later(kind: type, answer: Any) -> Any:
    return kind(await answer)


def parsed_from_raw(kind: type) -> Any:
    """The same, by way of the raw response, whose headers it wants."""

    def below(wrapped: Any, resource: Any, _args: Any, kwargs: Any) -> Any:
        if "extra_headers" in kwargs:  # it is here for the second time, by its own request
            return wrapped(**kwargs)
        answer = resource.with_raw_response.create(**kwargs)
        if inspect.isawaitable(answer):
            return _parsed_later(kind, answer)
        return kind(answer.parse())

    return below


async def _parsed_later(kind: type, answer: Any) -> Any:
    return kind((await answer).parse())


@pytest.fixture(params=[around, parsed_from_raw], ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Any:
    """How the neighbour comes to the answer."""
    return request.param


@pytest.fixture(params=[Opaque, Delegating, Bare], ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    """What it puts around it."""
    return request.param


@pytest.fixture(params=["sync", "async"])
def make(
    request: pytest.FixtureRequest, way: Any, kind: type, monkeypatch: pytest.MonkeyPatch
) -> Callable[[OpenAIServer], Lane]:
    """Makes a client, with the neighbour in the classes of its resources."""
    for owner in (Completions, AsyncCompletions, Responses, AsyncResponses):
        wrapper = wrapt.FunctionWrapper(vars(owner)["create"], way(kind))
        monkeypatch.setattr(owner, "create", wrapper)
    return lambda server: Lane(str(request.param), server)


async def test_a_stream_is_metered_as_the_sdk_s_own(
    make: Callable[..., Lane], server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """To the nano-dollar, and the chunk of usage that nobody asked for is not seen."""
    lane = make(server)
    without = await lane.all(await lane.create(**STREAM))
    billed = server.bill.total_nano_usd
    house = instrumented()
    chunks = await lane.all(await lane.create(**STREAM))
    await lane.close()
    record, _ = house.one_call()
    assert len(chunks) == len(without)
    assert (record.stream_end, record.usage.estimated) == ("complete", False)
    assert record.cost == server.bill.total_nano_usd - billed > 0


async def test_a_whole_answer_is_read_as_the_sdk_s_own(
    make: Callable[..., Lane], kind: type, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The program gets what the neighbour made of it."""
    lane = make(server)
    house = instrumented()
    assert type(await lane.create(**REQUEST)) is kind
    await lane.close()
    record, _ = house.one_call()
    assert not record.usage.estimated
    assert record.cost == server.bill.total_nano_usd > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_metered_as_the_sdk_s_own(
    stream: bool,
    make: Callable[..., Lane],
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """Whole or in events."""
    lane = make(server)
    house = instrumented()
    answer = await lane.get(lane.responses.create(**ASK, stream=stream))
    if stream:
        assert await lane.all(answer)
    await lane.close()
    record, _ = house.one_call()
    assert not record.usage.estimated
    assert record.cost == server.bill.total_nano_usd > 0


@pytest.mark.parametrize("kind", [Delegating, Bare], ids=lambda kind: kind.__name__)
async def test_the_sdk_s_helper_of_a_stream_closes_it_as_without_us(
    make: Callable[..., Lane], server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It closes what it reads, of whatever class that is."""
    lane = make(server)
    house = instrumented()
    async with lane.within(lane.chat.stream(**REQUEST)) as events:
        assert await lane.all(events)
    await lane.close()
    record, _ = house.one_call()
    assert record.stream_end == "complete"
    assert record.cost == server.bill.total_nano_usd > 0
