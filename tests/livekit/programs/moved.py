"""LiveKit with a private method moved, as by a later release: ``moved.py <provider> <limit>``.

Hidden is `LLMStream._main_task`: LiveKit's own code finds it still, whoever looks at the class does
not.
"""

import asyncio
import json
import sys
from typing import Any

from livekit.agents import Agent, AgentSession, llm
from livekit.agents.llm import llm as module
from livekit.plugins import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import aden
from aden.doctor.examine import examine
from aden.runtime import current_runtime


class Own(llm.LLM[Any]):
    """A plugin without an SDK that Aden knows."""

    model = "gpt-4o-mini"
    provider = "openai"

    def chat(self, *, conn_options: Any = None, **asked: Any) -> Any:
        """Answer."""
        tools = asked.get("tools") or []
        return Answer(self, chat_ctx=asked["chat_ctx"], tools=tools, conn_options=conn_options)


class Answer(llm.LLMStream):
    """Two words and their bill."""

    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content="Good morning.")
        self._event_ch.send_nowait(llm.ChatChunk(id="own-1", delta=delta))
        usage = llm.CompletionUsage(completion_tokens=7, prompt_tokens=100, total_tokens=107)
        self._event_ch.send_nowait(llm.ChatChunk(id="own-1", usage=usage))


async def talk(model: llm.LLM[Any]) -> str:
    """One turn; what was said, or why not."""
    session: AgentSession[None] = AgentSession(llm=model)
    await session.start(Agent(instructions="Answer in plain sentences."))
    try:
        result: Any = await session.run(user_input="Good morning, in ten tokens?")
        return str(result.events[0].item.text_content)
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'status_code', '')}"
    finally:
        await session.aclose()


def main(base_url: str, limit_usd: str) -> None:
    """Move it, instrument, talk with either plugin; print what came of it."""
    moved = module.LLMStream._main_task
    del module.LLMStream._main_task
    module.LLMStream.__getattr__ = (  # type: ignore[attr-defined]
        lambda stream, name: moved.__get__(stream) if name == "_main_task" else _no(name)
    )
    trace.set_tracer_provider(TracerProvider())
    aden.instrument(ledger="memory:", budgets=[aden.Budget("calls", limit_usd)])
    known = openai.LLM(model="gpt-4o-mini", base_url=base_url, api_key="sk-test", max_retries=0)
    said = {"openai": asyncio.run(talk(known)), "own": asyncio.run(talk(Own()))}
    aden.flush()
    runtime = current_runtime()
    assert runtime is not None
    journal = [
        {
            "id": record.response_id,
            "source": record.decision.source,
            "cost": record.cost,
            "output": record.usage.output_tokens,
        }
        for record in runtime.meter.ledger.journal()
    ]
    findings = [
        (each.what, each.level, each.said)
        for each in examine(runtime.subject(), tries=False).findings
        if each.part == "gate"
    ]
    print(json.dumps({"said": said, "journal": journal, "findings": findings}))


def _no(name: str) -> Any:
    raise AttributeError(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
