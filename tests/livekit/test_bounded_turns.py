"""``overrun="never"`` under LiveKit: the plugin's request is bounded before it is sent."""

from lane_kit import Lane, held, spent

from aden import Budget
from aden.testing import OpenAIServer


async def test_a_turn_is_sent_with_the_cap_that_is_left(lane: Lane, provider: OpenAIServer) -> None:
    """The hold is a bound of what the plugin sends, and the second turn gets the shorter answer."""
    budget = Budget("calls", "0.008", overrun="never")
    with lane.instrumented(budgets=[budget]):
        async with lane.session() as session:
            for _ in range(2):
                await session.run(user_input="Tell me of breakfast in 300 tokens.")
        first, second = lane.records
        bodies = [seen.body or {} for seen in provider.requests]
        caps = [int(str(body["max_tokens"])) for body in bodies if "messages" in body]
        assert caps[0] > 300 > caps[1]
        assert (first.usage.output_tokens, second.usage.output_tokens) == (300, caps[1])
        assert (first.decision.action, second.finish_reasons) == ("allow", ("length",))
        assert provider.bill.total_nano_usd == spent(lane, budget) <= 8_000_000
        assert held(lane, budget) == 0
