"""Five hundred workers retry against an exhausted budget: no storm for a shared ledger."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from test_ledger_down import REQUEST

import aden
from aden import Budget, RequestCancelledError
from aden.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from redis_kit import RedisServer

    from aden.ledger.protocol import Ask, Grant, Ledger, Refusal
    from aden.testing import OpenAIServer
    from house import House

WORKERS = 500
LIMIT = "0.0001"
"""Less than the request may cost: nothing was spent, and it is exhausted for it all the same."""


class Counting:
    """Counts what goes to a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.asked = 0
        self.told = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def reserve(self, ask: Ask) -> Grant | Refusal:
        """A trip."""
        self.asked += 1
        return self._ledger.reserve(ask)

    async def areserve(self, ask: Ask) -> Grant | Refusal:
        """A trip."""
        self.asked += 1
        return await self._ledger.areserve(ask)

    def settle(self, settlement: Any) -> None:
        """A write."""
        self.told += 1
        self._ledger.settle(settlement)


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of ledger in turn."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/ledger.db"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url()


@pytest.fixture
def client(server: OpenAIServer) -> openai.AsyncOpenAI:
    """A client without retries of its own; it need not be closed, for nothing is sent."""
    return openai.AsyncOpenAI(api_key="key", base_url=server.base_url, max_retries=0)


def counted(house: House) -> Counting:
    """Count from here on."""
    counting = Counting(house.ledger)
    house.meter.ledger = counting
    return counting


async def refusals(client: openai.AsyncOpenAI, workers: int, tries: int = 1) -> list[Any]:
    """What the workers get, each trying again at once."""

    async def worker(number: int) -> list[RequestCancelledError]:
        got = []
        for _ in range(tries):
            with pytest.raises(RequestCancelledError) as caught:
                await client.chat.completions.create(**REQUEST)
            got.append(caught.value)
            await asyncio.sleep(0)
        return got

    return [each for got in await asyncio.gather(*map(worker, range(workers))) for each in got]


async def test_a_storm_of_retries_makes_one_trip_a_second_and_counts_exactly(
    url: str, server: OpenAIServer, client: openai.AsyncOpenAI, instrumented: Callable[..., House]
) -> None:
    """The first refusal is answered by the ledger, the others by this process, all alike."""
    house = instrumented(ledger=url, budgets=[Budget("all", LIMIT)])
    started = time.monotonic()
    first = (await refusals(client, 1))[0]
    ledger = counted(house)

    got = await refusals(client, WORKERS, tries=3)

    seconds = time.monotonic() - started
    late = sum(each.reason == "unavailable" for each in got)
    assert {each.details for each in got if each.reason != "unavailable"} == {first.details}
    assert first.reason == "exhausted"
    assert ledger.asked <= 2 + late + WORKERS * int(seconds)
    await asyncio.to_thread(house.settled, 3 * WORKERS + 1)
    assert ledger.told <= ledger.asked + 4 * (seconds + 1)
    assert not server.requests
    (point,) = house.metric("aden.client.decisions")
    assert point.value == 3 * WORKERS + 1
    told = [span.attributes or {} for span in house.spans]
    assert sum(int(str(each.get(names.DECISION_REPEATS, 1))) for each in told) == 3 * WORKERS + 1
    assert len(told) == len(house.calls.records)


async def test_a_storm_out_of_the_blue_makes_a_trip_for_each_worker_and_none_for_retries(
    url: str, client: openai.AsyncOpenAI, instrumented: Callable[..., House]
) -> None:
    """They all ask before the first of them is answered."""
    house = instrumented(ledger=url, budgets=[Budget("all", LIMIT)])
    ledger = counted(house)
    started = time.monotonic()
    got = await refusals(client, WORKERS, tries=10)
    late = sum(each.reason == "unavailable" for each in got)  # of this machine: it asks again
    # On a machine so slow that a round takes a second, all ask again in the next.
    assert ledger.asked <= 2 + late + WORKERS * (1 + time.monotonic() - started)
    await asyncio.to_thread(house.settled, 10 * WORKERS)


