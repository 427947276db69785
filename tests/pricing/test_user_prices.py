"""A user's own prices: above every table, refused where they are malformed."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden import ConfigurationError, priced
from aden.core.request import Request
from aden.core.usage import Usage
from aden.pricing import Price, PriceBook
from aden.pricing.override import price_in_force
from aden.pricing.price import Rate, nano_per
from aden.pricing.user_prices import load_prices

GOOD = """
multiplier = "0.9"

[[provider]]
name = "openai"
multiplier = "0.85"

[[price]]
provider = "openai"
model = "gpt-4.1"
input_per_1m = "1.50"
output_per_1m = 6
source = "our contract"
as_of = 2026-11-01

[[price.above]]
input_tokens = 200000
input_per_1m = "3"

[[price]]
provider = "openai"
model = "gpt-4.1"
tier = "flex"
input_per_1m = "0.75"
output_per_1m = "3"

[[price]]
provider = "openai"
model = "gpt-4o-mini"
multiplier = "0.5"

[[price]]
provider = "azure.ai.openai"
model = "our-deployment"
same_as = "gpt-4o"

[[price]]
provider = "azure.ai.openai"
model = "gpt-4o-mini"
input_per_1m = "0.10"
output_per_1m = "0.40"

[[price]]
provider = "azure.ai.openai"
model = "our-small-deployment"
same_as = "gpt-4o-mini"

[[price]]
provider = "deepgram"
model = "nova-3"
speech_per_hour = "0.20"
least_seconds = 15

[[price]]
host = "localhost:11434"
model = "*"
free = true

[[price]]
host = "[::1]:8080"
model = "*"
free = true

[[price]]
host = "fe80::a"
model = "*"
free = true

[[price]]
host = "localhost:11434"
model = "dear"
per_request = "0.01"

[[price]]
provider = "groq"
model = "*"
multiplier = "0.5"

[[price]]
provider = "openai"
model = "gpt-4o"
multiplier = "0.5"

[[price]]
provider = "our-vllm"
model = "*"
input_per_1m = "0.01"

[[price]]
host = "gpu.internal"
model = "*"
input_per_1m = "0.01"
output_per_1m = "0.02"
"""
MILLION = Usage(1_000_000, 0)


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    """What the good file says."""
    path = tmp_path / "prices.toml"
    path.write_text(GOOD)
    return PriceBook(load_prices(path))


def _find(book: PriceBook, provider: str, model: str, **where: str) -> Price:
    price = book.find(provider, model, **where)
    assert price is not None
    return price


@pytest.mark.parametrize(
    ("provider", "model", "usd_a_million", "source"),
    [
        ("openai", "gpt-4.1", "1.50", "user"),
        ("openai", "gpt-4.1-2025-04-14", "1.50", "user"),  # a row holds for its snapshots
        ("openai", "openai/gpt-4.1", "1.50", "user"),
        ("openai", "gpt-4.1-mini", "0.34", "genai-prices"),  # 0.40 × 0.85, the provider's factor
        ("openai", "gpt-4o-mini", "0.075", "genai-prices"),  # × 0.5, the model's
        ("anthropic", "claude-opus-4-1", "13.50", "genai-prices"),  # × 0.9, the file's
        ("openai", "gpt-4o-2024-05-13", "2.50", "genai-prices"),  # of its own price, 5.00
        ("groq", "llama-3.3-70b-versatile", "0.295", "genai-prices"),  # 0.59 × 0.5
        ("our-vllm", "anything", "0.01", "user"),
        ("azure.ai.openai", "our-deployment", "2.25", "genai-prices"),
        ("azure.ai.openai", "our-small-deployment", "0.10", "user"),  # as the row of that model
    ],
)
def test_the_closest_word_holds(
    book: PriceBook, provider: str, model: str, usd_a_million: str, source: str
) -> None:
    """A price of one's own as it stands; else a listed one times the closest factor."""
    price = _find(book, provider, model)
    assert price.cost(Usage(100_000, 0)) == Decimal(usd_a_million) * 10**8
    assert price.source == source


@pytest.mark.parametrize("text", ["", '[[provider]]\nname = "openai"\n'])
def test_a_factor_is_on_the_dearest_rates_too(text: str, tmp_path: Path) -> None:
    """Who pays more than the list says pays it for a model without a price and for searches."""
    path = tmp_path / "prices.toml"
    path.write_text(text + 'multiplier = "1.5"')
    plain, dearer = PriceBook(), PriceBook(load_prices(path))
    for model, preview in (("gpt-9", False), ("gpt-5.3-codex", False), ("gpt-4o", True)):
        request = Request("openai", model, preview_search=preview)
        for usage in (Usage(1000, 1000), Usage(1000, 1000, web_searches=10)):
            listed = plain.price(request, model, usage).cost(usage)
            assert dearer.price(request, model, usage).cost(usage) == Decimal("1.5") * listed
    images = Usage(images=4)
    unknown = plain.floor("openai").cost(images)
    assert dearer.floor("openai").cost(images) == Decimal("1.5") * unknown > 0


