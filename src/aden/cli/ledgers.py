"""Which ledger a command looks at: the one that processes of this environment use."""

import os
import sys

from aden.errors import ConfigurationError
from aden.ledger import Ledger, default_ledger_url, open_ledger
from aden.ledger.open import sqlite_path
from aden.settings import Settings


def ledger_here(url: str | None) -> Ledger:
    """Open the ledger at *url*, else that of ``ADEN_LEDGER``, else the default one.

    Raises:
        ConfigurationError: There is none, or it lives in another process's memory.
    """
    place, setting = _place(url)
    if not _is_made(place):
        allowed = "a ledger that exists; name it with --ledger or ADEN_LEDGER"
        raise ConfigurationError(setting, place, allowed)
    return open_ledger(place, setting=setting)


def ledger_to_read(url: str | None) -> tuple[Ledger, str | None]:
    """As `ledger_here`; before the first worker has made it, an empty one and what to say of it.

    Raises:
        ConfigurationError: It lives in another process's memory, or *url* is named and not there.
    """
    place, setting = _place(url)
    if url is not None or _is_made(place):
        return ledger_here(url), None
    own = "this user's own; ADEN_LEDGER or --ledger names another"
    return open_ledger("memory:"), (
        f"Nothing has been booked yet: there is no ledger at {place} "
        f"({own if setting == 'ledger' else setting}).\n"
        "A worker with budgets, or with ADEN_LEDGER, makes it when it starts; its first call is "
        "the first line.\nWhere the workers of this environment book: aden doctor"
    )


def say(said: str, *, aside: bool) -> None:
    """Print what is said for people; *aside*: standard output is for a program."""
    print(said, file=sys.stderr if aside else sys.stdout)


def _place(url: str | None) -> tuple[str, str]:
    """The ledger's URL, and the setting that names it."""
    if url is not None:
        place, setting = url, "--ledger"
    elif (named := Settings.from_env(os.environ).ledger) is not None:
        place, setting = named, "ADEN_LEDGER"
    else:
        place, setting = default_ledger_url(), "ledger"
    if place.startswith("memory:"):
        allowed = "a ledger that processes share: sqlite:///absolute/path or redis://…"
        raise ConfigurationError(setting, place, allowed)
    return place, setting


def _is_made(place: str) -> bool:
    return not place.startswith("sqlite:///") or sqlite_path(place).exists()
