"""Budgets and the one rule by which requests match them."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden import ANY, Alert, Budget, ConfigurationError, Degrade, Throttle
from aden.budgets.budget import matches
from aden.budgets.policy import make_policy
from aden.core.attribution import Attribution, from_metadata
from aden.core.limit import Limit, requests, tokens
from aden.core.request import Request

REQUEST = Request("openai", "gpt-4o")


def test_a_decimal_string_is_exact_and_a_float_is_read_as_it_is_printed() -> None:
    """0.1 is one tenth of a dollar, however it is typed."""
    assert Budget("b", "0.1").limit == Budget("b", 0.1).limit == Limit(100_000_000)
    assert Budget("b", "0.000000001").limit == Limit(1)


@pytest.mark.parametrize(
    "limit", [float("nan"), float("inf"), 1e300, -1, "-0.01", "ten", "", None, True, "NaN", [1]]
)
def test_an_impossible_limit_names_itself_and_what_is_allowed(limit: object) -> None:
    """The message tells which budget, which value, what would be accepted."""
    with pytest.raises(ConfigurationError) as caught:
        Budget("b", limit)  # type: ignore[arg-type]
    assert "budget b: limit_usd" in str(caught.value)
    assert repr(limit) in str(caught.value)
    assert "9000000" in str(caught.value)


@pytest.mark.parametrize(
    ("keywords", "setting"),
    [
        ({"window": "fortnight"}, "budget b: window"),
        ({"scope": "x"}, "budget b: scope"),
        ({"ladder": Degrade(80, "m")}, "budget b: ladder"),
        ({"timezone": 5}, "budget b: timezone"),
        ({"timezone": "Mars/Olympus"}, "budget b: timezone"),
        ({"timezone": "../etc/passwd"}, "budget b: timezone"),
        ({"mode": "maybe"}, "budget b: mode"),
        ({"unknown_price": "guess"}, "budget b: unknown_price"),
        ({"scope": {"planet": "earth"}}, "budget b: scope"),
        ({"scope": {"customer": 7}}, "budget b: scope.customer"),
        ({"ladder": ["cancel"]}, "budget b: ladder"),
    ],
)
def test_a_wrong_field_names_itself(keywords: dict[str, object], setting: str) -> None:
    """Each field is checked when the budget is made, not at the first call."""
    with pytest.raises(ConfigurationError) as caught:
        Budget("b", 1, **keywords)  # type: ignore[arg-type]
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    "make",
    [
        lambda: Alert(101),
        lambda: Alert(50, level="loud"),  # type: ignore[arg-type]
        lambda: Degrade(-1, "m"),
        lambda: Degrade(50, ""),
        lambda: Throttle(50, -1),
        lambda: Throttle(50, 60_001),
        lambda: Throttle(50, 1.5),  # type: ignore[arg-type]
        lambda: Budget("", 1),
        lambda: Budget("two\nlines", 1),
        lambda: Budget("x" * 10_000, 1),
        lambda: Budget("a|customer=acme", 1),  # would share a template's key
        lambda: Budget("b", 1, ladder=[Degrade(80, "m"), Degrade(90, "n"), Degrade(95, "m")]),
        lambda: Budget("b"),
        lambda: Budget("b", 1, limit=tokens(5)),
        lambda: Budget("b", limit=5),  # type: ignore[arg-type]
        lambda: tokens(-1),
        lambda: requests(True),
        lambda: requests(2**60),
        lambda: make_policy([Budget("b", 1), Budget("b", 2)]),
        lambda: make_policy(["b"]),  # type: ignore[list-item]
    ],
)
def test_a_wrong_step_or_id_is_refused(make: object) -> None:
    """Percentages, delays, models and ids have their ranges."""
    with pytest.raises(ConfigurationError):
        make()  # type: ignore[operator]


def test_a_ladder_is_climbed_in_order_of_its_percentages() -> None:
    """The order in which steps are written does not matter."""
    budget = Budget("b", 1, ladder=[Throttle(95, 10), Alert(50), Degrade(80, "m")])
    assert [step.at for step in budget.ladder] == [50, 80, 95]


def test_a_system_without_time_zones_has_those_of_a_package() -> None:
    """As a minimal container or Windows, where not even UTC is known; each budget has one."""
    program = """
from aden import Budget
print(Budget("b", 1).span.at(0.0).id, Budget("b", 1, "day", "Europe/Berlin").span.at(82_800.0).id)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONTZPATH": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("total day:1970-01-02\n", "")


def test_every_label_of_a_scope_has_to_agree() -> None:
    """A budget without a scope takes everything; with one, exactly what it names."""
    acme = Attribution(customer_id="acme", tags=("trial",))
    assert matches(Budget("b", 1), REQUEST, Attribution())
    assert matches(Budget("b", 1, scope={"customer": "acme", "tag": "trial"}), REQUEST, acme)
    assert matches(Budget("b", 1, scope={"model": "gpt-4o"}), REQUEST, acme)
    assert not matches(Budget("b", 1, scope={"customer": "acme", "model": "o1"}), REQUEST, acme)
    assert not matches(Budget("b", 1, scope={"tag": "paid"}), REQUEST, acme)
    assert not matches(Budget("b", 1, scope={"customer": "acme"}), REQUEST, Attribution())


def test_a_template_makes_a_budget_for_each_value() -> None:
    """ANY matches whatever label is there, each under its own ledger key."""
    budget = Budget("per-customer", 1, scope={"customer": ANY})
    (match,) = matches(budget, REQUEST, Attribution(customer_id="acme"))
    assert match.key == "per-customer|customer=acme"
    assert matches(budget, REQUEST, Attribution()) == ()


