"""``aden prices MODEL``: what a model costs, and where that stands."""

import argparse
import json
import os
import re
from collections.abc import Mapping
from decimal import Decimal

from aden.core.money import NANO
from aden.core.request import Request
from aden.errors import ConfigurationError, did_you_mean
from aden.pricing import Price, PriceBook, Rate, price_book
from aden.pricing.price import PER, Unit
from aden.pricing.rows import MILLION, MINUTE_MS, TIERS, check_host, host_key
from aden.pricing.unknown import snippet
from aden.settings import Settings

_SHOWN: Mapping[Unit, tuple[str, int]] = {
    "speech": ("a minute of speech", MINUTE_MS),
    "speech_input": ("a minute heard", MINUTE_MS),
    "speech_output": ("a minute spoken", MINUTE_MS),
    "session": ("a minute connected", MINUTE_MS),
    "characters": ("1M characters", MILLION),
    "images": ("an image", 1),
    "web_searches": ("1k searches", 1000),
    "file_searches": ("1k searches", 1000),
    "requests": ("a request", 1),
}
_TOKENS = ("1M tokens", MILLION)


def add_prices(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("prices", help="explain what a model costs, and how that is known")
    parser.add_argument("model", help="a model as you ask for it, such as gpt-4o")
    parser.add_argument("--provider", help="its provider; without: the first that knows the model")
    parser.add_argument("--tier", choices=TIERS, help="a service tier (default: the standard one)")
    parser.add_argument("--host", help="host:port of your own server, as in ADEN_PRICES")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> int:
    """Carry the command out; 1 where no price is known.

    Raises:
        ConfigurationError: The provider, the host or ADEN_PRICES is wrong.
    """
    host = None
    if chosen.host:
        check_host(chosen.host, "--host")
        host = host_key(chosen.host)
    book = price_book(Settings.from_env(os.environ).prices_path)
    if chosen.provider and not chosen.host and not book.is_provider(chosen.provider):
        known = book.providers()
        allowed = "one with a known price, in the tables or in ADEN_PRICES: " + ", ".join(known)
        allowed += did_you_mean(chosen.provider, known)
        raise ConfigurationError("--provider", chosen.provider, allowed)
    tried = (chosen.provider,) if chosen.provider else book.providers_first("openai")
    found = (book.find(provider, chosen.model, chosen.tier, host) for provider in tried)
    price = next((each for each in found if each is not None), None)
    if price is not None:
        print(_json(chosen.model, price) if chosen.json else _text(chosen.model, price))
        return 0
    floor = book.floor(chosen.provider or "openai")
    print(_json(chosen.model, floor) if chosen.json else _unknown(book, chosen, host, floor))
    return 1


def _unknown(book: PriceBook, chosen: argparse.Namespace, host: str | None, floor: Price) -> str:
    """What becomes of a model without a price, and what would give it one."""
    found = re.fullmatch(r"\[?(.*?)\]?(?::(\d+))?", host or "")
    address, port = found.groups() if found else (host, None)
    asked = Request(
        chosen.provider or "openai",
        chosen.model,
        server_address=address or None,
        server_port=int(port) if port else None,
    )
    meant = book.meant(chosen.provider, chosen.model)
    lines = (
        f"No price is known for {chosen.model!r}{meant or '.'}",
        "Budgets count it at the dearest known rates:\n",
        *_rates(floor),
        "\nTo price it, put this into the file that ADEN_PRICES names:\n",
        snippet(asked, chosen.model, floor).rstrip("\n"),
    )
    return "\n".join(lines)


def _text(model: str, price: Price) -> str:
    origin = price.origin
    facts = {
        "price of": f"{origin.model} ({origin.matched})",
        "source": f"{price.source}: {origin.url}" if origin.url else price.source,
        "as of": str(origin.as_of) if origin.as_of else None,
        "tier": origin.tier,
        "multiplier": f"{origin.multiplier:f}" if origin.multiplier is not None else None,
        "at least": f"{price.least_ms / 1000:g} s a request" if price.least_ms else None,
        "note": origin.note,
    }
    lines = [model, *(_rates(price) or ["  free"])]
    for bridge in price.bridges:
        lines += ["", "  where only other units are known (estimated):", *_rates(bridge)]
        lines += [f"  {bridge.origin.url}, {bridge.origin.as_of}"]
    lines += ["", *(f"{name:<11}{value}" for name, value in facts.items() if value)]
    return "\n".join(lines)


def _rates(price: Price) -> list[str]:
    lines = []
    for unit, rate in price.rates.items():
        words, count = _SHOWN.get(unit, _TOKENS)
        lines.append(f"  {unit.replace('_', ' '):<15}{_usd(rate.nano, count):>12}  for {words}")
        lines += [
            f"  {'':<15}{_usd(tier.nano, count):>12}  above {tier.start:,} input tokens"
            for tier in rate.tiers
        ]
    return lines


def _usd(nano: int, count: int) -> str:
    whole, _, part = _amount(nano, count).partition(".")
    return f"${whole}.{part:0<2}"


def _amount(nano: int, count: int) -> str:
    amount = Decimal(nano) * count / PER / NANO
    return f"{amount.quantize(Decimal('1e-9')).normalize():f}"


def _json(model: str, price: Price) -> str:
    return json.dumps(_plain(model, price), indent=2)


def _plain(model: str, price: Price) -> dict[str, object]:
    origin = price.origin
    return {
        "asked": model,
        "model": origin.model or None,
        "matched": origin.matched or None,
        "source": price.source,
        "url": origin.url,
        "as_of": str(origin.as_of) if origin.as_of else None,
        "tier": origin.tier,
        "multiplier": f"{origin.multiplier:f}" if origin.multiplier is not None else None,
        "note": origin.note,
        "least_seconds": price.least_ms / 1000,
        "context_tokens": price.context_tokens,
        "rates": {unit: _plain_rate(unit, rate) for unit, rate in price.rates.items()},
        "bridges": [_plain(model, bridge) for bridge in price.bridges],
    }


def _plain_rate(unit: Unit, rate: Rate) -> dict[str, object]:
    words, count = _SHOWN.get(unit, _TOKENS)
    above = {str(tier.start): _amount(tier.nano, count) for tier in rate.tiers}
    return {"usd": _amount(rate.nano, count), "per": words, "above": above}
