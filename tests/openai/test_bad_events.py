"""Events of the Responses API that no provider should send, over a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lanes import Lane
from response_shapes import STREAM, STREAMING
from wire import Body, WireServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

USAGE = {"input_tokens": 14, "output_tokens": 12, "total_tokens": 26}
WORD = {"type": "response.output_text.delta", "delta": "hi", "output_index": 0, "item_id": "m"}


def last(kind: str = "completed", **fields: Any) -> dict[str, Any]:
    """The event that ends a response."""
    response = {"id": "r1", "object": "response", "model": "gpt-4o", "status": kind, "output": []}
    return {"type": f"response.{kind}", "response": response | fields}


ODD_IDS: dict[str, Any] = {"id": {"a": 1}, "model": [1], "service_tier": {"x": 2}}
CASES: dict[str, tuple[list[Any], tuple[int, int] | None]] = {
    "sound": ([WORD, last(usage=USAGE)], (14, 12)),
    "unknown types": ([{"type": "mystery"}, {"type": 5}, {}, WORD, last(usage=USAGE)], (14, 12)),
    "no objects": ([None, 5, "x", [1], WORD, last(usage=USAGE)], (14, 12)),
    "usage twice": ([WORD, last(usage=USAGE), last(usage=USAGE)], (14, 12)),
    "odd ids": ([WORD, last(usage=USAGE, **ODD_IDS)], (14, 12)),
    "odd usage": ([WORD, last(usage={"input_tokens": -1, "output_tokens": "x"})], None),
    "no usage": ([WORD, last()], None),
    "no response": ([WORD, {"type": "response.completed", "response": None}], None),
    "odd output": ([WORD, last(output=[5, None, {"content": 5}])], None),
    "an odd failure": ([WORD, last("failed", error="boom")], None),
}


async def outcome(server: WireServer, kind: str, way: str) -> str:
    """What a program sees."""
    lane = Lane(kind, server)  # type: ignore[arg-type]
    try:
        if way == "lines":
            method = getattr(lane.responses, STREAMING).create
            async with lane.within(method(**STREAM)) as raw:
                return repr(await lane.all(raw.iter_lines()))
        return repr(await lane.all(await lane.get(lane.responses.create(**STREAM))))
    except Exception as error:
        return repr((type(error), str(error)))
    finally:
        await lane.close()


@pytest.mark.parametrize("name", CASES)
async def test_odd_events_look_as_without_us_and_are_settled(
    name: str, instrumented: Callable[..., House]
) -> None:
    """Sync and async, as events and as lines."""
    events, booked = CASES[name]
    ways = [(kind, way) for kind in ("sync", "async") for way in ("create", "lines")]
    with WireServer() as server:
        server.body = Body.events(*events, done=False)
        bare = [await outcome(server, *way) for way in ways]
        house = instrumented()
        assert [await outcome(server, *way) for way in ways] == bare
    for record in house.settled(len(ways)):
        usage = record.usage
        assert usage.estimated is (booked is None)
        assert (usage.input_tokens, usage.output_tokens) == (booked or (13, 1))
        assert (record.stream_end == "error") is (name == "an odd failure")
    told = booked is None and name != "an odd failure"
    assert house.failures() == ({"usage": len(ways)} if told else {})
