"""What is valid in a policy and probably a mistake."""

from pathlib import Path

import pytest

from aden import ANY, Budget, Degrade, Rule, Throttle
from aden.budgets.doubts import AFTER_CALLS, ScopeWatch, unknown_models
from aden.budgets.policy import make_policy
from aden.core.attribution import Attribution
from aden.core.request import Request
from aden.pricing import PriceBook
from aden.pricing.user_prices import load_prices

ASKED = Request("openai", "gpt-4o")


def test_models_that_no_price_knows_are_named_when_a_policy_is_loaded() -> None:
    """In scopes and as targets, each once; patterns and known ones are not."""
    policy = make_policy(
        [
            Budget("a", 1, scope={"model": "gpt-4oo"}),
            Budget("b", 1, scope={"model": ("gpt-4o", "gpt-99*")}, ladder=[Throttle(90, 5)]),
            Budget("c", 1, ladder=[Degrade(80, "my model"), Degrade(90, "gpt-4o-mini")]),
            Budget("d", 1, ladder=[Degrade(80, "my model")]),
            Budget("e", 1, scope={"provider": "anthropic"}, ladder=[Degrade(80, "gpt-4o-mini")]),
        ],
        rules=[Rule(Degrade(0, "house-model"), {"provider": "openai"})],
    )
    meant = PriceBook().meant(None, "gpt-4oo")
    assert meant.startswith("; did you mean gpt-4o")
    assert unknown_models(policy, PriceBook()) == [
        f"budget 'a' is for 'gpt-4oo', a model that no price knows{meant}"
        " `aden prices gpt-4oo` says how to name its price",
        "budget 'c' degrades to 'my model', a model that no price knows;"
        " `aden prices 'my model'` says how to name its price",
        "budget 'e' degrades to 'gpt-4o-mini', a model that no price knows;"
        " `aden prices gpt-4o-mini --provider anthropic` says how to name its price",
        "rule 1 degrades to 'house-model', a model that no price knows;"
        " `aden prices house-model --provider openai` says how to name its price",
    ]


def test_a_model_that_the_user_priced_is_no_doubt(tmp_path: Path) -> None:
    """Whatever provider or host of his it is for."""
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[price]]\nprovider = "openai"\nmodel = "ours"\nper_request = 1\n'
        '[[price]]\nhost = "localhost:11434"\nmodel = "llama3"\nfree = true\n'
    )
    ladder = [Degrade(80, "ours"), Degrade(85, "llama3"), Degrade(90, "nova-3"), Degrade(95, "x")]
    doubts = unknown_models(
        make_policy([Budget("b", 1, ladder=ladder)]), PriceBook(load_prices(path))
    )
    (doubt,) = doubts
    assert doubt.startswith("budget 'b' degrades to 'x', a model that no price knows;")


def test_a_label_that_no_request_carries_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """After some requests, with what would set it; again only for another policy."""
    budgets = [
        Budget("per-customer", 1, scope={"customer": ANY}),
        Budget("acme", 1, scope={"customer": "acme", "agent": "hotel"}),
        Budget("seldom", 1, scope={"feature": "refunds"}),
        Budget("typo", 1, scope={"provider": "opnai"}),
        Budget("fallback", 1, scope={"provider": "anthropic"}),
        Budget("off", 1, scope={"user": "x"}, mode="off"),
    ]
    policy, watch = make_policy(budgets), ScopeWatch()
    who = Attribution(agent="hotel", feature="booking")
    for _ in range(AFTER_CALLS - 1):
        watch.saw(policy, ASKED, who)
    assert caplog.messages == []
    for _ in range(3 * AFTER_CALLS):
        watch.saw(policy, ASKED, who)
    assert caplog.messages == [
        "aden: after 50 requests, none went to 'opnai', which budget 'typo' is for; "
        "did you mean openai?",
        "aden: after 50 requests, none carried a customer, which budget 'per-customer' "
        "(and 1 more) is for; aden.attribution(customer_id=…) sets it",
    ]
    other = make_policy(budgets[:1])
    for _ in range(AFTER_CALLS):
        watch.saw(other, ASKED, who)
    assert len(caplog.messages) == 3


def test_labels_that_are_carried_raise_no_doubt(caplog: pytest.LogCaptureFixture) -> None:
    """Another customer than the one that a budget is for is no mistake."""
    policy, watch = make_policy([Budget("acme", 1, scope={"customer": "acme"})]), ScopeWatch()
    for _ in range(2 * AFTER_CALLS):
        watch.saw(policy, ASKED, Attribution(customer_id="globex"))
    assert caplog.messages == []
