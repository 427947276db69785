"""What a budget counts in: money, tokens, requests or seconds of speech, by one mechanism."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from aden.core.money import Amount, NanoUSD, format_usd, parse_decimal, to_usd
from aden.core.usage import Usage
from aden.core.value import value
from aden.errors import ConfigurationError

Unit = Literal["usd", "tokens", "requests", "seconds"]
MAX_COUNT = 2**53 - 1
"""Largest integer that every ledger keeps exactly."""
MAX_SECONDS = MAX_COUNT // 1000


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a budget bears.

    Make it with `tokens`, `requests` or `seconds`, or give ``limit_usd``.
    """

    amount: int
    """Nano-dollars, tokens, requests or milliseconds: whole, as ledgers keep it."""
    unit: Unit = "usd"

    def show(self, amount: int) -> str:
        """An amount in this limit's unit, for people."""
        if self.unit == "usd":
            return format_usd(amount)
        value = self.value(amount)
        return f"{value} {self.unit.removesuffix('s') if value == 1 else self.unit}"

    def value(self, amount: int) -> float | int:
        """An amount in this limit's unit, for programs: US dollars, tokens, requests, seconds."""
        if self.unit == "usd":
            return to_usd(amount)
        return amount / 1000 if self.unit == "seconds" else amount


def tokens(count: int) -> Limit:
    """A limit of *count* tokens, input and output together."""
    return Limit(_whole("tokens", count), "tokens")


def requests(count: int) -> Limit:
    """A limit of *count* requests that are sent."""
    return Limit(_whole("requests", count), "requests")


def seconds(count: Amount) -> Limit:
    """A limit of *count* seconds of speech, heard and spoken together; kept in milliseconds.

    A session that bills by its time counts by that.
    """
    allowed = f"seconds from 0 to {MAX_SECONDS}"
    exact = parse_decimal(count, "limit in seconds", allowed, Decimal(MAX_SECONDS))
    return Limit(int((exact * 1000).to_integral_value(ROUND_CEILING)), "seconds")


def _whole(unit: str, count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
        raise ConfigurationError(f"limit in {unit}", count, f"a whole number from 0 to {MAX_COUNT}")
    return count


@value
class Amounts:
    """One request in every unit that a budget may count in."""

    usd: NanoUSD
    usage: Usage
    requests: int = 1
    """One that is sent counts for one."""

    def of(self, unit: Unit) -> int:
        """The amount in one unit, as a `Limit` keeps it."""
        if unit == "usd":
            return self.usd
        if unit == "requests":
            return self.requests
        usage = self.usage
        if unit == "tokens":
            return (usage.input_tokens or 0) + (usage.output_tokens or 0)
        if usage.audio_input_ms is None and usage.audio_output_ms is None:
            return usage.session_ms or 0  # the speech in it is a part of its time
        return (usage.audio_input_ms or 0) + (usage.audio_output_ms or 0)
