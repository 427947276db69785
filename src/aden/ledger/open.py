"""Open a ledger by its URL."""

import os
import sys
from pathlib import Path

from aden.errors import ConfigurationError
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Ledger, Reach
from aden.ledger.sqlite import SqliteLedger

ALLOWED = "memory: | sqlite:///absolute/path"
REACHES: tuple[Reach, ...] = ("process", "host", "fleet")


def open_ledger(url: str, required_reach: Reach = "process") -> Ledger:
    """Open the ledger at *url*.

    Raises:
        ConfigurationError: The URL is no ledger, its file cannot be written, or it reaches less
            far than *required_reach*.
    """
    ledger: Ledger
    if url in ("memory:", "memory://"):
        ledger = MemoryLedger()
    elif url.startswith("sqlite:///"):
        ledger = SqliteLedger(Path("/" + url.removeprefix("sqlite:///").lstrip("/")))
    else:
        raise ConfigurationError("ledger", url, ALLOWED)
    if REACHES.index(ledger.reach) < REACHES.index(required_reach):
        ledger.close()
        allowed = f"a ledger that reaches the {required_reach}, as ADEN_LEDGER_REACH asks"
        raise ConfigurationError("ledger", url, f"{allowed}; this one reaches the {ledger.reach}")
    return ledger


def default_ledger_url() -> str:
    """The SQLite file in this user's state directory, shared by all processes of the host.

    Raises:
        ConfigurationError: The user has no home directory, as in some containers.
    """
    try:
        return f"sqlite://{_state_directory() / 'aden' / 'ledger.db'}"
    except RuntimeError:
        allowed = f"{ALLOWED} (in ADEN_LEDGER), as this user has no home directory"
        raise ConfigurationError("ledger", None, allowed) from None


def _state_directory() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    # https://specifications.freedesktop.org/basedir-spec/latest/
    configured = Path(os.environ.get("XDG_STATE_HOME", ""))
    return configured if configured.is_absolute() else Path.home() / ".local" / "state"
