"""Which refusals are repeated without asking, and for how long."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden import Budget, RequestCancelledError, attribution, priced
from aden.budgets.policy import make_policy
from aden.core.request import Request
from aden.core.window import Window
from aden.errors import RefusalDetails
from aden.ledger.protocol import Ask, Balance, Charge, Line, Option, Refusal
from aden.ledger.rules import choose
from aden.metering.call import Call, Lane
from aden.metering.repeats import Repeated, Repeats, _asks_no_less

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

ASKED: Any = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Say hello"}],
    "max_tokens": 40,
}
REQUEST = Request("openai", "gpt-4o", input_chars=400, max_output_tokens=40)
TOTAL = Window("total")
DETAILS = RefusalDetails("no", "exhausted")


@pytest.fixture
def planned(instrumented: Callable[..., House]) -> Callable[[], Call]:
    """Make a call that is planned and not asked yet."""
    meter = instrumented(budgets=[Budget("all", 0)]).meter

    def make() -> Call:
        call = meter.begin(REQUEST, {"messages": ["hello"]}, Lane())
        assert meter.plan(call)
        return call

    return make


def refuse(
    repeats: Repeats, call: Call, age_s: float = 0.0, retry_after_ms: int | None = None
) -> None:
    """The ledger has refused the call *age_s* ago."""
    seen = (Balance("all", "total", None),)
    call.outcome = Refusal(call.id, "exhausted", "all", seen, retry_after_ms)
    repeats.refused(call, time.monotonic() - age_s)


def test_a_refusal_holds_for_a_second(planned: Callable[[], Call]) -> None:
    """Then the ledger is asked."""
    repeats = Repeats(print)
    refuse(repeats, planned(), 0.5)
    assert repeats.alike(planned()) is not None
    refuse(repeats, planned(), 1.0)
    assert repeats.alike(planned()) is None


def test_towards_its_end_one_request_asks_and_the_others_need_not(
    planned: Callable[[], Call],
) -> None:
    """So that the end of the second sends one request to the ledger, not all."""
    repeats = Repeats(print)
    refuse(repeats, planned(), 0.8)
    assert [repeats.alike(planned()) is None for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_refusal_ends_with_the_mode_that_enforced_it(
    mode: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The budgets are the same, and refuse nothing any more: the very next request is sent."""
    house = instrumented(budgets=[Budget("all", 0)])
    create = openai.OpenAI(base_url=server.base_url, api_key="k").chat.completions.create
    for _ in range(3):
        with pytest.raises(RequestCancelledError):
            create(**ASKED)
    changed = make_policy([Budget("all", 0)], mode=mode)  # type: ignore[arg-type]
    house.meter.policy = lambda: changed
    assert create(**ASKED)


