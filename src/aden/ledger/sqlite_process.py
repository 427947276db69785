"""What a process's forks and its end mean for its SQLite ledgers."""

import atexit
import sqlite3
import time
import weakref
from typing import Protocol

from aden.core.forks import see_through_forks

EXIT_WAIT_S = 2.0


class Store(Protocol):
    """A way to a ledger's file."""

    def settle_down(self, timeout_s: float) -> None:
        """The process ends: leave nothing undone."""


_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()
_left_to_parent: list[sqlite3.Connection] = []
_exit_deadline: float | None = None


def see_through(store: Store) -> None:
    """See *store* through forks and the process's end."""
    _stores.add(store)
    see_through_forks(store)


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


atexit.register(_settle_down)
