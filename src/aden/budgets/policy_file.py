"""Budgets and rules in a TOML file."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from aden.budgets.allowance import Allowance
from aden.budgets.budget import Budget, Mode
from aden.budgets.heard import DEFAULT_MESSAGE, Line
from aden.budgets.ladder import Alert, Degrade, Step, Throttle, one_of
from aden.budgets.policy import Policy, make_policy
from aden.budgets.rule import Block, Rule
from aden.budgets.scope import ANY
from aden.core.limit import Limit, requests, seconds, tokens
from aden.core.money import AsTyped
from aden.errors import ConfigurationError, did_you_mean

T = TypeVar("T")
MAX_BYTES = 8_000_000
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
    "beyond",
    "overrun",
    "on_refusal",
    "refusal_message",
    "refusal_audio",
)
_LIMITS: Mapping[str, Callable[[Any], Limit]] = {
    "limit_tokens": tokens,
    "limit_requests": requests,
    "limit_seconds": seconds,
}
_Kind = tuple[type[Alert] | type[Degrade] | type[Throttle] | type[Block], tuple[str, ...]]
_LADDER: Mapping[str, _Kind] = {
    "alert": (Alert, ("at", "level", "message")),
    "degrade": (Degrade, ("at", "to", "providers")),
    "throttle": (Throttle, ("at", "delay_ms")),
}
_REQUIRED = {"at": "per cent of the limit", "to": "a model", "delay_ms": "milliseconds to wait"}
"""What steps cannot do without, where they have it."""
_RULES: Mapping[str, _Kind] = {**_LADDER, "block": (Block, ("message",))}


def load_policy(path: Path, mode: Mode) -> Policy:
    """Read budgets and rules from a TOML file.

    Raises:
        ConfigurationError: The file is missing, too large, not TOML, or an entry in it is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _no_toml(path, error) from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError("ADEN_BUDGETS", str(path), f"at most {MAX_BYTES} bytes")
    try:
        document = tomllib.loads(content.decode("utf-8-sig"), parse_float=AsTyped)
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits
        raise _no_toml(path, error) from error
    try:
        return _policy(document, mode)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.setting}", error.value, error.allowed) from None


def _no_toml(path: Path, error: Exception) -> ConfigurationError:
    allowed = f"a TOML file with [[budget]] tables ({error})"
    return ConfigurationError("ADEN_BUDGETS", str(path), allowed)


def _policy(document: Mapping[str, Any], mode: Mode) -> Policy:
    _known_keys("file", document, ("budget", "rule", "mode"))
    budgets, rules = (_tables(document, name) for name in ("budget", "rule"))
    chosen = document.get("mode", mode)
    one_of("mode", chosen, get_args(Mode))
    if not (budgets or rules or "mode" in document):
        allowed = "at least one [[budget]] or [[rule]]; to switch them all off: mode = 'off'"
        raise ConfigurationError("file", "", allowed)
    return make_policy(
        (_budget(table, number) for number, table in enumerate(budgets, 1)),
        chosen,
        (_rule(table, number) for number, table in enumerate(rules, 1)),
    )


