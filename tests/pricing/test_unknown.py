"""A model without a price: what it counts at, and what is said about it."""

import tomllib

import pytest

from aden.core.request import Request
from aden.core.usage import Usage
from aden.pricing import PriceBook
from aden.pricing.rows import read_row
from aden.pricing.unknown import MAX_NAMED, snippet

USAGE = Usage(1000, 100)
LOCAL = Request("openai", "llama3", server_address="localhost", server_port=11434)


@pytest.fixture
def book() -> PriceBook:
    """One that has warned of nothing yet."""
    return PriceBook()


def test_an_unknown_model_counts_at_its_provider_s_dearest_rates(book: PriceBook) -> None:
    """o1-pro is the dearest of OpenAI; nothing of it is zero, whatever was counted."""
    floor = book.price(Request("openai", "gpt-9"), "gpt-9", USAGE)
    assert floor.source == "floor"
    assert floor.cost(USAGE) == 1000 * 150_000 + 100 * 600_000
    for usage in (
        Usage(audio_input_ms=1000),
        Usage(audio_output_ms=1000),
        Usage(session_ms=1000),
        Usage(characters=10),
        Usage(images=1),
    ):
        for provider in ("openai", "deepgram", "a provider that nobody knows"):
            assert book.floor(provider).cost(usage) > 0


def test_what_was_counted_in_another_unit_is_unknown_and_not_free(
    book: PriceBook, caplog: pytest.LogCaptureFixture
) -> None:
    """Characters of a chat model: a price of zero would be a lie."""
    usage = Usage(characters=1000)
    price = book.price(Request("openai", "gpt-4o"), "gpt-4o", usage)
    assert (price.source, price.cost(usage) > 0) == ("floor", True)
    (line,) = [each.getMessage() for each in caplog.records]
    assert (
        "the price of model 'gpt-4o' of openai is for cached, file_searches, input, output, "
        in line
    )


def test_a_plugin_that_names_no_model_is_not_told_to_mean_that_name(
    book: PriceBook, caplog: pytest.LogCaptureFixture
) -> None:
    """Some vendors have a row for it, which is no word to be typed."""
    book.price(Request("unknown", "unknown"), "unknown", USAGE)
    (line,) = [each.getMessage() for each in caplog.records]
    assert "did you mean" not in line


def test_a_model_is_named_once_with_a_table_that_prices_it(
    book: PriceBook, caplog: pytest.LogCaptureFixture
) -> None:
    """The table is ready to be copied, and counts what the model counts at already."""
    request = Request("openai", "gtp-4o", server_address="api.openai.com")
    for _ in range(3):
        book.price(request, "gtp-4o", USAGE)
    (line,) = [each.getMessage() for each in caplog.records]
    assert "no price is known for model 'gtp-4o' of openai" in line
    assert "; did you mean gpt-4o? Budgets count" in line
    assert "unknown_price" in line
    assert "ADEN_PRICES" in line
    (table,) = tomllib.loads(line[line.index("[[price]]") :])["price"]
    row = read_row(table, "copied")
    assert (row.provider, row.model) == ("openai", "gtp-4o")
    assert row.rates == {unit: book.floor("openai").rates[unit] for unit in ("input", "output")}


def test_a_model_on_a_machine_of_one_s_own_is_told_how_to_be_free(
    book: PriceBook, caplog: pytest.LogCaptureFixture
) -> None:
    """Ollama, vLLM: a host that no provider has."""
    book.price(LOCAL, "llama3", USAGE)
    (line,) = [each.getMessage() for each in caplog.records]
    assert "localhost:11434, which is no host of a provider that Aden knows" in line
    (table,) = tomllib.loads(line[line.index("[[price]]") :])["price"]
    assert table == {"host": "localhost:11434", "model": "llama3", "free": True}


@pytest.mark.parametrize(
    "host",
    ["api.cerebras.ai", "bedrock-runtime.us-east-1.amazonaws.com", "mine.openai.azure.us"],
)
def test_no_provider_s_host_is_taken_for_a_machine_of_one_s_own(
    host: str, book: PriceBook, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever names a call's provider by its host knows these, too."""
    book.price(Request("openai", "new", server_address=host), "new", USAGE)
    assert "free" not in caplog.text


def test_a_model_of_a_known_price_is_not_named(
    book: PriceBook, caplog: pytest.LogCaptureFixture
) -> None:
    """Also on a host that nobody knows: a proxy."""
    book.price(LOCAL, "gpt-4o", USAGE)
    assert not caplog.records


def test_names_from_outside_take_bounded_room(
    book: PriceBook, caplog: pytest.LogCaptureFixture
) -> None:
    """After a thousand models it says so, once, and names no more."""
    for number in range(MAX_NAMED + 50):
        book.price(LOCAL, f"m{number}", USAGE)
    book.price(LOCAL, "m" * 100_000, USAGE)
    lines = [each.getMessage() for each in caplog.records]
    assert len(lines) == MAX_NAMED + 1
    assert "more models without a price follow" in lines[-1]
    assert max(map(len, lines)) < 1000


@pytest.mark.parametrize("model", ['a"b', "a\nb\\c", "ü" * 300, "\x00\x7f", "\U0001f600"])
def test_the_table_is_toml_whatever_the_model_is_called(book: PriceBook, model: str) -> None:
    """Names come from outside."""
    (table,) = tomllib.loads(snippet(LOCAL, model, book.floor("openai")))["price"]
    assert table["model"] == model[:120]
