"""A session's own budget, against the ledger that keeps it."""

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from aden import Budget, tokens
from aden.budgets.budget import OwnBudget
from aden.core.money import NanoUSD
from aden.core.place import Place
from aden.core.record import CallRecord
from aden.core.request import COMPONENTS, Component, Request
from aden.core.usage import Usage
from aden.ledger.protocol import Ask, Charge, Grant, Line, Option, Settlement
from aden.metering.call import Call, Lane
from aden.metering.session import Session, SessionBudget
from house import House

LIMIT = 1_000
AMOUNT = st.integers(0, 400)
STEP = st.one_of(
    st.tuples(st.sampled_from(["ask", "ask again", "another asks"]), AMOUNT),
    st.tuples(st.sampled_from(["settle", "another settles", "lease ends"]), AMOUNT),
)
_jobs = count()


class Books:
    """A session with one budget, and another process that spends of it too."""

    def __init__(self, house: House) -> None:
        scope = f"room=RM_{next(_jobs)}"
        self.meter = house.meter
        self.session = Session()
        own = OwnBudget(Budget("calls", limit=tokens(LIMIT)), f"calls|{scope}", scope)
        self.budget: SessionBudget = self.session.add(own, self.meter)
        self.meter.dispatcher.flush(5)
        self.open: dict[str, list[Call]] = {"mine": [], "others": []}

    def ask(self, whose: str, amount: int, *, again: bool = False) -> None:
        """Reserve, or anew for the oldest that is open; a refusal leaves nothing."""
        if again and not self.open[whose]:
            return
        call = self.meter.begin(Request("openai", "gpt-4o"), {}, Lane())
        if again:
            call = self.open[whose].pop(0)
        own = self.budget.own
        line = Line(own.key, own.budget.span, LIMIT, amount, amount)
        outcome = self.meter.ledger.reserve(Ask(call.id, (Option((line,)),)))
        if whose == "mine":
            self.session.answered(call, outcome)
        if isinstance(outcome, Grant):
            self.open[whose].append(call)

    def settle(self, whose: str, amount: int) -> None:
        """Settle the oldest that is open, for whatever it came to."""
        if self.open[whose]:
            call, own = self.open[whose].pop(0), self.budget.own
            charges = (Charge(own.key, own.budget.span.at(call.started_at).id, amount),)
            self.meter.ledger.settle(Settlement(call.id, charges))
            if whose == "mine":
                self.session.settled(call, charges)

    def lease_ends(self) -> None:
        """The ledger lets go of the oldest that is open, and nobody tells the session."""
        if self.open["mine"]:
            self.meter.ledger.settle(Settlement(self.open["mine"].pop(0).id))

    def agree(self) -> None:
        """What is read is what the ledger has."""
        own = self.budget.own
        (balance,) = self.meter.ledger.balances([(own.key, own.budget.span)])
        budget = self.budget
        assert (budget.spent, budget.reserved) == (balance.spent, balance.held)
        assert budget.remaining == max(0, LIMIT - balance.spent - balance.held)
        assert budget.exhausted == (balance.spent >= LIMIT)


def test_what_is_read_of_a_budget_is_what_its_ledger_has(
    instrumented: Callable[..., House],
) -> None:
    """At any moment where its own calls alone change it; else as soon as it is asked."""
    house = instrumented()

    @settings(max_examples=60, deadline=None)
    @given(st.lists(STEP, max_size=25))
    def spend(steps: list[tuple[str, int]]) -> None:
        books, alone = Books(house), True
        for what, amount in steps:
            whose = "others" if what.startswith("another") else "mine"
            if what == "ask again":
                books.ask(whose, amount, again=True)
            elif what == "lease ends":
                books.lease_ends()
                alone = False
            else:
                (books.ask if "ask" in what else books.settle)(whose, amount)
            alone = alone and whose == "mine"
            if alone:
                books.agree()
        books.budget.read()
        books.agree()

    spend()


COMPONENT = st.sampled_from(sorted(COMPONENTS.values()))


@given(st.lists(st.tuples(COMPONENT, st.sampled_from("abc"), st.integers(0, 10**9), st.booleans())))
def test_each_part_of_a_bill_adds_up_to_the_whole(
    calls: list[tuple[Component, str, int, bool]],
) -> None:
    """By component, by model and by turn."""
    session = Session()
    for number, (component, name, cost, estimated) in enumerate(calls):
        usage = Usage(1, 1, estimated=estimated)
        session.saw(
            CallRecord(
                str(number),
                0.0,
                "openai",
                name,
                name,
                usage,
                NanoUSD(cost),
                component=component,
                place=Place(speech_id=name),
            )
        )
    bill = session.bill()
    assert bill.cost == sum(cost for *_, cost, _ in calls)
    for parts in (bill.components, bill.models, bill.turns):
        for figure in ("calls", "cost", "estimated", "input_tokens"):
            whole = sum(getattr(sums, figure) for sums in parts.values())
            assert whole == getattr(bill.total, figure)
    assert list(bill.models.values()) == sorted(bill.models.values(), key=lambda sums: -sums.cost)
    assert 0 <= bill.estimated_share <= 1
