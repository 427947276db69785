"""What `session_budget` is given: each wrong word is refused by name, value and what is allowed."""

import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from livekit import rtc
from livekit.agents import AgentSession, JobContext
from livekit.agents.ipc.mock_room import create_mock_room
from livekit.agents.testing import fake_job_context

import aden.livekit
from aden import ANY, Alert, ConfigurationError, Degrade, tokens
from aden.core.money import NanoUSD
from aden.core.place import Place
from aden.core.record import CallRecord
from aden.core.usage import Usage
from aden.instrumentation.livekit.job import session_of
from house import House

ANNA = "sip_+4930123456"


@pytest.fixture
async def context(instrumented: Callable[..., House]) -> AsyncIterator[JobContext]:
    """A job of this process, instrumented; its room is not connected."""
    instrumented()
    with fake_job_context(job_id="AJ_1") as job:
        yield job


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "not a number": ({"limit_usd": math.nan}, r"budget session: limit_usd=nan .* from 0 to"),
    "without end": ({"limit_usd": math.inf}, r"budget session: limit_usd=inf .* from 0 to"),
    "negative": ({"limit_usd": -1}, r"budget session: limit_usd=-1 .* from 0 to"),
    "a word": ({"limit_usd": "much"}, r"budget session: limit_usd='much' "),
    "no limit": ({}, r"budget session: limit_usd=None "),
    "two limits": ({"limit_usd": 1, "limit": tokens(5)}, "limit_usd or limit, not both"),
    "holder": ({"limit_usd": 1, "by": "caller"}, r"session_budget.by='caller' .*job.*participant"),
    "window": ({"limit_usd": 1, "window": "night"}, r"budget session: window='night' "),
    "id": ({"limit_usd": 1, "id": "a|b"}, r"budget.id='a\|b' "),
    "scope": ({"limit_usd": 1, "scope": {"caller": "x"}}, r"budget session: scope='caller' "),
    "any": ({"limit_usd": 1, "scope": {"customer": ANY}}, r"session_budget.scope=.*ANY.* narrows"),
    "ladder": ({"limit_usd": 1, "ladder": ["mini"]}, r"budget session: ladder="),
    "overrun": ({"limit_usd": 1, "overrun": "rarely"}, r"budget session: overrun='rarely' "),
    "participant of a job": (
        {"limit_usd": 1, "participant": ANNA},
        r"session_budget.participant=.* expected by='participant'",
    ),
    "empty participant": (
        {"limit_usd": 1, "by": "participant", "participant": ""},
        r"session_budget.participant='' .* expected an identity",
    ),
    "nobody there": (
        {"limit_usd": 1, "by": "participant"},
        r"session_budget.by='participant \(the room is not connected\)' .*wait_for_participant",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_word_is_refused_by_name_and_nothing_changes(
    wrong: str, context: JobContext
) -> None:
    """The same message as of `Budget`, where it is the budget's own word."""
    words, message = WRONG[wrong]
    with pytest.raises(ConfigurationError, match=message):
        aden.livekit.session_budget(context, **words)
    assert session_of(context).policy(HOUSE_POLICY) is HOUSE_POLICY


HOUSE_POLICY: Any = object()


@pytest.mark.parametrize("ctx", [None, "AJ_1", 7, rtc.Room], ids=str)
async def test_only_a_job_or_a_session_has_a_budget(ctx: Any, context: JobContext) -> None:
    """Neither a job's id nor a room."""
    del context
    with pytest.raises(ConfigurationError, match=r"ctx=.* a JobContext or an AgentSession"):
        aden.livekit.session_budget(ctx, 1)
    with pytest.raises(ConfigurationError, match=r"ctx=.* a JobContext or an AgentSession"):
        aden.livekit.session_bill(ctx)


async def test_a_session_outside_of_a_job_has_none(instrumented: Callable[..., House]) -> None:
    """There is nothing that would end it."""
    instrumented()
    session: AgentSession[None] = AgentSession()
    with pytest.raises(ConfigurationError, match=r"outside of a job.*AgentSession in a job"):
        aden.livekit.session_budget(session, 1)


async def test_without_instrumentation_there_is_none() -> None:
    """A budget that nobody asks would be no budget."""
    with (
        fake_job_context() as context,
        pytest.raises(ConfigurationError, match=r"session_budget=.* after aden.instrument\(\)"),
    ):
        aden.livekit.session_budget(context, 1)


async def test_the_same_words_again_give_the_same_budget_and_others_are_refused(
    context: JobContext,
) -> None:
    """A second one has another id; one that was closed may be made anew."""
    first = aden.livekit.session_budget(context, "0.50", ladder=[Degrade(80, "gpt-4o-mini")])
    assert aden.livekit.session_budget(context, 0.5, ladder=[Degrade(80, "gpt-4o-mini")]) is first
    with pytest.raises(ConfigurationError, match=r"id='session', session=AJ_1, .*another id"):
        aden.livekit.session_budget(context, "0.60", ladder=[Degrade(80, "gpt-4o-mini")])
    with pytest.raises(ConfigurationError, match=r"id='session', session=AJ_1, .*close\(\)"):
        aden.livekit.session_budget(context, "0.50", ladder=[Alert(50)])
    second = aden.livekit.session_budget(context, "0.60", id="more")
    assert (first.id, second.id) == ("session", "more")
    first.close()
    assert aden.livekit.session_budget(context, "0.60").limit == 0.6


async def test_after_the_job_has_ended_there_is_none(context: JobContext) -> None:
    """The bill is still to be read."""
    budget = aden.livekit.session_budget(context, 1)
    await context._on_cleanup()
    with pytest.raises(ConfigurationError, match=r"session_budget='AJ_1' .* has not ended"):
        aden.livekit.session_budget(context, 1)
    assert budget.bill.cost == aden.livekit.session_bill(context).cost == 0


async def test_a_limit_of_nothing_is_a_limit(context: JobContext) -> None:
    """It is exhausted from the start, as `context.budget` says of it."""
    budget = aden.livekit.session_budget(context, 0)
    assert (budget.limit, budget.spent, budget.remaining) == (0, 0, 0)
    assert budget.percent_used == 100
    assert budget.exhausted


async def test_the_only_one_in_a_room_is_its_participant(
    instrumented: Callable[..., House],
) -> None:
    """Of several somebody has to be named; an agent is none."""
    instrumented()
    room = create_mock_room()
    there = room.remote_participants["PA_mock_user"]
    with fake_job_context(job_id="AJ_1", room=room) as context:
        one = aden.livekit.session_budget(context, 1, by="participant", window="day")
        same = aden.livekit.session_budget(
            context, 1, by="participant", window="day", participant=there.identity
        )
        assert same is one
        assert there.identity not in repr(one)
        room.remote_participants["PA_other"] = there
        try:
            with pytest.raises(ConfigurationError, match=r"participant \(2 are in the room\)"):
                aden.livekit.session_budget(context, 1, by="participant", id="other")
        finally:
            del room.remote_participants["PA_other"]


async def test_a_session_of_many_turns_keeps_the_latest_and_the_whole_sum(
    context: JobContext,
) -> None:
    """Memory is flat over ten thousand turns."""
    session = session_of(context)
    for turn in range(10_000):
        place = Place(job_id="AJ_1", speech_id=f"speech_{turn}")
        session.saw(
            CallRecord(
                str(turn), 0.0, "openai", "gpt-4o", "gpt-4o", Usage(1, 1), NanoUSD(3), place=place
            )
        )
    bill = aden.livekit.session_bill(context)
    assert (bill.total.calls, bill.cost) == (10_000, 30_000)
    assert list(bill.turns) == [f"speech_{turn}" for turn in range(10_000 - 256, 10_000)]


async def test_a_room_s_budget_in_a_ledger_that_no_other_process_sees_says_so_once(
    context: JobContext, caplog: pytest.LogCaptureFixture
) -> None:
    """A job process lives for one call: there would be nothing to share."""
    aden.livekit._say_alone.cache_clear()
    aden.livekit.session_budget(context, 1, id="mine")
    assert "in this process alone" not in caplog.text
    for name in ("a", "b"):
        aden.livekit.session_budget(context, 1, by="room", id=name)
    assert caplog.text.count("a session budget by room counts in this process alone") == 1
