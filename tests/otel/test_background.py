"""Work at a process's end: all of it at once, and no longer than is allowed."""

import threading
import time

from aden.otel.exit import Background


def test_what_is_done_in_time_is_waited_for() -> None:
    """Two works take as long as the longer one."""
    started = time.monotonic()
    work = Background(lambda: time.sleep(1), lambda: time.sleep(1))
    assert work.wait(started + 10)
    assert time.monotonic() - started < 1.9
    assert not work.running


def test_what_hangs_is_given_up_at_the_deadline_and_not_waited_for_again() -> None:
    """Three ways to the end of a process ask in turn; only the first one waits."""
    free = threading.Event()
    work = Background(free.wait)
    started = time.monotonic()
    assert not work.wait(started + 0.1)
    assert not work.wait(time.monotonic() + 5)
    assert time.monotonic() - started < 3
    free.set()
    while work.running:
        time.sleep(0.001)
    assert work.wait(time.monotonic())


def test_work_that_raises_is_done() -> None:
    """Nothing hangs on it."""
    quiet = threading.excepthook
    threading.excepthook = lambda args: None
    try:
        work = Background(lambda: 1 // 0)
        assert work.wait(time.monotonic() + 5)
    finally:
        threading.excepthook = quiet