def test_a_tier_s_own_row_holds_for_it_and_the_other_for_the_rest(book: PriceBook) -> None:
    """What is said of no tier holds for all without a row."""
    few = Usage(1000, 0)
    assert _find(book, "openai", "gpt-4.1", tier="flex").cost(few) == 750_000
    priority = _find(book, "openai", "gpt-4.1", tier="priority")
    assert priority.cost(few) == 1_500_000
    assert priority.origin.note == "no priority rate is known: the standard one"


def test_speech_of_one_s_own_stands_above_the_speech_table(book: PriceBook) -> None:
    """20 cents an hour, for fifteen seconds at least."""
    short = _find(book, "deepgram", "nova-3").cost(Usage(audio_input_ms=100))
    assert short == _find(book, "deepgram", "nova-3").cost(Usage(audio_input_ms=15_000)) > 0
    assert _find(book, "deepgram", "nova-3").cost(Usage(audio_input_ms=3_600_000)) == 200_000_000


@pytest.mark.parametrize(
    ("host", "port", "model", "nano"),
    [
        ("localhost", 11434, "llama3", 0),
        ("localhost", 11434, "gpt-4o", 0),  # a known name on one's own machine is one's own
        ("localhost", 11434, "dear", 10_000_000),
        ("GPU.internal", 8000, "llama3", 10_000_000),  # a host without a port: every port
        ("localhost", 8000, "gpt-4o", 1_250_000_000),
        ("::1", 8080, "llama3", 0),  # as it stands in a base URL
        ("fe80::A", 9, "llama3", 0),
    ],
)
def test_a_host_is_priced_before_a_provider(
    book: PriceBook, host: str, port: int, model: str, nano: int
) -> None:
    """Also where the client speaks OpenAI's API, so that it counts as openai."""
    request = Request("openai", model, server_address=host, server_port=port)
    assert book.price(request, model, MILLION).cost(MILLION) == nano


def test_above_a_step_the_whole_call_costs_more(book: PriceBook) -> None:
    """A user's long contexts are priced as the listed ones are."""
    price = _find(book, "openai", "gpt-4.1")
    assert price.cost(Usage(200_000, 0)) == 300_000_000
    assert price.cost(Usage(200_001, 0)) == 600_003_000


def test_a_price_of_zero_is_a_price(book: PriceBook) -> None:
    """It is neither unknown nor a floor."""
    request = Request("openai", "llama3", server_address="localhost", server_port=11434)
    for usage in (Usage(1000, 1000), Usage(audio_input_ms=1000), Usage(images=1)):
        price = book.price(request, "llama3", usage)
        assert (price.source, price.cost(usage)) == ("user", 0)


def test_a_price_for_a_block_stands_above_everything(book: PriceBook) -> None:
    """And ends with it."""
    assert price_in_force() is None
    with priced(input_per_1m="0.10", output_per_1m="0.40"):
        fixed = price_in_force()
        assert fixed is not None
        price = fixed.price(Request("openai", "gpt-4o"), "gpt-4o")
        assert (price.source, price.cost(Usage(1000, 1000))) == ("override", 500_000)
        with priced():
            free = price_in_force()
            assert free is not None
            assert free.price(Request("openai", "x"), "x").cost(Usage(1000, 1000)) == 0
        assert price_in_force() is fixed
    assert price_in_force() is None
    with pytest.raises(ConfigurationError, match="input_per_1m"), priced(input_per_1k="1"):
        pass
    with pytest.raises(ConfigurationError, match="'0' where output is free"):
        priced(input_per_1m="1")
    with priced(input_per_1m="1", output_per_1m="0"):
        assert price_in_force() is not None


PRICE = '[[price]]\nprovider = "openai"\nmodel = "m"\n'


