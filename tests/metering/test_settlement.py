"""A call is settled once, from wherever and however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from aden.core.request import Request
from aden.core.usage import Usage
from aden.metering.call import Call, Lane
from aden.metering.shells import admit

if TYPE_CHECKING:
    from collections.abc import Callable

    from house import House

REQUEST = Request("openai", "gpt-4o", input_chars=400, max_output_tokens=40)


def sent(house: House) -> Call:
    """A call that is on its way."""
    call = house.meter.begin(REQUEST, {}, Lane())
    admit(house.meter, call)
    return call


def test_many_threads_settle_one_call_once(instrumented: Callable[..., House]) -> None:
    """Wrapper, span processor and destructor may all try at the same moment."""
    house = instrumented()
    call = sent(house)
    call.attempt(REQUEST).saw_usage(Usage(100, 10))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: house.meter.settle(call), range(40)))
    record, _ = house.one_call()
    assert record.cost == house.balance().spent == 100 * 2_500 + 10 * 10_000


def test_the_first_word_on_a_call_stays(instrumented: Callable[..., House]) -> None:
    """A second settlement, with an error, changes nothing."""
    house = instrumented()
    call = sent(house)
    call.attempt(REQUEST).saw_usage(Usage(100, 10))
    house.meter.settle(call)
    house.meter.settle(call, RuntimeError("too late"))
    record, span = house.one_call()
    assert record.error_type is None
    assert "error.type" not in (span.attributes or {})


def test_a_call_that_was_never_sent_gives_everything_back(
    instrumented: Callable[..., House],
) -> None:
    """No attempt, no charge."""
    house = instrumented()
    call = sent(house)
    assert house.balance().held > 0
    house.meter.settle(call)
    record, _ = house.one_call()
    assert (record.cost, house.balance().spent) == (0, 0)


def test_the_span_processor_settles_what_nobody_settled(
    instrumented: Callable[..., House],
) -> None:
    """The last resort: its span ends, so it is over."""
    house = instrumented()
    call = sent(house)
    call.attempt(REQUEST)
    call.span.span.end()
    record, _ = house.one_call()
    assert record.usage.estimated
    assert house.balance().spent == record.cost > 0
