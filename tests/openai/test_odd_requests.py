"""What a program may ask in odd ways: the wire has the same bytes, and the call is settled."""

from __future__ import annotations

import enum
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai
import pytest
from bad_answers import COUNTED, HELLO, whole
from lanes import Lane
from openai import NOT_GIVEN, omit
from openai.resources.chat import AsyncCompletions, Completions
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel
from shapes import seen
from wire import Body, WireServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from house import House

MESSAGES = [{"role": "user", "content": "Say hello"}]


class Model(enum.StrEnum):
    """A program's own list of models."""

    SMALL = "gpt-4o-mini"


class OldModel(str, enum.Enum):  # noqa: UP042 - how it was done before 3.11
    """The same; its ``str()`` is not its value."""

    SMALL = "gpt-4o-mini"


class Message(BaseModel):
    """A program's own message."""

    role: str
    content: str | None


class Once:
    """Messages that are made anew each time that they are asked for."""

    def __iter__(self) -> Iterator[dict[str, str]]:
        return iter([dict(message) for message in MESSAGES])


def spent() -> Iterator[dict[str, str]]:
    """An iterator that raises in the middle."""
    yield dict(MESSAGES[0])
    raise LookupError("the program's own")


@dataclass(frozen=True)
class Odd:
    """One request."""

    name: str
    make: Callable[[], dict[str, Any]]
    model: str = "gpt-4o"
    """As it is booked."""
    settled: int = 1


