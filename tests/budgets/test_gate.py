"""Plan, ledger and hook become one decision."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aden import Budget, Degrade, Throttle
from aden.budgets import gate
from aden.budgets.ladder import Step
from aden.budgets.plan import Estimate, Plan, plan
from aden.budgets.policy import Policy, make_policy
from aden.core.attribution import Attribution
from aden.core.decision import ALLOW, Action, Decision, most_restrictive
from aden.core.limit import requests, seconds, tokens
from aden.core.request import Request
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Ask, Charge, Grant, Option, Settlement
from aden.pricing import PriceBook

PRICES = PriceBook()
REQUEST = Request("openai", "gpt-4o", stream=True)
# 100 in and 100 out: 1,250,000 nano-dollars of gpt-4o, 75,000 of gpt-4o-mini.
ESTIMATE = Estimate(100, 100)


def _decide(
    budgets: list[Budget], spent: int, hook: Decision = ALLOW, request: Request = REQUEST
) -> tuple[Decision, Plan]:
    policy = make_policy(budgets)
    ledger = MemoryLedger()
    for budget in budgets:
        ledger.settle(Settlement(f"old-{budget.id}", (Charge(budget.id, "total", spent),)))
    planned = _plan(policy, request)
    assert planned.ask is not None
    outcome = ledger.reserve(planned.ask)
    return gate.decide(planned, policy, outcome, hook), planned


def _plan(policy: Policy, request: Request = REQUEST) -> Plan:
    return plan("op", request, Attribution(), policy, PRICES, lambda model: ESTIMATE)


def test_below_every_step_a_request_proceeds() -> None:
    """Nobody objects, nobody is named."""
    decision, _ = _decide([Budget("b", "0.01", ladder=[Degrade(80, "gpt-4o-mini")])], 0)
    assert decision == ALLOW


def test_a_degrade_step_is_taken_from_its_percentage_on() -> None:
    """The ladder decides, and says which budget."""
    budget = Budget("b", "0.01", ladder=[Degrade(80, "gpt-4o-mini")])
    decision, _ = _decide([budget], 8_000_000)
    assert (decision.action, decision.model, decision.source) == (
        "degrade",
        "gpt-4o-mini",
        "policy",
    )
    assert decision.budget_id == "b"


def test_what_does_not_fit_any_more_goes_to_the_cheaper_model() -> None:
    """Below the step, but the dear model would exceed the limit: the ledger says so."""
    budget = Budget("b", "0.01", ladder=[Degrade(95, "gpt-4o-mini")])
    decision, _ = _decide([budget], 9_000_000)
    assert (decision.action, decision.reason, decision.source) == (
        "degrade",
        "exhausted",
        "ledger",
    )


def test_degrade_and_throttle_apply_together() -> None:
    """The action names the degrade; the delay is set as well."""
    ladder: list[Step] = [Degrade(80, "gpt-4o-mini"), Throttle(90, 300)]
    decision, _ = _decide([Budget("b", "0.01", ladder=ladder)], 9_100_000)
    assert (decision.action, decision.delay_ms, decision.delay_source) == (
        "degrade",
        300,
        "policy",
    )


def test_of_several_delays_the_longest_is_waited_for() -> None:
    """Whichever step names it."""
    ladder: list[Step] = [Throttle(50, 2000), Throttle(80, 300)]
    decision, _ = _decide([Budget("b", "0.01", ladder=ladder)], 8_100_000)
    assert decision.delay_ms == 2000


def test_the_cheaper_of_two_degrades_wins() -> None:
    """A hook cannot lead back to a dearer model than the ladder allows."""
    budget = Budget("b", "0.01", ladder=[Degrade(80, "gpt-4o-mini")])
    hook = Decision("degrade", "hook", "hook", model="gpt-4o")
    decision, _ = _decide([budget], 8_000_000, hook)
    assert decision.model == "gpt-4o-mini"


def test_when_ledger_and_hook_refuse_the_hook_speaks_and_the_ledger_gives_the_reason() -> None:
    """The guide's "Budget exhausted" arrives with the reason a program can read."""
    hook = Decision("block", "hook", "hook", "Budget exhausted")
    decision, _ = _decide([Budget("b", "0.001")], 1_000_000, hook)
    assert (decision.reason, decision.source, decision.message) == (
        "exhausted",
        "hook",
        "Budget exhausted",
    )


