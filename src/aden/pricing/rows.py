"""One price as it stands in a TOML table: in our speech table and in a user's own file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from aden.core.money import MAX_USD, parse_decimal
from aden.errors import ConfigurationError, did_you_mean
from aden.pricing.names import provider_id
from aden.pricing.price import DURATIONS, TOKENS, Rate, Tier, Unit, nano_per

MILLION = 1_000_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
TIERS = ("batch", "fast", "flex", "priority")
"""Service tiers that providers bill at rates of their own."""

RATE_KEYS: Mapping[str, tuple[Unit, int]] = {
    **{f"{unit}_per_1m": (unit, MILLION) for unit in TOKENS},
    **{f"{unit}_per_minute": (unit, MINUTE_MS) for unit in DURATIONS},
    **{f"{unit}_per_hour": (unit, HOUR_MS) for unit in DURATIONS},
    "characters_per_1m": ("characters", MILLION),
    "characters_per_1k": ("characters", 1000),
    "per_image": ("images", 1),
    "web_searches_per_1k": ("web_searches", 1000),
    "file_searches_per_1k": ("file_searches", 1000),
    "per_request": ("requests", 1),
}
"""Each rate's key: its unit, and how many of the unit (tokens, milliseconds …) it is for."""

MAX_MULTIPLIER = Decimal(100)


@dataclass(frozen=True, slots=True)
class Row:
    """One ``[[price]]`` table."""

    model: str
    """In lower case; ``*`` stands for every model."""
    provider: str | None = None
    host: str | None = None
    """Host of the client's base URL, with its port where that is not the scheme's own."""
    tier: str | None = None
    rates: Mapping[Unit, Rate] | None = None
    """None where the row only changes a price that is known elsewhere."""
    same_as: str | None = None
    multiplier: Decimal | None = None
    least_ms: int = 0
    """Milliseconds for which a request with speech is billed at least."""
    voices: bool = False
    """True where models are named after it and a voice: ``aura-2`` and ``aura-2-thalia-en``."""
    source: str | None = None
    as_of: date | None = None


_ROW_KEYS = (
    *("provider", "host", "model", "tier", "free", "same_as", "multiplier", "voices"),
    *("source", "as_of", "above", "least_seconds"),
)


def read_row(table: object, where: str) -> Row:
    """Read a ``[[price]]`` table.

    Raises:
        ConfigurationError: Something in it is wrong; *where* names file and table.
    """
    if not isinstance(table, dict):
        raise ConfigurationError(where, table, "a [[price]] table")
    known_keys(where, table, (*_ROW_KEYS, *RATE_KEYS))
    provider, host = _text(table, "provider", where), _text(table, "host", where)
    model = _text(table, "model", where)
    if (provider is None) == (host is None):
        allowed = "one of provider (openai) and host (localhost:11434)"
        raise ConfigurationError(where, provider or host, allowed)
    if host is not None:
        check_host(host, f"{where}: host")
    if model is None:
        raise ConfigurationError(f"{where}: model", model, "a model's name, or * for all")
    tier = table.get("tier")
    if tier is not None and tier not in TIERS:
        raise ConfigurationError(f"{where}: tier", tier, " | ".join(TIERS))
    return Row(
        model=model.lower(),
        provider=provider_id(provider) if provider else None,
        host=host_key(host) if host else None,
        tier=tier,
        rates=_priced(table, where),
        same_as=_text(table, "same_as", where),
        multiplier=read_multiplier(table, where),
        least_ms=_least_ms(table, where),
        voices=_switch(table, "voices", where),
        source=_text(table, "source", where),
        as_of=_day(table, where),
    )


def read_rates(table: Mapping[str, Any], where: str) -> dict[Unit, Rate]:
    """The rates of a table; its other keys are not looked at.

    Raises:
        ConfigurationError: A rate is no amount, or a unit has two.
    """
    rates: dict[Unit, Rate] = {}
    for key, (unit, count) in RATE_KEYS.items():
        if key in table:
            if unit in rates:
                raise ConfigurationError(f"{where}: {key}", table[key], f"one rate for {unit}")
            rates[unit] = Rate(nano_per(_usd(table[key], f"{where}: {key}"), count))
    return rates


