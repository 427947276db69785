"""``openai.lib.responses_websocket``: what a lane of a connection asks for is gated as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from lanes import Lane
from openai.lib.responses_websocket import (
    AsyncResponsesWebSocketSession,
    ResponsesWebSocketLimits,
    ResponsesWebSocketSession,
)
from response_shapes import seen
from socket_talk import ASK, every_client, lane_to

from aden import BeforeRequestResult, Budget, RequestCancelledError
from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

CREATE: dict[str, Any] = {"type": "response.create", **ASK}
LIMITS = ResponsesWebSocketLimits(
    max_lanes=4,
    max_events_per_lane=1000,
    max_events=1000,
    max_bytes_per_lane=1 << 20,
    max_bytes=1 << 20,
)


def _session(lane: Lane, connection: Any) -> Any:
    make = AsyncResponsesWebSocketSession if lane.is_async else ResponsesWebSocketSession
    return make(connection, limits=LIMITS)


async def _answers(lane: Lane, *names: str | None) -> Any:
    """Ask on each of these lanes of one connection; the answers' models and texts."""
    async with (
        lane.within(lane.responses.connect()) as connection,
        lane.within(_session(lane, connection)) as session,
    ):
        lanes = [session.default if name is None else session.lane(name) for name in names]
        for each in lanes:
            await lane.get(each.send(CREATE))
        return [seen(await lane.get(each.get_final_response()))[1]["output"] for each in lanes]


@every_client
async def test_each_lanes_answer_is_decided_and_booked_by_its_usage(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The program sees what it sees without us."""
    asked: list[Any] = []

    def hook(params: Any, _context: object) -> BeforeRequestResult:
        asked.append(params["input"])
        return BeforeRequestResult.proceed()

    lane = lane_to(kind, server)
    bare = await _answers(lane, None, "one", "two")
    server.bill = type(server.bill)()
    house = instrumented(before_request=hook)
    assert len(await _answers(lane, None, "one", "two")) == len(bare)
    await lane.close()
    records = house.settled(3)
    assert asked == [ASK["input"]] * 3
    assert sum(each.cost for each in records) == server.bill.total_nano_usd
    assert {(each.stream_end, each.usage.estimated) for each in records} == {("complete", False)}


@every_client
async def test_a_lanes_refusal_is_raised_before_anything_is_sent(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """As on the connection itself."""
    house = instrumented(budgets=[Budget("all", "0")])
    lane = lane_to(kind, server)
    with pytest.raises(RequestCancelledError) as refused:
        await _answers(lane, "one")
    await lane.close()
    assert isinstance(refused.value, openai.APIStatusError)
    assert not server.bill.items
    assert house.one_call()[0].attempts == 0


@every_client
async def test_a_lane_can_be_degraded(
    kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The lane stays the same one."""
    house = instrumented(before_request=lambda *_: BeforeRequestResult.degrade("gpt-4o-mini"))
    lane = lane_to(kind, server)
    await _answers(lane, "one")
    await lane.close()
    record, _ = house.one_call()
    assert record.model == "gpt-4o-mini"
    assert record.cost == server.bill.items[0].nano_usd
