"""How each budget stands: accounts of the ledger, read with what programs said of their budgets."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from aden.budgets.budget import Mode
from aden.budgets.note import Note, note_of
from aden.budgets.policy_file import load_policy
from aden.cli.ledgers import say
from aden.errors import ConfigurationError, did_you_mean
from aden.ledger import Balance, Ledger
from aden.settings import Settings


@dataclass(frozen=True, slots=True)
class Standing:
    """One window of one budget."""

    budget: str
    """The ledger's key: the id, and for a template the label that it was made for."""
    balance: Balance
    note: Note | None
    """None where no program has described this budget; amounts are then whole, without a unit."""
    current: bool
    """False for a window that is over; without an end of its own, when its budget is gone."""

    @property
    def is_gone(self) -> bool:
        """Whether what defined this budget defines it no more."""
        return self.note is not None and self.note.gone_at is not None

    @property
    def limit(self) -> int | None:
        """The limit in force, in the budget's own unit."""
        return None if self.note is None else self.balance.limit(self.note.limit.amount)

    @property
    def percent(self) -> float | None:
        """Per cent of the limit that is spent."""
        limit = self.limit
        if limit is None:
            return None
        return 100.0 * self.balance.spent / limit if limit else 100.0

    def show(self, amount: int) -> str:
        """An amount of this budget, for people."""
        return f"{amount}" if self.note is None else self.note.limit.show(amount)


def show(notes: Mapping[str, Note], budget: str, amount: int) -> str:
    """An amount of a budget, for people; whole, where nobody has said what it counts."""
    note = notes.get(budget.partition("|")[0])
    return f"{amount}" if note is None else note.limit.show(amount)


def standings(ledger: Ledger) -> list[Standing]:
    """Every window of every budget that the ledger knows, and those that are only described."""
    at = time.time()
    notes = notes_of(ledger)
    found: list[Standing] = []
    seen: set[str] = set()
    for account in ledger.accounts():
        name = account.budget.partition("|")[0]
        seen.add(name)
        note = notes.get(name)
        id_now = _window_now(note, at)
        gone = note is not None and note.gone_at is not None
        if (
            id_now
            and not gone
            and id_now not in {balance.window_id for balance in account.balances}
        ):
            marked = Balance(account.budget, id_now, None, 0, 0, 0, account.raised, account.frozen)
            found.append(Standing(account.budget, marked, note, True))
        for balance in account.balances:
            current = id_now is None or balance.window_id == id_now
            current = current and not (gone and _is_endless(note))
            found.append(Standing(account.budget, balance, note, current))
    for name, note in notes.items():
        if name not in seen and note.gone_at is None:
            empty = Balance(name, _window_now(note, at) or "", None)
            found.append(Standing(name, empty, note, True))
    return sorted(found, key=lambda each: (each.budget, each.balance.window_id))


def notes_of(ledger: Ledger) -> Mapping[str, Note]:
    """What is known of budgets: what programs said, and the file of ``ADEN_BUDGETS``.

    Where an edit has broken that file, programs go on with what it was before, and so do we.
    """
    said = {name: Note.from_json(text) for name, text in ledger.descriptions().items()}
    notes = {name: note for name, note in said.items() if note is not None}
    settings = Settings.from_env(os.environ)
    if path := settings.budgets_path:
        try:
            policy = load_policy(Path(path), cast("Mode", settings.mode or "enforce"))
            notes |= {each.id: note_of(each, mode=policy.mode) for each in policy.budgets}
        except ConfigurationError as error:
            _say_once(f"aden: {error}\nBudgets are shown as running programs know them.")
    return notes


@cache
def _say_once(said: str) -> None:
    say(said, aside=True)


def known_key(ledger: Ledger, key: str) -> Note | None:
    """What is known of the budget that an operator names.

    Raises:
        ConfigurationError: Nothing was ever booked or said of it, or no request counts against it:
            it is a template, or a single budget with a label.
    """
    notes = notes_of(ledger)
    booked = {account.budget for account in ledger.accounts()}
    known = booked | set(notes)
    name, _, scope = key.partition("|")
    if key not in known and name not in known:
        allowed = "a budget that `aden budgets` shows" + did_you_mean(key, known)
        raise ConfigurationError("budget", key, allowed)
    note = notes.get(name)
    if note is None:
        return None
    parts = [part.partition("=") for part in scope.split(",") if part]
    means_all = key not in booked and any(value in ("", "*") for _, _, value in parts)
    if means_all or note.labels != tuple(label for label, _, _ in parts):
        labels = ",".join(f"{label}=…" for label in note.labels)
        allowed = f"{name}|{labels} for each, as it is a template"
        raise ConfigurationError("budget", key, allowed if labels else f"{name}, without a label")
    if note.labels and key not in booked:  # what is misspelt would wait for ever
        meant = did_you_mean(key, booked, likeness=0.9)
        say(f"aden: no request has counted against {key} yet{meant}", aside=True)
    return note


def _is_endless(note: Note | None) -> bool:
    return note is not None and note.window.at(0.0).ends_at is None


def _window_now(note: Note | None, at: float) -> str | None:
    if note is None:
        return None
    rolling = note.window.rolling
    return rolling.series if rolling else note.window.at(at).id
