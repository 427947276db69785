"""A hook that gives no usable answer: refused, or with fail_open let through; never skipped."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from lanes import Lane, make_client
from shapes import REQUEST, STREAM

from aden import BeforeRequestResult, Budget, RequestCancelledError
from aden.runtime import current_runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House


def raising(error: BaseException) -> Callable[..., Any]:
    """A hook that raises."""

    def check(params: Any, context: Any) -> Any:
        raise error

    return check


def answering(answer: Any) -> Callable[..., Any]:
    """A hook that answers the same each time."""
    return lambda params, context: answer


async def too_slow(params: Any, context: Any) -> Any:
    """A hook that takes longer than it may."""
    await asyncio.sleep(10)


async def cancels_itself(params: Any, context: Any) -> Any:
    """A hook whose own task was cancelled by somebody."""
    raise asyncio.CancelledError


async def raises_later(params: Any, context: Any) -> Any:
    """A hook that fails after its first await."""
    await asyncio.sleep(0)
    raise RuntimeError("later")


async def own_timeout(params: Any, context: Any) -> Any:
    """A hook that gives up by itself, which is not our time-out."""
    raise TimeoutError("its own")


@dataclass(frozen=True)
class Case:
    """A broken hook and what is said of it."""

    name: str
    hook: Callable[..., Any]
    says: str
    kinds: tuple[str, ...] = ("sync", "async")


CASES = (
    Case("raises", raising(RuntimeError("bang")), "raised RuntimeError('bang')"),
    Case("raises later", raises_later, "raised RuntimeError('later')"),
    Case("returns None", answering(None), "None is no BeforeRequestResult"),
    Case("returns nonsense", answering("yes"), "'yes' is no BeforeRequestResult"),
    Case("NaN as delay", answering(BeforeRequestResult.throttle(math.nan)), "throttle by nan"),  # type: ignore[arg-type]
    Case("negative delay", answering(BeforeRequestResult.throttle(-1)), "throttle by -1"),
    Case("endless delay", answering(BeforeRequestResult.throttle(10**9)), "throttle by 1000000000"),
    Case("text as delay", answering(BeforeRequestResult.throttle("2")), "throttle by '2'"),  # type: ignore[arg-type]
    Case("degrade to nothing", answering(BeforeRequestResult.degrade("")), "degrade to ''"),
    Case("unknown action", answering(BeforeRequestResult("explode")), "'explode' is no action"),  # type: ignore[arg-type]
    Case("takes too long", too_slow, "took longer than 50 ms"),
    Case("own time-out", own_timeout, "raised TimeoutError('its own')"),
    Case("cancels itself", cancels_itself, "raised CancelledError()", ("sync",)),
)
PARAMS = [
    pytest.param(case, kind, id=f"{case.name}, {kind} client")
    for case in CASES
    for kind in case.kinds
]


@pytest.mark.parametrize("request_", [REQUEST, STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize(("case", "kind"), PARAMS)
async def test_a_hook_without_an_answer_refuses(
    case: Case,
    kind: str,
    request_: dict[str, Any],
    server: OpenAIServer,
    instrumented: Callable[..., House],
    complaints: Callable[[], list[str]],
) -> None:
    """Without fail_open nothing passes; it is said once a minute and counted each time."""
    house = instrumented(before_request=case.hook, hook_timeout_ms=50)
    lane = Lane(kind, server)
    for _ in range(2):
        with pytest.raises(RequestCancelledError) as caught:
            await lane.create(**request_)
        assert case.says in str(caught.value)
        assert (caught.value.reason, caught.value.source) == ("hook", "hook")
    assert not server.requests
    house.settled(2)
    assert house.balance().spent == 0
    check_said(case, house, complaints, "refused")


@pytest.mark.parametrize(("case", "kind"), PARAMS)
async def test_with_fail_open_a_hook_without_an_answer_is_passed_over(
    case: Case,
    kind: str,
    server: OpenAIServer,
    instrumented: Callable[..., House],
    complaints: Callable[[], list[str]],
) -> None:
    """The request goes on as asked, still budgeted; the failure is said and counted as well."""
    house = instrumented(before_request=case.hook, hook_timeout_ms=50, fail_open=True)
    lane = Lane(kind, server)
    for _ in range(2):
        await lane.create(**REQUEST)
    assert [record.decision.action for record in house.settled(2)] == ["allow", "allow"]
    assert house.balance().spent == server.bill.total_nano_usd
    check_said(case, house, complaints, "let through")


def check_said(case: Case, house: House, complaints: Callable[[], list[str]], fate: str) -> None:
    """One line for two failures, and both in the counter."""
    (line,) = complaints()
    assert case.says in line
    assert f"requests are {fate}" in line
    assert house.failures()["hook"] == 2


@pytest.mark.parametrize("fail_open", [False, True])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_hook_that_raises_the_refusal_itself_has_answered(
    kind: str, fail_open: bool, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``raise RequestCancelledError("no")`` is a cancel, not a failure, whatever fail_open says."""
    hook = raising(RequestCancelledError("no more today"))
    house = instrumented(before_request=hook, fail_open=fail_open)
    with pytest.raises(RequestCancelledError, match=r"^no more today$"):
        await Lane(kind, server).create(**REQUEST)
    assert not server.requests
    assert "hook" not in house.failures()


