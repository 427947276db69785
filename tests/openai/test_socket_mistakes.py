"""Whichever function of ours fails, once, beside a WebSocket: what is said on it goes on."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from socket_talk import API, every_client, lane_to

from aden.telemetry.quiet import logger as telemetry_logger
from strikes import below_the_door, mistaken

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

ROOMS = ("aden.instrumentation.", "aden.metering.shells:", "aden.metering.meter:")
"""What lies below these, a call of any other kind enters too (`test_mistakes`)."""
DOORS = (
    # What leads from the SDK to the first guard, and the guards.
    "aside:",
    "sockets:_send",
    "sockets:_asend",
    "sockets:_let_go",
    "sockets:_refused",
    "in_place:",
)


class Talk:
    """One loop, one client, one open connection."""

    def __init__(self, kind: str, api: str, server: OpenAIServer) -> None:
        self.lane = lane_to(kind, server)
        self.loop = asyncio.new_event_loop()
        self._connect, self._use = API[api]
        self._connection: Any = None

    def opens(self) -> None:
        """A connection; the one before, if there was one, is closed."""
        self.closes()
        self._connection = self._run(self.lane.get(self._connect(self.lane).enter()))

    def asks(self) -> Any:
        """What a program sees of an answer."""
        return self._run(self._see())

    async def _see(self) -> Any:
        try:
            async with asyncio.timeout(10):
                events = await self._use(self.lane, self._connection)
                return [event.type for event in events]
        except Exception as error:
            return "raised", repr(error)

    def closes(self) -> None:
        """The connection, and what follows it."""
        if self._connection is not None:
            self._run(self.lane.get(self._connection.close()))
        self._connection = None
        gc.collect()

    def ends(self) -> None:
        """The client, then the loop."""
        self.closes()
        self._run(self.lane.close())
        self.loop.close()

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)


@every_client
@pytest.mark.parametrize("api", ["realtime", "responses"])
def test_a_mistake_beside_a_websocket_is_not_the_callers(
    api: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The answer comes, is booked, holds nothing when it is over, and the next one is metered."""
    telemetry_logger.disabled = True
    house = instrumented()
    talk, seen = Talk(kind, api, server), list[Any]()
    try:
        talk.opens()
        talk.asks()
        expected, struck = talk.asks(), 0
        for name, code in below_the_door(talk.asks):
            if not name.startswith(ROOMS) or any(each in name for each in DOORS):
                continue
            talk.opens()
            talk.asks()
            spent = house.balance().spent
            struck += mistaken(
                code, RuntimeError("a mistake of ours"), lambda: seen.append(talk.asks())
            )
            assert seen.pop() == expected, name
            assert house.balance().held == 0, name
            assert house.meter.leases._held == {}, name
            assert house.open_spans.names == {}, name
            assert house.balance().spent > spent, name
            before, billed = house.balance().spent, server.bill.total_nano_usd
            assert talk.asks() == expected, name
            assert house.balance().spent - before == server.bill.total_nano_usd - billed > 0, name
        assert struck > 40
    finally:
        telemetry_logger.disabled = False
        talk.ends()
