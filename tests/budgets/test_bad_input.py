"""What nobody wishes for: usage above the hold, clocks that jump, models of another provider."""

import pytest

from aden import ANY, Budget, ConfigurationError, Degrade, requests, seconds, tokens
from aden.budgets import gate
from aden.budgets.plan import Estimate, Plan, plan
from aden.budgets.policy import Policy, make_policy
from aden.core.attribution import Attribution
from aden.core.decision import ALLOW, Decision
from aden.core.request import Request
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Charge, Grant, Settlement
from aden.pricing import PriceBook
from aden.testing.clock import FixedClock

PRICES = PriceBook()
REQUEST = Request("openai", "gpt-4o")
HELD = 1_250_000
DAY_S = 86_400.0


def _decide(
    policy: Policy, ledger: MemoryLedger, name: str, request: Request = REQUEST
) -> Decision:
    return gate.decide(*_asked(policy, ledger, name, request), ALLOW)


def _asked(
    policy: Policy, ledger: MemoryLedger, name: str, request: Request = REQUEST
) -> tuple[Plan, Policy, gate.Outcome]:
    planned = plan(name, request, Attribution(), policy, PRICES, lambda _: Estimate(100, 100))
    return planned, policy, ledger.reserve(planned.ask) if planned.ask else None


def test_usage_above_the_hold_is_booked_whole_and_the_next_request_is_refused() -> None:
    """A budget can end above its limit by what an open call used more; every figure says so."""
    policy, ledger = make_policy([Budget("b", "0.002")]), MemoryLedger()
    _, _, outcome = _asked(policy, ledger, "long")
    assert isinstance(outcome, Grant)
    assert outcome.holds[0].amount == HELD
    ledger.settle(Settlement("long", (Charge("b", "total", 10 * HELD),)))
    planned, _, outcome = _asked(policy, ledger, "next")
    decision = gate.decide(planned, policy, outcome, ALLOW)
    assert decision.message == (
        "budget 'b' is exhausted: $0.012500 spent of $0.002000, and this request may cost $0.001250"
    )
    (view,) = gate.budget_views(planned, outcome, "process")
    assert (view["remaining"], view["percent_used"], view["exhausted"]) == (0.0, 625.0, True)


def test_a_clock_that_jumps_ahead_begins_a_new_window_and_back_returns_to_the_old_one() -> None:
    """Nothing is lost on the way, and a call is booked where it was reserved."""
    clock = FixedClock(20_000 * DAY_S)
    ledger = MemoryLedger(clock)
    policy = make_policy([Budget("b", "0.002", "day")])
    assert _decide(policy, ledger, "one") == ALLOW
    clock.advance(DAY_S)
    assert _decide(policy, ledger, "two") == ALLOW  # tomorrow has a limit of its own
    for name, at in (("one", clock() - DAY_S), ("two", clock())):
        window_id = policy.budgets[0].span.at(at).id
        ledger.settle(Settlement(name, (Charge("b", window_id, HELD),)))
    clock.advance(-DAY_S)
    decision = _decide(policy, ledger, "three")
    assert (decision.reason, decision.budget_id) == ("exhausted", "b")
    assert decision.retry_after_ms == DAY_S * 1000


@pytest.mark.parametrize(
    "make",
    [
        lambda: tokens(float("nan")),  # type: ignore[arg-type]
        lambda: tokens(1e300),  # type: ignore[arg-type]
        lambda: requests(-1),
        lambda: seconds(float("inf")),
        lambda: seconds("1e300"),
        lambda: Budget("b", "1e300"),
        lambda: Budget("b", "-0.000000001"),
        lambda: Budget("b", "9000000.000000001"),
    ],
)
def test_an_impossible_amount_is_refused_in_every_unit(make: object) -> None:
    """When it is written, not when it is reached."""
    with pytest.raises(ConfigurationError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "budget",
    [
        Budget("b", 0),
        Budget("b", "0"),
        Budget("b", limit=tokens(0)),
        Budget("b", limit=requests(0)),
    ],
)
def test_a_limit_of_zero_blocks_in_every_unit(budget: Budget) -> None:
    """Nothing that costs fits, and nobody divides by it."""
    decision = _decide(make_policy([budget]), MemoryLedger(), "one")
    assert (decision.action, decision.reason) == ("block", "exhausted")


def test_a_degrade_to_another_providers_model_is_not_for_this_request() -> None:
    """A client of one provider cannot send another one's model."""
    ladder = [
        Degrade(50, "claude-haiku-4-5", ["anthropic"]),
        Degrade(60, "gpt-4o-mini", ["openai"]),
    ]
    policy = make_policy([Budget("b", "0.01", ladder=ladder, beyond="degrade")])
    sent = {}
    for provider, model in (("openai", "gpt-4o"), ("anthropic", "claude-opus-4-5"), ("x_ai", "g")):
        ledger = MemoryLedger()
        ledger.settle(Settlement("old", (Charge("b", "total", 20_000_000),)))
        decision = _decide(policy, ledger, "one", Request(provider, model))
        sent[provider] = decision.model or decision.reason
    assert sent == {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5", "x_ai": "exhausted"}


def test_a_label_that_is_no_text_does_not_lead_around_a_budget() -> None:
    """It counts as the text that Python shows for it."""
    policy = make_policy([Budget("b", 1, scope={"customer": ANY}), Budget("all", 1)])
    for customer in (["acme"], {"id": 7}, 42):
        odd = Attribution(customer_id=customer)  # type: ignore[arg-type]
        keys = [match.key for match in policy.matching(REQUEST, odd)]
        assert keys == [f"b|customer={customer}", "all"]
