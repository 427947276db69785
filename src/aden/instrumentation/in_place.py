"""Wrap a function in place: whoever has it, bound, kept or in a wrapper of his own, calls ours.

A wrapper that is put into a class is passed by what was taken out of the class before. So here the
function stays the very object that it is: its code becomes ours, and a copy of it keeps its own.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, TypeGuard

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""Takes what it wraps, bound; what that is bound to; and the arguments."""


@dataclass(frozen=True, slots=True)
class _Link:
    """What our code finds among the defaults of the function that it runs for."""

    wrapper: Wrapper
    original: FunctionType

    def call(self, owner: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self.wrapper(MethodType(self.original, owner), owner, args, kwargs)


_LINK = "_aden_link"


def _code(*args: Any, _aden_link: _Link, **kwargs: Any) -> Any:
    return _aden_link.call(*args, **kwargs)


async def _acode(*args: Any, _aden_link: _Link, **kwargs: Any) -> Any:
    return await _aden_link.call(*args, **kwargs)


def can_wrap(function: object) -> TypeGuard[FunctionType]:
    """Whether it is a plain method; our code has no place for what another's closes over."""
    return inspect.isfunction(function) and function.__closure__ is None


def wrapper_of(function: object) -> Wrapper | None:
    """Our wrapper, where *function* runs our code."""
    link = _link_of(function)
    return link.wrapper if link is not None else None


def wrap(function: FunctionType, wrapper: Wrapper) -> None:
    """Have *wrapper* called for it; ``inspect`` goes on telling what it was."""
    defaults = function.__kwdefaults__
    original = FunctionType(function.__code__, function.__globals__, argdefs=function.__defaults__)
    original.__kwdefaults__ = defaults
    functools.update_wrapper(original, function)
    del vars(original)["__wrapped__"]
    # Other threads may call it between any two of these lines: its own code does not mind a default
    # that it has no name for, and ours finds what it needs.
    function.__kwdefaults__ = {**(defaults or {}), _LINK: _Link(wrapper, original)}
    function.__code__ = (_acode if inspect.iscoroutinefunction(function) else _code).__code__
    vars(function)["__wrapped__"] = original


def unwrap(function: FunctionType) -> None:
    """Make it again what it was."""
    if (link := _link_of(function)) is not None:
        del vars(function)["__wrapped__"]
        function.__code__ = link.original.__code__
        function.__kwdefaults__ = link.original.__kwdefaults__


def _link_of(function: object) -> _Link | None:
    if inspect.isfunction(function) and function.__code__ in (_code.__code__, _acode.__code__):
        return (function.__kwdefaults__ or {}).get(_LINK)
    return None