def check_host(host: str, setting: str) -> None:
    """Refuse what no request has for its host.

    Raises:
        ConfigurationError: It is a URL, or no host at all.
    """
    if "/" in host or " " in host:
        allowed = "a host without scheme and path, with its port or without: localhost:11434"
        raise ConfigurationError(setting, host, allowed)


def host_key(host: str) -> str:
    """A host as prices are found by it: in lower case, an IPv6 address as it stands in a URL."""
    is_bare = host.count(":") > 1 and not host.startswith("[")
    return f"[{host}]".lower() if is_bare else host.lower()


def read_multiplier(table: Mapping[str, Any], where: str) -> Decimal | None:
    """A factor on prices that are known elsewhere."""
    if "multiplier" not in table:
        return None
    allowed = "a factor from 0 to 100, such as '0.85' for 15 % less"
    return parse_decimal(table["multiplier"], f"{where}: multiplier", allowed, MAX_MULTIPLIER)


def known_keys(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse a key that means nothing.

    Raises:
        ConfigurationError: Names the key, and the one that was probably meant.
    """
    for key in table:
        if key not in known:
            allowed = f"one of {', '.join(known)}{did_you_mean(key, known)}"
            raise ConfigurationError(f"{where}: key", key, allowed)


def _priced(table: Mapping[str, Any], where: str) -> Mapping[Unit, Rate] | None:
    """The rates, {} for a free model, None where the row is about another price."""
    rates = read_rates(table, where)
    free = _switch(table, "free", where)
    elsewhere = "same_as" in table or "multiplier" in table
    if free + bool(rates) + elsewhere != 1:
        allowed = "rates such as input_per_1m = '2.50', or free = true, or same_as and multiplier"
        raise ConfigurationError(where, sorted(map(str, table)), allowed)
    if "output" in rates and "input" not in rates:  # what a row does not price, it gives for free
        raise ConfigurationError(f"{where}: input_per_1m", None, "a rate, '0' where input is free")
    for step in _steps(table, where):
        at = f"{where}: above"
        known_keys(at, step, ("input_tokens", *RATE_KEYS))
        start = step.get("input_tokens")
        if isinstance(start, bool) or not isinstance(start, int) or start < 0:
            raise ConfigurationError(f"{at}: input_tokens", start, "a whole number of tokens")
        for unit, rate in read_rates(step, at).items():
            if unit not in rates:
                raise ConfigurationError(at, unit, "units that have a rate below it too")
            if start in (tier.start for tier in rates[unit].tiers):
                raise ConfigurationError(f"{at}: input_tokens", start, f"one rate for {unit}")
            tiers = sorted((*rates[unit].tiers, Tier(start, rate.nano)), key=lambda t: t.start)
            rates[unit] = Rate(rates[unit].nano, tuple(tiers))
    return None if elsewhere else rates


def _steps(table: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    steps = table.get("above", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigurationError(f"{where}: above", steps, "[[price.above]] tables")
    return steps


def _least_ms(table: Mapping[str, Any], where: str) -> int:
    allowed = "seconds from 0 to 3600"
    value = table.get("least_seconds", 0)
    seconds = parse_decimal(value, f"{where}: least_seconds", allowed, Decimal(3600))
    return int((seconds * 1000).to_integral_value(ROUND_CEILING))


def _usd(value: object, setting: str) -> Decimal:
    allowed = "US dollars from 0 to 9000000, such as '2.50'"
    return parse_decimal(value, setting, allowed, MAX_USD)


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ConfigurationError(f"{where}: {key}", value, "a non-empty string")
    return value.strip() if value is not None else None


def _switch(table: Mapping[str, Any], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where}: {key}", value, "true | false")
    return value


def _day(table: Mapping[str, Any], where: str) -> date | None:
    value = table.get("as_of")
    if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
        raise ConfigurationError(f"{where}: as_of", value, "a date such as 2026-11-22")
    return value
