"""The policy: its rules, its index, what it refuses when it is made."""

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden import ANY, Alert, Budget, ConfigurationError, Degrade, Throttle, requests
from aden.budgets import gate
from aden.budgets.budget import matches
from aden.budgets.ladder import Step
from aden.budgets.plan import Estimate, Plan, plan
from aden.budgets.policy import Policy, make_policy
from aden.budgets.rule import Block, Rule
from aden.core.attribution import Attribution
from aden.core.decision import ALLOW, Decision
from aden.core.request import Request
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Charge, Settlement
from aden.pricing import PriceBook

PRICES = PriceBook()
NOBODY = Attribution()
ASKED = Request("openai", "gpt-4o", stream=True)
ALWAYS_DEGRADED = Rule(Degrade(0, "gpt-4o-mini"), {"model": "gpt-4o"})
# 100 in and 100 out: 1,250,000 nano-dollars of gpt-4o, 75,000 of gpt-4o-mini.
ESTIMATE = Estimate(100, 100)


def _decide(
    policy: Policy, spent: int = 0, request: Request = ASKED, hook: Decision = ALLOW
) -> tuple[Decision, Plan]:
    """What is decided where every budget has *spent*."""
    ledger = MemoryLedger()
    planned = _plan(policy, request)
    outcome = None
    if planned.ask is not None and planned.block is None:
        for line in planned.ask.options[0].lines:
            window_id = line.window.at(ledger._clock()).id
            old = Charge(line.budget, window_id, spent)
            ledger.settle(Settlement(f"old-{line.budget}", (old,)))
        outcome = ledger.reserve(planned.ask)
    return gate.decide(planned, policy, outcome, hook), planned


def _plan(policy: Policy, request: Request = ASKED) -> Plan:
    return plan("op", request, NOBODY, policy, PRICES, lambda model: ESTIMATE)


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        ({}, True),
        ({"model": "gpt-4*"}, True),
        ({"model": ("o3", "gpt-4o")}, True),
        ({"provider": "openai", "model": "gpt-4?"}, True),
        ({"provider": "anthropic"}, False),
        ({"model": "gpt-4"}, False),
    ],
)
def test_a_block_refuses_the_models_of_its_pattern(scope: dict[str, object], refused: bool) -> None:
    """With reason ``policy`` and its own words, also where no budget matches."""
    decision, planned = _decide(make_policy([], rules=[Rule(Block("not in production"), scope)]))
    said = (decision.action, decision.reason, decision.source, decision.message)
    assert (said == ("block", "policy", "policy", "not in production")) is refused
    assert gate.details(decision, planned, None).budget_id is None


def test_no_degrade_leads_to_a_blocked_model() -> None:
    """A ladder skips it; a rule that always leads there is a refusal."""
    block = Rule(Block(), {"model": "*-mini"})
    budget = Budget("b", "0.01", ladder=[Degrade(80, "gpt-4o-mini"), Degrade(85, "gpt-4.1-nano")])
    decision, _ = _decide(make_policy([budget], rules=[block]), 9_000_000)
    assert decision.model == "gpt-4.1-nano"
    decision, _ = _decide(make_policy([budget], rules=[block, ALWAYS_DEGRADED]))
    assert decision.action == "block"


def test_a_rule_degrades_always_and_the_target_is_priced_and_checked() -> None:
    """The first option is the cheaper model; the asked one is still known."""
    decision, planned = _decide(make_policy([Budget("b", "0.0001")], rules=[ALWAYS_DEGRADED]))
    assert (decision.action, decision.model, decision.reason) == (
        "degrade",
        "gpt-4o-mini",
        "policy",
    )
    assert planned.ask is not None
    assert planned.ask.options[0].lines[0].amount == 75_000
    assert planned.asked.model == "gpt-4o"
    decision, _ = _decide(make_policy([Budget("b", "0.00005")], rules=[ALWAYS_DEGRADED]))
    assert (decision.action, decision.reason) == ("block", "exhausted")


@pytest.mark.parametrize("at", [0, 80])
def test_a_rule_degrades_only_at_the_providers_that_it_names(at: float) -> None:
    """No other one has that model."""
    elsewhere = Rule(Degrade(at, "gpt-4o-mini", providers=["azure.ai.openai"]))
    policy = make_policy([Budget("b", "0.01")], rules=[elsewhere])
    sent = {}
    for provider in ("openai", "azure.ai.openai"):
        decision, _ = _decide(policy, 8_500_000, Request(provider, "gpt-4o"))
        sent[provider] = decision.model
    assert sent == {"openai": None, "azure.ai.openai": "gpt-4o-mini"}


