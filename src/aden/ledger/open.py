"""Open a ledger by its URL."""

import os
import sys
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qsl

from aden.errors import ConfigurationError
from aden.ledger.journal import OPTIONS, Keep, read_keep
from aden.ledger.memory import MemoryLedger
from aden.ledger.protocol import Ledger, Reach
from aden.ledger.redis_url import ALLOWED as ALLOWED_REDIS
from aden.ledger.redis_url import is_redis, shown
from aden.ledger.sqlite import SqliteLedger
from aden.ledger.sqlite_probe import ADVICE, prove_locks

ALLOWED_SQLITE = f"sqlite:///absolute/path[?{OPTIONS}]"
ALLOWED = f"memory: | {ALLOWED_SQLITE} | {ALLOWED_REDIS}"
REACHES: tuple[Reach, ...] = get_args(Reach)


def open_ledger(url: str, required_reach: Reach = "process", *, setting: str = "ledger") -> Ledger:
    """Open the ledger at *url*, which *setting* names.

    Raises:
        ConfigurationError: The URL is no ledger, its file cannot be written, its server refuses us,
            or it reaches less far than *required_reach*.
    """
    try:
        return _open(url, required_reach)
    except ConfigurationError as error:
        raise ConfigurationError(setting, error.value, error.allowed) from error.__cause__


def _open(url: str, required_reach: Reach) -> Ledger:
    ledger: Ledger
    if url in ("memory:", "memory://"):
        ledger = MemoryLedger()
    elif url.startswith("sqlite:///"):
        ledger = _open_sqlite(shown_url(url))
    elif is_redis(url):
        ledger = _open_redis(url)
    else:
        raise ConfigurationError("ledger", shown(url), ALLOWED + _meant(url))
    try:
        check_reach(ledger, required_reach)
    except ConfigurationError:
        ledger.close()
        raise
    return ledger


def _meant(url: str) -> str:
    """A path was given, or a URL of one with other slashes: how the same is written."""
    path = url.removeprefix("sqlite:").lstrip("/")
    return f"; did you mean sqlite:///{path}?" if url.startswith(("/", "sqlite:")) else ""


def check_reach(ledger: Ledger, required: Reach) -> None:
    """Refuse a ledger that too few share.

    Raises:
        ConfigurationError: It reaches less far than *required*.
    """
    if REACHES.index(ledger.reach) < REACHES.index(required):
        allowed = f"a ledger that reaches the {required}, as ADEN_LEDGER_REACH asks"
        why = f"{allowed}; this one reaches the {ledger.reach}"
        raise ConfigurationError("ledger", ledger.url, why)


def sqlite_path(url: str) -> Path:
    """The file of a SQLite ledger's URL."""
    return Path("/" + url.removeprefix("sqlite:///").lstrip("/").partition("?")[0])


def _open_sqlite(url: str) -> Ledger:
    path = sqlite_path(url)

    def wrong(hint: str) -> ConfigurationError:
        return ConfigurationError("ledger", url, f"{ALLOWED_SQLITE}: {hint}")

    if path.name == ":memory:":  # as other programs write it; here it would be a file
        raise wrong("memory: is the ledger in this process's memory")
    if path.is_dir():
        raise wrong("a file's path, and this is a directory")
    options = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    keep = read_keep(options, Keep(), wrong)
    if options:
        raise wrong("no other options")
    ledger = SqliteLedger(path, url=url, keep=keep)
    if problem := prove_locks(path):
        ledger.close()
        raise ConfigurationError("ledger", ledger.url, f"{ADVICE} ({problem})")
    return ledger


def _open_redis(url: str) -> Ledger:
    try:
        from aden.ledger.redis import RedisLedger
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        allowed = "the package redis for this ledger: pip install 'aden-py[redis]'"
        raise ConfigurationError("ledger", shown(url), allowed) from None
    return RedisLedger(url)


def shown_url(url: str) -> str:
    """*url* as the ledger that it opens names itself: in one spelling, without secrets."""
    if url.startswith("sqlite:///"):
        return "sqlite:///" + url.removeprefix("sqlite:///").lstrip("/")
    if url == "memory://":
        return "memory:"
    return shown(url)


def default_ledger_url() -> str:
    """The SQLite file in this user's state directory, shared by all processes of the host.

    Raises:
        ConfigurationError: The user has no home directory, as in some containers.
    """
    try:
        return f"sqlite://{state_directory() / 'aden' / 'ledger.db'}"
    except RuntimeError:
        allowed = f"{ALLOWED} (in ADEN_LEDGER), as this user has no home directory"
        raise ConfigurationError("ledger", None, allowed) from None


def lost_with_container(url: str) -> str | None:
    """Why what is booked at *url*, a place that nobody chose, will not last; None where it may.

    A container's own file system ends with it, and is what a default place most likely stands on.
    """
    if url.startswith("memory:") or not _in_container():
        return None
    return f"the ledger {url} is lost with this container; name a lasting place in ADEN_LEDGER"


def _in_container() -> bool:
    marks = ("/.dockerenv", "/run/.containerenv")
    return any(Path(mark).exists() for mark in marks) or "KUBERNETES_SERVICE_HOST" in os.environ


def state_directory() -> Path:
    """Where this user's programs keep what they have to remember.

    Raises:
        RuntimeError: The user has no home directory.
    """
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    # https://specifications.freedesktop.org/basedir-spec/latest/
    configured = Path(os.environ.get("XDG_STATE_HOME", ""))
    return configured if configured.is_absolute() else Path.home() / ".local" / "state"
