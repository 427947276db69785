"""A scope: whose requests a rule is about, and the key that a scope has in a ledger."""

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import quote

from aden.budgets.ladder import one_of
from aden.core.attribution import Attribution
from aden.core.request import Request
from aden.errors import ConfigurationError


class _Any:
    """The type of `ANY`."""

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""In a scope: one budget for each value of the label, made when the value is first seen.

A request with several tags counts against the budget of each.
"""

SCOPES: Mapping[str, str] = {
    "agent": "agent",
    "tenant": "tenant_id",
    "customer": "customer_id",
    "feature": "feature",
    "session": "session_id",
    "user": "user_id",
    "context": "context_id",
    "room": "room_id",
    "participant": "participant_id",
    "provider": "provider",
    "model": "model",
    "tag": "tags",
}
"""What a scope may name, and the label that it is compared with."""

MAX_LABEL = 200
"""Characters of a label that stand in a ledger's key; a longer one stands there by its digest."""


def read_scope(scope: object, setting: str) -> Mapping[str, object]:
    """A scope as it was given, checked.

    Raises:
        ConfigurationError: It names a label that does not exist, or a value that no label has.
    """
    if not isinstance(scope, Mapping):
        raise ConfigurationError(setting, scope, "a mapping such as {'customer': 'acme'}")
    checked: dict[str, object] = {}
    for name, wanted in scope.items():
        one_of(setting, name, tuple(SCOPES))
        values = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
        good = all(isinstance(value, str) and value for value in values)
        if wanted is not ANY and not (good and values):
            allowed = "a non-empty string, a list of them, or ANY (in a file '*')"
            raise ConfigurationError(f"{setting}.{name}", wanted, allowed)
        checked[name] = wanted if wanted is ANY else values[0] if len(values) == 1 else values
    return checked


def labels(name: str, request: Request, attribution: Attribution) -> tuple[str, ...]:
    """The values that a request has of one label."""
    if name == "tag":
        return tuple(dict.fromkeys(tag for tag in attribution.tags if tag))
    source: object = request if name in ("provider", "model") else attribution
    value = getattr(source, SCOPES[name])
    return (str(value),) if value else ()


def agree(
    scope: Mapping[str, object], request: Request, attribution: Attribution
) -> tuple[dict[str, str], ...]:
    """The only rule by which a request is in a scope: every label agrees. Empty: it is not in it.

    Returns:
        What the ledger tells scopes apart by: the value of a label that is `ANY`, else what the
        scope names. More than one where a label that is `ANY` has several values, as tags do.
    """
    found: list[dict[str, str]] = [{}]
    for name, wanted in scope.items():
        values = _agreed(name, wanted, labels(name, request, attribution))
        found = [{**each, name: value} for each in found for value in values]
    return tuple(found)


def _agreed(name: str, wanted: object, values: tuple[str, ...]) -> tuple[str, ...]:
    if wanted is ANY or not values:
        return values
    named = wanted if isinstance(wanted, tuple) else (wanted,)
    for each in named:
        if each in values or (name == "model" and is_like(values[0], each)):
            return (" or ".join(named),)
    return ()


def is_pattern(name: str, wanted: str) -> bool:
    """Whether a scope's value stands for many values of its label."""
    return name == "model" and ("*" in wanted or "?" in wanted)


def is_like(model: str, pattern: str) -> bool:
    """Whether a model's name fits a pattern with ``*`` and ``?``, such as ``gpt-4*``."""
    return model == pattern or fnmatchcase(model, pattern.replace("[", "[[]"))


def are_apart(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether no request can be in both scopes, as far as their values show; models aside."""
    for name in one.keys() & other.keys() - {"model", "tag"}:
        left, right = one[name], other[name]
        left = set(left if isinstance(left, tuple) else (left,))
        right = set(right if isinstance(right, tuple) else (right,))
        if ANY not in left | right and not left & right:
            return True
    return False


def shown(found: Mapping[str, str]) -> str | None:
    """A scope as one word, no two scopes alike: ``customer=acme,model=gpt-4o``; None: no scope."""
    return ",".join(f"{name}={_escaped(value)}" for name, value in found.items()) or None


def _escaped(value: str) -> str:
    """A label without the characters that keys are put together with, and never a long one."""
    if len(value) > MAX_LABEL:
        return "#" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return "".join(
        char
        if char.isprintable() and char not in "%|=,#"
        else quote(char, "", "utf-8", "surrogatepass")
        for char in value
    )
