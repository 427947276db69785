"""Law 8 under LiveKit: a refusal is one clear answer, in milliseconds, and the call goes on."""

import asyncio
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
from caller import Caller, Microphone
from lane_kit import Lane
from livekit.agents import APIStatusError, TurnHandlingOptions

from aden import BeforeRequestContext, BeforeRequestResult, Budget, RequestCancelledError

UNPICKLE = """\
import pickle, sys
error = pickle.load(sys.stdin.buffer)
print(*(base.__name__ for base in type(error).__mro__))
print(repr((str(error), error.reason, error.budget_id, error.limit_usd, error.status_code)))
print(error.retryable, error.body)
"""


class Doorman:
    """A hook that refuses while it is shut, and counts how often it was asked."""

    def __init__(self) -> None:
        self.shut = True
        self.asked = 0

    def __call__(
        self, params: Mapping[str, Any], context: BeforeRequestContext
    ) -> BeforeRequestResult:
        """Refuse, or not."""
        self.asked += 1
        return BeforeRequestResult.cancel("not now") if self.shut else BeforeRequestResult.proceed()


async def test_ten_refused_spoken_turns_in_a_row_leave_the_session_alive(lane: Lane) -> None:
    """LiveKit begins an answer to each draft: up to four refusals a turn, of which it hears one."""
    doorman, caller = Doorman(), Caller()
    errors: list[Any] = []
    closed: list[Any] = []
    listening = TurnHandlingOptions(
        turn_detection="stt", endpointing={"min_delay": 0.05, "max_delay": 0.1}
    )
    with lane.instrumented(before_request=doorman):
        async with lane.session(stt=caller, turn_handling=listening) as session:
            session.input.audio = Microphone()
            session.on("error", errors.append)
            session.on("close", closed.append)
            refusals = []
            for turn in range(10):
                before, asked = len(errors), doorman.asked
                await caller.speak(
                    "Plan", "Plan a", "Plan a day", final=f"Plan day {turn} for us", pause_s=0.05
                )
                await _settled(errors, before)
                refusals.append(doorman.asked - asked)
            assert max(refusals) == 4  # one more than LiveKit bears where it takes them for faults
            assert not closed
            assert lane.asked == 0
            records = lane.records
            assert doorman.asked == len(records)
            assert len(errors) == 10
            assert all(error.error.recoverable for error in errors)
            assert max(record.latency_ms for record in records) < 500
            assert statistics.median(record.latency_ms for record in records) < 20

            doorman.shut = False
            answer = await session.run(user_input="When is breakfast?")
            assert answer.events[-1].item.text_content


async def test_a_refused_turn_raises_our_class_out_of_session_run(lane: Lane) -> None:
    """Whoever awaits the turn catches `RequestCancelledError`, as the guide shows."""
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with lane.session() as session:
            started = time.monotonic()
            with pytest.raises(RequestCancelledError) as refusal:
                await session.run(user_input="When is breakfast?")
            assert time.monotonic() - started < 1.0
    assert (refusal.value.reason, refusal.value.budget_id) == ("exhausted", "calls")
    assert refusal.value.limit_usd == 0
    assert lane.asked == 0
    assert len(lane._records) == 1


async def test_the_error_event_of_a_refused_turn_carries_our_class(lane: Lane) -> None:
    """LiveKit's users see a status error: 402, not to be retried, and the session goes on."""
    errors: list[Any] = []
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with lane.session() as session:
            session.on("error", errors.append)
            with pytest.raises(RequestCancelledError):
                await session.run(user_input="When is breakfast?")
    (event,) = errors
    error = event.error.error
    assert isinstance(error, RequestCancelledError)
    assert isinstance(error, APIStatusError)
    assert (error.status_code, error.retryable, event.error.recoverable) == (402, False, True)
    assert error.body == {"aden": {"reason": "exhausted", "budget_id": "calls"}}


async def test_a_refusal_can_be_sent_to_another_process(lane: Lane) -> None:
    """Pickled here and read there, it is the same class with the same fields."""
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with lane.session() as session:
            with pytest.raises(RequestCancelledError) as refusal:
                await session.run(user_input="When is breakfast?")
    error = refusal.value
    read = subprocess.run(
        [sys.executable, "-c", UNPICKLE],
        input=pickle.dumps(error),
        capture_output=True,
        check=True,
        timeout=60,
    )
    bases, fields, status = read.stdout.decode().splitlines()
    assert bases.split()[:3] == [
        "LiveKitRequestCancelledError",
        "RequestCancelledError",
        "AdenError",
    ]
    assert "APIStatusError" in bases.split()
    assert fields == repr((str(error), "exhausted", "calls", 0.0, 402))
    assert status == f"False {error.body}"  # type: ignore[attr-defined]  # of its other base


async def test_a_refused_turn_costs_nothing_and_says_so_on_its_span(lane: Lane) -> None:
    """The span that LiveKit opened ends, with our decision and our error on it."""
    with lane.instrumented(budgets=[Budget("calls", "0")]):
        async with lane.session() as session:
            with pytest.raises(RequestCancelledError):
                await session.run(user_input="When is breakfast?")
        (record,) = lane.records
    assert (record.cost, record.attempts) == (0, 0)
    (span,) = lane.spans("llm_request")
    attributes = span.attributes or {}
    assert attributes["aden.decision.action"] == "block"
    assert attributes["aden.decision.reason"] == "exhausted"
    assert attributes["aden.budget.id"] == "calls"
    assert attributes["aden.cost.usd"] == 0
    assert attributes["error.type"] == "LiveKitRequestCancelledError"
    assert not span.status.is_ok
    assert not lane.spans("llm_request_run")


async def _settled(errors: list[Any], before: int) -> None:
    """Wait until a turn has been refused and nothing more comes of it."""
    async with asyncio.timeout(20):
        while True:
            seen = len(errors)
            await asyncio.sleep(0.25)
            if before < seen == len(errors):
                return