def test_a_hooks_model_is_sent_where_a_rules_cannot_take_the_request() -> None:
    """The one would refuse a picture; what the other wants is not lost with it."""
    policy = make_policy([Budget("b", "1")], rules=[Rule(Degrade(0, "gpt-3.5-turbo"))])
    hook = Decision("degrade", "hook", "hook", model="gpt-4o-mini")
    decision, _ = _decide(policy, 0, Request("openai", "gpt-4o", media=True), hook)
    assert (decision.action, decision.model) == ("degrade", "gpt-4o-mini")


def test_a_chain_of_rules_is_followed_to_its_end() -> None:
    """A to B to C in one request, without a budget."""
    rules = [
        Rule(Degrade(0, "gpt-4.1-mini"), {"model": "gpt-4o"}),
        Rule(Degrade(0, "gpt-4.1-nano"), {"model": "gpt-4.1-mini"}),
    ]
    decision, planned = _decide(make_policy([], rules=rules))
    assert decision.model == "gpt-4.1-nano"
    assert planned.quotes[0].model == "gpt-4.1-nano"


@pytest.mark.parametrize(
    ("spent", "sent"),
    [(4_000_000, None), (6_000_000, "gpt-4.1-mini"), (8_500_000, "gpt-4.1-nano")],
)
def test_rules_from_a_percentage_on_chain_through_every_budget(
    spent: int, sent: str | None
) -> None:
    """The second link is reached from the first one's model."""
    rules = [
        Rule(Degrade(50, "gpt-4.1-mini"), {"model": "gpt-4o"}, "usd"),
        Rule(Degrade(80, "gpt-4.1-nano"), {"model": "gpt-4.1-mini"}, "usd"),
    ]
    decision, _ = _decide(make_policy([Budget("b", "0.01")], rules=rules), spent)
    assert decision.model == sent


def test_a_later_link_of_a_chain_is_not_reached_before_an_earlier_one() -> None:
    """B goes to C from 50 on, but A goes to B only from 80 on."""
    rules = [
        Rule(Degrade(80, "gpt-4.1-mini"), {"model": "gpt-4o"}),
        Rule(Degrade(50, "gpt-4.1-nano"), {"model": "gpt-4.1-mini"}),
    ]
    policy = make_policy([Budget("b", "0.01")], rules=rules)
    assert _decide(policy, 6_000_000)[0] == ALLOW
    assert _decide(policy, 8_100_000)[0].model == "gpt-4.1-nano"


def test_ladders_of_several_budgets_chain_and_end_also_where_prices_are_equal() -> None:
    """Each names its own cheaper model; two that nobody can price do not block each other."""
    one = Budget("one", "0.01", ladder=[Degrade(50, "gpt-4.1-mini")])
    two = Budget("two", "0.01", ladder=[Degrade(50, "gpt-4.1-nano")])
    decision, _ = _decide(make_policy([one, two]), 6_000_000)
    assert decision.model == "gpt-4.1-nano"
    one = Budget("one", 9, ladder=[Degrade(50, "house-large")])
    two = Budget("two", 9, ladder=[Degrade(50, "house-small")])
    asked = Request("openai", "house-huge")
    decision, _ = _decide(make_policy([one, two]), 6_000_000_000, asked)
    assert (decision.action, decision.model) == ("degrade", "house-small")


@pytest.mark.parametrize(
    "rules",
    [
        [("gpt-4o", "o3", 0), ("o3", "gpt-4o", 0)],
        [("gpt-4o", "o3", 80), ("o3", "o4-mini", 90), ("o4-mini", "gpt-4o", 95)],
        [("gpt-*", "o3", 0), ("o?", "gpt-4o-mini", 0)],
        [("*", "o3", 0), ("*", "gpt-4o", 0)],
    ],
)
def test_degrades_in_a_circle_are_refused_when_the_policy_is_made(
    rules: list[tuple[str, str, float]],
) -> None:
    """Patterns count as what they match."""
    circle = [Rule(Degrade(at, to), {"model": model}) for model, to, at in rules]
    with pytest.raises(ConfigurationError, match="a chain of models that ends"):
        make_policy([], rules=circle)


