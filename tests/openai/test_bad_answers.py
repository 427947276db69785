"""What a provider garbles: the program sees what the SDK makes of it, and the call is booked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from bad_answers import PLAIN, STREAMS, Bad
from lanes import Lane
from shapes import ASKED, REQUEST, seen
from wire import WireServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from house import House

WAYS = (("sync", "create"), ("async", "create"), ("sync", "bytes"), ("async", "lines"))
"""(client, how it is read)"""


@pytest.fixture
def server() -> Iterator[WireServer]:
    """A server of bytes."""
    with WireServer() as running:
        yield running


async def look(lane: Lane, way: str, request: dict[str, Any]) -> Any:
    """What a program sees, also where it raises in the middle."""
    if way != "create":
        async with lane.within(lane.chat.with_streaming_response.create(**request)) as raw:
            pieces = raw.iter_lines() if way == "lines" else raw.iter_bytes(1 << 20)
            return await lane.all(pieces)
    answer = await lane.create(**request)
    if not request.get("stream"):
        return seen(answer)
    chunks: list[Any] = []
    try:
        async for each in lane.each(answer):
            chunks.append(seen(each))
    except Exception as error:
        return chunks, type(error), str(error), answer.response.is_closed
    return chunks, answer.response.is_closed


async def outcome(server: WireServer, kind: str, way: str, request: dict[str, Any]) -> str:
    """The same as text, for NaN is not equal to itself."""
    lane = Lane(kind, server)  # type: ignore[arg-type]
    try:
        return repr(await look(lane, way, request))
    except Exception as error:
        return repr(("raised", type(error), str(error), type(error.__cause__)))
    finally:
        await lane.close()


CASES = [
    *(pytest.param(bad, ASKED, id=f"stream: {bad.name}") for bad in STREAMS),
    *(pytest.param(bad, REQUEST, id=f"plain: {bad.name}") for bad in PLAIN),
]


@pytest.mark.parametrize(("bad", "request_"), CASES)
async def test_a_bad_answer_looks_as_without_us_is_settled_and_told(
    bad: Bad,
    request_: dict[str, Any],
    server: WireServer,
    instrumented: Callable[..., House],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By each way; what the provider counted is booked, else at least what was seen."""
    server.body = bad.body
    bare = [await outcome(server, *way, request_) for way in WAYS]
    house = instrumented()
    for number, (way, before) in enumerate(zip(WAYS, bare, strict=True)):
        assert await outcome(server, *way, request_) == before, way
        record = house.settled(number + 1)[-1]
        raw = way[1] != "create"
        booked = bad.raw_booked if raw and bad.raw_booked else bad.booked
        usage = record.usage
        assert usage.estimated is (booked is None), way
        if booked is not None:
            assert (usage.input_tokens, usage.output_tokens) == booked, way
        else:
            assert usage.output_tokens == bad.output, way
            assert usage.input_tokens == 14, way
    told = {bad.tells, bad.raw_tells} - {None}
    assert set(house.failures()) >= told
    assert house.failures().keys() <= {"usage", "reader"}
    lines = [each for each in caplog.records if each.name.startswith("aden")]
    assert len(lines) == len(house.failures())
    assert all(each.levelno >= logging.WARNING for each in lines)
