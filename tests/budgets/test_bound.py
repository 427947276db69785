"""``overrun="never"``: the bound is never below the cost, and the lengths that are tried."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden import Budget, Degrade
from aden.budgets.bound import AS_ASKED, Cut, bound, cuts
from aden.budgets.plan import Estimate, plan
from aden.budgets.policy import make_policy
from aden.core.attribution import NOBODY
from aden.core.limit import tokens
from aden.core.request import Request
from aden.core.usage import Usage
from aden.errors import ConfigurationError
from aden.pricing import Price, PriceBook, Rate, Tier

UNITS = (
    "input",
    "cached",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "cached_audio",
    "image_input",
    "output",
    "reasoning",
    "audio_output",
    "image_output",
    "requests",
)
COUNT = st.integers(0, 5_000)
RATE = st.builds(
    Rate,
    st.integers(0, 10**15),
    st.lists(st.builds(Tier, COUNT, st.integers(0, 10**15)), max_size=2).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.start))
    ),
)
PRICES = st.builds(
    lambda rates: Price(rates, "user"), st.dictionaries(st.sampled_from(UNITS), RATE, max_size=8)
)


def asking(**facts: Any) -> Request:
    """A request as an endpoint describes it that can be capped."""
    return Request("openai", "gpt-4o", **({"most_text_tokens": 1000, "takes_cap": True} | facts))


@given(
    price=PRICES,
    most_input=COUNT,
    cap=st.integers(1, 5_000),
    choices=st.integers(1, 4),
    speech=st.booleans(),
    data=st.data(),
)
def test_no_usage_within_the_caps_costs_more_than_the_bound(
    price: Price, most_input: int, cap: int, choices: int, speech: bool, data: st.DataObject
) -> None:
    """Whatever is cached, written, thought or spoken, and whatever step the input reaches."""
    request = asking(most_text_tokens=most_input, choices=choices, speech=speech)
    most = bound(request, "gpt-4o", price, Cut(cap))
    assert most is not None
    read = data.draw(st.integers(0, most_input))
    written = data.draw(st.integers(0, cap * choices))
    heard = data.draw(st.integers(0, read)) if speech else 0
    usage = Usage(
        read,
        written,
        cached_tokens=data.draw(st.integers(0, read)),
        cache_write_tokens=data.draw(st.integers(0, read)),
        cache_write_1h_tokens=data.draw(st.integers(0, read)),
        reasoning_tokens=data.draw(st.integers(0, written)),
        audio_input_tokens=heard,
        cached_audio_tokens=data.draw(st.integers(0, heard)),
        image_input_tokens=data.draw(st.integers(0, read)),
        audio_output_tokens=data.draw(st.integers(0, written)) if speech else 0,
        image_output_tokens=data.draw(st.integers(0, written)),
    )
    assert price.cost(usage) <= most.amounts.usd
    assert read + written <= most.amounts.of("tokens")


@pytest.mark.parametrize(
    ("facts", "lengths"),
    [
        ({"max_output_tokens": 500}, [None, 250, 125, 64]),
        ({"max_output_tokens": 64}, [None]),
        ({"max_output_tokens": 10}, [None]),
        ({}, [4096, 2048, 1024, 512, 256, 128, 64]),
        ({"hidden_output": True}, [16_384, 8192, 4096, 2048, 1024]),
        ({"takes_cap": False, "max_output_tokens": 500}, [None]),
        ({"takes_cap": False}, [None]),
    ],
)
def test_each_length_is_half_of_the_one_before(
    facts: dict[str, Any], lengths: list[int | None]
) -> None:
    """Down to what is of use; a request's own short cap is left alone."""
    assert [cut.cap for cut in cuts(asking(**facts))] == lengths


def test_a_stream_that_takes_no_cap_is_sliced() -> None:
    """Unless it thinks: of that nothing is seen that could be counted."""
    stream = {"takes_cap": False, "stream": True, "can_be_ended": True}
    assert cuts(asking(**stream)) == (Cut(256, sliced=True),)
    assert cuts(asking(**stream, hidden_output=True)) == (AS_ASKED,)


@pytest.mark.parametrize(
    ("facts", "input_tokens"),
    [
        ({}, 1000),
        ({"images": 2}, 1000 + 2 * 1536),
        ({"most_text_tokens": None}, 128_000),
        ({"most_text_tokens": 900_000}, 128_000),
    ],
)
def test_the_input_is_bounded_by_its_size_or_by_the_context_window(
    facts: dict[str, Any], input_tokens: int
) -> None:
    """A provider refuses what does not fit its model, and does not bill it."""
    most = bound(asking(**facts), "gpt-4o", PriceBook().price(asking(), "gpt-4o"), Cut(100))
    assert most is not None
    assert most.input_tokens == input_tokens


