"""A budget for each tag: a request with several is checked against all, and taken from all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ledger_kit import Store, balance, charged

from aden.budgets import gate
from aden.budgets.budget import Budget
from aden.budgets.plan import Estimate, Plan, plan
from aden.budgets.policy import Policy, make_policy
from aden.budgets.scope import ANY
from aden.core.attribution import Attribution
from aden.core.decision import ALLOW
from aden.core.limit import requests
from aden.core.request import Request
from aden.ledger import Grant, Refusal
from aden.pricing import PriceBook

if TYPE_CHECKING:
    from aden.ledger.protocol import Ledger

POLICY = make_policy([Budget("b", limit=requests(2), scope={"tag": ANY})])
PRICES = PriceBook()


def planned(operation: str, policy: Policy, tags: tuple[str, ...]) -> Plan:
    """A request with these tags."""
    asked = Request("openai", "gpt-4o", input_chars=40)
    estimate = Estimate(10, 10)
    return plan(operation, asked, Attribution(tags=tags), policy, PRICES, lambda model: estimate)


def asked(ledger: Ledger, operation: str, *tags: str) -> tuple[Plan, Grant | Refusal]:
    """What the ledger answers."""
    made = planned(operation, POLICY, tags)
    assert made.ask is not None
    return made, ledger.reserve(made.ask)


def test_each_tag_is_held_and_the_fullest_refuses(ledger: Store) -> None:
    """Wherever in the list it stands; the refusal names it."""
    for operation, tags in (("one", ("eu", "trial")), ("two", ("trial", "us"))):
        _, granted = asked(ledger, operation, *tags)
        assert isinstance(granted, Grant)
        assert [hold.budget for hold in granted.holds] == [f"b|tag={tag}" for tag in tags]
    assert [balance(ledger, f"b|tag={tag}").held for tag in ("eu", "trial", "us")] == [1, 2, 1]

    made, refusal = asked(ledger, "three", "eu", "us", "trial")
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.budget) == ("busy", "b|tag=trial")
    details = gate.details(gate.decide(made, POLICY, refusal, ALLOW), made, refusal)
    assert (details.budget_id, details.scope) == ("b", "tag=trial")
    assert balance(ledger, "b|tag=eu").held == 1, "all or nothing"
    _, fits = asked(ledger, "three", "eu", "us")
    assert isinstance(fits, Grant)


def test_an_exhausted_tag_is_the_one_that_is_told(ledger: Store) -> None:
    """A hook finds it first, with its own figures."""
    ledger.settle(charged("past", 2, "b|tag=trial"))
    made, refusal = asked(ledger, "one", "eu", "trial")
    views = gate.budget_views(made, refusal, "process")
    assert [(view["spent"], view["exhausted"]) for view in views] == [(2, True), (0, False)]
    assert gate.details(gate.decide(made, POLICY, refusal, ALLOW), made, refusal).spent == 2


@pytest.mark.parametrize("count", [600])
def test_a_request_may_have_hundreds_of_tags(ledger: Store, count: int) -> None:
    """No store has a smaller bound."""
    tags = [f"tag-{number}" for number in range(count)]
    _, granted = asked(ledger, "many", *tags)
    assert isinstance(granted, Grant)
    assert len(granted.holds) == count
    assert balance(ledger, "b|tag=tag-599").held == 1
