"""The official instrumentor beside ours: one span, one charge, in whatever order they come and go.

It is opentelemetry-instrumentation-genai-openai itself.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from typing import TYPE_CHECKING, Any

import openai
import pytest
import wrapt
from lanes import Lane, make_client
from openai._base_client import SyncAPIClient
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import Embeddings
from openai.resources.responses import Responses
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)
from opentelemetry.instrumentation.utils import unwrap
from shapes import REQUEST, STREAM
from test_uninstrument import attributes as patched

import aden
from aden import Budget
from otel_kit import Sdk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aden.testing import OpenAIServer
    from house import House

OWNERS: tuple[tuple[Any, str], ...] = (
    (Completions, "create"),
    (Completions, "parse"),
    (AsyncCompletions, "create"),
    (AsyncCompletions, "parse"),
    (Embeddings, "create"),
    (Responses, "create"),
    (Responses, "stream"),
    (BaseInstrumentor, "instrument"),
    (BaseInstrumentor, "uninstrument"),
)
ORDERS = list(itertools.product(("ours", "official"), repeat=2))
"""Who comes first, who leaves first."""


def attributes() -> dict[str, Any]:
    """Everything that either of the two wraps."""
    both = {f"{owner.__name__}.{name}": vars(owner)[name] for owner, name in OWNERS}
    return {**both, **dict(patched())}


class Both:
    """The two instrumentors on the same providers."""

    def __init__(self, instrumented: Callable[..., House]) -> None:
        self.sdk = Sdk()
        self._instrumented = instrumented

    def come(self, who: str, **options: Any) -> House | None:
        """Instrument by one of them."""
        if who == "official":
            OpenAIInstrumentor().instrument(**self.sdk.providers)
            return None
        tracer, meter = self.sdk.tracer_provider, self.sdk.meter_provider
        return self._instrumented(tracer_provider=tracer, meter_provider=meter, **options)

    def come_both(self, first: str, **options: Any) -> House:
        """Instrument by both; gives our house."""
        order = ("ours", "official") if first == "ours" else ("official", "ours")
        (house,) = filter(None, [self.come(who, **options) for who in order])
        return house

    def leave(self, who: str) -> None:
        """Uninstrument one of them."""
        (OpenAIInstrumentor() if who == "official" else aden.AdenInstrumentor()).uninstrument()

    def scopes(self) -> list[str]:
        """The instrumentations of the spans that have ended."""
        return [
            span.instrumentation_scope.name for span in self.sdk.spans if span.instrumentation_scope
        ]


@pytest.fixture
def both(instrumented: Callable[..., House]) -> Iterator[Both]:
    """Neither of the two yet."""
    yield Both(instrumented)
    if OpenAIInstrumentor().is_instrumented_by_opentelemetry:
        OpenAIInstrumentor().uninstrument()


@pytest.mark.parametrize(("first", "leaves"), ORDERS)
def test_in_every_order_the_sdk_is_left_as_it_was(first: str, leaves: str, both: Both) -> None:
    """The very objects, also of the base class through which we learn of each other."""
    before = attributes()
    both.come_both(first)
    both.leave(leaves)
    both.leave("official" if leaves == "ours" else "ours")
    now = attributes()
    assert [name for name in before if before[name] is not now[name]] == []


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("first", ["ours", "official"])
async def test_a_call_has_one_span_of_ours_and_one_charge(
    first: str, kind: str, server: OpenAIServer, both: Both
) -> None:
    """Plain, raw, streamed, parsed from raw: each shape once."""
    house = both.come_both(first)
    lane = Lane(kind, server)
    await lane.create(**REQUEST)
    (await lane.get(lane.chat.with_raw_response.create(**REQUEST))).parse()
    await lane.all(await lane.create(**STREAM))
    await lane.all((await lane.get(lane.chat.with_raw_response.create(**STREAM))).parse())
    records = house.settled(4)
    assert both.scopes() == ["aden"] * 4
    assert sum(record.cost for record in records) == server.bill.total_nano_usd
    assert [record.attempts for record in records] == [1] * 4
    duration = both.sdk.shown_metrics()["gen_ai.client.operation.duration"][2]
    assert sum(point[1] for point in duration) == 4


@pytest.mark.parametrize("first", ["ours", "official"])
def test_a_refusal_is_ours_and_reaches_nobody_s_span(
    first: str, server: OpenAIServer, both: Both
) -> None:
    """The gate stands above the other's wrapper, so it opens no span for what is not sent."""
    both.come_both(first, budgets=[Budget("all", 0)])
    with pytest.raises(aden.RequestCancelledError):
        make_client("sync", server).chat.completions.create(**REQUEST)
    assert not server.requests
    assert both.scopes() == ["aden"]


