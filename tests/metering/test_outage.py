"""What one process lets through unasked never exceeds what its budgets allow."""

import os
import time
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aden import Allowance, Budget, requests
from aden.budgets.budget import Match
from aden.core.window import Window
from aden.ledger.protocol import Ask, Balance, Charge, Grant, Line, Option, Refusal
from aden.metering.outage import NotAllowed, Outage

ALLOWED = 100
BUDGET = Budget("b", limit=requests(1_000), on_ledger_down=Allowance(requests(ALLOWED)))
MATCH = Match(BUDGET, "b", None, ())
TOTAL = Window("total")


def ask(operation: str, *amounts: int, below: int | None = None, enforce: bool = True) -> Ask:
    """An option for each amount; the ladder wants another one than the first from *below* on."""
    lines = [Line("b", TOTAL, 1_000, amount, amount, None, enforce) for amount in amounts]
    lines[0] = replace(lines[0], below=below)
    return Ask(operation, tuple(Option((line,)) for line in lines))


def answer(outage: Outage, question: Ask, match: Match = MATCH) -> Grant | NotAllowed:
    """The answer in the ledger's place."""
    return outage.answer(question, [match], fail_open=False, now=time.time())


def told(operation: str, spent: int) -> Refusal:
    """The ledger's own word on what is spent."""
    return Refusal(operation, "busy", "b", (Balance("b", "total", None, spent),), None)


def charge(amount: int) -> tuple[Charge, ...]:
    """What the ledger is told that a request came to."""
    return (Charge("b", "total", amount),)


def test_what_fits_the_allowance_passes_and_what_does_not_is_told() -> None:
    """Held amounts count from the moment of asking."""
    outage = Outage()
    assert isinstance(answer(outage, ask("1", 60)), Grant)
    refused = answer(outage, ask("2", 41))
    assert isinstance(refused, NotAllowed)
    assert str(refused) == (
        "budget 'b' lets this process spend 100 requests unasked, of which 60 requests are taken"
    )
    assert isinstance(answer(outage, ask("3", 40)), Grant)


def test_asking_again_for_the_same_call_replaces_what_it_took() -> None:
    """As a ledger does."""
    outage = Outage()
    assert isinstance(answer(outage, ask("1", 60)), Grant)
    assert isinstance(answer(outage, ask("1", 90)), Grant)
    assert isinstance(answer(outage, ask("2", 11)), NotAllowed)


def test_a_cheaper_option_passes_where_the_asked_one_does_not_fit() -> None:
    """The options are tried in order."""
    granted = answer(Outage(), ask("1", 101, 7))
    assert isinstance(granted, Grant)
    assert (granted.option, granted.holds) == (1, charge(7))


def test_the_ladder_goes_on_where_the_ledger_last_saw_it() -> None:
    """A budget that was degraded before the outage is degraded in it."""
    outage = Outage()
    outage.heard(told("0", 800), time.monotonic())
    granted = answer(outage, ask("1", 50, 5, below=800))
    assert isinstance(granted, Grant)
    assert (granted.option, granted.balances[0].spent) == (1, 800)


def test_an_outage_reopens_no_budget_that_was_exhausted() -> None:
    """What is known to be spent counts, as long as its window lasts."""
    outage = Outage()
    outage.heard(told("0", 999), time.monotonic())
    assert isinstance(answer(outage, ask("1", 2)), NotAllowed)
    assert isinstance(answer(outage, ask("1", 1)), Grant)
    other = Match(replace(BUDGET, window="day"), "b", None, ())
    assert isinstance(answer(outage, ask("2", 2), other), Grant)


def test_what_a_rolling_window_was_known_to_hold_counts_until_the_oldest_of_it_leaves() -> None:
    """A new slice of it is no new window."""
    budget = replace(BUDGET, window="rolling 1h")
    match, now = Match(budget, "b", None, ()), 1_790_000_000.0
    slice_s = 120
    full = Balance("b", budget.span.at(now).id, now + 10 * slice_s, 1_000)
    outage = Outage()
    outage.heard(Refusal("0", "exhausted", "b", (full,), None), time.monotonic())
    for later_s, kind in ((9 * slice_s, NotAllowed), (11 * slice_s, Grant)):
        asked = outage.answer(ask("1", 1), [match], fail_open=True, now=now + later_s)
        assert isinstance(asked, kind)
        if isinstance(asked, Grant):
            assert asked.holds[0].window_id == budget.span.at(now + later_s).id


def test_what_an_operator_raised_lifts_no_allowance() -> None:
    """It moves the limit and the ladder's steps; what passes unasked stays what the budget says."""
    outage = Outage()
    raised = Balance("b", "total", None, 1_500, raised=2_000)
    outage.heard(replace(told("0", 0), balances=(raised,)), time.monotonic())
    assert isinstance(answer(outage, ask("1", 101)), NotAllowed)
    granted = answer(outage, ask("1", 100, below=800))
    assert isinstance(granted, Grant)
    assert granted.balances[0].raised == 2_000


