"""Each endpoint beside chat, bare and instrumented, by each way that the SDK has for it."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from endpoint_shapes import ROWS, WAYS, Row
from lanes import Lane, cancelled_when
from opentelemetry.trace import StatusCode

import aden
from aden.testing import Drop, Hang, NoUsage, OpenAIServer, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.core.record import CallRecord
    from aden.testing import BillItem
    from house import House

KINDS = ("sync", "async", "azure", "async azure")
CASES = [
    pytest.param(row, way, kind, id=f"{kind}: {row.name}, {way}")
    for row in ROWS
    for way in row.ways
    for kind in KINDS
    if "azure" not in kind or way == "create"
]


async def outcome(row: Row, way: str, kind: str, server: OpenAIServer) -> Any:
    """What a program sees: a value or an exception."""
    lane = Lane(kind, server)
    try:
        return await row.use(lane, way)
    except Exception as error:
        return "raised", type(error), str(error)
    finally:
        await lane.close()


@pytest.mark.parametrize(("row", "way", "kind"), CASES)
async def test_a_request_looks_as_without_us_and_is_booked_as_the_server_bills_it(
    row: Row, way: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """One record, one span, one charge; to the nano-dollar where anybody tells the usage."""
    bare = await outcome(row, way, kind, server)
    assert server.wait_idle()
    server.bill = type(server.bill)()
    house = instrumented()
    with house.parent() as parent:
        ours = await outcome(row, way, kind, server)
    assert ours == bare
    assert bare[0] != "raised"
    record, span = house.one_call()
    (item,) = server.bill.items
    assert house.balance().spent == record.cost
    check_record(row, record, item)
    attributes = dict(span.attributes or {})
    assert span.name == f"{row.operation} {item.model}"
    assert span.parent is not None
    assert span.parent.span_id == parent.span_id
    assert span.status.status_code is StatusCode.UNSET
    assert attributes.get("gen_ai.usage.input_tokens") == record.usage.input_tokens
    assert attributes.get("gen_ai.usage.output_tokens") == record.usage.output_tokens
    assert attributes["aden.cost.usd"] == record.cost / 1e9
    assert attributes["aden.usage.estimated"] is row.estimated


def check_record(row: Row, record: CallRecord, item: BillItem) -> None:
    """The record says what the bill says, in the bill's unit."""
    usage = record.usage
    assert (record.attempts, record.stream_end) == (1, row.end)
    assert usage.estimated is row.estimated
    if row.estimated:
        assert record.cost > 0
        return
    assert record.cost == item.nano_usd
    if row.units:
        name, count = row.units
        assert getattr(usage, name) == count == item.units
        assert usage.input_tokens is usage.output_tokens is None
    else:
        assert usage.input_tokens == item.input_tokens
        assert (usage.output_tokens or 0) == item.output_tokens


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_refused_endpoint_sends_nothing(
    row: Row, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """An exhausted budget raises at the call, also for streams."""
    house = instrumented(budgets=[aden.Budget("all", "0")])
    lane = Lane(kind, server)
    *path, name = row.method.split(".")
    resource = lane.client
    for each in path:
        resource = getattr(resource, each)
    with pytest.raises(aden.RequestCancelledError) as refused:
        await lane.get(getattr(resource, name)(**row.request()))
    await lane.close()
    assert refused.value.reason == "exhausted"
    assert server.requests == ()
    (record,) = house.settled()
    assert (record.attempts, record.cost) == (0, 0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_throttled_endpoint_waits_and_answers_as_without_us(
    row: Row, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The hook's delay, and then the request as it was."""
    bare = await outcome(row, "create", "async", server)
    wait = aden.BeforeRequestResult.throttle(delay_ms=1)
    house = instrumented(before_request=lambda *_: wait)
    assert await outcome(row, "create", "async", server) == bare
    record, _ = house.one_call()
    assert (record.decision.action, record.decision.delay_ms) == ("throttle", 1)
    assert (len(server.requests), record.attempts) == (2, 1)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_what_the_provider_refuses_is_free_and_keeps_its_error(
    row: Row, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A status is not billed."""
    server.script(Status(400), Status(400))
    bare = await outcome(row, "create", kind, server)
    house = instrumented()
    assert await outcome(row, "create", kind, server) == bare
    record, span = house.one_call()
    assert (record.cost, server.bill.items) == (0, ())
    assert (span.attributes or {})["error.type"] == "openai.BadRequestError"


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_without_a_usage_it_costs_at_least_something(
    row: Row, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Missing is not zero; what the request itself tells is no estimate."""
    server.script(NoUsage())
    house = instrumented()
    await outcome(row, "create", kind, server)
    record, _ = house.one_call()
    assert record.cost == house.balance().spent > 0
    assert record.usage.estimated is (row.units is None)
    if row.units:
        (item,) = server.bill.items
        assert record.cost == item.nano_usd


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("step", [Hang(2), Drop(0)], ids=["timed out", "cut"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_what_was_sent_and_never_answered_is_priced(
    row: Row, step: Any, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The provider may have worked all the while."""
    server.script(step)
    house = instrumented()
    lane = Lane(kind, server, timeout=0.15 if isinstance(step, Hang) else 5)
    with pytest.raises(Exception, match=r"timed out|Connection error|closed|protocol"):
        await row.use(lane, "create")
    await lane.close()
    record, _ = house.one_call()
    assert record.cost == house.balance().spent > 0


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("how", ["closed", "dropped"])
@pytest.mark.parametrize("row", [row for row in ROWS if row.stream], ids=lambda row: row.name)
async def test_a_stream_that_is_left_is_no_error_and_priced_by_an_estimate(
    row: Row, how: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Its connection is released, its span ends, what was seen of it is booked."""
    house = instrumented()
    lane = Lane(kind, server)
    *path, name = row.method.split(".")
    resource = lane.client
    for each in path:
        resource = getattr(resource, each)
    stream = await lane.get(getattr(resource, name)(**row.request()))
    await lane.take(stream, 1)
    if how == "closed":
        await lane.get(stream.close())
    del stream
    gc.collect()
    await lane.close()
    record, span = house.one_call()
    assert record.stream_end == (span.attributes or {})["aden.stream.end"] == "abandoned"
    assert span.status.status_code is StatusCode.UNSET
    assert record.usage.estimated
    assert record.usage.output_tokens
    assert record.cost == house.balance().spent > 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_cancelled_task_is_booked_as_cancelled(
    row: Row, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The request had left, so it may be billed; the cancellation goes on."""
    server.script(Hang(2))
    house = instrumented()
    lane = Lane("async", server)
    with pytest.raises(asyncio.CancelledError):
        await cancelled_when(lambda: bool(server.requests), row.use(lane, "create"))
    await lane.close()
    record, span = house.one_call()
    assert (span.attributes or {})["error.type"] == "asyncio.exceptions.CancelledError"
    assert record.cost == house.balance().spent > 0


def test_every_way_is_in_the_table() -> None:
    """Create, raw and streaming are met by each endpoint that has them."""
    assert {way for row in ROWS for way in row.ways} == set(WAYS)