@pytest.mark.parametrize(
    ("text", "named", "allowed"),
    [
        ("[[price]\n", "ADEN_PRICES", "TOML"),
        ("multiplier = " + "1" * 5000, "ADEN_PRICES", "TOML"),
        ("price = " + "[" * 5000, "ADEN_PRICES", "TOML"),
        ("prices = []", "key='prices'", "price"),
        ("price = 3", "price=3", "[[price]] tables"),
        ("price = [3]", "price 1", "[[price]] table"),
        ('multiplier = "x"', "multiplier='x'", "factor from 0 to 100"),
        ("multiplier = -1", "multiplier=-1", "factor"),
        ("multiplier = 101", "multiplier=101", "factor"),
        ("multiplier = nan", "multiplier=nan", "factor"),
        ("multiplier = true", "multiplier=True", "factor"),
        ("[[provider]]\nmultiplier = 1", "provider 1: name=None", "once"),
        ('[[provider]]\nname = "openai"', "provider 1: multiplier=None", "factor"),
        ('[[provider]]\nname = "a"\nmultiplier = 1\nmodel = "m"', "key='model'", "multiplier"),
        (
            '[[provider]]\nname = "OpenAI"\nmultiplier = 1\n'
            '[[provider]]\nname = "openai"\nmultiplier = 1',
            "name='openai'",
            "once",
        ),
        ('[[price]]\nmodel = "m"\nfree = true', "price 1 (m)", "one of provider"),
        ('[[price]]\nprovider = "a"\nhost = "b"\nmodel = "m"\nfree = true', "price 1", "host"),
        ('[[price]]\nhost = "http://b/v1"\nmodel = "m"\nfree = true', "host='http://b/v1'", "path"),
        ('[[price]]\nprovider = "a"\nfree = true', "model=None", "a model's name"),
        ('[[price]]\nprovider = ""\nmodel = "m"', "provider=''", "non-empty"),
        ('[[price]]\nprovider = 7\nmodel = "m"', "provider=7", "non-empty"),
        (PRICE, "price 1 (m)", "rates such as"),
        (PRICE + 'free = true\ninput_per_1m = "1"', "price 1 (m)", "or free = true"),
        (PRICE + 'same_as = "gpt-4o"\ninput_per_1m = "1"', "price 1 (m)", "same_as"),
        (PRICE + 'free = "yes"', "free='yes'", "true | false"),
        (PRICE + 'input_per_1m = "a lot"', "input_per_1m='a lot'", "US dollars"),
        (PRICE + "input_per_1m = -1", "input_per_1m=-1", "US dollars"),
        (PRICE + "input_per_1m = inf", "input_per_1m=inf", "US dollars"),
        (PRICE + "input_per_1m = 1e300", "input_per_1m=1e+300", "US dollars"),
        (PRICE + "input_per_1m = true", "input_per_1m=True", "US dollars"),
        (PRICE + "output_per_1m = 1", "price 1 (m): input_per_1m=None", "'0' where input is free"),
        (PRICE + "input_per_1M = 1", "key='input_per_1M'", "did you mean input_per_1m?"),
        (PRICE + "speech_per_minute = 1\nspeech_per_hour = 60", "speech_per_hour", "one rate"),
        (PRICE + 'free = true\ntier = "cheap"', "tier='cheap'", "batch | fast | flex"),
        (PRICE + "speech_per_minute = 1\nleast_seconds = -1", "least_seconds=-1", "3600"),
        (PRICE + 'free = true\nas_of = "today"', "as_of='today'", "a date"),
        (PRICE + "input_per_1m = 1\nabove = 3", "above=3", "[[price.above]]"),
        (PRICE + "input_per_1m = 1\nabove = [{input_per_1m = 2}]", "input_tokens=None", "whole"),
        (
            PRICE + "input_per_1m = 1\nabove = [{input_tokens = 5, output_per_1m = 2}]",
            "above='output'",
            "below",
        ),
        (
            PRICE + "input_per_1m = 1\nabove = [{input_tokens = 5, input_per_1m = 2}, "
            "{input_tokens = 5, input_per_1m = 3}]",
            "above: input_tokens=5",
            "one rate for input",
        ),
        (PRICE + "free = true\n" + PRICE + "free = true", "price='openai m'", "one row"),
        (
            PRICE + 'same_as = "no-such-model"',
            "='no-such-model'",
            "known",
        ),
        (
            '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\ninput_per_1m = 1',
            "output_per_1m of gpt-4o=None",
            "'0' where output is free",
        ),
        (
            '[[provider]]\nname = "opnai"\nmultiplier = 1',
            "provider='opnai'",
            "did you mean openai?",
        ),
    ],
)
def test_what_is_malformed_is_refused_by_name(
    text: str, named: str, allowed: str, tmp_path: Path
) -> None:
    """File, entry and value stand in the message, and what may stand there."""
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        PriceBook(load_prices(path))
    assert named.partition("=")[2] in str(caught.value)
    assert named.partition("=")[0] in str(caught.value)
    assert allowed in str(caught.value)


def test_a_model_without_output_needs_no_rate_for_it(tmp_path: Path) -> None:
    """Only of a model that is known to write, the rate of its output must have been forgotten."""
    path = tmp_path / "prices.toml"
    models = ("text-embedding-3-small", "of-ours")
    row = '[[price]]\nprovider = "openai"\nmodel = "{}"\ninput_per_1m = 1\n'
    text = "".join(row.format(model) for model in models)
    path.write_text(text, encoding="utf-8-sig")  # as Windows' own editor writes it
    book = PriceBook(load_prices(path))
    for model in models:
        assert _find(book, "openai", model).cost(Usage(1_000_000)) == 1_000_000_000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """It was asked for."""
    with pytest.raises(ConfigurationError, match=r"ADEN_PRICES=.*nothing\.toml"):
        load_prices(tmp_path / "nothing.toml")


rates = st.decimals("0", "1000", places=6)
factors = st.decimals("0", "100", places=4)


@given(rates, factors, st.integers(0, 10**9))
def test_a_discount_is_exact_to_the_nano_dollar(rate: Decimal, factor: Decimal, count: int) -> None:
    """Rounded up once for a rate and once for a call, and never by more."""
    price = Price({"input": Rate(nano_per(rate, 1_000_000))}).times(factor)
    exact = rate * factor * count * 1000
    assert exact <= price.cost(Usage(count)) < exact + 2 + Decimal(count) / 18_000_000
