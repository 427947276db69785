"""An agent whose metrics Prometheus can scrape: a round of calls for each line on stdin.

Prints a line of JSON after its start and after each round: where it is scraped, and what the
calls so far have cost.
"""

import asyncio
import contextlib
import json
import sys

import openai
from livekit.agents import Agent, AgentSession
from livekit.plugins import openai as livekit_openai
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import start_http_server

import aden
from aden.testing import NoUsage, OpenAIServer, RecordingEmitter, Status


def main() -> None:
    """Answer stdin until it ends."""
    scraped, _ = start_http_server(0, addr="127.0.0.1")
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()], shutdown_on_exit=False))
    settled = RecordingEmitter()
    with OpenAIServer(ttft_ms=5, token_interval_ms=0) as provider:
        aden.AdenInstrumentor().instrument(
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            budgets=[
                aden.Budget("all", "1.00"),
                aden.Budget("trial", "0", scope={"customer": "trial"}),
            ],
            ledger="memory:",
            emit_metric=settled,
            api_key="a-key",
            server_url=provider.azure_endpoint,  # takes no telemetry: it answers 404
        )
        client = openai.OpenAI(base_url=provider.base_url, api_key="none", max_retries=0)
        tell(scraped.server_port, settled)
        for _ in sys.stdin:
            calls(client, provider)
            asyncio.run(conversation(provider))
            aden.flush(5)
            tell(scraped.server_port, settled)


def calls(client: openai.OpenAI, provider: OpenAIServer) -> None:
    """What happens in a day: answers, a stream, a cut one, an error, a refusal."""
    ask(client, "gpt-4o-mini")
    ask(client, "gpt-4o", stream=True)
    provider.script(NoUsage())
    ask(client, "gpt-4o-mini", stream=True)
    provider.script(Status(500))
    with contextlib.suppress(openai.APIStatusError):
        ask(client, "gpt-4o-mini")
    with contextlib.suppress(aden.RequestCancelledError), aden.attribution(customer_id="trial"):
        ask(client, "gpt-4o-mini")


async def conversation(provider: OpenAIServer) -> None:
    """Two turns of a LiveKit agent; the second finds the prompt in the provider's cache."""
    llm = livekit_openai.LLM(model="gpt-4o-mini", base_url=provider.base_url, api_key="none")
    async with AgentSession[None](llm=llm) as session:
        await session.start(Agent(instructions="You answer in plain sentences. " * 300))
        for _ in range(2):
            await session.run(user_input="in one sentence")


def ask(client: openai.OpenAI, model: str, *, stream: bool = False) -> None:
    """One call, read to its end."""
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "in one sentence"}], stream=stream
    )
    if isinstance(answer, openai.Stream):
        for _ in answer:
            pass


def tell(port: int, settled: RecordingEmitter) -> None:
    """Where Prometheus finds this process, and what its calls have cost."""
    cost_usd = sum(each.cost or 0 for each in settled.records) / 10**9
    print(json.dumps({"port": port, "cost_usd": cost_usd}), flush=True)


if __name__ == "__main__":
    main()
