"""A policy within a session that has budgets of its own."""

from typing import Any

from aden import ANY, Budget, Degrade, attribution
from aden.budgets.budget import OwnBudget
from aden.budgets.policy import Policy, make_policy
from aden.core.attribution import Attribution, current_attribution
from aden.core.request import Request

ASKED = Request("openai", "gpt-4o")
WHO = Attribution(session_id="AJ_1", customer_id="acme")


def own(id: str = "session", **words: Any) -> OwnBudget:  # noqa: A002 - `Budget`'s own word
    """A budget of the session AJ_1."""
    words.setdefault("limit_usd", 1)
    return OwnBudget(Budget(id, **words), f"{id}|session=AJ_1", "session=AJ_1")


def keys(policy: Policy, request: Request = ASKED, who: Attribution = WHO) -> list[str]:
    """What a request counts against."""
    return [match.key for match in policy.matching(request, who)]


def test_its_own_budgets_hold_beside_those_of_the_policy() -> None:
    """The policy itself is as it was, and says so by its version."""
    policy = make_policy([Budget("all", 5), Budget("acme", 5, scope={"customer": "acme"})])
    inside = policy.within((own(),))
    assert keys(inside) == ["all", "acme", "session|session=AJ_1"]
    assert keys(policy) == ["all", "acme"]
    assert inside.version != policy.version
    assert policy.within((own(limit_usd=2),)).version != inside.version


def test_whatever_a_request_says_of_itself_it_counts() -> None:
    """Even one that is made on another session's account."""
    inside = make_policy([]).within((own(window="session"),))
    with attribution(session_id="another", user_id="ann"):
        assert keys(inside, who=current_attribution()) == ["session|session=AJ_1"]
    assert keys(inside, who=Attribution()) == ["session|session=AJ_1"]


def test_one_of_its_own_stands_in_the_place_of_the_policy_s() -> None:
    """The same id is the same budget, with another limit."""
    policy = make_policy([Budget("session", 5, window="session"), Budget("all", 5)])
    inside = policy.within((own(limit_usd=2),))
    limits = {match.key: match.budget.limit_usd for match in inside.matching(ASKED, WHO)}
    assert limits == {"all": 5, "session|session=AJ_1": 2}
    assert inside.budget("session") is inside.own[0].budget
    assert policy.budget("session") is policy.budgets[0]
    assert inside.budget("nobody's") is None
    assert keys(policy.within((own(mode="off"),))) == ["all"]


def test_a_scope_narrows_it() -> None:
    """`ANY` narrows nothing: whose it is, is settled."""
    inside = make_policy([]).within((own(scope={"model": "gpt-4o-*", "session": ANY}),))
    assert keys(inside) == []
    assert keys(inside, Request("openai", "gpt-4o-mini")) == ["session|session=AJ_1"]
    other = own(ladder=[Degrade(50, "claude-haiku-4-5", providers=("anthropic",))])
    (match,) = make_policy([]).within((other,)).matching(ASKED, WHO)
    assert match.ladder == ()


def test_one_that_only_observes_says_what_it_would_have_done() -> None:
    """Beside a policy that enforces all, and one that observes something already."""
    watching = (own(mode="observe"),)
    for policy in (
        make_policy([Budget("all", 5)]),
        make_policy([Budget("all", 5, mode="observe")]),
    ):
        would_be = policy.within(watching).would_be
        assert would_be is not None
        assert keys(would_be) == ["all", "session|session=AJ_1"]
        assert all(would_be.enforces(match.budget) for match in would_be.matching(ASKED, WHO))
        assert would_be.would_be is None
    assert make_policy([Budget("all", 5)]).within((own(),)).would_be is None
    assert make_policy([Budget("all", 5)], "off").within(watching).would_be is None
    speech = make_policy([]).within((own(),)).observed
    assert keys(speech) == ["session|session=AJ_1"]
    assert not speech.enforces(speech.own[0].budget)


def test_before_the_model_is_known_it_is_asked_for_unless_it_is_about_one() -> None:
    """Nor is the policy's asked in its place."""
    policy = make_policy([Budget("session", 5, window="session")])
    plain, about = own(), own(scope={"provider": "openai"})
    bounding = own(overrun="never")
    assert keys(policy.within((plain,)).of_any_model) == ["session|session=AJ_1"]
    for each in (about, bounding):
        assert keys(policy.within((each,)).of_any_model) == []
        assert keys(policy.within((each,))) == ["session|session=AJ_1"]
    assert policy.within((bounding,)).bounds
    assert not policy.within((plain,)).bounds
