"""Prices by (provider, model): looked up once, then kept."""

import functools
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aden.core.money import NANO
from aden.pricing.price import Price, Rate, Tier, Unit

logger = logging.getLogger("aden.pricing")

_GENAI_PRICES_KEYS: dict[Unit, str] = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "audio_input": "input_audio_mtok",
    "cached_audio": "cache_audio_read_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_output": "output_audio_mtok",
}

# Provider names by the OpenTelemetry conventions, where genai-prices uses another id.
_PROVIDER_IDS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "aws.bedrock": "aws",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "together_ai": "together",
}


class PriceBook:
    """Looks up prices and remembers what it found, also that there was nothing."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Price | None] = {}
        self._floors: dict[str, Price] = {}

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a model, or None where nobody knows it."""
        key = (provider, model)
        if key not in self._known:
            if len(self._known) > MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = _from_genai_prices(provider, model)
        return self._known[key]

    def floor(self, provider: str) -> Price:
        """The dearest known rates of a provider: what an unknown model is taken to cost at least.

        Of all providers, where the provider itself is unknown.
        """
        if provider not in self._floors:
            self._floors[provider] = _dearest(provider)
        return self._floors[provider]


MAX_REMEMBERED = 10_000


def _from_genai_prices(provider: str, model: str) -> Price | None:
    provider_id: str | None = _PROVIDER_IDS.get(provider, provider)
    if provider == "livekit" and "/" in model:  # its gateway names the vendor before the model
        provider_id, model = model.split("/", 1)
    if provider_id in ("unknown", "livekit"):
        provider_id = None  # genai-prices then goes by the model's name
    try:
        _, info = _snapshot().find_provider_model(model, None, provider_id, None)
    except LookupError:
        return None
    rates = _rates(info.get_prices(datetime.now(UTC)))
    return Price(rates, "genai-prices", info.context_window) if rates else None


def _rates(model_price: Any) -> dict[Unit, Rate]:
    rates: dict[Unit, Rate] = {}
    for unit, key in _GENAI_PRICES_KEYS.items():
        value = getattr(model_price, key, None)
        if value is not None:
            rates[unit] = _rate(value)
    return rates


def _rate(value: Any) -> Rate:
    if isinstance(value, Decimal):
        return Rate(_nano_per_million(value))
    tiers = (Tier(tier.start, _nano_per_million(tier.price)) for tier in value.tiers)
    return Rate(_nano_per_million(value.base), tuple(sorted(tiers, key=lambda tier: tier.start)))


def _nano_per_million(usd_per_million: Decimal) -> int:
    return int(usd_per_million * NANO)


@functools.cache
def _snapshot() -> Any:
    # Imported late: 30,000 lines of data that a process without priced calls never needs.
    from genai_prices import data_snapshot

    return data_snapshot.get_snapshot()


def _dearest(provider: str) -> Price:
    provider_id = _PROVIDER_IDS.get(provider, provider)
    providers = _snapshot().providers
    chosen = [known for known in providers if known.id == provider_id] or providers
    now = datetime.now(UTC)
    dearest: dict[Unit, Rate] = {}
    for prices in _all_rates(chosen, now):
        for unit in ("input", "output"):
            rate = prices.get(unit)
            if rate and (unit not in dearest or _top(rate) > _top(dearest[unit])):
                dearest[unit] = Rate(_top(rate))
    return Price(dearest, "floor")


def _all_rates(providers: Iterable[Any], now: datetime) -> Iterable[dict[Unit, Rate]]:
    for provider in providers:
        for model in provider.models:
            yield _rates(model.get_prices(now))


def _top(rate: Rate) -> int:
    return max((rate.nano_per_million, *(tier.nano_per_million for tier in rate.tiers)))
