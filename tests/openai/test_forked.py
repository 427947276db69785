"""A fork while answers are on their way: they are the parent's, whatever the child does."""

from __future__ import annotations

import multiprocessing
import os
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
