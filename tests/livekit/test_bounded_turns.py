"""``overrun="never"`` under LiveKit: the plugin's request is bounded before it is sent."""

import time

from lane_kit import Lane, held, spent
from test_heard import SORRY, call

from aden import Budget, RequestCancelledError
from aden.testing import OpenAIServer
from aden.testing.script import Drop


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


async def test_a_retry_that_no_budget_bears_is_refused_at_once(
    lane: Lane, provider: OpenAIServer
) -> None:
    """The plugin takes it for a broken line; LiveKit would try again for four seconds."""
    budget = Budget("calls", "0.0009", overrun="never", scope={"provider": "openai"})
    provider.script(Drop(0))
    with lane.instrumented(budgets=[budget], refusal_message=SORRY):
        async with call(lane, llm=lane.llm(max_completion_tokens=20)) as line:
            started = time.monotonic()
            await line.turn()
            assert time.monotonic() - started < 2.0
            assert line.voice.spoken == [SORRY]
            broken, refused = line.errors
            assert not isinstance(broken.error.error, RequestCancelledError)
            assert isinstance(refused.error.error, RequestCancelledError)
            assert refused.error.recoverable
        record = next(each for each in lane.records if each.component == "llm")
        assert (record.attempts, record.error_type) == (1, "LiveKitRequestCancelledError")
        assert held(lane, budget) == 0
    assert lane.asked == 1
