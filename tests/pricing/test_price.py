"""Rates and the one rule that turns a Usage into money."""

from decimal import Decimal
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from aden.core.request import Request
from aden.core.usage import COUNTS, TOTALS, Usage
from aden.pricing import Price, PriceBook, Rate, Tier
from aden.pricing.price import PER, Unit, nano_per
from aden.testing.bill import RATES, nano_usd

BOOK = PriceBook()
tokens = st.integers(0, 10_000_000)
BILLED = (*TOTALS, "web_searches", "file_searches")


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


def test_a_variant_that_is_free_has_a_price_of_zero() -> None:
    """The table has it without a rate, as it has those whose price it cannot express."""
    free = PriceBook().find("openrouter", "mistralai/mistral-nemo:free")
    assert free is not None
    assert (free.cost(Usage(1_000_000, 1_000_000)), free.source) == (0, "genai-prices")
    assert PriceBook().find("mistral", "mistral-ocr-2512") is None


def test_a_name_that_only_begins_like_a_known_one_is_unknown() -> None:
    """No prefix matching: gpt-4oxyz is not gpt-4o, a fine-tune without a rate is not its base."""
    for model in ("gpt-4oxyz", "gpt-4o-secret", "ft:gpt-4.1:acme", "ft:", "g", "", "gpt-4o" * 2000):
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


def test_cached_audio_is_taken_out_of_the_cached_and_of_the_audio_tokens() -> None:
    """As a realtime model reports them."""
    price = _price(input=10, cached=1, audio_input=40, cached_audio=3, image_input=7)
    usage = Usage(100, 0, 60, audio_input_tokens=70, cached_audio_tokens=50, image_input_tokens=5)
    assert price.cost(usage) == 50 * 3 + 10 * 1 + 20 * 40 + 5 * 7 + 15 * 10


def test_cache_writes_for_an_hour_have_their_own_rate() -> None:
    """A subset of the writes."""
    price = _price(input=10, cache_write=12, cache_write_1h=20)
    usage = Usage(100, 0, cache_write_tokens=60, cache_write_1h_tokens=40)
    assert price.cost(usage) == 40 * 10 + 20 * 12 + 40 * 20


def test_speech_characters_images_sessions_and_requests_are_priced_in_their_own_units() -> None:
    """Rates as providers print them, exact to the nano-dollar."""
    whisper = Price({"speech": Rate(nano_per(Decimal("0.006"), 60_000))})
    assert whisper.cost(Usage(audio_input_ms=60_000)) == 6_000_000
    assert whisper.cost(Usage(audio_output_ms=1)) == 100
    tts = Price({"characters": Rate(nano_per(Decimal("0.015"), 1000))})
    assert tts.cost(Usage(characters=1000)) == 15_000_000
    pictures = Price({"images": Rate(nano_per(Decimal("0.04"), 1))})
    assert pictures.cost(Usage(images=3)) == 120_000_000
    session = Price({"session": Rate(nano_per(Decimal("0.05"), 60_000))})
    assert session.cost(Usage(session_ms=90_000)) == 75_000_000
    by_request = Price({"requests": Rate(nano_per(Decimal("5"), 1000))})
    assert by_request.cost(Usage(10, 5)) == 5_000_000
    assert by_request.cost(Usage()) == 0


def test_searches_that_the_provider_makes_cost_what_they_do_beside_the_tokens() -> None:
    """By the search (https://developers.openai.com/api/docs/pricing, built-in tools)."""
    price = BOOK.find("openai", "gpt-4o")
    assert price is not None
    tokens = price.cost(Usage(1000, 100))
    assert price.cost(Usage(1000, 100, web_searches=2)) == tokens + 20_000_000
    assert price.cost(Usage(1000, 100, file_searches=2)) == tokens + 5_000_000
    unknown = BOOK.floor("openai")
    assert unknown.cost(Usage(0, 0, web_searches=1)) == 10_000_000


def test_a_search_of_a_model_without_a_rate_for_it_costs_what_its_provider_takes_at_most() -> None:
    """Missing is not free."""
    book, usage = PriceBook(), Usage(1000, 100, web_searches=2, file_searches=1)
    request = Request("openai", "gpt-4.1-nano")
    price = book.price(request, request.model, usage)
    assert price.source == "genai-prices"
    assert price.cost(usage) - price.cost(Usage(1000, 100)) == 2 * 10_000_000 + 2_500_000


