"""The four actions of the guide's table, by the guide's own hook, through all clients."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from guide import budget_check, spend
from lanes import KINDS, Lane
from shapes import REQUEST, STREAM, consumed

import aden
from aden import BeforeRequestResult, Budget, RequestCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

USES = {
    "plain": REQUEST,
    "stream": STREAM,
}
every_client = pytest.mark.parametrize("kind", KINDS)
every_use = pytest.mark.parametrize("use", USES)


async def call(lane: Lane, use: str) -> Any:
    """Make the call and read it to its end."""
    answer = await lane.create(**USES[use])
    return await lane.all(answer) if use == "stream" else answer


def guarded(instrumented: Callable[..., House], spent: float, **options: Any) -> House:
    """The guide's hook over a budget of one dollar of which *spent* is gone."""
    settings = {"before_request": budget_check, "budgets": [Budget("all", "1")]} | options
    house = instrumented(**settings)
    spend(house, spent)
    return house


@every_client
@every_use
async def test_within_budget_the_request_proceeds(
    kind: str, use: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Below 80 % nothing is changed or said."""
    house = guarded(instrumented, 0.79)
    await call(Lane(kind, server), use)
    record, span = house.one_call()
    assert record.decision.action == "allow"
    assert (span.attributes or {})["aden.decision.action"] == "allow"
    assert (server.requests[0].body or {}).get("model", "gpt-4o") == "gpt-4o"


@every_client
@every_use
async def test_from_80_percent_the_cheaper_model_is_sent(
    kind: str, use: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The span is named after the model that was sent; the one asked for stands beside it."""
    house = guarded(instrumented, 0.80)
    await call(Lane(kind, server), use)
    record, span = house.one_call()
    attributes = dict(span.attributes or {})
    assert span.name == "chat gpt-4o-mini"
    assert attributes["gen_ai.request.model"] == record.model == "gpt-4o-mini"
    assert attributes["aden.request.model"] == record.asked_model == "gpt-4o"
    assert attributes["aden.decision.action"] == "degrade"
    assert attributes["aden.decision.source"] == "hook"
    assert record.decision.message == "Approaching limit"
    (item,) = server.bill.items
    assert (item.model, record.cost) == ("gpt-4o-mini", item.nano_usd)


@every_client
@every_use
async def test_from_95_percent_the_request_is_delayed(
    kind: str, use: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The call waits; its own hold stays, so that it finds its room when it goes."""
    held: list[int] = []

    def check(params: Any, context: Any) -> Any:
        result = budget_check(params, context)
        assert result == BeforeRequestResult.throttle(delay_ms=2000)
        held.append(house.balance().held)
        return BeforeRequestResult.throttle(delay_ms=150)

    house = guarded(instrumented, 0.95, before_request=check)
    started = time.monotonic()
    await call(Lane(kind, server), use)
    assert time.monotonic() - started >= 0.15
    record, span = house.one_call()
    assert (record.decision.action, record.decision.delay_ms) == ("throttle", 150)
    assert record.latency_ms >= 150
    assert (span.attributes or {})["aden.decision.delay_ms"] == 150
    assert held[0] > 0


async def test_a_throttled_async_call_does_not_hold_up_the_loop(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Ten calls that each wait 300 ms are done together, not one after the other."""
    house = guarded(
        instrumented, 0.95, before_request=lambda *_: BeforeRequestResult.throttle(delay_ms=300)
    )
    lane = Lane("async", server)
    started = time.monotonic()
    await asyncio.gather(*(call(lane, "plain") for _ in range(10)))
    assert time.monotonic() - started < 2.5
    house.settled(10)


@every_client
@every_use
async def test_an_exhausted_budget_cancels_at_the_call(
    kind: str, use: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """RequestCancelledError is raised where the call is made; the provider sees nothing of it."""
    house = guarded(instrumented, 1.0)
    lane = Lane(kind, server, max_retries=5)
    with pytest.raises(RequestCancelledError, match=r"^Budget exhausted$") as caught:
        await lane.create(**USES[use])
    assert not server.requests
    assert isinstance(caught.value, openai.APIStatusError)
    error: Any = caught.value
    assert (error.status_code, error.action, error.reason) == (402, "cancel", "exhausted")
    assert (error.source, error.budget_id, error.scope) == ("hook", "all", None)
    assert (error.limit_usd, error.spent_usd, error.retry_after_ms) == (1.0, 1.0, None)
    assert error.code == "exhausted"
    record, span = house.one_call()
    assert (record.attempts, record.cost, record.decision.action) == (0, 0, "block")
    assert record.error_type == "OpenAIRequestCancelledError"
    attributes = dict(span.attributes or {})
    assert attributes["error.type"] == (
        "aden.instrumentation.openai.refusal.OpenAIRequestCancelledError"
    )
    assert attributes["aden.decision.action"] == "block"
    assert attributes["aden.cost.usd"] == 0


@pytest.mark.parametrize("name", ["with_raw_response", "with_streaming_response"])
@every_client
async def test_raw_responses_are_refused_too(
    name: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Both other doors to the same method are gated, also with a stream behind them."""
    house = guarded(instrumented, 1.0)
    lane = Lane(kind, server)
    for request in USES.values():
        answer = getattr(lane.chat, name).create
        with pytest.raises(RequestCancelledError):  # noqa: PT012 - one call, made in two ways
            if name == "with_raw_response":
                await lane.get(answer(**request))
            else:
                async with lane.within(answer(**request)):
                    pass
    house.settled(2)
    assert not server.requests


async def test_calls_run_through_all_four_actions_as_the_money_goes(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The guide's own ladder, while somebody else spends 3 % between two of our calls."""

    def check(params: Any, context: Any) -> Any:
        result = budget_check(params, context)
        return BeforeRequestResult.throttle(1) if result.action == "throttle" else result

    house = instrumented(before_request=check, budgets=[Budget("all", "1")])
    lane = Lane("sync", server)
    with pytest.raises(RequestCancelledError, match=r"^Budget exhausted$"):  # noqa: PT012
        for _ in range(40):
            await consumed(lane)
            spend(house, 0.03)
    aden.flush()
    actions = [record.decision.action for record in house.calls.records]
    assert list(dict.fromkeys(actions)) == ["allow", "degrade", "throttle", "block"]


def test_an_alert_reaches_on_alert_and_lets_the_request_go(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``alert`` is the one action that only says something."""
    alerts: list[Any] = []
    house = instrumented(
        before_request=lambda *_: BeforeRequestResult.alert("look here", level="critical"),
        on_alert=alerts.append,
    )
    Lane("sync", server).chat.create(**REQUEST)
    record, _ = house.one_call()
    aden.flush()
    assert record.decision.action == "alert"
    assert [(each.level, each.message) for each in alerts] == [("critical", "look here")]
