"""How a transaction on a SQLite ledger begins, and how what was put off is booked in it."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TypeVar

from aden.core.interruption import interrupts
from aden.ledger.sqlite_file import BUSY_WAIT_S, Connection, is_busy

logger = logging.getLogger("aden.ledger")
T = TypeVar("T")
Work = Callable[[Connection, float], T]
"""What is done inside one transaction; it is given the connection and the time."""

PAUSE_S = 0.000_05
"""Between two looks at a busy file: others have it for some 100 µs, and SQLite would sleep 1 ms."""


class NotPlainError(Exception):
    """A booking failed by itself: those beside it have to be kept apart from it."""


def begin(connection: Connection, *, reads: bool, waits: bool) -> None:
    """Begin a transaction; to write, with the file's lock.

    Raises:
        sqlite3.Error: Busy, if it *waits*, for `BUSY_WAIT_S`; or beyond use.
    """
    if reads:
        connection.execute("BEGIN")
        return
    deadline: float | None = None
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            now = time.monotonic()
            deadline = deadline or now + BUSY_WAIT_S
            if not waits or now >= deadline or not is_busy(error):
                raise
        time.sleep(PAUSE_S)


def book(db: Connection, now: float, works: Sequence[Work[None]]) -> None:
    """Carry out what was put off, in order; what has a `together` of its kind, by that.

    Raises:
        NotPlainError: It has to be tried again by `book_apart`, in another transaction.
    """
    try:
        if len(works) == 1:  # nearly always
            works[0](db, now)
            return
        for together, alike in groupby(works, key=_together):
            if together is not None:
                together(db, now, list(alike))
                continue
            for work in alike:
                work(db, now)
    except sqlite3.OperationalError:
        raise  # the file's fault: all of it is tried again
    except Exception as error:
        if interrupts(error):
            raise
        raise NotPlainError from error


def _together(work: Work[None]) -> Callable[[Connection, float, Sequence[Work[None]]], None] | None:
    return getattr(work, "together", None)


def book_apart(db: Connection, now: float, works: Sequence[Work[None]]) -> None:
    """`book`; what can never succeed must not stand in the way of the rest."""
    for work in works:
        _book_apart(db, now, work)


def _book_apart(db: Connection, now: float, work: Work[None]) -> None:
    db.execute("SAVEPOINT put_off")
    try:
        work(db, now)
    except sqlite3.OperationalError:
        raise
    except Exception as error:
        if interrupts(error):
            raise
        logger.exception("aden: a booking is impossible and left out")
        db.execute("ROLLBACK TO put_off")
        db.ages.clear()
    db.execute("RELEASE put_off")