def test_an_unknown_price_is_refused_only_where_a_budget_asks_for_it() -> None:
    """By default the provider's dearest rates are taken, which is never zero."""
    unknown = Request("openai", "gpt-99-unheard-of")
    refusing = make_policy([Budget("b", 1, unknown_price="refuse")])
    planned = _plan(refusing, unknown)
    assert planned.block is not None
    assert planned.block.reason == "unpriced"
    floored = _plan(make_policy([Budget("b", 1)]), unknown)
    assert floored.quotes[0].price.source == "floor"
    assert floored.quotes[0].amounts.usd > 1_250_000
    allowed = _plan(make_policy([Budget("b", 1, unknown_price="allow")]), unknown)
    assert allowed.ask is not None
    assert allowed.ask.options[0].lines[0].amount == 0


def test_the_tightest_budget_comes_first_and_cannot_be_written_to() -> None:
    """What the hook reads is a view."""
    policy = make_policy([Budget("wide", 1), Budget("tight", "0.01")])
    ledger = MemoryLedger()
    for key in ("wide", "tight"):
        ledger.settle(Settlement(key, (Charge(key, "total", 5_000_000),)))
    planned = _plan(policy)
    assert planned.ask is not None
    views = gate.budget_views(planned, ledger.reserve(planned.ask), "process")
    assert [view["budget_id"] for view in views] == ["tight", "wide"]
    assert views[0]["percent_used"] == 50.0
    assert not hasattr(views[0], "__setitem__")


def test_tokens_and_requests_are_limited_by_the_same_mechanism() -> None:
    """A budget counts in its own unit; a free model still uses tokens."""
    budgets = [Budget("t", limit=tokens(250)), Budget("r", limit=requests(3))]
    planned = _plan(make_policy(budgets))
    assert planned.ask is not None
    assert [line.amount for line in planned.ask.options[0].lines] == [200, 1]
    ledger = MemoryLedger()
    ledger.settle(Settlement("old", (Charge("t", "total", 100),)))
    outcome = ledger.reserve(planned.ask)
    decision = gate.decide(planned, make_policy(budgets), outcome, ALLOW)
    assert (decision.action, decision.budget_id) == ("block", "t")
    assert decision.message == (
        "budget 't' is exhausted: 100 tokens spent of 250 tokens, and this request may use "
        "200 tokens"
    )
    (view, other) = gate.budget_views(planned, outcome, "process")
    assert (view["limit"], view["spent"], view["exhausted"]) == (250, 100, True)
    assert (other["limit"], other["remaining"]) == (3, 3)


def test_a_budget_in_seconds_refuses_in_seconds_and_lets_text_pass() -> None:
    """Its figures are seconds everywhere; a request without speech uses none of it."""
    budgets = [Budget("calls", limit=seconds("1.5"))]
    planned = _plan(make_policy(budgets))
    assert planned.ask is not None
    (line,) = planned.ask.options[0].lines
    assert (line.amount, line.limit) == (0, 1500)
    ledger = MemoryLedger()
    ledger.settle(Settlement("old", (Charge("calls", "total", 1600),)))
    assert isinstance(ledger.reserve(planned.ask), Grant)
    spoken = replace(line, amount=1)
    outcome = ledger.reserve(Ask("spoken", (Option((spoken,)),)))
    decision = gate.decide(planned, make_policy(budgets), outcome, ALLOW)
    assert decision.message == "budget 'calls' is exhausted: 1.6 seconds spent of 1.5 seconds"
    refusal = gate.details(decision, planned, outcome)
    assert (refusal.limit, refusal.spent, refusal.unit) == (1.5, 1.6, "seconds")
    assert (refusal.limit_usd, refusal.spent_usd) == (None, None)
    (view,) = gate.budget_views(planned, outcome, "process")
    assert (view["unit"], view["limit"], view["spent"]) == ("seconds", 1.5, 1.6)


decisions = st.builds(
    Decision,
    action=st.sampled_from(("allow", "alert", "throttle", "degrade", "block")),
    delay_ms=st.integers(0, 10),
)


@given(decisions, decisions)
def test_joining_decisions_never_weakens_either(left: Decision, right: Decision) -> None:
    """Block beats all; otherwise the stronger action and the longer delay survive."""
    order: tuple[Action, ...] = ("allow", "alert", "throttle", "degrade", "block")
    joined = most_restrictive(left, right)
    assert order.index(joined.action) == max(order.index(left.action), order.index(right.action))
    if joined.action != "block":
        assert joined.delay_ms == max(left.delay_ms, right.delay_ms)
