"""Typed words become an operator's order."""

import argparse
import getpass

from aden.cli.budgets.state import known_key, notes_of, standings
from aden.core.limit import Limit, requests, seconds, tokens
from aden.core.money import parse_usd
from aden.errors import ConfigurationError
from aden.ledger import Ledger
from aden.ledger.operator import Confirm, Freeze, Order, Raise, Reset

VERBS = ("reset", "raise", "freeze", "unfreeze", "confirm")


def order_of(ledger: Ledger, chosen: argparse.Namespace) -> list[Order]:
    """What was ordered; a reset of a budget's present window, unless another is named.

    Raises:
        ConfigurationError: The budget is unknown, or an amount is none.
    """
    signed = {"who": chosen.who or getpass.getuser(), "why": chosen.why}
    if chosen.verb == "confirm":
        return [_confirm(ledger, chosen, signed)]
    known_key(ledger, chosen.budget)
    if chosen.verb == "raise":
        limit = None if chosen.to == "policy" else _amount(ledger, chosen.budget, chosen.to).amount
        return [Raise(chosen.budget, limit, **signed)]
    if chosen.verb != "reset":
        return [Freeze(chosen.budget, chosen.verb == "freeze", **signed)]
    windows = [chosen.window] if chosen.window else _present(ledger, chosen.budget)
    return [Reset(chosen.budget, window, **signed) for window in windows]


def _confirm(ledger: Ledger, chosen: argparse.Namespace, signed: dict[str, str]) -> Order:
    amounts = {}
    for each in chosen.amount or ():
        budget, equals, text = each.rpartition("=")
        if not equals:
            raise ConfigurationError("--amount", each, "BUDGET=AMOUNT")
        amounts[budget] = _amount(ledger, budget, text).amount
    return Confirm(chosen.operation, amounts, **signed)


def _present(ledger: Ledger, budget: str) -> list[str]:
    found = [each for each in standings(ledger) if each.budget == budget and each.current]
    return [each.balance.window_id for each in found]


def _amount(ledger: Ledger, budget: str, text: str) -> Limit:
    """An amount in the budget's own unit, as its limit is written."""
    note = notes_of(ledger).get(budget.partition("|")[0])
    unit = note.limit.unit if note else "usd"
    if unit == "usd":
        return Limit(parse_usd(text, "amount"))
    if unit == "seconds":
        return seconds(text)
    if not text.isascii() or not text.isdigit():
        raise ConfigurationError("amount", text, f"a whole number of {unit}")
    return tokens(int(text)) if unit == "tokens" else requests(int(text))
