"""Threads that take the interpreter from each other as often as it lets them."""

from __future__ import annotations

import sys
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def others_making(make: Callable[[], object]) -> Iterator[None]:
    """Three threads that go on with *make*, and keep the latest that they made."""
    over = threading.Event()

    def work() -> None:
        latest: deque[object] = deque(maxlen=50)
        while not over.is_set():
            latest.append(make())

    others = [threading.Thread(target=work) for _ in range(3)]
    switched_every_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in others:
            each.start()
        yield
    finally:
        over.set()
        sys.setswitchinterval(switched_every_s)
        for each in others:
            each.join()
