"""Model calls of a session are counted once by the conventions' names, by LiveKit or by us."""

import subprocess
import sys
from collections import Counter

import pytest
from workers import clean_environment

from aden.testing import OpenAIServer
from otlp_sink import OTLPSink

PROGRAM = """\
import asyncio, sys, aden
from livekit.agents import Agent, AgentSession
from livekit.plugins import openai

async def main(url):
    aden.instrument(ledger="memory:")
    llm = openai.LLM(model="gpt-4o", base_url=url, api_key="sk-test")
    session = AgentSession(llm=llm)
    await session.start(Agent(instructions="You are brief."))
    await session.run(user_input="Hello there")
    await session.aclose()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize(("keep", "scope"), [("false", "aden"), ("true", "livekit-agents")])
def test_a_turn_is_counted_once(keep: str, scope: str, provider: OpenAIServer) -> None:
    """Where the meter provider is ours; LiveKit's other metrics stay."""
    with OTLPSink() as sink:
        subprocess.run(
            [sys.executable, "-c", PROGRAM, provider.base_url],
            env=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, ADEN_LIVEKIT_METRICS=keep),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    (item,) = provider.bill.items
    counted = Counter(point.metric for point in sink.points)
    assert counted["gen_ai.client.token.usage"] == 2
    assert counted["gen_ai.client.operation.duration"] == 1
    assert counted["gen_ai.client.operation.time_to_first_chunk"] == 1
    tokens = (item.input_tokens or 0) + (item.output_tokens or 0)
    assert sink.total("gen_ai.client.token.usage") == tokens
    assert {p.scope for p in sink.points if p.metric.startswith("gen_ai.client.")} == {scope}
    assert counted["lk.agents.usage.llm_input_tokens"] == 1
