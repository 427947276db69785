"""A price for the calls of one block, above everything else."""

from contextvars import ContextVar

from aden.core.block import Block
from aden.core.money import Amount
from aden.errors import ConfigurationError
from aden.pricing.book import PriceBook
from aden.pricing.price import Price
from aden.pricing.rows import RATE_KEYS, known_keys, read_rates


class FixedPrice:
    """One price, whatever is asked."""

    def __init__(self, price: Price) -> None:
        self._price = price

    def price(self, *_asked: object, **_used: object) -> Price:
        """The price of the block."""
        return self._price


Prices = PriceBook | FixedPrice
"""What prices a request."""


_override: ContextVar[FixedPrice | None] = ContextVar("aden_price", default=None)


def priced(**rates: Amount) -> Block[FixedPrice | None]:
    """Calls that begin inside the block cost this, whatever the model: rates as in ADEN_PRICES.

    ``with aden.priced(input_per_1m="0.10", output_per_1m="0.40"):``; without rates they are free.
    It decorates functions as well, sync and async.

    Raises:
        ConfigurationError: A rate has no such name, or is no amount of US dollars; or input has one
            and output none.
    """
    known_keys("priced", rates, tuple(RATE_KEYS))
    read = read_rates(rates, "priced")
    if "input" in read and "output" not in read:
        raise ConfigurationError("priced.output_per_1m", None, "a rate, '0' where output is free")
    price = FixedPrice(Price(read, "override"))
    return Block(_override, lambda _: price)


def price_in_force() -> FixedPrice | None:
    """The price of the block around, if there is one."""
    return _override.get()
