"""The base table: the only user of genai-prices."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from aden.pricing.names import Spelling
from aden.pricing.price import Origin, Price, Rate, Tier, Unit, nano_per
from aden.pricing.rows import HOUR_MS, MILLION

_KEYS: Mapping[Unit, tuple[str, int]] = {
    "input": ("input_mtok", MILLION),
    "cached": ("cache_read_mtok", MILLION),
    "cache_write": ("cache_write_mtok", MILLION),
    "cache_write_1h": ("cache_write_1h_mtok", MILLION),
    "audio_input": ("input_audio_mtok", MILLION),
    "cached_audio": ("cache_audio_read_mtok", MILLION),
    "image_input": ("input_image_mtok", MILLION),
    "cached_image": ("cache_image_read_mtok", MILLION),
    "output": ("output_mtok", MILLION),
    "reasoning": ("output_reasoning_mtok", MILLION),
    "audio_output": ("output_audio_mtok", MILLION),
    "image_output": ("output_image_mtok", MILLION),
    "speech": ("audio_hours", HOUR_MS),
    "speech_input": ("input_audio_hours", HOUR_MS),
    "speech_output": ("output_audio_hours", HOUR_MS),
    "characters": ("input_mchars", MILLION),
    "web_searches": ("web_searches_kcount", 1000),
    "file_searches": ("storage_searches_kcount", 1000),
    "requests": ("requests_kcount", 1000),
}
"""The key of each unit's rate, and how many of the unit it is for."""

_CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},  # OpenAI's word, and Anthropic's
}
_CHEAPER = ("batch", "flex")
_LEAST_MS = {("groq", "whisper-large-v3"): 10_000, ("groq", "whisper-large-v3-turbo"): 10_000}
"""Who bills short speech as longer: genai-prices has it in its code, not in its table.
(https://console.groq.com/docs/speech-to-text: "minimum billed length: 10 seconds")"""

_FREE = ":free"
"""How OpenRouter and others call what costs nothing; of other models without a rate none is known
(https://openrouter.ai/docs/guides/routing/model-variants/free)."""

_SEARCHING = ((re.compile("gpt-.*-search-preview"), 25), (re.compile("gpt-.*-search-api"), 10))
"""Models that search the web before each answer and tell of no search, and US dollars of a thousand
answers; genai-prices has their tokens only, of one of them as those of another model
(https://developers.openai.com/api/docs/guides/tools-web-search and /api/docs/pricing)."""


def find(spelling: Spelling, tier: str | None) -> Price | None:
    """The price under this very name, or None."""
    provider = _provider(spelling.provider, spelling.model)
    found = _model(provider, spelling.model) if provider else None
    if provider is None or found is None:
        return None
    now = datetime.now(UTC)
    rates = _rates(found.get_prices(now))
    if not rates and not found.id.endswith(_FREE):
        return None
    for name, usd in _SEARCHING if provider.id == "openai" else ():
        if name.match(spelling.model):
            rates.setdefault("requests", Rate(nano_per(Decimal(usd), 1000)))
    url = next(iter(provider.pricing_urls or ()), None)
    origin = Origin(f"{provider.id}/{found.id}", spelling.matched, url, note=_release())
    least_ms = _LEAST_MS.get((provider.id, found.id), 0)
    price = Price(rates, "genai-prices", found.context_window, origin, least_ms)
    return price if tier is None else _in_tier(price, provider, found, tier, now)


def providers() -> frozenset[str]:
    """The providers that it knows."""
    return frozenset(provider.id for provider in _snapshot().providers)


def names(provider: str) -> list[str]:
    """The models of a provider, for "did you mean"."""
    known = [each for each in _snapshot().providers if each.id == provider]
    return [model.id for each in known for model in each.models]


def all_rates(provider: str | None, units: Iterable[Unit]) -> Iterator[Mapping[Unit, Rate]]:
    """The rates of each model in these units, of one provider or of all."""
    keys = {unit: _KEYS[unit] for unit in units if unit in _KEYS}
    now = datetime.now(UTC)
    for each in _snapshot().providers:
        if provider in (None, each.id):
            for model in each.models:
                yield _rates(model.get_prices(now), keys)


