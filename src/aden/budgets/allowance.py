"""What a budget lets through while its ledger does not answer."""

from dataclasses import dataclass, field
from typing import Literal

from aden.core.limit import Limit, Unit
from aden.core.money import Amount, parse_usd
from aden.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Allowance:
    """What each process may spend in all while the ledger does not answer.

    US dollars, or a limit in the budget's own unit: ``Allowance("0.50")``,
    ``Allowance(tokens(5_000))``.
    """

    of: Amount | Limit
    limit: Limit = field(init=False, repr=False)

    def __post_init__(self) -> None:
        limit = self.of
        if not isinstance(limit, Limit):
            limit = Limit(parse_usd(limit, "Allowance"))
        object.__setattr__(self, "limit", limit)


OnLedgerDown = Literal["refuse", "allow"] | Allowance


def read_on_ledger_down(value: object, unit: Unit, whose: str) -> None:
    """Check what a budget says.

    Raises:
        ConfigurationError: It is no `OnLedgerDown`, or counts in another unit than its budget.
    """
    allowed = f"refuse | allow | an Allowance in {unit} (in a file allowance_{unit})"
    if isinstance(value, Allowance):
        if value.limit.unit != unit:
            raise ConfigurationError(f"{whose}on_ledger_down", value, allowed)
    elif value not in (None, "refuse", "allow"):
        raise ConfigurationError(f"{whose}on_ledger_down", value, allowed)
