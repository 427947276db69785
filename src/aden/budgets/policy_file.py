"""Budgets in a TOML file, read again when it changes."""

import logging
import os
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aden.budgets.allowance import Allowance
from aden.budgets.budget import Budget, Mode
from aden.budgets.ladder import Alert, Degrade, Step, Throttle
from aden.budgets.policy import Policy, make_policy
from aden.budgets.scope import ANY
from aden.core.limit import Limit, requests, seconds, tokens
from aden.errors import ConfigurationError

logger = logging.getLogger("aden.budgets")

LOOK_EVERY_S = 1.0
_BUDGET_KEYS = (
    "id",
    "limit_usd",
    "limit_tokens",
    "limit_requests",
    "limit_seconds",
    "window",
    "timezone",
    "name",
    "scope",
    "ladder",
    "mode",
    "unknown_price",
    "on_ledger_down",
)
_LIMITS: Mapping[str, Callable[[Any], Limit]] = {
    "limit_tokens": tokens,
    "limit_requests": requests,
    "limit_seconds": seconds,
}
_STEPS: Mapping[str, tuple[type[Alert] | type[Degrade] | type[Throttle], tuple[str, ...]]] = {
    "alert": (Alert, ("at", "level", "message")),
    "degrade": (Degrade, ("at", "to")),
    "throttle": (Throttle, ("at", "delay_ms")),
}


class PolicyFile:
    """The policy in a file; a broken edit keeps the last good one and says so."""

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self._mode = mode
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._policy = load_policy(path, mode)
        self._looked_at = time.monotonic()

    def current(self) -> Policy:
        """The policy now; the file's time stamp is looked at once a second at most."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S and self._lock.acquire(blocking=False):
            try:
                self._looked_at = now
                self._look()
            finally:
                self._lock.release()
        return self._policy

    def _look(self) -> None:
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._policy = load_policy(self.path, self._mode)
        except ConfigurationError as error:
            logger.error(
                "aden: %s changed but is not valid; the last good one stays: %s", self.path, error
            )
        else:
            logger.info(
                "aden: budgets read again from %s (version %s)", self.path, self._policy.version
            )


def load_policy(path: Path, mode: Mode) -> Policy:
    """Read budgets from a TOML file.

    Raises:
        ConfigurationError: The file is missing or not TOML, or an entry in it is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        allowed = f"a TOML file with [[budget]] tables ({error})"
        raise ConfigurationError("ADEN_BUDGETS", str(path), allowed) from error
    _known_keys(str(path), document, ("budget", "mode"))
    tables = document.get("budget", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigurationError(f"{path}: budget", tables, "[[budget]] tables")
    chosen = document.get("mode", mode)
    if chosen not in ("enforce", "observe", "off"):
        raise ConfigurationError(f"{path}: mode", chosen, "enforce | observe | off")
    return make_policy((_budget(table, path) for table in tables), chosen)


def _budget(table: Mapping[str, Any], path: Path) -> Budget:
    name = f"{path}: budget {table.get('id', '?')}"
    _known_keys(name, table, _BUDGET_KEYS)
    if "id" not in table:
        raise ConfigurationError(f"{name}: id", None, "a value")
    limits = [key for key in table if key.startswith("limit_")]
    if len(limits) != 1:
        allowed = "one of " + ", ".join(("limit_usd", *_LIMITS))
        raise ConfigurationError(f"{name}: limit", limits, allowed)
    values = dict(table)
    for key, limit in _LIMITS.items():
        if key in values:
            values["limit"] = limit(values.pop(key))
    if isinstance(down := values.get("on_ledger_down"), dict):
        values["on_ledger_down"] = _allowance(down, f"{name}: on_ledger_down")
    scope = values.pop("scope", {})
    ladder = values.pop("ladder", [])
    if not isinstance(scope, dict):
        raise ConfigurationError(f"{name}: scope", scope, "a table such as {customer = 'acme'}")
    if not isinstance(ladder, list):
        raise ConfigurationError(f"{name}: ladder", ladder, "[[budget.ladder]] tables")
    scope = {key: ANY if value == "*" else value for key, value in scope.items()}
    return Budget(**values, scope=scope, ladder=[_step(entry, name) for entry in ladder])


def _allowance(table: Mapping[str, Any], name: str) -> Allowance:
    kinds = {"allowance_usd": None, **{f"allowance_{key[6:]}": _LIMITS[key] for key in _LIMITS}}
    if len(table) != 1 or not set(table) <= set(kinds):
        allowed = "refuse | allow | a table with one of " + ", ".join(kinds)
        raise ConfigurationError(name, table, allowed)
    ((kind, value),) = table.items()
    count = kinds[kind]
    return Allowance(count(value) if count else value)


def _step(entry: object, name: str) -> Step:
    if not isinstance(entry, dict) or entry.get("action") not in _STEPS:
        allowed = "a table with action = " + " | ".join(_STEPS)
        raise ConfigurationError(f"{name}: ladder", entry, allowed)
    step, keys = _STEPS[entry["action"]]
    _known_keys(f"{name}: ladder", entry, ("action", *keys))
    try:
        return step(**{key: entry[key] for key in keys if key in entry})
    except TypeError:
        raise ConfigurationError(f"{name}: ladder", entry, ", ".join(keys)) from None


def _known_keys(name: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ConfigurationError(f"{name}: key", key, "one of " + ", ".join(known))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
