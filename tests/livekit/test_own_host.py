"""LiveKit's openai plugin on a server of one's own, priced by its host."""

from pathlib import Path
from urllib.parse import urlsplit

from lane_kit import Lane, held, spent
from livekit.agents import llm
from livekit.plugins import openai

from aden import Budget
from aden.core.estimate import COLD_OUTPUT_TOKENS
from aden.instrumentation.livekit.plugin import provider_name
from aden.testing import OpenAIServer


async def test_a_free_host_is_allowed_under_an_exhausted_budget(
    lane: Lane, provider: OpenAIServer, tmp_path: Path
) -> None:
    """Ollama, vLLM: the plugin names the host of its base URL, and the prices file does too."""
    path = tmp_path / "prices.toml"
    host = urlsplit(provider.base_url).netloc
    path.write_text(f'[[price]]\nhost = "{host}"\nmodel = "*"\nfree = true\n')
    budget = Budget("calls", 0)
    with lane.instrumented(budgets=[budget], prices=str(path)):
        async with lane.session() as session:
            await session.run(user_input="When is breakfast?")
        (record,) = lane.records
        assert (record.cost, record.price_source, record.attempts) == (0, "user", 1)
        assert record.usage.output_tokens
        assert spent(lane, budget) == 0


def test_an_ollama_is_known_by_its_port() -> None:
    """As it is where the SDK is called without LiveKit."""
    plugin = openai.LLM.with_ollama(model="llama3", base_url="http://localhost:11434/v1")
    assert provider_name(plugin) == "ollama"


async def test_a_tier_that_the_plugin_asks_for_is_reserved_for(
    lane: Lane, provider: OpenAIServer
) -> None:
    """And billed by the tier that answered."""
    budget, question = Budget("calls", "1"), llm.ChatContext.empty()
    question.add_message(role="user", content="When is breakfast?")
    with lane.instrumented(budgets=[budget]):
        async with lane.llm(service_tier="priority").chat(chat_ctx=question) as stream:
            holds = [held(lane, budget) async for _ in stream]
        assert holds[0] > COLD_OUTPUT_TOKENS * 17_000
        (record,) = lane.records
        assert record.cost == provider.bill.total_nano_usd
    body = provider.requests[-1].body
    assert body
    assert body["service_tier"] == "priority"