def _provider(name: str, model: str) -> Any:
    known = _snapshot()
    if name in ("unknown", "livekit"):  # then it goes by the model's name
        for provider in known.providers:
            if provider.model_match is not None and provider.model_match.is_match(model):
                return provider
        return None
    return next((provider for provider in known.providers if provider.id == name), None)


def _model(provider: Any, name: str) -> Any:
    """The model of that name: the provider's own, else one that it resells."""
    resold = provider.fallback_model_providers or ()
    for each in (provider, *(known for known in _snapshot().providers if known.id in resold)):
        for model in each.models:
            if name == model.id.lower() or _is_exactly(model.match, name):
                return model
    return None


def _is_exactly(clause: Any, name: str) -> bool:
    """Whether a matching rule means this very name.

    Its own rules also match beginnings, ends and parts of names; those are not followed: a prefix
    matches only itself, and a pattern only from end to end.
    """
    said = vars(clause)
    for rule in ("equals", "starts_with", "ends_with", "contains"):
        if rule in said:
            return name == str(said[rule]).lower()
    if "regex" in said:
        return re.fullmatch(str(said["regex"]), name) is not None
    if "or_" in said:
        return any(_is_exactly(each, name) for each in said["or_"])
    return all(_is_exactly(each, name) for each in said["and_"])


def _in_tier(price: Price, provider: Any, model: Any, tier: str, now: datetime) -> Price:
    """The rates of a service tier; without any of its own, never below what may be billed."""
    context = _CONTEXTS[tier]
    if _has_variant(model, context, now):
        rates = _rates(model.get_prices(now, context))
        return replace(price, rates=rates, origin=replace(price.origin, tier=tier))
    if tier in _CHEAPER:
        return _noted(price, f"no {tier} rate is known: the standard one")
    factor = _dearest_factor(provider.id, tier)
    if factor is None:
        return _noted(price, f"no {tier} rate of {provider.id} is known: the standard one")
    note = f"no {tier} rate is known: the dearest factor of {provider.id}, {factor:.4g}"
    dearer = price.times(factor)
    origin = replace(price.origin, tier=tier, note=note)
    return replace(dearer, origin=origin)


def _noted(price: Price, note: str) -> Price:
    return replace(price, origin=replace(price.origin, note=note))


def _has_variant(model: Any, context: Mapping[str, str], now: datetime) -> bool:
    return any(
        variant.prices.__dict__
        and all(context.get(key) == value for key, value in variant.when.items())
        and (variant.constraint is None or variant.constraint.active(now))
        for variant in model.price_variants or ()
    )


@functools.cache
def _dearest_factor(provider: str, tier: str) -> Decimal | None:
    """The largest ratio of a tier's rates to the standard ones, over a provider's models."""
    factors, now, context = [], datetime.now(UTC), _CONTEXTS[tier]
    for each in _snapshot().providers:
        for model in each.models if each.id == provider else ():
            if _has_variant(model, context, now):
                standard = _rates(model.get_prices(now))
                for unit, rate in _rates(model.get_prices(now, context)).items():
                    if unit in standard and standard[unit].nano:
                        factors.append(Decimal(rate.nano) / standard[unit].nano)
    return max(factors, default=None)


def _rates(model_price: Any, keys: Mapping[Unit, tuple[str, int]] = _KEYS) -> dict[Unit, Rate]:
    rates: dict[Unit, Rate] = {}
    for unit, (key, count) in keys.items():
        value = vars(model_price).get(key)  # its own look-up of a missing one takes a millisecond
        if value is not None:
            rates[unit] = _rate(value, count)
    return rates


def _rate(value: Any, count: int) -> Rate:
    if isinstance(value, Decimal):
        return Rate(nano_per(value, count))
    steps: Iterable[Tier] = (Tier(tier.start, nano_per(tier.price, count)) for tier in value.tiers)
    return Rate(nano_per(value.base, count), tuple(sorted(steps, key=lambda tier: tier.start)))


@functools.cache
def _release() -> str:
    return f"genai-prices {version('genai-prices')}"


@functools.cache
def _snapshot() -> Any:
    # Imported late: 30,000 lines of data that a process without priced calls never needs.
    from genai_prices import data_snapshot

    return data_snapshot.get_snapshot()