@pytest.mark.parametrize(("first", "leaves"), ORDERS)
def test_who_stays_goes_on_as_if_alone(
    first: str, leaves: str, server: OpenAIServer, both: Both
) -> None:
    """Above all, the gate does not leave with the neighbour."""
    house = both.come_both(first)
    client = make_client("sync", server)
    both.leave(leaves)
    client.chat.completions.create(**REQUEST)
    (scope,) = both.scopes()
    if leaves == "official":
        assert scope == "aden"
        assert house.settled()[0].cost == server.bill.total_nano_usd
    else:
        assert scope == "opentelemetry.instrumentation.genai.openai"


def test_a_neighbour_may_come_and_go_many_times(server: OpenAIServer, both: Both) -> None:
    """Nothing piles up."""
    before = attributes()
    both.come("ours")
    for _ in range(3):
        both.come("official")
        both.leave("official")
    assert vars(Completions)["create"].__wrapped__ is before["Completions.create"]
    make_client("sync", server).chat.completions.create(**REQUEST)
    assert both.scopes() == ["aden"]
    both.leave("ours")
    now = attributes()
    assert [name for name in before if before[name] is not now[name]] == []


def test_a_client_that_was_bound_meanwhile_stays_gated(server: OpenAIServer, both: Both) -> None:
    """``with_raw_response`` keeps what it found when it was first used."""
    house = both.come_both("ours")
    client = make_client("sync", server)
    raw = client.chat.completions.with_raw_response
    both.leave("official")
    raw.create(**REQUEST).parse()
    house.settled()
    assert both.scopes() == ["aden"]


