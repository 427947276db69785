"""A client whose own ``request`` was taken before ``instrument`` is gated like any other."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

import openai
import pytest
from endpoint_shapes import ROWS, Row
from lanes import Lane, make_client
from openai._base_client import AsyncAPIClient, SyncAPIClient
from shapes import REQUEST

import aden
from aden import BeforeRequestResult, Budget
from aden.instrumentation import in_place
from aden.instrumentation.openai import OPENAI
from aden.testing import Hang, OpenAIServer, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

KINDS = ("sync", "async", "azure", "async azure")
ROW = {row.name: row for row in ROWS}
UNTYPED = [ROW[name] for name in ("embeddings", "images, streamed", "transcript by the second")]
"""They have no wrapper of ours above the client's own method."""
NONE_LEFT = [Budget("all", 0)]


def wrapped(client: Any) -> None:
    """As ``logfire.instrument_openai(client)`` does."""
    found = client.request

    @functools.wraps(found)
    def request(*args: Any, **kwargs: Any) -> Any:
        return found(*args, **kwargs)

    client.request = request


def kept(client: Any) -> None:
    """The bound method."""
    client.request = client.request


def kept_of_the_class(client: Any) -> None:
    """The function, which the class inherits."""
    client.request = functools.partial(type(client).request, client)


TAKEN = (wrapped, kept, kept_of_the_class)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """A client's."""
    return str(request.param)


@pytest.fixture(params=TAKEN)
def make(request: pytest.FixtureRequest, kind: str, server: OpenAIServer) -> Callable[..., Lane]:
    """Makes a client, and takes its ``request`` in each way."""

    def make(**options: Any) -> Lane:
        lane = Lane(kind, server, **options)
        request.param(lane.client)
        return lane

    return make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", UNTYPED, ids=lambda row: row.name)
