"""A fork while answers are on their way: they are the parent's, whatever the child does."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
from threading import Event, Lock, RLock, Thread
from typing import TYPE_CHECKING, Any

import pytest
from lanes import make_client
from shapes import STREAM

from aden.testing import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from house import House


def ask(server: OpenAIServer) -> None:
    """A request of the child's own."""
    list(make_client("sync", server).chat.completions.create(**STREAM))


@pytest.mark.parametrize("calls", [0, 1])
def test_a_child_that_ends_settles_its_own_calls_alone(
    calls: int, tmp_path: Path, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """The stream that it was forked beside is booked whole, when its parent has read it."""
    house = instrumented(ledger=f"sqlite://{tmp_path}/ledger.db")
    stream = make_client("sync", server).chat.completions.create(**STREAM)
    next(stream)
    fork: Any = multiprocessing.get_context("fork")
    children = [fork.Process(target=ask, args=(server,)) for _ in range(calls)]
    children = children or [fork.Process(target=os.getpid)]
    for child in children:
        child.start()
        child.join()
        assert child.exitcode == 0
    assert house.balance().held > 0
    list(stream)
    house.meter.flush()
    assert house.balance().settled == server.bill.total_nano_usd
    assert len(server.bill.items) == len(list(house.ledger.journal())) == 1 + calls


@pytest.mark.parametrize("leave", ["close", "read"])
def test_a_child_that_leaves_its_parent_s_stream_does_not_settle_it(
    leave: str, tmp_path: Path, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Nor where it unwinds a ``with`` around it. What it does read, its parent cannot."""
    house = instrumented(ledger=f"sqlite://{tmp_path}/ledger.db")
    stream = make_client("sync", server).chat.completions.create(**STREAM)
    next(stream)
    child = os.fork()
    if not child:
        try:
            stream.close() if leave == "close" else list(stream)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert house.balance().held > 0
    stream.close()
    (record,) = house.settled()
    assert (record.pid, record.stream_end) == (os.getpid(), "abandoned")


def our_locks() -> dict[str, Any]:
    """The locks of all that lives here and is ours, by whose attribute each is."""
    found = {}
    modules = list(sys.modules.items())
    kinds = [
        (f"{type(each).__module__}.{type(each).__qualname__}", each) for each in gc.get_objects()
    ]
    for owner, each in modules + kinds:
        if not owner.startswith("aden.") or "testing" in owner:
            continue
        for name in [*getattr(each, "__dict__", ()), *getattr(type(each), "__slots__", ())]:
            lock = getattr(each, name, None)
            if isinstance(lock, LOCKS):
                found[f"{owner}.{name}"] = lock
    return found


LOCKS = type(Lock()), type(RLock())
SEEN_TO_BEFORE = {"aden.ledger.sqlite_store", "aden.ledger.sqlite_checkpoint"}
"""A fork waits until these are free."""


def test_a_child_answers_whatever_its_parent_s_threads_held_at_the_fork(
    tmp_path: Path, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Of a lock that is held at a fork, the child's copy is held for ever."""
    house = instrumented(ledger=f"sqlite://{tmp_path}/ledger.db")
    ask(server)
    house.meter.flush()
    locks = {
        name: lock
        for name, lock in our_locks().items()
        if name.rpartition(".")[0].rpartition(".")[0] not in SEEN_TO_BEFORE
    }
    assert {
        "aden.core.estimate.InputEstimator._lock",
        "aden.metering.fill.Fill._lock",
        "aden.metering.complaints.Complaints._lock",
        "aden.telemetry.later._turn",
        "aden.runtime._lock",
    } <= set(locks)
    held, free = Event(), Event()

    def hold() -> None:
        with contextlib.ExitStack() as stack:
            for lock in locks.values():
                stack.enter_context(lock)
            held.set()
            free.wait()

    holding = Thread(target=hold)
    holding.start()
    try:
        assert held.wait(5)
        child = os.fork()
        if not child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # it ends this child alone
            signal.alarm(10)
            with contextlib.suppress(BaseException):
                ask(server)
                house.meter.flush()
                os._exit(0)
            os._exit(1)
    finally:
        free.set()
        holding.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(server.bill.items) == len(list(house.ledger.journal())) == 2
