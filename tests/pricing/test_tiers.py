"""Service tiers: their own rates, and never below what may be billed."""

from decimal import Decimal

import pytest

from aden.core.usage import Usage
from aden.pricing import Price, PriceBook

BOOK = PriceBook()
USAGE = Usage(1_000_000, 1_000_000, 500_000)


@pytest.mark.parametrize(
    ("model", "tier", "factor"),
    [
        ("gpt-5", "flex", "0.5"),
        ("gpt-5", "batch", "0.5"),
        ("gpt-5", "priority", "2"),
        ("gpt-4o", "priority", "1.7"),
        ("gpt-4o", "flex", "1"),  # it has none: the standard rate is not below the bill
        ("gpt-4o-audio-preview", "priority", "2.5"),  # the dearest factor of the provider
    ],
)
def test_a_tier_has_its_own_rates(model: str, tier: str, factor: str) -> None:
    """As the provider publishes them, the cached rate too."""
    standard, tiered = _find(model), _find(model, tier)
    assert tiered.cost(USAGE) == standard.cost(USAGE) * Decimal(factor)
    assert (tiered.origin.tier == tier) is (factor != "1")
    assert ("no " in str(tiered.origin.note)) is (model == "gpt-4o-audio-preview" or factor == "1")


@pytest.mark.parametrize("tier", [None, "auto", "default", "standard", "on_demand", "nonsense"])
def test_a_tier_without_rates_of_its_own_is_the_standard_one(tier: str | None) -> None:
    """It is even the same object."""
    assert BOOK.find("openai", "gpt-4o", tier) is BOOK.find("openai", "gpt-4o")


def test_a_long_context_costs_its_own_rate_in_each_tier() -> None:
    """gpt-6.1-terra costs twice as much above 272,000 tokens, half in flex."""
    short, long = Usage(272_000, 0), Usage(272_001, 0)
    standard, flex = _find("gpt-6.1-terra"), _find("gpt-6.1-terra", "flex")
    assert standard.cost(short) == 272_000_000
    assert standard.cost(long) == 2 * 272_001_000
    assert flex.cost(long) == 272_001_000


def test_a_model_of_anthropic_has_its_fast_rates_too() -> None:
    """There the table calls it a speed; claude-opus-4-8 costs twice as much."""
    few = Usage(1000, 0)
    standard = _find("claude-opus-4-8", None, "anthropic")
    assert _find("claude-opus-4-8", "fast", "anthropic").cost(few) == 2 * standard.cost(few)


def _find(model: str, tier: str | None = None, provider: str = "openai") -> Price:
    price = BOOK.find(provider, model, tier)
    assert price is not None
    return price
