"""A server's policy document becomes a policy, or a message that says what is wrong with it."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden import Alert, Block, Budget, ConfigurationError, Degrade, Rule, Throttle, requests
from aden.control.policy_document import PolicyDocument, load_json, read_document
from aden.core.attribution import Attribution
from aden.core.request import Request

DOCUMENT: dict[str, Any] = {
    "id": "default",
    "team_id": "t",
    "name": "Default Policy",
    "version": "a1b2c3d4",
    "updated_at": "2026-01-01T00:00:00Z",
    "budgets": [
        {
            "id": "b1",
            "name": "enterprise",
            "type": "customer",
            "tags": [],
            "limit": 100.0,
            "spent": 12.5,
            "limitAction": "degrade",
            "degradeToModel": "gpt-4o-mini",
            "degradeToProvider": "openai",
            "alerts": [{"threshold": 80, "enabled": True}, {"threshold": 90, "enabled": False}],
            "analytics": {"burnRate": 1.2, "projectedSpend": 37.0, "status": "healthy"},
        },
        {"id": "b2", "name": "all", "type": "global", "limit": 0.1, "limitAction": "kill"},
        {"id": "b3", "name": "t", "type": "tag", "tags": ["x", "y"], "limit": 1},
    ],
    "throttles": [
        {"provider": "gemini", "requests_per_minute": 60, "delay_ms": 250},
        {"context_id": "c", "delay_ms": 100},
    ],
    "blocks": [{"reason": "not allowed", "provider": "openai", "model_pattern": "gpt-4*"}],
    "degradations": [
        {
            "from_model": "o3",
            "to_model": "o4-mini",
            "trigger": "budget_threshold",
            "threshold_percent": 70,
        },
        {"from_model": "o1", "to_model": "o3", "trigger": "always", "provider": "openai"},
        {"from_model": "gpt-5", "to_model": "gpt-5-mini", "trigger": "rate_limit"},
    ],
    "alerts": [
        {"trigger": "model_usage", "level": "info", "message": "o1!", "model_pattern": "o1*"},
        {
            "trigger": "budget_threshold",
            "level": "critical",
            "message": "soon",
            "threshold_percent": 95,
        },
    ],
}


def test_a_document_becomes_budgets_and_rules() -> None:
    """Each field of the contract has its place in the policy."""
    read = read_document(load_json(json.dumps(DOCUMENT).encode()))
    assert (read.id, read.name, read.version) == ("default", "Default Policy", "a1b2c3d4")
    assert read.spent == {"b1": 12_500_000_000, "b2": 0, "b3": 0}
    first, second, third, rate = read.policy.budgets
    assert first == Budget(
        "b1",
        100.0,
        "month",
        name="enterprise",
        scope={"customer": ("enterprise", "b1")},
        ladder=[Degrade(100, "gpt-4o-mini", ["openai"]), Alert(80)],
        beyond="degrade",
    )
    assert (second.limit.amount, second.beyond, second.scope) == (100_000_000, "cancel", {})
    assert third.scope == {"tag": ("x", "y")}
    assert (rate.limit, rate.span.period, rate.beyond) == (requests(60), "rolling 60s", "throttle")
    assert rate.scope == {"provider": ("gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai")}
    assert rate.ladder == (Throttle(100, 250),)
    assert read.policy.rules == (
        Rule(Throttle(0, 100), {"context": "c"}),
        Rule(Block("not allowed"), {"provider": "openai", "model": "gpt-4*"}),
        Rule(Degrade(70, "o4-mini"), {"model": "o3"}, "usd"),
        Rule(Degrade(0, "o3"), {"provider": "openai", "model": "o1"}),
        Rule(Degrade(100, "gpt-5-mini"), {"model": "gpt-5"}, "requests"),
        Rule(Alert(0, "info", "o1!"), {"model": "o1*"}),
        Rule(Alert(95, "critical", "soon"), {}, "usd"),
    )


def test_older_spellings_are_read() -> None:
    """As they are still met in the wild."""
    old = {
        "budgets": [
            {
                "id": "b",
                "context_id": "ctx",
                "limit_usd": "5.00",
                "current_spend_usd": 1,
                "action_on_exceed": "degrade",
                "degrade_to_model": "gpt-4o-mini",
            },
            {
                "id": "ladder",
                "type": "agent",
                "limit": 10,
                "limitAction": "block",
                "thresholds": [
                    {"percent": 50, "action": "alert"},
                    {"percent": 80, "action": "degrade", "degradeTo": "gpt-4o-mini"},
                    {"percent": 95, "action": "throttle", "delayMs": 2000},
                    {"percent": 100, "action": "block"},
                ],
            },
        ]
    }
    read = read_document(old)
    first, second = read.policy.budgets
    assert first.scope == {"context": "ctx"}
    assert first.beyond == "degrade"
    assert read.spent == {"b": 1_000_000_000, "ladder": 0}
    assert second.ladder == (Alert(50), Degrade(80, "gpt-4o-mini"), Throttle(95, 2000))
    assert second.scope == {"agent": "ladder"}
    assert second.beyond == "cancel"


def test_a_budget_matches_by_its_name_or_its_id() -> None:
    """As servers match the metadata of a request."""
    policy = read_document(DOCUMENT).policy
    asked = Request("openai", "gpt-4o")

    def matched(attribution: Attribution) -> list[str]:
        return [match.budget.id for match in policy.matching(asked, attribution)]

    assert matched(Attribution(customer_id="enterprise")) == ["b1", "b2"]
    assert matched(Attribution(customer_id="b1", tags=("y",))) == ["b1", "b2", "b3"]
    assert matched(Attribution(agent="enterprise")) == ["b2"]


def test_an_empty_document_is_a_policy_without_budgets() -> None:
    """A team without rules is a valid state of a server."""
    read = read_document({"id": "p", "version": "1"})
    assert read.policy.budgets == ()
    assert read.policy.rules == ()


def test_money_is_read_as_it_was_written() -> None:
    """A binary float would end in …456788."""
    body = b'{"budgets": [{"id": "b", "type": "global", "limit": 8999999.123456789}]}'
    assert read_document(load_json(body)).policy.budgets[0].limit.amount == 8_999_999_123_456_789


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["budgets", 0, "limit"], -1, "policy.budgets[0]"),
        (["budgets", 0, "limit"], None, "limit_usd"),
        (["budgets", 0, "limit"], "a lot", "'a lot'"),
        (["budgets", 0, "spent"], -1, "policy.budgets[0].spent"),
        (["budgets", 0, "id"], 7, "policy.budgets[0].id"),
        (["budgets", 0, "id"], "b2", "ids that are used once"),
        (["budgets", 0, "id"], "x|y", "printable characters without |"),
        (["budgets", 0, "type"], "custmer", "did you mean customer?"),
        (["budgets", 0, "limitAction"], "explode", "kill | block | throttle | degrade"),
        (["budgets", 0, "degradeToModel"], None, "policy.budgets[0].degradeToModel"),
        (["budgets", 0, "alerts", 0, "threshold"], 0.8, "did you mean 80?"),
        (["budgets", 0, "alerts", 0, "threshold"], "80", "policy.budgets[0].alerts[0].threshold"),
        (["budgets", 0, "alerts", 0, "enabled"], "yes", "true | false"),
        (["budgets", 2, "tags"], [], "policy.budgets[2].tags"),
        (["budgets"], {}, "policy.budgets"),
        (["budgets"], [7], "policy.budgets[0]=7"),
        (["budgets"], [{}] * 10_001, "up to 10000 objects"),
        (["blocks"], [{}] * 1_001, "up to 1000 objects"),
        (["blocks", 0, "reason"], "x" * 1001, "up to 1000 characters"),
        (["throttles", 0, "requests_per_minute"], -1, "policy.throttles[0]"),
        (["throttles", 0, "requests_per_minute"], 1.5, "a whole number"),
        (["throttles", 0, "delay_ms"], 60_001, "milliseconds from 0 to 60000"),
        (["throttles", 1, "delay_ms"], None, "requests_per_minute, or milliseconds"),
        (["degradations", 0, "trigger"], "whenever", "policy.degradations[0].trigger"),
        (["degradations", 0, "threshold_percent"], None, "policy.degradations[0].threshold_per"),
        (["degradations", 0, "from_model"], None, "policy.degradations[0].from_model"),
        (["degradations", 1, "to_model"], "o1", ""),
        (["alerts", 0, "level"], "loud", "info | warning | critical"),
        (["alerts", 1, "threshold_percent"], 101, "policy.alerts[1]"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(path: list[Any], value: object, named: str) -> None:
    """The message has the path, the value and what is allowed."""
    document = copy.deepcopy(DOCUMENT)
    inner: Any = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    if not named:  # a model that a rule leads to stays where it is: no circle
        read_document(document)
        return
    with pytest.raises(ConfigurationError) as caught:
        read_document(document)
    assert named in str(caught.value)
    assert str(caught.value).startswith("policy")
    assert len(str(caught.value)) < 600


def test_the_same_throttle_twice_is_one() -> None:
    """And its budget has the same id in every process, so that the ledger counts it once."""
    throttle = {"provider": "openai", "requests_per_minute": 60}
    twice, again = (read_document({"throttles": [throttle] * count}) for count in (2, 1))
    assert [budget.id for budget in twice.policy.budgets] == ["throttle-b218b3899a31"]
    assert again.policy.budgets == twice.policy.budgets


def test_degradations_in_a_circle_are_refused() -> None:
    """Before they are in force."""
    circle = [
        {"from_model": "a", "to_model": "b", "trigger": "always"},
        {"from_model": "b", "to_model": "a", "trigger": "always"},
    ]
    with pytest.raises(ConfigurationError, match="a chain of models that ends"):
        read_document({"degradations": circle})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "a JSON document"),
        (b"[]", "an object"),
        (b"{", "a JSON document"),
        (b"\xff\xfe\x00", "a JSON document"),
        (b'{"budgets": [{"id": "b", "limit": NaN}]}', "NaN is no JSON number"),
        (b'{"budgets": [{"id": "b", "limit": 1e999}]}', "an amount in US dollars"),
        (b'{"budgets": [{"id": "b", "limit": ' + b"9" * 5000 + b"}]}", "a JSON document"),
        (b"[" * 100_000, "a JSON document"),
        (b" " * 8_000_001, "at most 8000000 bytes"),
    ],
)
def test_what_is_no_document_is_refused(body: bytes, named: str) -> None:
    """Whatever a server, or something that answers in its place, sends."""
    with pytest.raises(ConfigurationError) as caught:
        read_document(load_json(body))
    assert named in str(caught.value)


def test_the_largest_document_is_read_in_seconds() -> None:
    """A thousand patterns in one chain, ten thousand budgets: nothing grows with their square."""
    chain = [
        {"from_model": f"m{n:04}*x", "to_model": f"m{n + 1:04}yx", "trigger": "always"}
        for n in range(1_000)
    ]
    budgets = [{"id": f"b{n}", "type": "customer", "limit": 1} for n in range(10_000)]
    read = read_document({"degradations": chain, "budgets": budgets})
    assert len(read.policy.budgets) == 10_000
    nasty = {"reason": "r", "model_pattern": "*a" * 500}
    policy = read_document({"blocks": [nasty]}).policy
    assert policy.standing(Request("x", "a" * 499), Attribution()).decision.action == "allow"


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["kill", "degrade", "throttle", "tag", "always", "budget_threshold", "gpt-*"])
)
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)


@given(st.data())
def test_any_damage_to_a_document_is_a_policy_or_a_clear_error(data: st.DataObject) -> None:
    """Nothing else ever comes out, whatever one field holds."""
    document = copy.deepcopy(DOCUMENT)
    inner: Any = document
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = data.draw(json_values)
    try:
        read = read_document(document)
    except ConfigurationError as error:
        said = str(error)
    else:
        said = "policy" if isinstance(read, PolicyDocument) else repr(read)
    assert said.startswith("policy")
