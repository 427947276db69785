"""Prices by (provider, model): looked up once, then kept."""

import functools
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aden.pricing.price import Price, Rate, Tier, Unit, nano_per

logger = logging.getLogger("aden.pricing")

_MILLION, _HOUR_MS = 1_000_000, 3_600_000
_GENAI_PRICES_KEYS: dict[Unit, tuple[str, int]] = {
    "input": ("input_mtok", _MILLION),
    "cached": ("cache_read_mtok", _MILLION),
    "cache_write": ("cache_write_mtok", _MILLION),
    "cache_write_1h": ("cache_write_1h_mtok", _MILLION),
    "audio_input": ("input_audio_mtok", _MILLION),
    "cached_audio": ("cache_audio_read_mtok", _MILLION),
    "image_input": ("input_image_mtok", _MILLION),
    "cached_image": ("cache_image_read_mtok", _MILLION),
    "output": ("output_mtok", _MILLION),
    "reasoning": ("output_reasoning_mtok", _MILLION),
    "audio_output": ("output_audio_mtok", _MILLION),
    "image_output": ("output_image_mtok", _MILLION),
    "speech": ("audio_hours", _HOUR_MS),
    "speech_input": ("input_audio_hours", _HOUR_MS),
    "speech_output": ("output_audio_hours", _HOUR_MS),
    "characters": ("input_mchars", _MILLION),
    "requests": ("requests_kcount", 1000),
}
"""The key of each unit's rate, and how many of the unit it is for."""

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
    for unit, (key, count) in _GENAI_PRICES_KEYS.items():
        value = getattr(model_price, key, None)
        if value is not None:
            rates[unit] = _rate(value, count)
    return rates


def _rate(value: Any, count: int) -> Rate:
    if isinstance(value, Decimal):
        return Rate(nano_per(value, count))
    tiers = (Tier(tier.start, nano_per(tier.price, count)) for tier in value.tiers)
    return Rate(nano_per(value.base, count), tuple(sorted(tiers, key=lambda tier: tier.start)))


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
    return max((rate.nano, *(tier.nano for tier in rate.tiers)))