def test_a_frozen_budget_stays_frozen() -> None:
    """And says so, also where a new window has begun since."""
    outage = Outage()
    frozen = Balance("b", "total", None, frozen=True)
    outage.heard(replace(told("0", 0), balances=(frozen,)), time.monotonic())
    tomorrow = Match(replace(BUDGET, window="day"), "b", None, ())
    for match in (MATCH, tomorrow):
        refused = answer(outage, ask("1", 1), match)
        assert str(refused) == "budget 'b' is frozen by an operator"


def test_what_costs_nothing_and_what_is_only_observed_passes() -> None:
    """Also where nothing may pass unasked."""
    match = Match(replace(BUDGET, on_ledger_down="refuse"), "b", None, ())
    outage = Outage()
    assert isinstance(answer(outage, ask("1", 0), match), Grant)
    assert isinstance(answer(outage, ask("2", 10**6, enforce=False), match), Grant)
    assert isinstance(answer(outage, ask("3", 1), match), NotAllowed)


def test_allow_lets_everything_pass_that_was_not_known_to_be_exhausted() -> None:
    """And takes nothing from anybody's allowance."""
    match = Match(replace(BUDGET, on_ledger_down="allow"), "b", None, ())
    outage = Outage()
    for number in range(50):
        assert isinstance(answer(outage, ask(f"{number}", 900), match), Grant)
    outage.heard(told("0", 1_000), time.monotonic())
    assert isinstance(answer(outage, ask("x", 1), match), NotAllowed)


def test_a_second_outage_gives_nothing_more_before_the_first_is_booked() -> None:
    """An answer to what was asked before the settlement says nothing about it."""
    outage = Outage()
    answer(outage, ask("1", 100))
    before = time.monotonic()
    outage.settled("1", charge(80))
    outage.heard(told("2", 0), before)
    assert isinstance(answer(outage, ask("3", 21)), NotAllowed)
    outage.heard(told("4", 80), time.monotonic())
    assert isinstance(answer(outage, ask("5", 100)), Grant)


def test_what_is_still_open_when_the_ledger_is_back_counts_until_it_is_settled() -> None:
    """The ledger knows nothing of it before."""
    outage = Outage()
    answer(outage, ask("open", 70))
    outage.heard(told("2", 0), time.monotonic())
    assert isinstance(answer(outage, ask("3", 31)), NotAllowed)
    outage.grown("open", {"b": 95})
    assert isinstance(answer(outage, ask("3", 6)), NotAllowed)
    outage.settled("open", charge(99))
    assert isinstance(answer(outage, ask("3", 2)), NotAllowed)


def test_a_call_that_reserves_in_the_ledger_after_all_gives_its_allowance_back() -> None:
    """Its second reserve found the ledger up again."""
    outage = Outage()
    answer(outage, ask("1", 100))
    outage.heard(told("1", 0), time.monotonic())
    assert isinstance(answer(outage, ask("2", 100)), Grant)


def test_a_forked_child_has_an_allowance_of_its_own() -> None:
    """What the parent let through is the parent's to account for."""
    outage = Outage()
    answer(outage, ask("1", 100))
    child = os.fork()
    if not child:
        os._exit(0 if isinstance(answer(outage, ask("2", 100)), Grant) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert isinstance(answer(outage, ask("2", 1)), NotAllowed)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(0, 9), st.integers(0, 60)),
            st.tuples(st.just("settle"), st.integers(0, 9), st.integers(0, 100)),
            st.tuples(st.just("heard"), st.integers(20, 29), st.just(0)),
        )
    )
)
def test_no_more_than_the_allowance_is_ever_out_unbooked(
    steps: list[tuple[str, int, int]],
) -> None:
    """Whatever comes in whatever order; a request is settled at what it held at most."""
    outage = Outage()
    out: dict[str, int] = {}
    unbooked = 0
    for what, number, amount in steps:
        name = f"{number}"
        if what == "ask":
            out.pop(name, None)
            if isinstance(answer(outage, ask(name, amount)), Grant):
                out[name] = amount
        elif what == "settle" and name in out:
            cost = min(amount, out.pop(name))
            outage.settled(name, charge(cost))
            unbooked += cost
        elif what == "heard":
            outage.heard(told(name, 0), time.monotonic())
            unbooked = 0
        room = ALLOWED - unbooked - sum(out.values())
        assert room >= 0
        # Nor is anything withheld: what is left can be had.
        assert isinstance(answer(outage, ask("probe", room)), Grant)
        assert room == 0 or isinstance(answer(outage, ask("probe", room + 1)), NotAllowed)
        outage.heard(told("probe", 0), 0.0)
