"""Many conversations in one event loop: every call knows whose it is."""

import asyncio

from lane_kit import Lane, held, spent

from aden import Budget, attribution
from aden.testing import OpenAIServer

SESSIONS, TURNS = 50, 3


async def test_fifty_conversations_in_one_loop_are_never_mixed_up(
    lane: Lane, provider: OpenAIServer
) -> None:
    """150 calls; each is settled once, on its own span, on the account of its own session."""
    budget = Budget("calls", "10")

    async def talk(number: int) -> None:
        with attribution(session_id=f"session-{number}", customer_id=f"customer-{number % 7}"):
            async with lane.session() as session:
                for turn in range(TURNS):
                    await session.run(user_input=f"Answer in {20 + number + turn} tokens, please.")

    with lane.instrumented(budgets=[budget]):
        await asyncio.gather(*(talk(number) for number in range(SESSIONS)))
        records = lane.records
        assert len(records) == len({record.id for record in records}) == SESSIONS * TURNS
        assert spent(lane, budget) == provider.bill.total_nano_usd
        assert held(lane, budget) == 0
    bill = {item.response_id: item for item in provider.bill.items}
    spans = {
        (span.attributes or {})["aden.call.id"]: span.attributes or {}
        for span in lane.spans("llm_request")
    }
    assert len(bill) == len(spans) == SESSIONS * TURNS
    said: dict[str, list[int]] = {}
    for record in records:
        session = str(record.attribution.session_id)
        number = int(session.removeprefix("session-"))
        item, span = bill[str(record.response_id)], spans[record.id]
        said.setdefault(session, []).append((record.usage.output_tokens or 0) - number)
        assert record.attribution.customer_id == f"customer-{number % 7}"
        assert (record.cost, record.usage.estimated) == (item.nano_usd, False)
        assert span["aden.attribution.session_id"] == session
        assert span["gen_ai.response.id"] == record.response_id
        assert span["aden.cost.usd"] == record.cost / 1e9
    assert sorted(said) == sorted(f"session-{number}" for number in range(SESSIONS))
    assert all(sorted(turns) == [20, 21, 22] for turns in said.values())