def _said(**more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": "gpt-4o", "messages": MESSAGES, **more}


def _asking(model: Any, booked: str | None = None, name: str = "") -> Odd:
    shown = str(model) if booked is None else booked
    return Odd(f"model {name or repr(model)[:30]}", _said(model=model), shown)


REQUESTS = (
    _asking("ft:gpt-4o-2024-08-06:acme::abc"),
    _asking("my deployment/of a thing?"),
    _asking("modèle-日本-🙂"),
    _asking("m" * 10_000),
    _asking(""),
    _asking("   "),
    _asking("gpt-4o\n", name="with a line's end"),
    _asking("\ud800", name="half a character"),
    _asking(Model.SMALL, "gpt-4o-mini"),
    _asking(OldModel.SMALL, "gpt-4o-mini", "an enum"),
    _asking(7, ""),
    _asking(None, ""),
    _asking({"a": [1]}, ""),
    _asking(object(), "", "an object"),
    _asking(b"gpt-4o", ""),
    Odd("5 MB of messages", _said(messages=[{"role": "user", "content": "x" * 5_000_000}])),
    Odd("a generator", lambda: {"model": "gpt-4o", "messages": map(dict, MESSAGES)}),
    Odd("an iterator that raises", lambda: {"model": "gpt-4o", "messages": spent()}, settled=0),
    Odd("what can be read again", _said(messages=Once())),
    Odd("a tuple", _said(messages=tuple(MESSAGES))),
    Odd("a mapping that is no dict", _said(messages=[types.MappingProxyType(MESSAGES[0])])),
    Odd("pydantic messages", _said(messages=[Message(role="user", content="Say hello")])),
    Odd(
        "an answer as a message",
        _said(messages=[*MESSAGES, ChatCompletionMessage(role="assistant", content="hi")]),
    ),
    Odd("one pydantic object as messages", _said(messages=Message(role="user", content="x"))),
    Odd("a text as messages", _said(messages="Say hello")),
    Odd("no messages", _said(messages=None)),
    Odd("odd messages", _said(messages=[None, 5, {"role": 7, "content": {"a": object}}])),
    Odd("odd parts", _said(messages=[{"role": "user", "content": [5, {"type": ["x"]}, None]}])),
    Odd("half a character", _said(messages=[{"role": "user", "content": "\udfff"}])),
    Odd("not given", _said(max_tokens=NOT_GIVEN, tools=NOT_GIVEN, stream=NOT_GIVEN)),
    Odd("omitted", _said(max_tokens=omit, tools=omit, stream=omit, extra_body=None)),
    Odd("odd numbers", _said(max_tokens="many", n=-3, stop=5, seed=[1], temperature="hot")),
    Odd("odd options", _said(service_tier={"a": 1}, stream_options=5, metadata=["x"], tools={})),
    Odd(
        "an odd body", _said(extra_body={"metadata": 5, "messages": [], "model": "other"}), "other"
    ),
    Odd("odd headers", _said(extra_headers={"x-a": "b"}, extra_query={"q": "1"}, timeout=3.0)),
    Odd("a body that is no mapping", _said(extra_body=[1])),
    Odd("an unknown parameter", _said(unheard_of=1)),
    Odd("nothing", dict),
)
ANSWERS: tuple[tuple[str, Body, dict[str, Any]], ...] = (
    ("plain", whole(), {}),
    ("streamed", Body.events(*HELLO, COUNTED), {"stream": True}),
)


@pytest.fixture
def server() -> Iterator[WireServer]:
    """A server of bytes."""
    with WireServer() as running:
        yield running


async def outcome(lane: Lane, odd: Odd, more: dict[str, Any]) -> Any:
    """What a program sees, and what the server is asked."""
    asked = lane.server.asked  # type: ignore[attr-defined]
    asked.clear()
    request = odd.make()
    if "stream_options" not in request:
        more = more | ({"stream_options": {"include_usage": True}} if more else {})
    try:
        answer = await lane.create(**request | more)
        saw = seen(await lane.all(answer) if more else answer)
    except Exception as error:
        saw = "raised", type(error), str(error), type(error.__cause__)
    return saw, list(asked)


@pytest.mark.parametrize("odd", REQUESTS, ids=lambda odd: odd.name)
async def test_an_odd_request_is_sent_as_without_us_and_settled(
    odd: Odd, server: WireServer, instrumented: Callable[..., House]
) -> None:
    """Sync and async, plain and streamed; what the SDK refuses, it refuses in its own words."""
    lanes = [Lane(kind, server) for kind in ("sync", "async")]  # type: ignore[arg-type]

    async def all_ways() -> list[Any]:
        saw = []
        for lane in lanes:
            for _, body, more in ANSWERS:
                server.body = body
                saw.append(await outcome(lane, odd, more))
        return saw

    bare = await all_ways()
    house = instrumented()
    assert await all_ways() == bare
    for lane in lanes:
        await lane.close()
    records = house.settled(len(bare) * odd.settled)
    assert {each.model for each in records} <= {odd.model if odd.make() else ""}
    for (saw, asked), record in zip(bare, records, strict=bool(odd.settled)):
        assert record.attempts == len(asked)
        if saw[0] != "raised":
            assert (record.usage.input_tokens, record.usage.output_tokens) == (14, 12)


class OwnCompletions(Completions):
    """A program's own resource."""

    def create(self, **kwargs: Any) -> Any:
        """Ask another model."""
        return super().create(**kwargs | {"model": "gpt-4o-mini"})


class OwnAsyncCompletions(AsyncCompletions):
    """The same, async."""

    async def create(self, **kwargs: Any) -> Any:
        """Ask another model."""
        return await super().create(**kwargs | {"model": "gpt-4o-mini"})


class OwnClient(openai.OpenAI):
    """A program's own client, with a request method of its own."""

    requests = 0

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Count."""
        type(self).requests += 1
        return super().request(*args, **kwargs)


class OwnAsyncClient(openai.AsyncOpenAI):
    """The same, async."""

    requests = 0

    async def request(self, *args: Any, **kwargs: Any) -> Any:
        """Count."""
        type(self).requests += 1
        return await super().request(*args, **kwargs)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_subclassed_clients_and_resources_make_one_call(
    kind: str, server: WireServer, instrumented: Callable[..., House]
) -> None:
    """The subclass's own methods run, once each."""
    house = instrumented()
    server.body = whole()
    make: Any = OwnClient if kind == "sync" else OwnAsyncClient
    make.requests = 0
    client = make(base_url=server.base_url, api_key="key", max_retries=0)
    resource: Any = (OwnCompletions if kind == "sync" else OwnAsyncCompletions)(client)
    lane = Lane(kind, server)  # type: ignore[arg-type]
    await lane.close()
    answer = await lane.get(resource.create(model="gpt-4o", messages=MESSAGES))
    raw = await lane.get(resource.with_raw_response.create(model="gpt-4o", messages=MESSAGES))
    await lane.get(client.close())
    assert answer.usage == raw.parse().usage
    assert make.requests == 2
    records = house.settled(2)
    assert [each.model for each in records] == ["gpt-4o-mini"] * 2
    assert [each["model"] for each in server.asked] == ["gpt-4o-mini"] * 2


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_positional_arguments_fail_as_without_us(
    kind: str, server: WireServer, instrumented: Callable[..., House]
) -> None:
    """The SDK says it itself; nothing was asked, so nothing is booked."""
    lane = Lane(kind, server)  # type: ignore[arg-type]
    said = []
    for instrument in (False, True):
        house = instrumented() if instrument else None
        for method in (lane.chat.create, lane.chat.parse, lane.responses.create):
            with pytest.raises(TypeError) as error:
                await lane.get(method(MESSAGES, "gpt-4o"))
            said.append(str(error.value))
    await lane.close()
    assert said[:3] == said[3:]
    assert house is not None
    assert house.settled(0) == ()
