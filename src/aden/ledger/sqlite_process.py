"""What a process's forks and its end mean for its SQLite ledgers."""

import atexit
import os
import sqlite3
import time
import weakref
from typing import Protocol

from aden.ledger.sqlite_file import forget_creators

EXIT_WAIT_S = 2.0


class Store(Protocol):
    """A way to a ledger's file."""

    def settle_down(self, timeout_s: float) -> None:
        """The process ends: leave nothing undone."""

    def before_fork(self) -> None:
        """Leave nothing half done and nothing open."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start anew."""


_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()
_left_to_parent: list[sqlite3.Connection] = []
_exit_deadline: float | None = None


def see_through(store: Store) -> None:
    """See *store* through forks and the process's end."""
    _stores.add(store)


def exit_deadline() -> float | None:
    """Until when (monotonic seconds) an interpreter that shuts down may be kept; None: it runs."""
    return _exit_deadline


def leave_to_parent(connection: sqlite3.Connection) -> None:
    """A forked child must neither use nor close it, so it may not be collected here."""
    _left_to_parent.append(connection)


def _settle_down() -> None:
    global _exit_deadline  # noqa: PLW0603 - there is one exit
    _exit_deadline = time.monotonic() + EXIT_WAIT_S
    for store in list(_stores):
        store.settle_down(_exit_deadline - time.monotonic())


def _before_fork() -> None:
    for store in list(_stores):
        store.before_fork()


def _after_fork_in_parent() -> None:
    for store in list(_stores):
        store.after_fork_in_parent()


def _after_fork_in_child() -> None:
    forget_creators()
    for store in list(_stores):
        store.after_fork_in_child()


atexit.register(_settle_down)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