async def test_what_an_operator_resets_is_seen_within_a_second(
    tmp_path: Path,
    server: OpenAIServer,
    client: openai.AsyncOpenAI,
    instrumented: Callable[..., House],
) -> None:
    """Also while the retries go on without a pause."""
    path = tmp_path / "ledger.db"
    house = instrumented(ledger=f"sqlite://{path}", budgets=[Budget("all", "0.0003")])
    await client.chat.completions.create(**REQUEST)
    await refusals(client, 1)
    operator = sqlite3.connect(path)
    operator.execute("UPDATE balance SET settled = 0")
    operator.commit()
    operator.close()
    reset_at = time.monotonic()
    while len(server.requests) == 1:
        try:
            await client.chat.completions.create(**REQUEST)
        except RequestCancelledError:
            assert time.monotonic() - reset_at < 3  # one second, and what this machine takes
            await asyncio.sleep(0.01)
    await client.close()
    aden.flush()
    assert house.balance().settled == server.bill.total_nano_usd / 2


@pytest.mark.parametrize("what", ["smaller", "another", "raised"])
async def test_what_was_not_refused_is_asked(
    what: str,
    server: OpenAIServer,
    client: openai.AsyncOpenAI,
    instrumented: Callable[..., House],
) -> None:
    """A smaller request, another budget's, and one after a raise go to the ledger, and through."""
    budgets = [
        Budget("acme", LIMIT, scope={"customer": "acme"}),
        Budget("other", "1", scope={"customer": "other"}),
    ]
    house = instrumented(ledger="memory:", budgets=budgets)
    with aden.attribution(customer_id="acme"):
        await refusals(client, 2)
    assert not server.requests
    request: dict[str, Any] = dict(REQUEST)
    if what == "smaller":
        request["max_tokens"] = 2
    if what == "raised":
        policy = aden.budgets.policy.make_policy([Budget("acme", "1", scope={"customer": "acme"})])
        house.meter.policy = lambda: policy
    with aden.attribution(customer_id="other" if what == "another" else "acme"):
        await client.chat.completions.create(**request)
    await client.close()
    assert len(server.requests) == 1


async def test_a_refusal_by_busy_is_never_repeated_unasked(
    server: OpenAIServer, client: openai.AsyncOpenAI, instrumented: Callable[..., House]
) -> None:
    """A refund is due any moment."""
    house = instrumented(ledger="memory:", budgets=[Budget("all", "0.0003")])
    stream = await client.chat.completions.create(**REQUEST, stream=True)
    ledger = counted(house)
    got = await refusals(client, 5)
    assert {each.reason for each in got} == {"busy"}
    assert ledger.asked == 5
    await stream.close()
    await client.close()


async def test_a_policy_that_refuses_without_the_ledger_is_coalesced_too(
    client: openai.AsyncOpenAI, instrumented: Callable[..., House]
) -> None:
    """An unknown price that a budget refuses: one record for the first, one for the rest."""
    house = instrumented(ledger="memory:", budgets=[Budget("all", "1", unknown_price="refuse")])
    for _ in range(5):
        with pytest.raises(RequestCancelledError) as caught:
            await client.chat.completions.create(**REQUEST | {"model": "nobody-knows-it"})
        assert caught.value.reason == "unpriced"
    await asyncio.to_thread(house.settled, 5)
    assert [record.repeats for record in house.calls.records] == [1, 4]


async def test_the_hook_is_asked_about_the_first_and_not_about_its_repetitions(
    client: openai.AsyncOpenAI, instrumented: Callable[..., House]
) -> None:
    """It could not lift the refusal; its words stand in the first."""
    asked: list[str] = []

    def hook(params: object, context: aden.BeforeRequestContext) -> aden.BeforeRequestResult:
        asked.append(context.model)
        return aden.BeforeRequestResult.cancel("come back tomorrow")

    instrumented(ledger="memory:", budgets=[Budget("all", LIMIT)], before_request=hook)
    got = await refusals(client, 1, tries=4)
    assert len(asked) == 1
    assert [str(each) == "come back tomorrow" for each in got] == [True, False, False, False]
    assert {each.reason for each in got} == {"exhausted"}
