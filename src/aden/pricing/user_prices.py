"""A user's own prices: the TOML file that ``ADEN_PRICES`` names."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from aden.errors import ConfigurationError
from aden.pricing.names import provider_id
from aden.pricing.rows import known_keys, read_multiplier, read_row
from aden.pricing.table import Table, make_table


@dataclass(frozen=True, slots=True)
class UserPrices:
    """Rows on top of every other table, and factors on what stands there."""

    table: Table = field(default_factory=Table)
    multiplier: Decimal | None = None
    """Of every price that the file does not give itself."""
    by_provider: Mapping[str, Decimal] = field(default_factory=dict)

    def factor(self, provider: str) -> Decimal | None:
        """What a listed price of a provider is multiplied by: its own factor, else the file's."""
        return self.by_provider.get(provider, self.multiplier)


def load_prices(path: Path, setting: str = "ADEN_PRICES") -> UserPrices:
    """Read the file that *setting* names.

    Raises:
        ConfigurationError: It is missing or not TOML, or an entry in it is wrong; the message
            names file, entry, value and what is allowed.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # also a number of 5,000 digits
        allowed = f"a TOML file with [[price]] tables ({error})"
        raise ConfigurationError(setting, str(path), allowed) from error
    known_keys(str(path), document, ("multiplier", "provider", "price"))
    rows = [
        read_row(table, f"{path}: price {number} {_named(table)}".rstrip())
        for number, table in enumerate(_tables(document, "price", path), 1)
    ]
    return UserPrices(
        table=make_table(rows, str(path)),
        multiplier=read_multiplier(document, str(path)),
        by_provider=_factors(_tables(document, "provider", path), path),
    )


def _named(table: object) -> str:
    return f"({table['model']})" if isinstance(table, dict) and "model" in table else ""


def _tables(document: Mapping[str, Any], name: str, path: Path) -> list[Any]:
    tables = document.get(name, [])
    if not isinstance(tables, list):
        raise ConfigurationError(f"{path}: {name}", tables, f"[[{name}]] tables")
    return tables


def _factors(tables: list[Any], path: Path) -> dict[str, Decimal]:
    factors: dict[str, Decimal] = {}
    for number, table in enumerate(tables, 1):
        where = f"{path}: provider {number}"
        if not isinstance(table, dict):
            raise ConfigurationError(where, table, "a [[provider]] table")
        known_keys(where, table, ("name", "multiplier"))
        name, factor = table.get("name"), read_multiplier(table, where)
        if not isinstance(name, str) or not name.strip() or provider_id(name) in factors:
            raise ConfigurationError(f"{where}: name", name, "a provider's name, once")
        if factor is None:
            raise ConfigurationError(f"{where}: multiplier", factor, "a factor such as '0.85'")
        factors[provider_id(name)] = factor
    return factors
