"""Money is integer nano-US-dollars; decimals exist only where a person types or reads them."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import NewType

from aden.errors import ConfigurationError

NanoUSD = NewType("NanoUSD", int)
"""10⁻⁹ US dollars. A token of gpt-4o input is 2,500 of them."""

NANO = 1_000_000_000
MAX_USD = Decimal(9_000_000)
"""Nano-dollars stay exact in a 53-bit double (Redis Lua) up to about nine million dollars."""

Amount = str | int | float | Decimal
"""How a person gives money: decimal strings and Decimals are exact, floats are read as printed."""


class AsTyped(float):
    """A number with a point, read from a file, that prints as it was typed: no digit is lost."""

    text: str

    def __new__(cls, text: str) -> "AsTyped":
        """Of the text as it stands in the file."""
        typed = super().__new__(cls, text)
        typed.text = text.replace("_", "")
        return typed

    def __repr__(self) -> str:
        return self.text


def parse_usd(value: object, setting: str) -> NanoUSD:
    """Read an amount of US dollars.

    Args:
        value: A decimal string, int, Decimal or float (``0.1`` means one tenth, as it is printed).
        setting: Name of the setting, for the error.

    Raises:
        ConfigurationError: It is no finite number from 0 to 9,000,000.
    """
    allowed = "an amount in US dollars from 0 to 9000000, such as 25 or '0.50'"
    amount = parse_decimal(value, setting, allowed, MAX_USD)
    return NanoUSD(int((amount * NANO).to_integral_value(ROUND_CEILING)))


def parse_decimal(value: object, setting: str, allowed: str, most: Decimal) -> Decimal:
    """Read a number from 0 to *most*, exactly as it was typed.

    Raises:
        ConfigurationError: It is something else; *allowed* says what it may be.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ConfigurationError(setting, value, allowed)
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise ConfigurationError(setting, value, allowed) from None
    if not number.is_finite() or not 0 <= number <= most:
        raise ConfigurationError(setting, value, allowed)
    return number


def to_usd(amount: int) -> float:
    """US dollars for people, spans and metrics; never to be added up."""
    return amount / NANO


def format_usd(amount: int, places: int = 6) -> str:
    """``$0.001234``: rounded half-even for reading."""
    return f"${Decimal(amount) / NANO:.{places}f}"