def test_a_wrapper_that_came_without_an_instrumentor_is_left_in_place(
    server: OpenAIServer, both: Both
) -> None:
    """A wrapt wrapper on top of ours: ours is taken out from beneath it."""
    original = vars(Completions)["create"]
    seen: list[str] = []

    def note(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append(kwargs["model"])
        return wrapped(*args, **kwargs)

    both.come("ours")
    wrapt.wrap_function_wrapper("openai.resources.chat.completions", "Completions.create", note)
    try:
        both.leave("ours")
        assert vars(Completions)["create"].__wrapped__ is original
        make_client("sync", server).chat.completions.create(**REQUEST)
        assert seen == ["gpt-4o"]
        assert both.scopes() == []
    finally:
        unwrap(Completions, "create")
    assert vars(Completions)["create"] is original


def test_a_closure_around_ours_keeps_it_and_it_lets_calls_through(
    server: OpenAIServer, both: Both
) -> None:
    """Nobody can look into a closure. Instrumented again, it is not wrapped twice."""
    original = vars(Completions)["create"]
    house = both.come("ours")
    assert house is not None
    inner = Completions.create

    @functools.wraps(inner)
    def outer(self: Any, **kwargs: Any) -> Any:
        return inner(self, **kwargs)

    Completions.create = outer  # type: ignore[method-assign]
    try:
        both.leave("ours")
        make_client("sync", server).chat.completions.create(**REQUEST)
        assert both.scopes() == []
        again = both.come("ours")
        assert again is not None
        assert vars(Completions)["create"] is outer
        make_client("sync", server).chat.completions.create(**REQUEST)
        again.settled()
        assert both.scopes() == ["aden"]
    finally:
        Completions.create = original  # type: ignore[method-assign]


class ReadInEitherWay(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """Around a stream of either kind, as OpenInference and Traceloop put it."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.__wrapped__.__next__()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self.__wrapped__.__anext__()


def proxied(wrapped: Any, _client: Any, args: Any, kwargs: Any) -> Any:
    """``OpenAI.request``, whose streams get the proxy."""
    return ReadInEitherWay(wrapped(*args, **kwargs))


async def aproxied(wrapped: Any, _client: Any, args: Any, kwargs: Any) -> Any:
    """``AsyncOpenAI.request``."""
    return ReadInEitherWay(await wrapped(*args, **kwargs))


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_proxy_around_a_stream_is_read_as_the_stream_within(
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That it has the methods of the other kind as well says nothing."""
    owner = openai.AsyncOpenAI if kind == "async" else openai.OpenAI
    below = aproxied if kind == "async" else proxied
    monkeypatch.setattr(owner, "request", wrapt.FunctionWrapper(owner.request, below))
    house = instrumented()
    lane = Lane(kind, server)
    stream = await lane.create(**STREAM)
    assert type(stream) is ReadInEitherWay
    assert await lane.all(stream)
    await lane.close()
    record, _ = house.one_call()
    assert record.stream_end == "complete"
    assert record.cost == server.bill.total_nano_usd


class AboveTheClient(BaseInstrumentor):  # type: ignore[misc]
    """Wraps ``OpenAI.request``, which the class inherits, and leaves what it found in the class.

    So does OpenInference's instrumentor; Logfire's comes in the same way.
    """

    def instrumentation_dependencies(self) -> tuple[str, ...]:
        return ()

    def _instrument(self, **_options: Any) -> None:
        self.seen: list[str] = []
        self.found = openai.OpenAI.request
        wrapper = wrapt.FunctionWrapper(vars(openai.OpenAI).get("request", self.found), self.note)
        openai.OpenAI.request = wrapper  # type: ignore[method-assign]

    def _uninstrument(self, **_options: Any) -> None:
        openai.OpenAI.request = self.found  # type: ignore[method-assign]

    def note(self, wrapped: Any, _client: Any, args: Any, kwargs: Any) -> Any:
        """See a request pass."""
        self.seen.append(args[1].url)
        return wrapped(*args, **kwargs)


@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_what_the_client_inherits_is_not_hidden_by_a_neighbour_of_it(
    first: str, stays: bool, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Embeddings have no wrapper of ours above the client's own method; his sees what we refuse."""
    inherited = vars(SyncAPIClient)["request"]
    neighbour = AboveTheClient()
    try:
        if first == "theirs":
            neighbour.instrument()
        house = instrumented()
        if first == "ours":
            neighbour.instrument()
        if not stays:
            neighbour.uninstrument()
        with make_client("sync", server) as client:
            client.embeddings.create(model="text-embedding-3-small", input="hello")
        record, _ = house.one_call()
        assert record.cost == server.bill.total_nano_usd > 0
        assert neighbour.seen == (["/embeddings"] if stays else [])
        instrumented(budgets=[Budget("all", 0)])
        with make_client("sync", server) as client, pytest.raises(aden.RequestCancelledError):
            client.embeddings.create(model="text-embedding-3-small", input="hello")
        aden.uninstrument()
        with make_client("sync", server) as client:
            client.embeddings.create(model="text-embedding-3-small", input="hello")
        assert len(neighbour.seen) == (3 if stays else 0)
    finally:
        aden.uninstrument()
        if stays:
            neighbour.uninstrument()
        del openai.OpenAI.request
    assert vars(SyncAPIClient)["request"] is inherited


def test_no_place_is_lost_when_the_official_one_comes(both: Both) -> None:
    """Each of our patches is still on top; what is wrapped in place runs our code."""
    both.come_both("ours")
    tops = [(name, getattr(top, "_self_wrapper", top)) for name, top in patched()]
    assert [name for name, top in tops if "'aden." not in str(inspect.getmodule(top))] == []
