"""Emitters, sync and async, from sync and async code; broken ones harm nothing."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from lanes import Lane, make_client
from shapes import REQUEST, STREAM

import aden
from aden import Alert, Budget

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.core.record import CallRecord
    from aden.testing import OpenAIServer
    from house import House

EMITTERS = pytest.mark.parametrize("emitter_kind", ["function", "coroutine", "async object"])


class AsyncObject:
    """An emitter whose ``__call__`` is async."""

    def __init__(self, emit: Callable[[Any], object]) -> None:
        self._emit = emit

    async def __call__(self, event: Any) -> None:
        await asyncio.sleep(0)
        self._emit(event)


def as_emitter(kind: str, emit: Callable[[Any], object]) -> Any:
    """*emit* as an emitter of this kind."""

    async def coroutine(event: Any) -> None:
        await asyncio.sleep(0)
        emit(event)

    return {"function": emit, "coroutine": coroutine, "async object": AsyncObject(emit)}[kind]


@EMITTERS
def test_an_emitter_gets_the_calls_of_sync_code(
    emitter_kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """In the order in which they were settled."""
    got: list[CallRecord] = []
    instrumented(emit_metric=as_emitter(emitter_kind, got.append))
    chat = make_client("sync", server).chat.completions
    chat.create(**REQUEST)
    list(chat.create(**STREAM))
    aden.flush()
    assert [(record.stream, record.usage.output_tokens) for record in got] == [
        (False, 12),
        (True, 12),
    ]


@EMITTERS
async def test_an_emitter_gets_the_calls_of_async_code(
    emitter_kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A coroutine runs on the loop of the call, where its own sessions live."""
    got: list[CallRecord] = []
    loops: list[Any] = []

    def emit(record: CallRecord) -> None:
        got.append(record)
        if emitter_kind != "function":
            loops.append(asyncio.get_running_loop())

    house = instrumented(emit_metric=as_emitter(emitter_kind, emit))
    lane = Lane("async", server)
    await asyncio.gather(*(lane.create(**REQUEST) for _ in range(5)))
    await house.meter.dispatcher.aflush(2)
    aden.flush()
    assert len(got) == 5
    assert all(loop is asyncio.get_running_loop() for loop in loops)


def test_a_loop_that_ends_takes_no_emitted_call_with_it(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``asyncio.run`` cancels what is left on its loop: it is then emitted from our thread."""
    got: list[CallRecord] = []

    async def emit(record: CallRecord) -> None:
        await asyncio.sleep(0.01)
        got.append(record)

    instrumented(emit_metric=emit)

    async def main() -> None:
        await Lane("async", server).create(**REQUEST)

    asyncio.run(main())
    aden.flush()
    assert len(got) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
@EMITTERS
async def test_an_emitter_that_raises_is_logged_once_and_harms_nothing(
    emitter_kind: str,
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    complaints: Callable[[], list[str]],
) -> None:
    """Calls answer, are booked and journaled; one line tells."""

    def bang(event: Any) -> None:
        raise RuntimeError("bang")

    house = instrumented(emit_metric=as_emitter(emitter_kind, bang))
    lane = Lane(kind, server)
    for _ in range(3):
        await lane.create(**REQUEST)
    await house.meter.dispatcher.aflush(2)
    aden.flush()
    assert house.balance().spent == server.bill.total_nano_usd
    assert len(list(house.ledger.journal())) == 3
    (line,) = complaints()
    assert "is not logged again" in line


def test_an_alert_handler_that_raises_is_logged_once(
    server: OpenAIServer, instrumented: Callable[..., House], complaints: Callable[[], list[str]]
) -> None:
    """Also where each alert of the ladder comes by an object of its own."""

    def bang(event: Any) -> None:
        raise RuntimeError("bang")

    steps = [Alert(1), Alert(2), Alert(3)]
    instrumented(budgets=[Budget("all", "0.002", ladder=steps)], on_alert=bang)
    make_client("sync", server).chat.completions.create(**REQUEST)
    aden.flush()
    assert len(complaints()) == 1


@EMITTERS
def test_an_alert_is_raised_once_a_window(
    emitter_kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Whoever crosses the step first raises it, by a handler of any kind."""
    got: list[Any] = []
    budget = Budget("all", "0.01", ladder=[Alert(2, "info"), Alert(4, "critical", "hurry")])
    instrumented(budgets=[budget], on_alert=as_emitter(emitter_kind, got.append))
    for _ in range(5):
        make_client("sync", server).chat.completions.create(**REQUEST)
    aden.flush()
    assert [(each.level, each.budget_id) for each in got] == [("info", "all"), ("critical", "all")]
    assert got[1].message == "hurry"


def test_a_slow_emitter_holds_up_no_call(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It runs on a thread of its own."""
    gate = threading.Event()
    instrumented(emit_metric=lambda record: gate.wait(10))
    for _ in range(5):
        make_client("sync", server).chat.completions.create(**REQUEST)
    assert len(server.bill.items) == 5
    gate.set()


def test_an_emitter_that_hangs_holds_up_no_settlement_and_no_alert(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """A stream that is dropped is booked, and the budget that it fills by that tells so."""
    gate, alerted = threading.Event(), threading.Event()
    budget = Budget("all", "0.01", ladder=[Alert(2)])
    house = instrumented(
        budgets=[budget],
        emit_metric=lambda record: gate.wait(60),
        on_alert=lambda event: alerted.set(),
    )
    chat = make_client("sync", server).chat.completions
    chat.create(**REQUEST)  # which the emitter hangs on
    next(chat.create(**STREAM))
    gc.collect()
    assert alerted.wait(30)
    assert house.balance().held == 0
    gate.set()
