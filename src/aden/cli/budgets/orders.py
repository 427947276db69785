"""Typed words become an operator's order."""

import argparse
import getpass
import os

from aden.budgets.note import Note
from aden.cli.budgets.state import known_key, notes_of, standings
from aden.core.limit import Limit, requests, seconds, tokens
from aden.core.money import parse_usd
from aden.errors import ConfigurationError, did_you_mean
from aden.ledger import Ledger
from aden.ledger.operator import Confirm, Freeze, Order, Raise, Reset

VERBS = ("reset", "raise", "freeze", "unfreeze", "confirm")


def order_of(ledger: Ledger, chosen: argparse.Namespace) -> list[Order]:
    """What was ordered; a reset of a budget's present window, unless another is named.

    Raises:
        ConfigurationError: The budget is unknown, or an amount is none.
    """
    signed = {"who": chosen.who or _this_user(), "why": chosen.why}
    if chosen.verb == "confirm":
        return [_confirm(ledger, chosen, signed)]
    note = known_key(ledger, chosen.budget)
    if chosen.verb == "raise":
        return [Raise(chosen.budget, _raised(ledger, chosen, note), **signed)]
    if chosen.verb != "reset":
        return [Freeze(chosen.budget, chosen.verb == "freeze", **signed)]
    windows = _windows(ledger, chosen.budget, chosen.window)
    return [Reset(chosen.budget, window, **signed) for window in windows]


def _this_user() -> str:
    """The user's name; the number of one that has none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _raised(ledger: Ledger, chosen: argparse.Namespace, note: Note | None) -> int | None:
    """The new limit; None takes a raise back."""
    if chosen.to == "policy":
        return None
    limit = _amount(ledger, chosen.budget, chosen.to, "--to")
    if note is not None and limit.amount <= note.limit.amount:
        allowed = f"policy, or more than its {note.limit.show(note.limit.amount)}"
        raise ConfigurationError("--to", chosen.to, f"{allowed}; only the policy itself can lower")
    return limit.amount


def _confirm(ledger: Ledger, chosen: argparse.Namespace, signed: dict[str, str]) -> Order:
    booked = [held for held in ledger.holds() if held.operation == chosen.operation]
    keys = [hold.budget for held in booked for hold in held.holds]
    amounts: dict[str, int] = {}
    for each in chosen.amount or ():
        budget, equals, text = each.rpartition("=")
        if not equals:
            raise ConfigurationError("--amount", each, "BUDGET=AMOUNT")
        if booked and (budget not in keys or budget in amounts):
            allowed = f"a budget that it counts against, once: {', '.join(keys)}"
            meant = "" if budget in keys else did_you_mean(budget, keys)
            raise ConfigurationError("--amount", each, allowed + meant)
        amounts[budget] = _amount(ledger, budget, text, f"--amount {budget}").amount
    return Confirm(chosen.operation, amounts, **signed)


def _windows(ledger: Ledger, budget: str, named: str | None) -> list[str]:
    """The window that was named, else those that are present."""
    found = [each for each in standings(ledger) if each.budget == budget]
    if named is None:
        return [each.balance.window_id for each in found if each.current]
    known = [each.balance.window_id for each in found]
    if named not in known:
        allowed = "a window that `aden budgets show --all` shows: " + ", ".join(known)
        raise ConfigurationError("--window", named, allowed)
    return [named]


def _amount(ledger: Ledger, budget: str, text: str, setting: str) -> Limit:
    """An amount in the budget's own unit, as its limit is written."""
    note = notes_of(ledger).get(budget.partition("|")[0])
    unit = note.limit.unit if note else "usd"
    if unit == "usd":
        return Limit(parse_usd(text, setting))
    if unit == "seconds":
        return seconds(text)
    if not text.isascii() or not text.isdigit():
        raise ConfigurationError(setting, text, f"a whole number of {unit}")
    return tokens(int(text)) if unit == "tokens" else requests(int(text))
