"""What in an answer's usage cannot be true."""

from collections.abc import Mapping
from typing import Any

from aden.core.usage import token_count

MAX_SHOWN = 60
"""Characters of a value that are shown; it comes from outside."""


def doubt(answer: Any) -> str | None:
    """Name and value of the first count in *answer* that is none; None where all can be true.

    Args:
        answer: A whole answer or a stream's last chunk, as an object or as JSON.
    """
    usage = _field(answer, "usage")
    if usage is None:
        usage = _field(_field(answer, "response"), "usage")
    return None if usage is None else _doubt(usage, "usage")


def _doubt(usage: Any, path: str) -> str | None:
    fields = usage if isinstance(usage, Mapping) else getattr(usage, "__dict__", None)
    if fields is None:
        return f"{path}={_shown(usage)}"
    for name, value in {**fields, **(getattr(usage, "__pydantic_extra__", None) or {})}.items():
        if value is None:
            continue
        if str(name).endswith("_details"):
            if found := _doubt(value, f"{path}.{name}"):
                return found
        elif str(name).endswith("_tokens") and token_count(value) is None:
            return f"{path}.{name}={_shown(value)}"
    return None


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _shown(value: object) -> str:
    said = repr(value)
    return said if len(said) <= MAX_SHOWN else said[:MAX_SHOWN] + "…"