def test_what_only_looks_like_a_circle_is_none() -> None:
    """Different providers never meet, and a model that a rule leads to stays where it is."""
    make_policy(
        [],
        rules=[
            Rule(Degrade(0, "b"), {"model": "a", "provider": "x"}),
            Rule(Degrade(0, "a"), {"model": "b", "provider": "y"}),
            Rule(Degrade(0, "gpt-4o-mini"), {"model": "gpt-4*", "provider": "z"}),
            Rule(Degrade(0, "d", ["x"]), {"model": "c"}),
            Rule(Degrade(0, "c", ["y"]), {"model": "d"}),
        ],
    )
    long = [Rule(Degrade(0, f"m{n + 1}"), {"model": f"m{n}"}) for n in range(500)]
    policy = make_policy([], rules=long)
    assert policy.standing(Request("x", "m0"), NOBODY).decision.model == "m500"


def test_throttle_and_degrade_of_rules_both_apply_and_the_longest_delay_wins() -> None:
    """Of two delays only the longer one is waited for."""
    delays = [Rule(Throttle(0, 200)), Rule(Throttle(0, 500), {"model": "gpt-4o"})]
    rules = [*delays, Rule(Throttle(0, 300)), ALWAYS_DEGRADED]
    decision, _ = _decide(make_policy([], rules=rules))
    assert (decision.action, decision.model, decision.delay_ms) == ("degrade", "gpt-4o-mini", 500)


def test_alerts_of_rules_weigh_least_and_are_all_named() -> None:
    """An alert that holds always is a decision; one at a percentage stands in every ladder."""
    rules = [Rule(Alert(0, "info", "gpt-4 is used"), {"model": "gpt-4*"}), Rule(Alert(70))]
    policy = make_policy([Budget("b", "0.01")], rules=rules)
    decision, planned = _decide(policy)
    assert (decision.action, decision.message) == ("alert", "gpt-4 is used")
    assert [alert.message for alert in planned.standing.alerts] == ["gpt-4 is used"]
    assert planned.matches[0].ladder == (Alert(70),)


def test_beyond_its_limit_a_budget_may_go_on_delayed_or_cheaper() -> None:
    """What a rate does, and what existing servers mean by ``limitAction``."""
    rate = Budget(
        "rate",
        limit=requests(3),
        window="rolling 60s",
        ladder=[Throttle(100, 700)],
        beyond="throttle",
    )
    assert _decide(make_policy([rate]), 2)[0] == ALLOW
    decision, _ = _decide(make_policy([rate]), 5)
    assert (decision.action, decision.delay_ms) == ("throttle", 700)
    soft = Budget("soft", "0.01", ladder=[Degrade(100, "gpt-4o-mini")], beyond="degrade")
    decision, _ = _decide(make_policy([soft]), 50_000_000)
    assert (decision.action, decision.model) == ("degrade", "gpt-4o-mini")
    with pytest.raises(ConfigurationError, match="a ladder with a Throttle step"):
        Budget("b", 1, beyond="throttle", ladder=[Degrade(80, "m")])


def test_what_is_cheaper_than_a_ladders_last_model_goes_on_as_it_was_asked() -> None:
    """A degrade never sends what is dearer."""
    soft = Budget("soft", "0.01", ladder=[Degrade(100, "gpt-4o-mini")], beyond="degrade")
    nano = Request("openai", "gpt-4.1-nano", stream=True)
    decision, planned = _decide(make_policy([soft]), 50_000_000, nano)
    assert decision == ALLOW
    assert planned.asked.amounts.usd < planned.quotes[-1].amounts.usd
    unknown = Request("openai", "nobody-knows-it", stream=True)
    assert _decide(make_policy([soft]), 50_000_000, unknown)[0].model == "gpt-4o-mini"


def test_a_rate_counts_requests_that_are_still_open() -> None:
    """Fifty at once are fifty, settled or not."""
    rate = Budget("r", limit=requests(2), ladder=[Throttle(100, 700)], beyond="throttle")
    policy, ledger = make_policy([rate]), MemoryLedger()
    delays = []
    for number in range(4):
        planned = plan(f"op{number}", ASKED, NOBODY, policy, PRICES, lambda model: ESTIMATE)
        assert planned.ask is not None
        outcome = ledger.reserve(planned.ask)
        delays.append(gate.decide(planned, policy, outcome, ALLOW).delay_ms)
    assert delays == [0, 0, 700, 700]


