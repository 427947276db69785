"""The order of a call: reserve, hook, adjust, admit; hooks and clients both sync and async."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from guide import spend
from lanes import Lane, make_client
from shapes import REQUEST, STREAM

from aden import BeforeRequestResult, Budget, RequestCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

PROCEED = BeforeRequestResult.proceed()
HOLD_4O = (18 + 40) * 10_000
"""Nano-dollars, as an order of magnitude: what gpt-4o holds at most for `REQUEST`."""

every_hook = pytest.mark.parametrize("hook_kind", ["sync hook", "async hook"])
every_client = pytest.mark.parametrize("kind", ["sync", "async"])


def as_hook(hook_kind: str, check: Callable[[Any, Any], Any]) -> Any:
    """The same hook, sync or async."""

    async def acheck(params: Any, context: Any) -> Any:
        await asyncio.sleep(0)
        return check(params, context)

    return acheck if hook_kind == "async hook" else check


@every_hook
@every_client
async def test_the_hook_is_asked_once_between_the_reserve_and_the_request(
    hook_kind: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """When it is asked the call's own hold stands, is not shown to it, and nothing has left."""
    seen: list[Any] = []

    def check(params: Any, context: Any) -> Any:
        seen.append((dict(params), context, house.balance().held, len(server.requests)))
        return PROCEED

    house = instrumented(before_request=as_hook(hook_kind, check))
    await Lane(kind, server).create(**REQUEST)
    ((params, context, held, sent),) = seen
    assert params == REQUEST
    assert (context.model, context.provider, context.stream) == ("gpt-4o", "openai", False)
    assert 0 < held < HOLD_4O
    assert context.budget["reserved"] == 0
    assert sent == 0
    record, _ = house.one_call()
    assert abs(context.timestamp - record.at) < 1