@pytest.mark.parametrize(
    "facts",
    [
        {"boundless": "web_search_options"},
        {"unlisted": True},
        {"most_text_tokens": None},
        {"max_output_tokens": None, "takes_cap": False},
    ],
)
def test_what_nothing_bounds_has_no_bound(facts: dict[str, Any]) -> None:
    """Without a context window to fall back on."""
    price = Price({"output": Rate(1)}, "user")
    request = asking(**facts)
    assert bound(request, "gpt-4o", price, cuts(request)[0]) is None


@pytest.mark.parametrize(
    ("known", "rates", "cost"),
    [
        (Usage(characters=7), {"characters": Rate(18_000_000)}, 7),
        (Usage(audio_input_ms=7, estimated=True), {"speech": Rate(18_000_000)}, None),
        (Usage(audio_input_ms=7), {"input": Rate(18_000_000)}, None),
    ],
)
def test_what_the_request_shows_of_its_usage_is_its_bound(
    known: Usage, rates: Any, cost: int | None
) -> None:
    """Unless that is guessed, or tokens are billed of which nobody knows how many."""
    most = bound(asking(carries=known), "tts-1", Price(rates, "user"), AS_ASKED)
    assert (most and most.amounts.usd) == cost


def planned(budget: Budget, request: Request) -> Any:
    """The plan for a request."""
    policy = make_policy([budget])
    estimate = Estimate(10, 20)
    return plan("op", request, NOBODY, policy, PriceBook(), lambda model: estimate)


def test_the_longest_answer_comes_first_and_then_the_asked_model() -> None:
    """A cheaper model's whole answer is of more use than half of the asked one's."""
    budget = Budget("b", "1", ladder=[Degrade(80, "gpt-4o-mini")], overrun="never")
    found = planned(budget, asking(max_output_tokens=200))
    ways = [(quote.model, quote.cut.cap) for quote in found.quotes]
    both = ("gpt-4o", "gpt-4o-mini")
    assert ways == [(model, cap) for cap in (None, 100, 64) for model in both]
    amounts = [option.lines[0].amount for option in found.ask.options]
    assert amounts[0] == 1000 * 2_500 + 200 * 10_000
    assert amounts[2] == 1000 * 2_500 + 100 * 10_000
    assert [option.lines[0].below for option in found.ask.options] == [8 * 10**8, None] * 3
    assert all(option.lines[0].at_risk == option.lines[0].amount for option in found.ask.options)


def test_a_budget_in_flight_holds_what_is_likely() -> None:
    """Beside one that is never exceeded, each has its own amount."""
    policy = make_policy([Budget("a", "1"), Budget("b", "1", overrun="never")])
    estimate = Estimate(10, 20)
    found = plan("op", asking(), NOBODY, policy, PriceBook(), lambda model: estimate)
    assert found.ask is not None
    likely, most = found.ask.options[0].lines
    assert likely.amount == 10 * 2_500 + 20 * 10_000
    assert most.amount == 1000 * 2_500 + 4096 * 10_000


@pytest.mark.parametrize(
    ("budget", "facts", "refused"),
    [
        ({}, {"boundless": "the tool web_search"}, True),
        ({"mode": "observe"}, {"boundless": "the tool web_search"}, False),
        ({"limit_usd": None, "limit": tokens(10)}, {"boundless": "the tool web_search"}, True),
        ({"unknown_price": "allow"}, {"model": "nobody-knows-it"}, True),
        ({"unknown_price": "floor"}, {"model": "nobody-knows-it"}, False),
        ({"overrun": "in_flight"}, {"boundless": "the tool web_search"}, False),
    ],
)
def test_what_has_no_bound_is_refused(
    budget: dict[str, Any], facts: dict[str, Any], refused: bool
) -> None:
    """It names what is not bounded, and the budget that has to know."""
    known = {"id": "b", "limit_usd": "1", "overrun": "never"} | budget
    model = facts.pop("model", "gpt-4o")
    request = Request("openai", model, most_text_tokens=10, takes_cap=True, **facts)
    block = planned(Budget(**known), request).block
    assert (block is not None) is refused
    if block is not None:
        assert (block.reason, block.budget_id) == ("unbounded", "b")
        assert (facts.get("boundless") or model) in block.message


def test_a_budget_that_goes_on_beyond_its_limit_cannot_be_one_that_never_does() -> None:
    """The two contradict each other."""
    with pytest.raises(ConfigurationError, match="beyond"):
        Budget("b", "1", overrun="never", beyond="throttle")
