"""What a budget counts in: money, tokens or requests, by one mechanism."""

from dataclasses import dataclass
from typing import Literal

from aden.core.money import NanoUSD, format_usd, to_usd
from aden.core.usage import Usage
from aden.errors import ConfigurationError

Unit = Literal["usd", "tokens", "requests"]
MAX_COUNT = 2**53 - 1
"""Largest integer that every ledger keeps exactly."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a budget bears. Make it with `tokens` or `requests`, or give ``limit_usd``."""

    amount: int
    """Nano-dollars, tokens or requests."""
    unit: Unit = "usd"

    def show(self, amount: int) -> str:
        """An amount in this limit's unit, for people."""
        return format_usd(amount) if self.unit == "usd" else f"{amount} {self.unit}"

    def value(self, amount: int) -> float | int:
        """An amount in this limit's unit, for programs: US dollars, tokens or requests."""
        return to_usd(amount) if self.unit == "usd" else amount


def tokens(count: int) -> Limit:
    """A limit of *count* tokens, input and output together."""
    return Limit(_whole("tokens", count), "tokens")


def requests(count: int) -> Limit:
    """A limit of *count* requests that are sent."""
    return Limit(_whole("requests", count), "requests")


def _whole(unit: str, count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
        raise ConfigurationError(f"limit in {unit}", count, f"a whole number from 0 to {MAX_COUNT}")
    return count


@dataclass(frozen=True, slots=True)
class Amounts:
    """One request in every unit that a budget may count in."""

    usd: NanoUSD
    tokens: int
    requests: int

    def of(self, unit: Unit) -> int:
        """The amount in one unit."""
        return int(getattr(self, unit))


def amounts(cost: NanoUSD, usage: Usage) -> Amounts:
    """What a request that is sent counts for."""
    return Amounts(cost, (usage.input_tokens or 0) + (usage.output_tokens or 0), 1)
