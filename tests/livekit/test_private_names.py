"""What LiveKit keeps private and we use: there in the installed release, safe where it is not."""

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from livekit.agents.voice import generation
from workers import PROGRAMS, clean_environment

from aden.instrumentation.livekit.features import FEATURES, LLM, Feature
from aden.instrumentation.patches import has
from aden.testing import OpenAIServer


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_the_installed_livekit_has_every_name_that_we_use(feature: Feature) -> None:
    """If this fails, a new LiveKit has moved a name: users' agents run without this feature."""
    moved = ", ".join(feature.lacks)
    assert not moved, f"LiveKit has moved {moved}; until it is followed, {feature.without}"


def test_an_answer_is_made_with_the_arguments_that_we_read() -> None:
    """They are taken by their place."""
    names = list(inspect.signature(inspect.unwrap(generation._llm_inference_task)).parameters)
    assert names[:5] == ["node", "chat_ctx", "tool_ctx", "model_settings", "data"]


def test_a_name_is_found_on_the_class_in_its_code_or_in_the_module() -> None:
    """Attributes of instances stand in no class; that code of the class uses them is enough."""
    module = "livekit.agents.llm.llm"
    assert has(module, "LLMStream._main_task")
    assert has(module, "LLMStream._event_ch")
    assert not has(module, "LLMStream._event_channel")
    assert not has(module, "LLMFlow._event_ch")
    assert not has("livekit.agents.llm.nothing", "LLMStream._event_ch")
    assert has("livekit.agents.voice.agent_activity", "_SpeechHandleContextVar")


def test_where_a_name_has_moved_the_sdk_is_gated_and_other_plugins_are_metered() -> None:
    """Nothing breaks, each call is booked once, and the doctor says what does not hold."""
    with OpenAIServer() as provider:
        told = _moved(provider, "1")
        bill = provider.bill.total_nano_usd
    sdk, own = told["journal"]
    assert (sdk["source"], sdk["cost"]) == (None, bill)
    assert own == {"id": "own-1", "source": "foreign", "output": 7, "cost": own["cost"]}
    assert own["cost"] > 0
    assert told["said"]["own"] == "Good morning."
    (finding,) = [each for each in told["findings"] if each[0] == LLM.name]
    assert finding[1] == "warning"
    assert LLM.without in finding[2]
    assert "livekit.agents.llm.llm.LLMStream._main_task" in finding[2]
    assert not [each for each in told["findings"] if each[1] == "failure"]


def test_where_a_name_has_moved_an_exhausted_budget_refuses_by_the_sdk() -> None:
    """The plugin hears a status that it does not try again; what is not gated goes through."""
    with OpenAIServer() as provider:
        told = _moved(provider, "0")
        asked = [seen for seen in provider.requests if seen.path.endswith("/completions")]
    assert told["said"]["openai"] == "APIStatusError 402"
    assert told["said"]["own"] == "Good morning."
    assert asked == []


def _moved(provider: OpenAIServer, limit_usd: str) -> Any:
    program = [sys.executable, str(PROGRAMS / "moved.py"), provider.base_url, limit_usd]
    done = subprocess.run(
        program,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
