"""Which ledger a command looks at: the one that processes of this environment use."""

import os

from aden.errors import ConfigurationError
from aden.ledger import Ledger, default_ledger_url, open_ledger
from aden.ledger.open import sqlite_path
from aden.settings import Settings


def ledger_here(url: str | None) -> Ledger:
    """Open the ledger at *url*, else that of ``ADEN_LEDGER``, else the default one.

    Raises:
        ConfigurationError: There is none, or it lives in another process's memory.
    """
    chosen = url or Settings.from_env(os.environ).ledger or default_ledger_url()
    if chosen.startswith("memory:"):
        allowed = "a ledger that processes share: sqlite:///absolute/path or redis://…"
        raise ConfigurationError("ledger", chosen, allowed)
    if chosen.startswith("sqlite:///") and not sqlite_path(chosen).exists():
        allowed = "a ledger that exists; name it with --ledger or ADEN_LEDGER"
        raise ConfigurationError("ledger", chosen, allowed)
    return open_ledger(chosen)