@every_hook
@every_client
async def test_a_dearer_model_is_reserved_for(
    hook_kind: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The hold that was taken for the cheap model grows to what the dear one needs."""
    to_o1 = as_hook(hook_kind, lambda *_: BeforeRequestResult.degrade("o1", "think harder"))
    house = instrumented(before_request=to_o1)
    lane = Lane(kind, server)
    stream = await lane.create(**(STREAM | {"model": "gpt-4o-mini"}))
    assert house.balance().held > 40 * 60_000
    await lane.all(stream)
    record, span = house.one_call()
    assert (record.asked_model, record.model, span.name) == ("gpt-4o-mini", "o1", "chat o1")
    assert record.cost == server.bill.total_nano_usd


@every_hook
@every_client
async def test_a_dearer_model_that_does_not_fit_is_refused(
    hook_kind: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The second reserve is as binding as the first, and its refusal leaves no hold."""
    to_o1 = as_hook(hook_kind, lambda *_: BeforeRequestResult.degrade("o1"))
    house = instrumented(before_request=to_o1, budgets=[Budget("all", "0.001")])
    with pytest.raises(RequestCancelledError) as caught:
        await Lane(kind, server).create(**(REQUEST | {"model": "gpt-4o-mini"}))
    assert (caught.value.reason, caught.value.source) == ("exhausted", "ledger")
    record, _ = house.one_call()
    assert (record.attempts, len(server.requests), house.balance().spent) == (0, 0, 0)


@every_hook
@every_client
async def test_a_cheaper_model_keeps_the_hold(
    hook_kind: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """No second trip to the ledger: what fits gpt-4o fits its small sister."""
    to_mini = as_hook(hook_kind, lambda *_: BeforeRequestResult.degrade("gpt-4o-mini"))
    house = instrumented(before_request=to_mini)
    lane = Lane(kind, server)
    stream = await lane.create(**STREAM)
    assert house.balance().held > 40 * 10_000
    await lane.all(stream)
    record, _ = house.one_call()
    assert (record.model, record.cost) == ("gpt-4o-mini", server.bill.total_nano_usd)


@every_hook
@every_client
async def test_a_hook_that_cancels_releases_the_hold(
    hook_kind: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What the reserve took is given back at once, and nothing is charged."""
    cancel = as_hook(hook_kind, lambda *_: BeforeRequestResult.cancel("not now"))
    house = instrumented(before_request=cancel)
    with pytest.raises(RequestCancelledError, match=r"^not now$") as caught:
        await Lane(kind, server).create(**REQUEST)
    assert (caught.value.reason, caught.value.source) == ("hook", "hook")
    balance = house.balance()
    assert (balance.held, balance.spent, len(server.requests)) == (0, 0, 0)
    house.one_call()


@every_hook
@every_client
@pytest.mark.parametrize("answer", ["cancel", "proceed"])
async def test_the_hook_is_asked_although_the_ledger_refused(
    answer: str, hook_kind: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It sees an exhausted budget; its words win where it cancels, its consent changes nothing."""
    seen: list[bool] = []

    def check(params: Any, context: Any) -> Any:
        seen.append(context.budget["exhausted"])
        return BeforeRequestResult.cancel("sorry") if answer == "cancel" else PROCEED

    house = instrumented(before_request=as_hook(hook_kind, check), budgets=[Budget("all", "1")])
    spend(house, 1)
    with pytest.raises(RequestCancelledError) as caught:
        await Lane(kind, server).create(**REQUEST)
    assert seen == [True]
    assert caught.value.reason == "exhausted"
    assert caught.value.source == ("hook" if answer == "cancel" else "ledger")
    said = "sorry" if answer == "cancel" else "budget 'all' is exhausted: $1.000000 spent of $1"
    assert str(caught.value).startswith(said)
    assert not server.requests
    house.one_call()


@every_hook
@every_client
async def test_a_hook_may_call_a_model_itself(
    hook_kind: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its own request is gated and booked, but it is not asked about it."""
    asked: list[str] = []
    inner = make_client("sync", server)

    def check(params: Any, context: Any) -> Any:
        asked.append(context.model)
        inner.chat.completions.create(**(REQUEST | {"model": "gpt-4o-mini"}))
        return PROCEED

    house = instrumented(before_request=as_hook(hook_kind, check))
    await Lane(kind, server).create(**REQUEST)
    assert asked == ["gpt-4o"]
    records = house.settled(2)
    assert [record.model for record in records] == ["gpt-4o-mini", "gpt-4o"]
    assert house.balance().spent == server.bill.total_nano_usd


@every_client
async def test_messages_that_can_be_read_once_are_reserved_for_like_a_list(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """They are read for measuring, and sent as they were read."""
    house = instrumented()
    lane = Lane(kind, server)
    first = await lane.create(**STREAM)
    held = house.balance().held
    messages = (dict(message) for message in STREAM["messages"])
    second = await lane.create(**(STREAM | {"messages": messages}))
    assert house.balance().held == 2 * held
    assert server.requests[0].body == server.requests[1].body
    await lane.all(first)
    await lane.all(second)
    house.settled(2)


async def test_degrade_and_throttle_of_hook_and_ladder_are_both_obeyed(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The most restrictive of policy, ledger and hook: these two go together."""
    from aden import Throttle

    house = instrumented(
        budgets=[Budget("all", "1", ladder=[Throttle(50, 60)])],
        before_request=lambda *_: BeforeRequestResult.degrade("gpt-4o-mini"),
    )
    spend(house, 0.6)
    await Lane("async", server).create(**REQUEST)
    record, _ = house.one_call()
    assert (record.decision.action, record.model) == ("degrade", "gpt-4o-mini")
    assert (record.decision.delay_ms, record.decision.delay_source) == (60, "policy")
    assert record.latency_ms >= 60


async def test_a_call_cancelled_while_it_is_throttled_was_never_sent(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its hold is released, its span ends, and nothing is charged."""
    house = instrumented(before_request=lambda *_: BeforeRequestResult.throttle(5000))
    task = asyncio.ensure_future(Lane("async", server).create(**REQUEST))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record, _ = house.one_call()
    assert (record.attempts, record.cost, len(server.requests)) == (0, 0, 0)
