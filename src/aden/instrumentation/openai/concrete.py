"""Parameters of which the SDK makes lists, made lists before they are measured.

It takes any iterable there: an iterator would be spent by measuring it, and what is neither a list
nor a tuple would not be measured.
"""

from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any

from aden.instrumentation.told import LISTS, is_model

_LISTS = ("messages", "tools")


def concrete(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The parameters, as all can be read twice; what can already is the caller's own."""
    for name in _LISTS:
        if name in kwargs and (listed := _listed(kwargs[name])) is not kwargs[name]:
            kwargs = {**kwargs, name: listed}
    return kwargs


def _listed(value: Any) -> Any:
    """*value* as a list, and so what is in it, down to the parts of a message."""
    kind = type(value)  # a list of dicts is what nearly all are
    if kind is dict or (kind is not list and isinstance(value, Mapping)):
        content = value.get("content")
        listed = content if type(content) is str else _listed(content)
        return value if listed is content else {**value, "content": listed}
    if kind is not list and _is_one(value):
        return value
    items = [_listed(each) for each in value]
    same = isinstance(value, LISTS) and all(map(is_, items, value))
    return value if same else items


def _is_one(value: Any) -> bool:
    return isinstance(value, str | bytes) or not isinstance(value, Iterable) or is_model(value)
