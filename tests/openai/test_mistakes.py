"""Whichever function of ours fails, once: the call goes through, is booked, and leaves nothing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import TYPE_CHECKING, Any

import pytest
from endpoint_shapes import ROWS
from lanes import Lane
from openai._types import NoneType
from response_shapes import consumed as responses_consumed
from response_shapes import helper as responses_helper
from shapes import REQUEST, consumed, parsed, plain, streaming_stream_lines

import aden
from aden.instrumentation.openai.attempts import Sending, current_sending, no_longer_current
from aden.instrumentation.openai.taking import take_response
from aden.telemetry.quiet import logger as telemetry_logger
from aden.testing import Status
from strikes import below_the_door, mistaken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aden.testing import OpenAIServer
    from house import House

    Use = Callable[[Lane], Awaitable[Any]]

DOORS = (
    # What only leads from the SDK to the first guard, or back to the SDK.
    "active:active_meter",
    "concrete:",
    "create:perform",
    "create:aperform",
    "create:_outer_call",
    "context:call_in",
    "attempts:Sending.answers",
    "backstop:request",
    "backstop:arequest",
    "backstop:_answers",
    "backstop:_hold",
    "backstop:_Held.send",
    "raw:_Observed.",
    "arrivals:_Counted",
    "raw:RawMeter.leave",
    "raw:RawMeter.unhidden",
    "raw:RawMeter.rest",
    "streams:closing",
    "streams:leave",
    "streams:_aleave",
    "taking:_later",
    # What guards the others, and what destructors do: Python itself tells of a fault in one.
    "aside:",
    "quiet:",
    ".__del__",
    ".dropped",
    "raw:RawMeter.__init__",
    ":Arrivals.__init__",
    ":Arrivals.ended",
    ":Arrivals._taken_back",
    "MeteredIterator.__init__",
    # A dictionary's pop, and nothing else.
    "leases:LeaseKeeper.drop",
    # What shows the usage that we asked for and the caller did not.
    "stream_meter:StreamMeter.__init__",
    "stream_meter:StreamMeter._end_of_hold",
)
NOT_FOLLOWED = (
    "taking:",
    "told:is_model",
    "raw:is_stream",
    "attempts:Sending.__",
    "attempts:Sending.latest",
    "endpoint:Endpoint.feeder",
    "dispatch:Dispatcher.ready",
    "streams:observe_stream",
    "stream_meter:StreamMeter.watch",
)
"""Where these fail, nobody takes out the usage that only we asked for."""


class World:
    """One loop, one client, and one context, in which a call may leave something."""

    def __init__(self, kind: str, server: OpenAIServer) -> None:
        self.lane = Lane(kind, server)
        self.loop = asyncio.new_event_loop()
        self.context = contextvars.copy_context()

    def run(self, use: Callable[[Lane], Awaitable[Any]]) -> Any:
        """What a program sees of a call."""
        return self.loop.run_until_complete(
            self.loop.create_task(self._see(use), context=self.context)
        )

    async def _see(self, use: Callable[[Lane], Awaitable[Any]]) -> Any:
        try:
            return await use(self.lane)
        except Exception as error:
            return "raised", repr(error)

    def close(self) -> None:
        """The client, then the loop."""
        self.loop.run_until_complete(self.lane.close())
        self.loop.close()


def _of_row(name: str) -> Use:
    (row,) = (each for each in ROWS if each.name == name)

    async def use(lane: Lane) -> Any:
        return await row.use(lane, "create")

    use.__name__ = name
    return use


USES: tuple[Use, ...] = (
    *(plain, consumed, parsed, streaming_stream_lines),
    *(responses_consumed, responses_helper),
    _of_row("embeddings"),
    _of_row("images, streamed"),
    _of_row("speech by the character"),
    _of_row("speech as events"),
    _of_row("transcript, streamed"),
)


def known_of(house: House) -> int:
    """What the journal knows, and what is counted as not known."""
    return len(list(house.ledger.journal())) + sum(house.failures().values())


async def without_an_answer(lane: Lane) -> Any:
    """A request of which nothing but that it was answered is asked for."""
    return await lane.get(
        lane.client.post("/chat/completions", cast_to=NoneType, body=dict(REQUEST))
    )


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("broken", [Sending.leave, no_longer_current, take_response])
def test_a_mistake_after_the_answer_replaces_neither_an_error_nor_none(
    broken: Any, refused: bool, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The provider's word is the caller's, and nothing of the request stays current."""
    world = World(kind, server)
    house = instrumented()
    answers: list[Any] = []
    if refused:
        server.script(Status(400, message="bad"))
    mistake = RuntimeError("a mistake of ours")
    mistaken(broken.__code__, mistake, lambda: answers.append(world.run(without_an_answer)))
    answer = answers.pop()
    assert "BadRequestError" in answer[1] if refused else answer is None
    assert world.context.get(current_sending) is None
    house.settled(1)
    world.close()


def let_go_of(house: House) -> None:
    """See through what a program leaves to the garbage collector."""
    if house.meter.leases._held:
        gc.collect()
        aden.flush(5)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("use", USES, ids=[f"{each.__module__}: {each.__name__}" for each in USES])
def test_a_mistake_in_any_one_function_of_ours_is_not_the_callers(
    use: Use,
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
) -> None:
    """Each function that a warm call enters fails at its first entry, one in each call."""
    telemetry_logger.disabled = True
    world = World(kind, server)
    try:
        bare = world.run(use)
        house = instrumented()
        world.run(use)
        seen: list[Any] = []
        for name, code in below_the_door(lambda: world.run(use)):
            if any(each in name for each in DOORS) or (
                use is consumed and any(each in name for each in NOT_FOLLOWED)
            ):
                continue
            held, known = house.balance().held, known_of(house)
            came = mistaken(
                code, RuntimeError("a mistake of ours"), lambda: seen.append(world.run(use))
            )
            assert seen.pop() == bare, name
            let_go_of(house)
            assert house.meter.leases._held == {}, name
            assert world.context.get(current_sending) is None, name
            if came and not name.startswith("aden.ledger."):  # whose holds end with their leases
                assert house.balance().held == held, name
                assert house.open_spans.names == {}, name
                assert known_of(house) > known, name
        before, billed = house.balance().spent, server.bill.total_nano_usd
        world.run(use)
        assert house.balance().spent - before == server.bill.total_nano_usd - billed > 0
        aden.flush()
    finally:
        telemetry_logger.disabled = False
        world.close()
