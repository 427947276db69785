"""Under which names a price is found: exact, dated, with its provider; never by a part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aden.pricing import PriceBook, genai
from aden.pricing.names import spellings

BOOK = PriceBook()


@pytest.mark.parametrize(
    ("provider", "model", "found", "matched"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o", "exact"),
        ("openai", "GPT-4o", "openai/gpt-4o", "exact"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13", "exact"),
        ("openai", "gpt-4o-2031-05-13", "openai/gpt-4o", "dated snapshot"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o", "provider prefix"),
        ("openai", "anthropic/claude-opus-4-1", "anthropic/claude-opus-4-1", "provider prefix"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:o:n:i", "openai/ft:gpt-4o-mini", "fine-tune"),
        ("openai", "ft:gpt-4o-mini:org::id", "openai/ft:gpt-4o-mini", "fine-tune"),
        ("openai", "omni-moderation-latest", "openai/omni-moderation", "dated snapshot"),
        ("azure.ai.openai", "gpt-4o", "azure/gpt-4o", "exact"),
        ("anthropic", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5", "dated snapshot"),
        ("gcp.gemini", "models/gemini-2.5-flash", "google/gemini-2.5-flash", "provider prefix"),
        (
            "gcp.vertex_ai",
            "claude-sonnet-4-5@20250929",
            "google/claude-sonnet-4-5",
            "dated snapshot",
        ),
        ("aws.bedrock", "us.amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0", "region prefix"),
        (
            "aws.bedrock",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "aws/regional.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "region prefix",
        ),
        ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o", "exact"),
        ("livekit", "openai/o3", "openai/o3", "provider prefix"),
        ("livekit", "deepgram/aura-2-thalia-en", "deepgram/aura-2", "provider prefix"),
        ("livekit", "deepgram/nova-3", "livekit/deepgram/nova-3", "exact"),
        ("Deepgram", "aura-2-thalia-en", "deepgram/aura-2", "exact"),
        ("unknown", "claude-opus-4-1", "anthropic/claude-opus-4-1", "exact"),
    ],
)
def test_a_price_is_found_under_this_name(
    provider: str, model: str, found: str, matched: str
) -> None:
    """And says by which rule."""
    price = BOOK.find(provider, model)
    assert price is not None
    assert (price.origin.model, price.origin.matched) == (found, matched)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-2024-13-99"),  # no date
        ("openai", "gpt-4o-2024"),
        ("openai", "ft:gpt-4.1:org::id"),  # its fine-tuned rate is not known
        ("openai", "someone/gpt-4o"),  # no provider
        ("openai", "gpt-4o/openai"),
        ("azure.ai.openai", "our-o4-mini-deployment"),  # genai-prices would match a part of it
        ("gcp.gemini", "my-gemini-1.5-pro-x"),
        ("anthropic", "claude-opus-4-1x"),
        ("deepgram", "aura-2-thalia-en-more"),
        ("nobody", "gpt-4o"),
        ("openai", "deepgram/"),
        ("openai", "/"),
    ],
)
def test_a_name_that_only_resembles_a_known_one_has_no_price(provider: str, model: str) -> None:
    """A guess would be somebody's money."""
    assert BOOK.find(provider, model) is None


@given(
    st.sampled_from(["openai", "anthropic", "google", "aws", "azure", "mistral"]).flatmap(
        lambda provider: st.tuples(st.just(provider), st.sampled_from(genai.names(provider)))
    ),
    st.text("abcxyz", min_size=1, max_size=8),
    st.booleans(),
)
def test_letters_before_or_after_a_known_name_make_it_unknown(
    known: tuple[str, str], letters: str, before: bool
) -> None:
    """Whatever rules the table has for itself."""
    provider, name = known
    price = BOOK.find(provider, letters + name if before else name + letters)
    assert price is None or price.origin.model.partition("/")[2] in genai.names(provider)
    if price is not None:  # only where the longer name is one of its own
        assert price.origin.matched == "exact"


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_name_is_looked_up_in_a_few_steps(provider: str, model: str) -> None:
    """Names come from outside: nothing raises, and each slash is one step at most."""
    tried = list(spellings(provider, model, ("openai",)))
    assert 1 <= len(tried) <= 3 * (2 + model.count("/"))
    BOOK.find(provider, model)
