"""Taking a lock so that whoever is interrupted has either not got it or gives it back."""

import threading
from collections.abc import Iterator
from functools import partial


def taken(lock: threading.Lock, timeout_s: float) -> Iterator[bool]:
    """Take *lock* in the head of a ``for``, whose body is a ``try`` that releases it, and returns.

    A signal's handler (Ctrl-C) can raise after each call, so also between ``acquire`` and ``try``,
    but not in the head of a ``for``. Where the lock is not free in time, the body does not run.
    """
    return iter(partial(lock.acquire, True, timeout_s), False)