def test_a_template_of_tags_makes_a_budget_for_each_tag_of_a_request() -> None:
    """None of them can be hidden behind another; the same tag twice is one."""
    budget = Budget("b", 1, scope={"tag": ANY, "customer": ANY})
    tagged = Attribution(customer_id="acme", tags=("trial", "", "eu", "trial"))
    keys = [match.key for match in matches(budget, REQUEST, tagged)]
    assert keys == ["b|tag=trial,customer=acme", "b|tag=eu,customer=acme"]
    assert matches(budget, REQUEST, Attribution(customer_id="acme")) == ()


def test_a_list_in_a_template_does_not_split_it() -> None:
    """A customer has one budget for trial and paid requests together, as the scope says."""
    budget = Budget("b", 1, scope={"customer": ANY, "tag": ["trial", "paid"]})
    keys = {
        match.key
        for tags in (("paid",), ("trial",), ("eu", "paid", "trial"))
        for match in matches(budget, REQUEST, Attribution(customer_id="acme", tags=tags))
    }
    assert keys == {"b|customer=acme,tag=trial or paid"}


def test_a_session_window_is_a_budget_for_each_session() -> None:
    """It lives as long as the session does."""
    budget = Budget("call", "0.50", window="session")
    (match,) = matches(budget, REQUEST, Attribution(session_id="job-1"))
    assert match.key == "call|session=job-1"
    assert budget.span.at(0.0).ends_at is None


def test_a_limit_of_zero_is_used_up_from_the_start() -> None:
    """Nobody divides by it."""
    assert Budget("b", 0).percent_used(0) == 100.0


def test_thresholds_are_rounded_up_to_whole_nano_dollars() -> None:
    """A step is never reached a nano-dollar early."""
    assert Budget("b", "0.000000003").threshold(50) == 2


@pytest.mark.parametrize("make", [Alert, lambda at: Degrade(at, "m"), lambda at: Throttle(at, 5)])
def test_a_fraction_where_per_cent_are_meant_is_refused(make: Callable[[float], object]) -> None:
    """Nobody wants to be alerted at 0.8 per cent; the message says what was probably meant."""
    with pytest.raises(ConfigurationError, match=r"per cent.*did you mean 80\?"):
        make(0.8)


LABELS = st.text(min_size=1, max_size=250) | st.text("|=,%#a\n", min_size=1, max_size=6)
SCOPE = st.dictionaries(st.sampled_from(["customer_id", "user_id", "feature"]), LABELS, min_size=1)
TEMPLATES = st.lists(st.sampled_from(["customer", "user", "feature"]), min_size=1, unique=True)


@given(SCOPE, SCOPE, TEMPLATES)
def test_no_two_scopes_share_a_ledger_key(
    one: dict[str, str], other: dict[str, str], template: list[str]
) -> None:
    """Whatever a label holds, it cannot spend another label's budget, or break a line of a log."""
    budget = Budget("b", 1, scope=dict.fromkeys(template, ANY))
    names = {"customer": "customer_id", "user": "user_id", "feature": "feature"}
    lefts = matches(budget, REQUEST, from_metadata(one))
    rights = matches(budget, REQUEST, from_metadata(other))
    for left, right in zip(lefts, rights, strict=False):
        same = all(one[names[label]] == other[names[label]] for label in template)
        assert (left.key == right.key) is same
        assert left.key.isprintable()
        assert len(left.key) < 3 * 3 * 250


def test_labels_that_no_encoding_knows_have_budgets_of_their_own() -> None:
    """Half a character is a label like any other, and so is the mark that stands in for one."""
    each = Budget("b", "1", scope={"customer": ANY})
    labels = ("\ud800", "\ud801", "%3F", "?")
    keys = {matches(each, REQUEST, Attribution(customer_id=label))[0].key for label in labels}
    assert len(keys) == len(labels)
    assert all(key.isascii() for key in keys)


def test_a_key_can_be_read_and_taken_apart() -> None:
    """What keys are put together with is escaped, and a long label is a digest."""
    budget = Budget("b", 1, scope={"customer": ANY})
    (match,) = matches(budget, REQUEST, Attribution(customer_id="a|b=c,d%e#f\nmünchen 1"))
    assert match.key == "b|customer=a%7Cb%3Dc%2Cd%25e%23f%0Amünchen 1"
    (match,) = matches(budget, REQUEST, Attribution(customer_id="x" * 10_000))
    assert match.key.startswith("b|customer=#")
    assert len(match.key) == len("b|customer=#") + 64


def test_a_model_in_a_scope_may_be_a_pattern() -> None:
    """All the models that fit it share one budget; brackets are no pattern."""
    budget = Budget("b", 1, scope={"customer": ANY, "model": "gpt-4*"})
    acme = Attribution(customer_id="acme")
    keys = {
        found.key
        for model in ("gpt-4o", "gpt-4.1-mini", "o3")
        for found in matches(budget, Request("openai", model), acme)
    }
    assert keys == {"b|customer=acme,model=gpt-4*"}
    assert not matches(Budget("b", 1, scope={"model": "[o]3"}), Request("openai", "o3"), acme)


@pytest.mark.parametrize(
    ("keywords", "meant"),
    [
        ({"window": "mnth"}, "did you mean month?"),
        ({"timezone": "Europe/Belrin"}, "did you mean Europe/Berlin?"),
        ({"scope": {"custmer": "acme"}}, "did you mean customer?"),
        ({"mode": "enforced"}, "did you mean enforce?"),
    ],
)
def test_a_word_that_is_nearly_right_is_corrected(keywords: dict[str, Any], meant: str) -> None:
    """The message names what was probably meant."""
    with pytest.raises(ConfigurationError) as caught:
        Budget("b", 1, **keywords)
    assert meant in str(caught.value)
