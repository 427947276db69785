"""Prices from TOML rows, found by name: our speech table, and what a user says on top."""

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import Any

from aden.errors import ConfigurationError
from aden.pricing.names import Spelling
from aden.pricing.price import Origin, Price, Rate, Unit
from aden.pricing.rows import Row, read_row

_VOICE = ("", r"-[a-z0-9]+-[a-z]{2}")
"""What stands before and after a model's name where it has voices: Deepgram's voice, language."""
_VOICES_OF = {
    "azure tts": (
        r"((?!usgov|usdod|china)[a-z0-9]+|[a-z0-9.-]+\.(azure|microsoft)\.com)"
        r":[a-z]{2,3}(-[a-z0-9]+){2,}",
        "",
    ),
}
"""Where a plugin names them otherwise. Azure's says region (or host), language and voice, as in
``westeurope:en-US-JennyNeural``. Not in the clouds of governments and of China, which have other
prices, nor for a voice of one's own, which has its deployment behind it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by (provider or host, model, tier)."""

    rows: Mapping[tuple[str, str, str | None], Row] = field(default_factory=dict)
    voices: tuple[Row, ...] = ()

    def row(self, owner: str, model: str, tier: str | None) -> Row | None:
        """The row of a model: that of the tier, else the one for every tier."""
        for wanted in (tier, None):
            if (found := self.rows.get((owner, model, wanted))) is not None:
                return found
        for row in self.voices:
            before, after = _VOICES_OF.get(owner, _VOICE)
            pattern = before + re.escape(row.model) + after
            if row.provider == owner and re.fullmatch(pattern, model):
                return row
        return None

    def of(self, provider: str | None) -> Iterable[Row]:
        """The rows of a provider, or all."""
        return (row for row in self.rows.values() if provider in (None, row.provider))


def make_table(rows: Iterable[Row], where: str) -> Table:
    """Index rows.

    Raises:
        ConfigurationError: Two rows are about the same.
    """
    found: dict[tuple[str, str, str | None], Row] = {}
    for row in rows:
        key = (row.provider or row.host or "", row.model, row.tier)
        if key in found:
            twice = " ".join(filter(None, key))
            raise ConfigurationError(f"{where}: price", twice, "one row a model and tier")
        found[key] = row
    return Table(found, tuple(row for row in found.values() if row.voices))


def price_of_row(row: Row, source: str, spelling: Spelling, tier: str | None) -> Price:
    """The price that a row with rates gives."""
    note = None
    if tier is not None and row.tier is None:
        note = f"no {tier} rate is known: the standard one"
    owner = row.provider or row.host
    origin = Origin(
        f"{owner}/{row.model}", spelling.matched, row.source, row.as_of, row.tier, note=note
    )
    rates = row.rates or {}
    bridges: tuple[Price, ...] = ()
    if "session" in rates and not any(unit.startswith("speech") for unit in rates):
        # Speech is sent for as long as a stream is open, so one stands in for the other.
        bridges = (Price({"speech": rates["session"]}, "bridge", None, origin),)
    return Price(rates, source, None, origin, row.least_ms, bridges)


@dataclass(frozen=True, slots=True)
class Bridge:
    """Tokens for one of another unit, where a provider bills by the token."""

    unit: Unit
    tokens: Mapping[Unit, Decimal]
    """Tokens of each kind for one of `unit`: a character, or a millisecond of speech."""
    source: str
    as_of: date

    def over(self, price: Price) -> Price:
        """A price in `unit` instead of tokens."""
        nano = Decimal(0)
        for kind, count in self.tokens.items():
            nano += price.rate(kind).nano * count
        origin = Origin(price.origin.model, price.origin.matched, self.source, self.as_of)
        return Price({self.unit: Rate(-int(-nano // 1))}, "bridge", None, origin)


@functools.cache
def speech_table() -> Table:
    """The rows of ``speech.toml`` and ``livekit.toml``."""
    rows = [
        read_row(table, f"{file}: price {n}")
        for file in ("speech.toml", "livekit.toml")
        for n, table in _numbered(file, "price")
    ]
    return make_table(rows, "speech.toml and livekit.toml")


@functools.cache
def bridges() -> Mapping[tuple[str, str], tuple[Bridge, ...]]:
    """What stands in for the prices of a model, by (provider, model)."""
    found: dict[tuple[str, str], tuple[Bridge, ...]] = {}
    for _, table in _numbered("speech.toml", "bridge"):
        per, parts = ("character", 1) if table["unit"] == "characters" else ("second", 1000)
        tokens = {
            unit: Decimal(count) / parts for unit, count in table[f"tokens_per_{per}"].items()
        }
        bridge = Bridge(table["unit"], tokens, table["source"], table["as_of"])
        for model in table["models"]:
            key = (table["provider"], model)
            found[key] = (*found.get(key, ()), bridge)
    return found


def _numbered(file: str, name: str) -> Iterable[tuple[int, dict[str, Any]]]:
    text = files("aden.pricing").joinpath(file).read_text(encoding="utf-8")
    return enumerate(tomllib.loads(text)[name], 1)
