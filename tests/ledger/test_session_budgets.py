"""A session's own budget in each ledger: what an agent reads of it is what is booked."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import JobContext
from livekit.agents.testing import fake_job_context
from openai import AsyncOpenAI

import aden.livekit
from aden import Budget, RequestCancelledError
from aden.core.money import NANO
from aden.core.window import Window
from aden.ledger import Raise
from aden.metering.repeats import REMEMBER_S
from aden.testing import OpenAIServer
from house import House

Start = Callable[..., House]
STORES = ("memory", "sqlite", "redis")


@pytest.fixture(params=STORES)
def start(
    request: pytest.FixtureRequest, tmp_path: Path, instrumented: Start
) -> Callable[..., House]:
    """This process, with each ledger in turn."""
    urls: dict[str, Callable[[], str]] = {
        "memory": lambda: "memory:",
        "sqlite": lambda: f"sqlite://{tmp_path / 'ledger.db'}",
        "redis": lambda: str(request.getfixturevalue("redis_server").url()),
    }
    url = urls[request.param]()
    return lambda **options: instrumented(**{"ledger": url, **options})


async def ask(server: OpenAIServer) -> None:
    """A request of the job that is on."""
    message: Any = {"role": "user", "content": "Answer in 20 tokens."}
    async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        await client.chat.completions.create(
            model="gpt-4o", messages=[message], max_completion_tokens=50
        )


async def drain(server: OpenAIServer) -> int:
    """Ask until the budget says no; how often it did not."""
    for asked in range(100):
        try:
            await ask(server)
        except RequestCancelledError:
            aden.flush()  # Redis is told of settlements in the background
            return asked
    raise AssertionError("no budget said no")


def job(job_id: str, room: str = "lobby") -> JobContext:
    """A job that is not on."""
    with fake_job_context(job_id=job_id) as context:
        context.job.room.sid = room
        return context


def on(context: JobContext) -> Any:
    """Let a job be on."""
    from livekit.agents.job import _JobContextVar

    class On:
        def __enter__(self) -> None:
            self.token = _JobContextVar.set(context)

        def __exit__(self, *_: object) -> None:
            _JobContextVar.reset(self.token)

    return On()


async def test_what_is_read_of_it_is_what_the_ledger_has(
    server: OpenAIServer, start: Start
) -> None:
    """To the nano-dollar, after each request; nothing is held in the end."""
    house = start(budgets=[Budget("all", "10")])
    with fake_job_context(job_id="AJ_1") as context:
        budget = aden.livekit.session_budget(context, "0.002")
        asked = await drain(server)
        read = (budget.spent, budget.reserved, budget.limit)
        await budget.refresh()
        assert (budget.spent, budget.reserved, budget.limit) == read
    aden.flush()
    (balance,) = house.meter.ledger.balances([("session|session=AJ_1", Window("session"))])
    assert asked > 1
    assert balance.spent == server.bill.total_nano_usd == budget.bill.cost
    assert read == (balance.spent / NANO, 0.0, 0.002)
    assert balance.held == 0
    assert budget.remaining == pytest.approx(0.002 - balance.spent / NANO)
    assert budget.bill.total.refused == 1


async def test_a_room_s_budget_is_shared_by_the_jobs_in_it(
    server: OpenAIServer, start: Start
) -> None:
    """And a job in another room has its own."""
    start()
    one, two, other = job("AJ_1"), job("AJ_2"), job("AJ_3", room="garden")
    with on(one):
        first = aden.livekit.session_budget(one, "0.002", by="room")
        asked = await drain(server)
    with on(two):
        second = aden.livekit.session_budget(two, "0.002", by="room")
        await second.refresh()
        assert second.spent == first.spent > 0
        assert await drain(server) == 0
    with on(other):
        third = aden.livekit.session_budget(other, "0.002", by="room")
        assert await drain(server) > 0
    assert (first.scope, second.scope, third.scope) == ("room=lobby", "room=lobby", "room=garden")
    assert (first.bill.total.calls, second.bill.total.calls) == (asked + 1, 1)


async def test_a_participant_s_daily_budget_goes_on_in_the_next_call(
    server: OpenAIServer, start: Start
) -> None:
    """In whatever room it is; by a digest of the identity, which may be a telephone number."""
    start()
    today, tomorrow = job("AJ_1", room="RM_1"), job("AJ_2", room="RM_2")
    with on(today):
        first = aden.livekit.session_budget(
            today, "0.002", by="participant", participant="+4930123456", window="day"
        )
        await drain(server)
    with on(tomorrow):
        again = aden.livekit.session_budget(
            tomorrow, "0.002", by="participant", participant="+4930123456", window="day"
        )
        assert await drain(server) == 0
        stay = aden.livekit.session_budget(
            tomorrow, "0.002", by="participant", participant="+4930123456", id="stay"
        )
    assert first.scope == again.scope
    assert "4930123456" not in first.scope + stay.scope
    assert stay.scope == f"room=RM_2,{again.scope}"


async def test_an_operator_s_raise_counts_and_is_read(server: OpenAIServer, start: Start) -> None:
    """With the next request."""
    house = start()
    with fake_job_context(job_id="AJ_1") as context:
        budget = aden.livekit.session_budget(context, "0.002")
        await drain(server)
        spent = budget.spent
        house.meter.ledger.order(Raise("session|session=AJ_1", NANO // 100, who="ann", why="asked"))
        await asyncio.sleep(REMEMBER_S)
        await ask(server)
        assert budget.limit == 0.01
        assert budget.spent > spent
        assert not budget.exhausted