def test_a_model_that_always_searches_costs_a_search_beside_its_tokens() -> None:
    """No chat completion tells of it."""
    for model, nano_usd_a_search in (
        ("gpt-4o-search-preview", 25_000_000),
        ("gpt-4o-mini-search-preview-2025-03-11", 25_000_000),
        ("gpt-5-search-api", 10_000_000),
    ):
        price = BOOK.find("openai", model)
        assert price is not None
        once, twice = price.cost(Usage(1000, 0)), price.cost(Usage(2000, 0))
        assert once - (twice - once) == nano_usd_a_search


def test_short_speech_is_billed_for_the_least_that_its_vendor_bills() -> None:
    """Groq counts ten seconds for a word, and none where nothing was said."""
    price = BOOK.find("groq", "whisper-large-v3")
    assert price is not None
    ten_seconds = price.cost(Usage(audio_input_ms=10_000))
    assert ten_seconds > 0
    assert price.cost(Usage(audio_input_ms=1)) == ten_seconds
    assert price.cost(Usage(audio_input_ms=11_000)) > ten_seconds
    assert price.cost(Usage(audio_input_ms=0)) == 0


def test_a_price_in_one_unit_is_no_price_for_what_is_known_in_another() -> None:
    """Zero would not be true; for a free model it is."""
    by_token = _price(input=10)
    assert not by_token.covers(Usage(audio_input_ms=1000))
    assert not by_token.covers(Usage(characters=100))
    assert not Price({"speech": Rate(1)}).covers(Usage(100, 10))
    assert by_token.covers(Usage(100, audio_input_ms=1000))
    assert by_token.covers(Usage(0, 0))
    assert Price().covers(Usage(characters=100))
    assert _price(input=0).covers(Usage(characters=100))
    assert not Price({"input": Rate(0, (Tier(1000, 1),))}).covers(Usage(characters=100))


def test_fractions_of_a_nano_dollar_are_rounded_up_once() -> None:
    """A thousand tokens at a tenth of a nano-dollar cost a hundred, three cost one."""
    price = Price({"input": Rate(PER // 10)})
    assert price.cost(Usage(1000)) == 100
    assert price.cost(Usage(3)) == 1


def test_above_a_tier_s_start_the_whole_call_costs_the_tier_s_rate() -> None:
    """As long-context models are priced."""
    price = Price({"input": Rate(PER, (Tier(200, 2 * PER),))})
    assert price.cost(Usage(200)) == 200
    assert price.cost(Usage(201)) == 402


@given(st.builds(Usage, **{name: st.none() | tokens for name in COUNTS}), st.data())
def test_no_usage_is_negative_or_dearer_than_its_dearest_rate(
    usage: Usage, data: st.DataObject
) -> None:
    """Also where a provider reports subsets larger than their totals."""
    units: tuple[Unit, ...] = get_args(Unit)
    rate = st.integers(0, 100)
    price = _price(**{unit: data.draw(rate) for unit in data.draw(st.sets(st.sampled_from(units)))})
    dearest = max((each.nano // PER for each in price.rates.values()), default=0)
    used = sum(getattr(usage, name) or 0 for name in BILLED)
    assert 0 <= price.cost(usage) <= (used + 1) * dearest


@given(st.builds(Usage, **{name: st.none() | tokens for name in COUNTS}))
def test_one_rate_for_all_units_counts_everything_once(usage: Usage) -> None:
    """However large the subsets: the sum is that of the totals."""
    units = ("input", "output", "speech", "session", *BILLED[BILLED.index("characters") :])
    flat = _price(**dict.fromkeys(units, 1))
    assert flat.cost(usage) == sum(getattr(usage, name) or 0 for name in BILLED)


def _price(**nano_per_token: int) -> Price:
    rates: dict[Unit, Rate] = {}
    for unit, rate in nano_per_token.items():
        rates[unit] = Rate(rate * PER)  # type: ignore[index]
    return Price(rates, "test")