async def test_its_requests_are_refused_where_nothing_is_left(
    row: Row,
    make: Callable[..., Lane],
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """Nothing is sent, and the refusal is the SDK's own kind of error."""
    lane = make()
    house = instrumented(budgets=NONE_LEFT)
    with pytest.raises(aden.RequestCancelledError) as refused:
        await row.use(lane, "create")
    with pytest.raises(aden.RequestCancelledError):
        await lane.get(lane.client.post("/rerank", cast_to=object, body={"model": "gpt-4o"}))
    await lane.close()
    assert isinstance(refused.value, openai.APIStatusError)
    assert server.requests == ()
    house.settled(2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [*UNTYPED, None], ids=lambda row: row.name if row else "chat")
async def test_its_requests_are_one_call_and_one_span_each(
    row: Row | None,
    make: Callable[..., Lane],
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """Booked to the nano-dollar, a stream at its end; chat has its wrapper above and no second."""
    lane = make()
    house = instrumented()
    await (row.use(lane, "create") if row else lane.create(**REQUEST))
    await lane.close()
    record, _ = house.one_call()
    assert record.stream_end == (row.end if row else None)
    assert record.cost == house.balance().spent == server.bill.total_nano_usd > 0


async def test_its_retries_pass_the_gate_once_and_are_priced(
    make: Callable[..., Lane],
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """A time-out may have been billed, a refusal by status was not."""
    asked: list[str] = []

    def ask(params: Any, _context: Any) -> BeforeRequestResult:
        asked.append(params["model"])
        return BeforeRequestResult.proceed()

    lane = make(max_retries=2, timeout=0.2)
    house = instrumented(before_request=ask)
    server.script(Status(503, retry_after_s=0.01), Hang(2))
    await ROW["embeddings"].use(lane, "create")
    await lane.close()
    assert server.wait_idle()
    record, _ = house.one_call()
    assert record.attempts == len(server.requests) == 3
    assert record.usage.estimated
    assert record.cost >= server.bill.total_nano_usd > 0
    assert asked == [record.model]


async def test_what_it_posts_itself_can_be_degraded(
    make: Callable[..., Lane],
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """As by any other client."""
    lane = make()
    house = instrumented(
        before_request=lambda _params, _context: BeforeRequestResult.degrade("gpt-4o-mini")
    )
    await lane.get(lane.client.post("/chat/completions", cast_to=object, body=REQUEST))
    await lane.close()
    record, _ = house.one_call()
    assert (record.model, record.asked_model) == ("gpt-4o-mini", "gpt-4o")


async def test_what_is_free_passes_as_it_is(
    make: Callable[..., Lane],
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """No call, no span."""
    server.serve("/v1/moderations", {"id": "m", "model": "omni", "results": []})
    lane = make()
    house = instrumented(budgets=NONE_LEFT)
    await lane.get(lane.client.moderations.create(input="hello"))
    await lane.all(lane.client.models.list())
    await lane.close()
    assert len(server.requests) == 2
    assert (house.settled(0), house.spans) == ((), ())


async def test_what_was_taken_while_we_are_there_passes_when_we_have_left(
    make: Callable[..., Lane],
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """And is gated again when we come back."""
    instrumented(budgets=NONE_LEFT)
    lane = make()
    with pytest.raises(aden.RequestCancelledError):
        await ROW["embeddings"].use(lane, "create")
    aden.uninstrument()
    await ROW["embeddings"].use(lane, "create")
    instrumented(budgets=NONE_LEFT)
    with pytest.raises(aden.RequestCancelledError):
        await ROW["embeddings"].use(lane, "create")
    await lane.close()
    assert len(server.requests) == 1


def told(function: Any) -> dict[str, Any]:
    """What the interpreter and ``inspect`` say of a function."""
    return {
        "signature": inspect.signature(function),
        "source": inspect.getsource(function),
        "awaited": inspect.iscoroutinefunction(function),
        "name": (function.__module__, function.__qualname__, function.__doc__),
    }


@pytest.mark.parametrize("owner", [SyncAPIClient, AsyncAPIClient])
def test_the_sdk_s_function_stays_the_object_that_it_is(
    owner: type, instrumented: Callable[..., House]
) -> None:
    """It tells the same of itself meanwhile, and has nothing of ours in it afterwards.

    Fails where a later SDK's can no longer be wrapped in place.
    """
    function = vars(owner)["request"]
    before, inside = told(function), (function.__code__, function.__kwdefaults__, vars(function))
    code, defaults, attributes = inside[0], inside[1], dict(inside[2])
    for _ in range(2):
        instrumented()
        assert vars(owner)["request"] is function
        assert function.__code__ is not code
        assert told(function) == before
        aden.uninstrument()
        now = function.__code__, function.__kwdefaults__, vars(function)
        assert (now[0] is code, now[1] is defaults, now[2]) == (True, True, attributes)


def test_a_closure_that_tells_nothing_of_what_it_is_around_is_wrapped_in_its_class(
    server: OpenAIServer, instrumented: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has put it into the SDK's base class before we came."""
    found = SyncAPIClient.request

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        return found(self, *args, **kwargs)

    monkeypatch.setattr(SyncAPIClient, "request", request)
    house = instrumented()
    assert OPENAI.in_force["openai._base_client.SyncAPIClient.request"]
    with make_client("sync", server) as client:
        client.embeddings.create(model="text-embedding-3-small", input="hello")
    record, _ = house.one_call()
    assert record.cost == server.bill.total_nano_usd > 0
    aden.uninstrument()
    assert vars(SyncAPIClient)["request"] is request


def test_other_threads_may_call_a_function_while_it_is_wrapped_and_unwrapped() -> None:
    """Tried at each line of ours: it does what it did before, or what it does afterwards."""

    def method(_owner: object, first: int, *, second: int = 2, third: int) -> tuple[int, ...]:
        return first, second, third

    def wrapper(wrapped: Any, _owner: Any, args: Any, kwargs: Any) -> Any:
        return *wrapped(*args, **kwargs), "wrapped"

    function: Any = method
    owner, answers = object(), list[tuple[Any, ...]]()

    def tried(frame: Any, _event: str, _arg: object) -> Any:
        if frame.f_code not in (in_place.wrap.__code__, in_place.unwrap.__code__):
            return None
        answers.append(method(owner, 1, third=3))
        return tried

    before = sys.gettrace()
    sys.settrace(tried)
    try:
        in_place.wrap(function, wrapper)
        in_place.unwrap(function)
    finally:
        sys.settrace(before)
    assert len(answers) > 10
    assert set(answers) == {(1, 2, 3), (1, 2, 3, "wrapped")}