def test_a_refusal_is_not_that_of_a_request_with_a_price_of_its_own(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What costs nothing fits an exhausted budget, also right after the same request at a price."""
    instrumented(budgets=[Budget("all", 0)])
    create = openai.OpenAI(base_url=server.base_url, api_key="k").chat.completions.create
    for _ in range(3):
        with pytest.raises(RequestCancelledError):
            create(**ASKED)
    with priced():
        assert create(**ASKED)


def test_a_window_that_ends_sooner_ends_it(planned: Callable[[], Call]) -> None:
    """The budget is a new one then."""
    repeats = Repeats(print)
    refuse(repeats, planned(), 0.3, retry_after_ms=300)
    assert repeats.alike(planned()) is None
    refuse(repeats, planned(), 0.3, retry_after_ms=5_000)
    assert repeats.alike(planned()) is not None


def test_a_settlement_of_the_refusing_budget_ends_it(planned: Callable[[], Call]) -> None:
    """It may correct what was booked as unconfirmed; another budget's changes nothing."""
    repeats = Repeats(print)
    refuse(repeats, planned())
    repeats.settled([Charge("another", "total", 5)])
    assert repeats.alike(planned()) is not None
    repeats.settled([Charge("all", "total", 5)])
    assert repeats.alike(planned()) is None


def test_a_grant_ends_it(planned: Callable[[], Call]) -> None:
    """Somebody has made room."""
    repeats = Repeats(print)
    refuse(repeats, planned())
    repeats.granted(planned())
    assert repeats.alike(planned()) is None


def test_the_very_same_request_need_not_be_planned(planned: Callable[[], Call]) -> None:
    """Any difference in what is asked, and in who asks, is seen; as is what ends the refusal."""
    repeats = Repeats(print)
    refuse(repeats, planned())
    call = planned()
    found = repeats.alike(call)
    assert found is not None
    known = repeats.keep(call, found, DETAILS)
    again = planned()
    assert repeats.again(again) is known
    again.request = replace(REQUEST, max_output_tokens=39)
    assert repeats.again(again) is None
    refuse(repeats, planned())
    assert repeats.again(planned()) is None


def test_nothing_is_kept_of_what_a_refused_request_said(planned: Callable[[], Call]) -> None:
    """Prompts are long; and after a second nothing of the request is."""
    repeats = Repeats(lambda repeated: None)
    refuse(repeats, first := planned())
    known = repeats.keep(first, repeats.alike(first) or pytest.fail("forgotten"), DETAILS)
    assert known.call.params == {}
    repeats.count(known, planned())
    assert repeats._known
    deadline = time.monotonic() + 10
    while repeats._known and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not repeats._known


def test_what_is_counted_is_reported_once_and_by_a_thread_of_its_own(
    planned: Callable[[], Call],
) -> None:
    """Within about a second; a report that was asked for comes before."""
    reported: list[Repeated] = []
    repeats = Repeats(reported.append)
    refuse(repeats, planned())
    call = planned()
    found = repeats.alike(call)
    assert found is not None
    known = repeats.keep(call, found, DETAILS)
    for _ in range(7):
        repeats.count(known, call)
    repeats.report()
    assert [each.count for each in reported] == [7]
    for _ in range(3):
        repeats.count(known, call)
    deadline = time.monotonic() + 10
    while len(reported) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [each.count for each in reported] == [7, 3]


def test_each_who_asks_is_reported_apart(planned: Callable[[], Call]) -> None:
    """A customer's refusals are not another's, although one answer serves both."""
    reported: list[Repeated] = []
    repeats = Repeats(reported.append)
    refuse(repeats, planned())
    for customer in ("acme", "globex", "acme"):
        with attribution(customer_id=customer):
            call = planned()
        found = repeats.alike(call)
        assert found is not None
        repeats.count(repeats.keep(call, found, DETAILS), call)
    repeats.report()
    told = [(each.first.attribution.customer_id, each.count) for each in reported]
    assert told == [("acme", 2), ("globex", 1)]


def test_a_forked_child_reports_only_its_own(planned: Callable[[], Call]) -> None:
    """And has a thread of its own for it."""
    reported: list[Repeated] = []
    repeats = Repeats(reported.append)
    refuse(repeats, planned())
    call = planned()
    found = repeats.alike(call)
    assert found is not None
    known = repeats.keep(call, found, DETAILS)
    repeats.count(known, call)
    child = os.fork()
    if not child:
        repeats.report()
        mine = len(reported)
        repeats.count(known, call)
        deadline = time.monotonic() + 10
        while not reported and time.monotonic() < deadline:
            time.sleep(0.01)
        os._exit(0 if (mine, len(reported)) == (0, 1) else 1)
    assert os.waitpid(child, 0)[1] == 0
    repeats.report()
    assert [each.count for each in reported] == [1]


KEYS = ("a", "b")
LINES = st.builds(
    lambda *drawn: drawn,
    st.integers(0, 6),
    st.none() | st.integers(0, 8),
    st.booleans(),
    st.integers(0, 3).map(lambda number: number == 0),
)
FORMS = st.lists(st.tuples(LINES, LINES), min_size=1, max_size=3)


def options(forms: list[tuple[tuple[int, int | None, bool, bool], ...]]) -> tuple[Option, ...]:
    """Options over two budgets with a limit of 5."""
    return tuple(
        Option(
            tuple(
                Line(key, TOTAL, 5, amount, amount, below, enforce, soft)
                for key, (amount, below, enforce, soft) in zip(KEYS, form, strict=True)
            )
        )
        for form in forms
    )


@given(FORMS, FORMS, st.lists(st.integers(0, 7), min_size=4, max_size=4), st.data())
def test_no_ledger_would_grant_what_is_refused_unasked(
    first: list[tuple[tuple[int, int | None, bool, bool], ...]],
    other: list[tuple[tuple[int, int | None, bool, bool], ...]],
    figures: list[int],
    data: st.DataObject,
) -> None:
    """Whatever the balances: what asks no less than what was exhausted is exhausted."""
    balances = {
        key: Balance(key, "total", None, spent, 0, held)
        for key, spent, held in zip(KEYS, figures[:2], figures[2:], strict=True)
    }
    asked = options(first)
    if data.draw(st.booleans()):  # else two forms are seldom comparable
        more = data.draw(st.integers(-3, 3))
        again = options(
            [tuple((max(0, amount + more), *rest) for amount, *rest in form) for form in first]  # type: ignore[misc]
        )
    else:
        again = options(other)
    verdict = choose(Ask("1", asked), balances)
    if verdict.option is None and verdict.reason == "exhausted" and _asks_no_less(again, asked):
        second = choose(Ask("2", again), balances)
        assert second.option is None
        assert second.reason == "exhausted"
