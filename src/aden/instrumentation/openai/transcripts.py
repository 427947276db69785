"""``audio.transcriptions`` and ``translations``: billed by the second, or by the token."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aden.core.estimate import text_size
from aden.core.request import Request
from aden.core.usage import Usage, milliseconds
from aden.instrumentation.openai.common import described, rewrite
from aden.instrumentation.openai.endpoint import ContentReader, Endpoint
from aden.instrumentation.openai.uploads import duration
from aden.instrumentation.openai.usage import REALTIME, note_usage
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt

AUDIO_TOKENS_PER_S = 10
"""Of what is heard (https://platform.openai.com/docs/guides/realtime-costs)."""
TEXT_TOKENS_PER_S = 6
"""Of what is said, by a fast speaker: 240 words a minute."""


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked: a file to be heard."""
    seconds, exact = duration(kwargs.get("file"))
    prompt = kwargs.get("prompt")
    heard = round(seconds * AUDIO_TOKENS_PER_S)
    return described(
        kwargs,
        client,
        "generate_content",
        {"gen_ai.output.type": "text"},
        task="transcript",
        stream=kwargs.get("stream") is True,
        input_chars=text_size(prompt) if isinstance(prompt, str) else 0,
        input_extra_tokens=heard,
        likely_output_tokens=round(seconds * TEXT_TOKENS_PER_S) + 8,
        carries=Usage(
            audio_input_ms=milliseconds(seconds),
            audio_input_tokens=heard,
            estimated=not exact,
        ),
    )


def of_session(talk: Request, model: str) -> Request:
    """What a realtime session has *model* write down, by a description of the session."""
    attributes = {**talk.span_attributes, "gen_ai.output.type": "text"}
    return replace(
        talk,
        model=model,
        operation="generate_content",
        task="transcript",
        stream=False,
        unseen_input=False,
        span_attributes=attributes,
    )


def read(attempt: Attempt, response: Any) -> None:
    """Note the usage; a plain text has none, and says how much was heard by its length only."""
    _read_usage(attempt, get(response, "usage"))
    if attempt.outcome != "reported":
        _read_duration(attempt, get(response, "duration"))
    if attempt.outcome != "reported" and (words := words_of(response)) is not None:
        attempt.saw_text(words)


def words_of(response: Any) -> str | None:
    """What was heard: of an object or its JSON, of an event of a session, or as a plain text."""
    if isinstance(response, bytes):
        return response.decode("utf-8", "replace")
    words = get(response, "text") or get(response, "transcript")
    words = response if isinstance(response, str) else words
    return words if isinstance(words, str) else None


def feed(attempt: Attempt, chunk: Any, _hide: bool) -> bool:
    """Note a piece of the text, or the usage of the last event."""
    if isinstance(delta := get(chunk, "delta"), str) and delta:
        attempt.saw_text(delta)
    _read_usage(attempt, get(chunk, "usage"))
    return True


def _read_usage(attempt: Attempt, usage: Any) -> None:
    if get(usage, "type") == "duration":
        _read_duration(attempt, get(usage, "seconds"))
    else:
        note_usage(attempt, usage, REALTIME)


def _read_duration(attempt: Attempt, seconds: object) -> None:
    attempt.saw_usage(Usage(audio_input_ms=milliseconds(seconds)))


def _content() -> ContentReader:
    from aden.instrumentation.openai import prompt_content

    return prompt_content.TRANSCRIPTS


ENDPOINT = Endpoint(describe, rewrite, read, feed, _content)
