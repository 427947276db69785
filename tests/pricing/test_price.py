"""Rates and the one rule that turns a Usage into money."""

from hypothesis import given
from hypothesis import strategies as st

from aden.core.usage import Usage
from aden.pricing import Price, PriceBook, Rate, Tier
from aden.pricing.price import Unit
from aden.testing.bill import RATES, nano_usd

BOOK = PriceBook()
tokens = st.integers(0, 10_000_000)


def test_the_price_table_agrees_with_the_local_provider_s_hand_written_constants() -> None:
    """Two tables from two hands; a difference is somebody's mistake."""
    for model in RATES:
        price = BOOK.find("openai", model)
        assert price is not None
        usage = Usage(2000, 300, 640)
        assert price.cost(usage) == nano_usd(model, 2000, 640, 300), model


def test_a_price_is_looked_up_once_and_remembered_even_when_there_is_none() -> None:
    """The second look-up is the same object."""
    book = PriceBook()
    assert book.find("openai", "gpt-4o") is book.find("openai", "gpt-4o")
    assert book.find("openai", "no-such-model") is None


def test_a_name_that_only_begins_like_a_known_one_is_unknown() -> None:
    """No prefix matching: gpt-4oxyz is not gpt-4o, a fine-tune is not its base."""
    for model in ("gpt-4oxyz", "gpt-4o-secret", "ft:gpt-4o:acme", "g", "", "gpt-4o" * 2000):
        assert BOOK.find("openai", model) is None


def test_subsets_are_counted_once() -> None:
    """Cached, reasoning and audio tokens are inside the totals."""
    price = _price(input=10, cached=1, output=100, reasoning=50, audio_input=40, audio_output=80)
    assert price.cost(Usage(100, 0, 60)) == (40 * 10 + 60 * 1)
    assert price.cost(Usage(0, 100, reasoning_tokens=70)) == 30 * 100 + 70 * 50
    assert price.cost(Usage(100, 100, audio_input_tokens=100, audio_output_tokens=100)) == (
        100 * 40 + 100 * 80
    )


def test_a_subset_without_a_rate_of_its_own_costs_what_its_total_costs() -> None:
    """Not zero."""
    price = _price(input=10, output=100)
    assert price.cost(Usage(100, 100, 60, reasoning_tokens=70)) == 100 * 10 + 100 * 100


def test_fractions_of_a_nano_dollar_are_rounded_up_once() -> None:
    """A thousand tokens at a tenth of a nano-dollar cost a hundred, three cost one."""
    price = Price({"input": Rate(100_000)})
    assert price.cost(Usage(1000)) == 100
    assert price.cost(Usage(3)) == 1


def test_above_a_tier_s_start_the_whole_call_costs_the_tier_s_rate() -> None:
    """As long-context models are priced."""
    price = Price({"input": Rate(1_000_000, (Tier(200, 2_000_000),))})
    assert price.cost(Usage(200)) == 200
    assert price.cost(Usage(201)) == 402


@given(tokens, tokens, tokens, tokens, tokens)
def test_no_usage_is_negative_or_dearer_than_its_dearest_rate(
    input_tokens: int, output_tokens: int, cached: int, reasoning: int, audio: int
) -> None:
    """Also where a provider reports subsets larger than their totals."""
    price = _price(input=10, cached=1, output=100, reasoning=50, audio_input=40)
    usage = Usage(
        input_tokens, output_tokens, cached, reasoning_tokens=reasoning, audio_input_tokens=audio
    )
    assert 0 <= price.cost(usage) <= input_tokens * 40 + output_tokens * 100


def _price(**nano_per_token: int) -> Price:
    rates: dict[Unit, Rate] = {}
    for unit, rate in nano_per_token.items():
        rates[unit] = Rate(rate * 1_000_000)  # type: ignore[index]
    return Price(rates, "test")
