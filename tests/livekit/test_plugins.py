"""LLM plugins without an SDK that we see: gated by the stream, metered by LiveKit's own chunks."""

import asyncio
from typing import Any

import pytest
from lane_kit import Lane
from livekit.agents import llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from aden import Budget, CallRecord, Degrade
from aden.instrumentation.livekit.plugin import provider_name

GPT_4O = 1000 * 2500 + 1000 * 10_000
GPT_4O_MINI = 1000 * 150 + 1000 * 600
DEGRADING = [Budget("b", "1", ladder=[Degrade(0, "gpt-4o-mini")])]


class Plugin(llm.LLM[Any]):
    """A plugin with a wire of its own."""

    def __init__(self, *, changes_model: bool, name: str = "gpt-4o", owner: str = "OpenAI") -> None:
        super().__init__()
        self.changes_model = changes_model
        self._name = name
        self._owner = owner
        self.sent: list[str] = []

    @property
    def model(self) -> str:
        """The configured model."""
        return self._name

    @property
    def provider(self) -> str:
        """A display name, as LiveKit's plugins give it."""
        return self._owner

    def chat(self, *, chat_ctx: llm.ChatContext, **_: Any) -> llm.LLMStream:
        """Answer."""
        return PluginStream(
            self, chat_ctx=chat_ctx, tools=[], conn_options=DEFAULT_API_CONNECT_OPTIONS
        )


class PluginStream(llm.LLMStream):
    """1,000 tokens in, 1,000 out."""

    def __init__(self, plugin: Plugin, **options: Any) -> None:
        super().__init__(plugin, **options)
        self._plugin = plugin
        if plugin.changes_model:
            self._model = plugin.model

    async def _run(self) -> None:
        self._plugin.sent.append(getattr(self, "_model", self._plugin.model))
        usage = llm.CompletionUsage(
            completion_tokens=1000, prompt_tokens=1000, total_tokens=2000, prompt_cached_tokens=0
        )
        delta = llm.ChoiceDelta(role="assistant", content="hello")
        self._event_ch.send_nowait(llm.ChatChunk(id="r-1", delta=delta))
        await asyncio.sleep(0)
        self._event_ch.send_nowait(llm.ChatChunk(id="r-1", usage=usage))


async def _call(lane: Lane, plugin: Plugin, budgets: list[Budget]) -> CallRecord:
    with lane.instrumented(budgets=budgets):
        chat_ctx = llm.ChatContext.empty()
        chat_ctx.add_message(role="user", content="hello")
        await plugin.chat(chat_ctx=chat_ctx).collect()
        (record,) = lane.records
    return record


async def test_a_plugin_that_takes_another_model_is_priced_at_that_one(lane: Lane) -> None:
    """Degraded means cheaper, in the books too."""
    plugin = Plugin(changes_model=True)
    record = await _call(lane, plugin, DEGRADING)
    assert plugin.sent == ["gpt-4o-mini"]
    assert (record.model, record.cost) == ("gpt-4o-mini", GPT_4O_MINI)


async def test_a_plugin_that_keeps_its_model_is_priced_at_its_own(lane: Lane) -> None:
    """Whatever was decided: what was sent is what costs."""
    plugin = Plugin(changes_model=False)
    record = await _call(lane, plugin, DEGRADING)
    assert plugin.sent == ["gpt-4o"]
    assert (record.model, record.cost) == ("gpt-4o", GPT_4O)


@pytest.mark.parametrize(
    ("owner", "name", "provider"),
    [
        ("Gemini", "gemini-2.5-flash", "gcp.gemini"),
        ("AWS Bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", "aws.bedrock"),
        ("MistralAI", "mistral-large-latest", "mistral_ai"),
        ("livekit", "openai/gpt-4o", "livekit"),
        ("unknown", "gpt-4o", "unknown"),
        ("Groq", "llama-3.3-70b-versatile", "groq"),
        ("127.0.0.1:8000", "gpt-4o", "openai"),
        ("api.groq.com", "llama-3.3-70b-versatile", "groq"),
    ],
)
async def test_a_plugin_s_provider_has_the_conventions_name_and_its_models_have_prices(
    lane: Lane, owner: str, name: str, provider: str
) -> None:
    """A display name is no reason to take a model for unknown."""
    plugin = Plugin(changes_model=False, name=name, owner=owner)
    assert provider_name(plugin) == provider
    record = await _call(lane, plugin, [Budget("b", "100")])
    assert record.provider == provider
    assert record.price_source == ("overlay" if provider == "livekit" else "genai-prices")


def test_a_plugin_that_names_no_provider_has_the_one_of_its_package() -> None:
    """A class that a program derives from it too; one of no plugin's package stays unknown."""
    stt: Any = type("STT", (Plugin,), {"__module__": "livekit.plugins.xai.stt"})
    derived: Any = type("OwnSTT", (stt,), {})
    for plugin in (stt, derived):
        assert provider_name(plugin(changes_model=False, owner="unknown")) == "x_ai"
        assert provider_name(plugin(changes_model=False, owner="Groq")) == "groq"
    assert provider_name(Plugin(changes_model=False, owner="unknown")) == "unknown"