def _tables(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    tables = document.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigurationError(name, tables, f"[[{name}]] tables")
    return tables


def _rule(table: Mapping[str, Any], number: int) -> Rule:
    name = f"rule {number}"
    entry = dict(table)
    scope, unit = entry.pop("scope", {}), entry.pop("unit", None)
    if entry.get("action") in tuple(_LADDER):  # which may be anything, and no key
        entry.setdefault("at", 0)
    try:
        return Rule(_step(entry, name, _RULES, ("scope", "unit")), _scope(scope, name), unit)
    except ConfigurationError as error:
        where = error.setting
        setting = where if where.startswith(name) else f"{name}: {where.removeprefix('rule: ')}"
        raise ConfigurationError(setting, error.value, error.allowed) from None


def _scope(scope: object, name: str) -> dict[str, object]:
    if not isinstance(scope, dict):
        raise ConfigurationError(f"{name}: scope", scope, "a table such as {customer = 'acme'}")
    return {key: _wanted(key, value) for key, value in scope.items()}


def _wanted(label: str, value: object) -> object:
    """A value of a scope; a star in a list means what `ANY` in one does, but for models."""
    if isinstance(value, list) and label != "model":
        return [_wanted(label, each) for each in value]
    return ANY if value == "*" else value


def _budget(table: Mapping[str, Any], number: int) -> Budget:
    name = f"budget {table.get('id') or number}"
    _known_keys(name, table, _BUDGET_KEYS)
    if "id" not in table:
        raise ConfigurationError(f"{name}: id", None, "a name of its own, such as id = 'calls'")
    limits = [key for key in table if key.startswith("limit_")]
    if len(limits) != 1:
        allowed = "one of " + ", ".join(("limit_usd", *_LIMITS))
        raise ConfigurationError(f"{name}: limit", limits, allowed)
    values = dict(table)
    for key, limit in _LIMITS.items():
        if key in values:
            values["limit"] = _count(limit, values.pop(key), f"{name}: {key}")
    if isinstance(down := values.get("on_ledger_down"), dict):
        values["on_ledger_down"] = _allowance(down, f"{name}: on_ledger_down")
    if "refusal_audio" in values:
        values["refusal_message"] = _line(values, name)
    scope = values.pop("scope", {})
    ladder = values.pop("ladder", [])
    if not isinstance(ladder, list):
        raise ConfigurationError(f"{name}: ladder", ladder, "[[budget.ladder]] tables")
    values["ladder"] = [_step(entry, f"{name}: ladder", _LADDER) for entry in ladder]
    return Budget(**values, scope=_scope(scope, name))


def _line(values: dict[str, Any], name: str) -> Line:
    text, audio = values.get("refusal_message", DEFAULT_MESSAGE), values.pop("refusal_audio")
    if not isinstance(audio, str):
        raise ConfigurationError(f"{name}: refusal_audio", audio, "the path of a sound file")
    try:
        return Line(text, audio)
    except ConfigurationError as error:
        setting = error.setting.replace("Line.text", "refusal_message")
        setting = setting.replace("Line.audio", "refusal_audio")
        raise ConfigurationError(f"{name}: {setting}", error.value, error.allowed) from None


def _count(count: Callable[[Any], T], value: object, setting: str) -> T:
    """What *count* makes of a value, or its error under the name that the file has for it."""
    try:
        return count(value)
    except ConfigurationError as error:
        raise ConfigurationError(setting, error.value, error.allowed) from None


def _allowance(table: Mapping[str, Any], name: str) -> Allowance:
    kinds = {f"allowance_{key[6:]}": count for key, count in _LIMITS.items()}
    if len(table) != 1 or not set(table) <= {"allowance_usd", *kinds}:
        allowed = "refuse | allow | a table with one of " + ", ".join(("allowance_usd", *kinds))
        raise ConfigurationError(name, table, allowed)
    ((kind, value),) = table.items()
    setting = f"{name}: {kind}"
    of = _count(kinds[kind], value, setting) if kind in kinds else value
    return _count(Allowance, of, setting)


def _step(
    entry: object, name: str, kinds: Mapping[str, _Kind], beside: tuple[str, ...] = ()
) -> Step | Block:
    """A step of a ladder or a rule; *beside* it stand keys that were taken out of the entry."""
    if not isinstance(entry, dict):
        raise ConfigurationError(name, entry, "a table with action = " + " | ".join(kinds))
    if (action := entry.get("action")) == "cancel":  # the word for it everywhere else
        meant = "; did you mean block?" if "block" in kinds else "; at 100 per cent it cancels"
        raise ConfigurationError(f"{name}: action", action, " | ".join(kinds) + meant)
    one_of(f"{name}: action", action, tuple(kinds))
    step, keys = kinds[str(action)]
    _known_keys(name, entry, ("action", *keys, *beside))
    try:
        return step(**{key: entry[key] for key in keys if key in entry})
    except TypeError:
        for key, allowed in _REQUIRED.items():
            if key in keys and key not in entry:
                raise ConfigurationError(f"{name}: {action}: {key}", None, allowed) from None
        raise ConfigurationError(name, entry, ", ".join(keys)) from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error.setting}", error.value, error.allowed) from None


def _known_keys(name: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            meant = did_you_mean(key, known)
            raise ConfigurationError(f"{name}: key", key, f"one of {', '.join(known)}{meant}")
