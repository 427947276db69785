"""Work at a process's end: all of it at once, and no longer than is allowed."""

import subprocess
import sys
import threading
import time

import pytest

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


def test_work_that_raises_is_done_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing hangs on it."""
    work = Background(lambda: 1 // 0)
    assert work.wait(time.monotonic() + 60)
    assert "could not be handed out" in caplog.text


ENDING = """
import threading, time
from aden.otel import exit

def outer():
    inner = exit.Background(lambda: done.append("inner"))  # as a provider's flush asks for ours
    done.append(inner.wait(time.monotonic() + 60))

done, stuck = [], threading.Event()
{standby}
threading.stack_size(1 << 46)  # no thread can be had any more
hanging = exit.Background(stuck.wait)
work = exit.Background(outer, lambda: 1 // 0, lambda: done.append("outer"))
work.wait(time.monotonic() + 60)
print(sorted(map(str, done)), work.running, hanging.running)
"""


@pytest.mark.parametrize(
    ("standby", "said"),
    [
        ("exit._standby.begin(); exit._standby.begin()", "['True', 'inner', 'outer'] False True"),
        ("", "[] False False"),
    ],
)
def test_where_no_thread_can_be_started_those_that_stand_by_work(standby: str, said: str) -> None:
    """As at the end of a process on Python 3.12; without them it is left, and not waited for."""
    code = ENDING.format(standby=standby)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == said
