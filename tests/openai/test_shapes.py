"""Each shape of a call, bare and instrumented, by each of the clients."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import response_shapes
import shapes
from lanes import KINDS, Lane
from opentelemetry.trace import StatusCode
from response_table import RESPONSE_SHAPES
from shape_table import FREE_SHAPES, SHAPES, Shape

from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from aden.core.record import CallRecord
    from aden.testing import BillItem
    from house import House

REQUESTS = (shapes.REQUEST, shapes.STREAM, shapes.ASKED, response_shapes.REQUEST)
CASES = [
    pytest.param(shape, kind, id=f"{kind}: {shape.name}")
    for kind in KINDS
    for shape in SHAPES + RESPONSE_SHAPES
    if ("async" in kind or not shape.only_async)
    and not ("azure" in kind and shape in FREE_SHAPES)  # as without Azure, to the last line
]


@pytest.fixture
def server(shape: Shape) -> Iterator[OpenAIServer]:
    """A server as slow as the shape needs it."""
    with OpenAIServer(ttft_ms=1, token_interval_ms=shape.interval_ms) as running:
        yield running


async def outcome(shape: Shape, kind: str, server: OpenAIServer) -> Any:
    """What a program sees of the shape: a value or an exception."""
    server.script(*shape.steps)
    lane = Lane(kind, server, timeout=shape.timeout_s)
    try:
        return await shape.use(lane)
    except BaseException as error:
        chain = type(error.__cause__), getattr(error, "status_code", None)
        return "raised", type(error), str(error), chain, getattr(error, "body", None)
    finally:
        await lane.close()


@pytest.mark.parametrize(("shape", "kind"), CASES)
async def test_a_call_looks_as_without_us_and_is_booked_once(
    shape: Shape, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The program sees what it sees bare; one record, one span, one charge stand behind it."""
    requests = copy.deepcopy(REQUESTS)
    bare = await outcome(shape, kind, server)
    server.bill = type(server.bill)()
    house = instrumented()
    with house.parent() as parent:
        ours = await outcome(shape, kind, server)
    assert ours == bare
    assert requests == REQUESTS
    assert server.wait_idle()
    record, span = house.one_call()
    assert span.parent is not None
    assert span.parent.span_id == parent.span_id
    assert house.balance().spent == record.cost
    check_record(shape, record, server.bill.items)
    check_span(shape, span, record)


def check_record(shape: Shape, record: CallRecord, billed: tuple[BillItem, ...]) -> None:
    """The call is booked as the shape says, and to the nano-dollar where usage was reported."""
    assert (record.attempts, record.stream_end) == (shape.attempts, shape.end)
    usage = record.usage
    if shape.output == "none":
        assert (usage.input_tokens, usage.output_tokens, record.cost) == (None, None, 0)
        assert not billed
    elif shape.output == "reported":
        (item,) = billed
        assert not usage.estimated
        assert (usage.input_tokens, usage.output_tokens) == (item.input_tokens, item.output_tokens)
        assert usage.reasoning_tokens == item.reasoning_tokens
        assert record.cost == item.nano_usd
    elif shape.output == "generated":  # for as long as it had time to
        (item,) = billed
        assert usage.estimated
        assert item.output_tokens <= (usage.output_tokens or 0) <= 40
        assert usage.input_tokens == shape.asked
    else:
        wanted = {"reserved": 40, "text": 14}.get(str(shape.output), shape.output)
        assert usage.estimated
        if shape.end in ("abandoned", "cancelled"):  # what came unread is billed besides
            assert int(wanted) <= (usage.output_tokens or 0) <= 40
        else:
            assert usage.output_tokens == wanted
        assert usage.input_tokens == shape.asked


def check_span(shape: Shape, span: ReadableSpan, record: CallRecord) -> None:
    """Leaving a stream is no error; a failure names its class; the record's figures are on it."""
    attributes = dict(span.attributes or {})
    failed = shape.error is not None
    assert span.name == "chat gpt-4o"
    assert span.status.status_code is (StatusCode.ERROR if failed else StatusCode.UNSET)
    assert attributes.get("error.type") == shape.error
    assert attributes["openai.api.type"] == shape.api
    assert attributes.get("aden.stream.end") == shape.end
    assert attributes["aden.attempts"] == shape.attempts
    assert attributes["aden.usage.estimated"] is record.usage.estimated
    assert attributes["aden.cost.usd"] == record.cost / 1e9
    assert attributes.get("gen_ai.usage.output_tokens") == record.usage.output_tokens
    assert attributes.get("gen_ai.usage.input_tokens") == record.usage.input_tokens
    assert attributes["gen_ai.request.model"] == attributes["aden.request.model"] == "gpt-4o"
