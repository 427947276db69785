"""What a provider has told: an SDK's object or its JSON, read alike.

Abstract classes are asked last: that costs more than all else here, and dicts and an SDK's objects
are what nearly all answers are made of.
"""

import json
from collections.abc import Mapping
from typing import Any

LISTS = (list, tuple)
"""What lists are read from; as ``list | tuple`` it would be made anew each time."""


def is_model(value: object) -> bool:
    """Whether it is an answer of the SDK, so neither a stream nor a raw response."""
    return hasattr(type(value), "__pydantic_fields__")


def read_json(text: Any) -> Any:
    """What a text says as JSON; itself where it says nothing so."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def get(value: Any, name: str) -> Any:
    """A field; None where there is none."""
    if value is None:
        return None
    if isinstance(value, dict):
        return value.get(name)
    fields = getattr(value, "__dict__", None)
    if fields is not None and name in fields:
        return fields[name]
    if (extra := getattr(value, "__pydantic_extra__", None)) is not None:
        return extra.get(name)  # asked for what it lacks, pydantic takes microseconds to say no
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def fields(value: Any) -> Mapping[str, Any]:
    """All fields, for who reads several of them; `NOTHING` of what can have none."""
    if type(value) is dict:
        return value
    extra: Any = getattr(value, "__pydantic_extra__", _NO_MODEL)
    if extra is _NO_MODEL:
        return value if isinstance(value, Mapping) else getattr(value, "__dict__", NOTHING)
    found: dict[str, Any] = value.__dict__
    return {**extra, **found} if extra else found


_NO_MODEL = object()
NOTHING: Mapping[str, Any] = {}
"""Of a number, a text: what is neither an object nor a mapping."""
