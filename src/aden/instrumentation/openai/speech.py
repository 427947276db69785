"""``audio.speech``: billed by the character, or by tokens that only a stream of events tells."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aden.core.estimate import text_size
from aden.core.request import Request
from aden.core.usage import Usage
from aden.instrumentation.openai.common import described, rewrite
from aden.instrumentation.openai.endpoint import ContentReader, Endpoint
from aden.instrumentation.openai.usage import RESPONSES, counted
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt

TOKENS_PER_CHARACTER = 1.5
"""1,250 audio tokens a minute, from OpenAI's "$0.015 / minute" at $12 a million
(https://platform.openai.com/docs/pricing), at some 14 characters a second."""
TOKENS_PER_S = 1_250 / 60
"""The same, of sound."""


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked: a text to be spoken, and how."""
    text = kwargs.get("input")
    text = text if isinstance(text, str) else ""
    instructions = kwargs.get("instructions")
    size = text_size(text) + (text_size(instructions) if isinstance(instructions, str) else 0)
    return described(
        kwargs,
        client,
        "generate_content",
        {"gen_ai.output.type": "speech"},
        task="speech",
        stream=kwargs.get("stream_format") == "sse",
        input_chars=size,
        likely_output_tokens=round(len(text) * TOKENS_PER_CHARACTER) + 1,
        hidden_output=True,  # no bytes of an audio file tell its tokens
        carries=Usage(characters=len(text)),
    )


def read(attempt: Attempt, response: Any) -> None:
    """The audio tells nothing."""


def feed(attempt: Attempt, chunk: Any, _hide: bool) -> bool:
    """Note the usage of the last event."""
    told, attempt.doubt = counted(get(chunk, "usage"), RESPONSES)
    attempt.saw_usage(replace(told, audio_output_tokens=told.output_tokens))
    return True


def _content() -> ContentReader:
    from aden.instrumentation.openai import prompt_content

    return prompt_content.SPEECH


ENDPOINT = Endpoint(describe, rewrite, read, feed, _content)