@pytest.mark.parametrize("where", ["policy", "budget"])
def test_what_is_only_observed_says_what_would_have_been_decided(where: str) -> None:
    """The request goes through as it was asked, and the would-be decision is known."""
    ladder: list[Step] = [Degrade(80, "gpt-4o-mini"), Throttle(90, 300)]
    budget = Budget("b", "0.01", ladder=ladder, mode="observe" if where == "budget" else "enforce")
    policy = make_policy([budget], "observe" if where == "policy" else "enforce")
    ledger = MemoryLedger()
    expected = [
        (0, "allow", None, None, 0),
        (8_000_000, "degrade", "policy", "gpt-4o-mini", 0),
        (1_500_000, "degrade", "policy", "gpt-4o-mini", 300),
        (1_000_000, "block", "exhausted", None, 0),
    ]
    for number, (spent, *would_be) in enumerate(expected):
        ledger.settle(Settlement(f"old-{number}", (Charge("b", "total", spent),)))
        planned = _plan(policy)
        assert planned.ask is not None
        outcome = ledger.reserve(planned.ask)
        assert gate.decide(planned, policy, outcome, ALLOW) == ALLOW
        observed = gate.observed(planned, policy, outcome, ALLOW)
        assert observed is not None
        seen = [observed.action, observed.reason, observed.model, observed.delay_ms]
        assert seen == would_be
    assert gate.observed(_plan(make_policy([Budget("b", 1)])), policy, None, ALLOW) is None


def test_rules_are_observed_with_the_policy() -> None:
    """What is only observed blocks nothing, leads nowhere, and is reported."""
    policy = make_policy([], "observe", [ALWAYS_DEGRADED, Rule(Throttle(0, 300))])
    planned = _plan(policy)
    assert planned.quotes[0].model == "gpt-4o"
    assert gate.decide(planned, policy, None, ALLOW) == ALLOW
    observed = gate.observed(planned, policy, None, ALLOW)
    assert observed is not None
    assert (observed.action, observed.model, observed.delay_ms) == ("degrade", "gpt-4o-mini", 300)
    policy = make_policy([], "observe", [Rule(Block("no"))])
    planned = _plan(policy)
    assert gate.decide(planned, policy, None, ALLOW) == ALLOW
    observed = gate.observed(planned, policy, None, ALLOW)
    assert observed is not None
    assert (observed.action, observed.message) == ("block", "no")
    assert make_policy([], "off", [Rule(Block("no"))]).standing(ASKED, NOBODY).decision == ALLOW


values = st.sampled_from(["a", "b", "gpt-4o"])
wanted = values | st.just(ANY) | st.lists(values, min_size=1, max_size=2) | st.just("gpt-4*")
scopes = st.dictionaries(
    st.sampled_from(["customer", "user", "model", "tag", "provider"]), wanted, max_size=3
)


@given(st.lists(scopes, max_size=8), st.tuples(values, values, values), st.lists(values))
def test_the_index_finds_exactly_what_matches(
    scopes: list[dict[str, object]], labels: tuple[str, str, str], tags: list[str]
) -> None:
    """It narrows the search and decides nothing; order and everything else stay."""
    budgets = [Budget(f"b{n}", 1, scope=MappingProxyType(scope)) for n, scope in enumerate(scopes)]
    customer, provider, model = labels
    request = Request(provider, model)
    attribution = Attribution(customer_id=customer, tags=tuple(tags))
    naive = [match for each in budgets for match in matches(each, request, attribution)]
    assert list(make_policy(budgets).matching(request, attribution)) == naive


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rule("block"),  # type: ignore[arg-type]
        lambda: Rule(Block(""), {}),
        lambda: Rule(Block(), {"customer": ANY}),
        lambda: Rule(Block(), {"planet": "earth"}),
        lambda: Rule(Alert(50), unit="pounds"),  # type: ignore[arg-type]
        lambda: make_policy([], rules=["block"]),  # type: ignore[list-item]
    ],
)
def test_a_wrong_rule_is_refused(make: object) -> None:
    """When it is made, with its name and what is allowed."""
    with pytest.raises(ConfigurationError):
        make()  # type: ignore[operator]


def test_what_is_remembered_of_who_asked_is_bounded_and_right() -> None:
    """Everyone finds their own budget, the thousandth caller and the first again."""
    budgets = [Budget(f"b{n}", 1, scope={"customer": f"c{n}"}) for n in range(5)]
    policy = make_policy(budgets)
    for turn in range(2):
        for n in range(5000):
            caller = Attribution(customer_id=f"c{n % 5}", user_id=f"{turn}-{n}")
            (match,) = policy.matching(ASKED, caller)
            assert match.budget.id == f"b{n % 5}"
    assert len(policy._matched) <= 4096
    assert policy.matching(ASKED, NOBODY) == ()
