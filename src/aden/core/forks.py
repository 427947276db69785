"""What outlives a fork of its process, and is told of it."""

import logging
import os
import weakref
from functools import partial

logger = logging.getLogger("aden")

_owners: "weakref.WeakSet[object]" = weakref.WeakSet()


def see_through_forks(owner: object) -> None:
    """Call what *owner* has of `before_fork`, `after_fork_in_parent` and `after_fork_in_child`.

    As long as somebody else refers to it.
    """
    _owners.add(owner)


def _tell(step: str) -> None:
    for owner in list(_owners):
        if (told := getattr(owner, step, None)) is not None:
            try:
                told()
            except Exception:  # the others have to be told all the same
                logger.exception("aden: %s of %s failed", step, type(owner).__name__)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=partial(_tell, "before_fork"),
        after_in_parent=partial(_tell, "after_fork_in_parent"),
        after_in_child=partial(_tell, "after_fork_in_child"),
    )