async def test_a_hook_that_ends_the_program_is_not_passed_over(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """``SystemExit`` out of an async hook reaches the sync caller; nothing is sent for it."""

    async def leave(params: Any, context: Any) -> Any:
        raise SystemExit(3)

    house = instrumented(before_request=leave, fail_open=True)
    with pytest.raises(SystemExit):
        make_client("sync", server).chat.completions.create(**REQUEST)
    assert not server.requests
    (record,) = house.settled()
    assert (record.attempts, record.error_type) == (0, "SystemExit")


async def test_the_budget_still_refuses_where_the_hook_is_passed_over(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """fail_open opens the leg that failed, not the others."""
    from guide import spend

    house = instrumented(before_request=raising(RuntimeError("bang")), fail_open=True)
    spend(house, 100)
    with pytest.raises(RequestCancelledError) as caught:
        await Lane("sync", server).create(**REQUEST)
    assert caught.value.reason == "exhausted"


async def test_a_sync_hook_that_blocks_the_loop_is_told_so_and_obeyed(
    server: OpenAIServer, instrumented: Callable[..., House], caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be interrupted; it is warned of, counted, and its answer holds."""
    import time

    def check(params: Any, context: Any) -> Any:
        time.sleep(0.05)
        return BeforeRequestResult.degrade("gpt-4o-mini")

    house = instrumented(before_request=check)
    lane = Lane("async", server)
    for _ in range(2):
        await lane.create(**REQUEST)
    assert [record.model for record in house.settled(2)] == ["gpt-4o-mini"] * 2
    lines = [each.getMessage() for each in caplog.records if "blocks" in each.getMessage()]
    assert len(lines) == 1
    assert house.failures() == {"slow_hook": 2}


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_sync_hook_may_be_asked_in_a_thread(
    server: OpenAIServer, instrumented: Callable[..., House], kind: str
) -> None:
    """The loop runs meanwhile, its answer holds, and its time is bounded as an async hook's."""
    ended, mine = threading.Event(), threading.get_ident()
    threads: list[int] = []

    def check(params: Any, context: Any) -> Any:
        threads.append(threading.get_ident())
        if len(threads) > 1:
            ended.wait(20)
        return BeforeRequestResult.degrade("gpt-4o-mini")

    house = instrumented(before_request=check, hook_in_thread=True, hook_timeout_ms=2000)
    lane = Lane(kind, server)
    await lane.create(**REQUEST)
    began = time.monotonic()
    try:
        with pytest.raises(RequestCancelledError, match="took longer than 2000 ms"):
            await lane.create(**REQUEST)
        assert time.monotonic() - began < 15
    finally:
        ended.set()
    assert [record.model for record in house.settled(2)] == ["gpt-4o-mini", "gpt-4o"]
    assert mine not in threads
    assert house.failures() == {"hook": 1}


async def test_an_async_hook_that_blocks_its_loop_keeps_no_sync_caller(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """It hears of no time-out; its caller goes on without it."""
    ended = threading.Event()

    async def check(params: Any, context: Any) -> Any:
        ended.wait(20)
        return BeforeRequestResult.proceed()

    house = instrumented(before_request=check, hook_timeout_ms=50)
    began = time.monotonic()
    try:
        with pytest.raises(RequestCancelledError, match="took longer than 50 ms"):
            make_client("sync", server).chat.completions.create(**REQUEST)
        assert time.monotonic() - began < 15
    finally:
        ended.set()
    assert house.failures() == {"hook": 1}


async def test_while_a_hook_is_awaited_nothing_counts_as_sent(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Should the process die then, the hold is released, not booked."""
    seen: list[bool] = []

    async def check(params: Any, context: Any) -> Any:
        seen.extend(held.sent for held in ledger().holds())
        return BeforeRequestResult.proceed()

    def ledger() -> Any:
        runtime = current_runtime()
        assert runtime is not None
        return runtime.meter.ledger

    instrumented(budgets=[Budget("calls", "1")], before_request=check)
    client = make_client("async", server)
    stream = await client.chat.completions.create(**STREAM)
    seen.extend(held.sent for held in ledger().holds())
    async for _ in stream:
        pass
    assert seen == [False, True]
