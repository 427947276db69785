"""What outlives a fork of its process, and is told of it."""

import logging
import os
import weakref
from collections.abc import Callable
from functools import partial

logger = logging.getLogger("aden")

_owners: "weakref.WeakSet[object]" = weakref.WeakSet()
_in_children: list[Callable[[], object]] = []


def see_through_forks(owner: object) -> None:
    """Call what *owner* has of `before_fork`, `after_fork_in_parent` and `after_fork_in_child`.

    As long as somebody else refers to it.
    """
    _owners.add(owner)


def call_in_children(run: Callable[[], object]) -> None:
    """Call *run* in each process that is forked from this one, for what a module itself holds."""
    _in_children.append(run)


def _tell(step: str) -> None:
    for owner in list(_owners):
        if (told := getattr(owner, step, None)) is not None:
            _call(told)


def _tell_child() -> None:
    _tell("after_fork_in_child")
    for run in _in_children:
        _call(run)


def _call(told: Callable[[], object]) -> None:
    try:
        told()
    except Exception:  # the others have to be told all the same
        logger.exception("aden: %s failed", getattr(told, "__qualname__", told))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=partial(_tell, "before_fork"),
        after_in_parent=partial(_tell, "after_fork_in_parent"),
        after_in_child=_tell_child,
    )
