"""What in an answer's usage cannot be true."""

from typing import Any

from aden.core.usage import MAX_TOKENS, token_count
from aden.instrumentation.told import NOTHING, fields, get

MAX_SHOWN = 60
"""Characters of a value that are shown; it comes from outside."""


def doubt(answer: Any) -> str | None:
    """Name and value of the first count in *answer* that is none; None where all can be true.

    Args:
        answer: A whole answer or a stream's last chunk, as an object or as JSON.
    """
    usage = get(answer, "usage")
    if usage is None:
        usage = get(get(answer, "response"), "usage")
    return None if usage is None else _doubt(usage, "usage")


def _doubt(usage: Any, path: str) -> str | None:
    if (found := fields(usage)) is NOTHING:
        return f"{path}={_shown(usage)}"
    for name, value in found.items():
        if value is None:
            continue
        if str(name).endswith("_details"):
            if doubted := _doubt(value, f"{path}.{name}"):
                return doubted
        elif type(value) is int and 0 <= value <= MAX_TOKENS:
            continue  # which nearly all are
        elif str(name).endswith("_tokens") and token_count(value) is None:
            return f"{path}.{name}={_shown(value)}"
    return None


def _shown(value: object) -> str:
    said = repr(value)
    return said if len(said) <= MAX_SHOWN else said[:MAX_SHOWN] + "…"
