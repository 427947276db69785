"""``completions``, the endpoint before chat: a prompt is continued."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aden.core.request import Request, Scalar
from aden.core.usage import token_count
from aden.instrumentation.openai import chat
from aden.instrumentation.openai.caps import OPENAI_HOSTS
from aden.instrumentation.openai.common import described
from aden.instrumentation.openai.embeddings import measure
from aden.instrumentation.openai.endings import of_choices
from aden.instrumentation.openai.endpoint import ContentReader, Endpoint
from aden.instrumentation.openai.parameters import given, items, text, texts
from aden.instrumentation.openai.usage import COMPLETIONS, note_usage
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt

DEFAULT_MAX_TOKENS = 16
"""Of each choice at OpenAI's own servers, where the request sets none
(https://platform.openai.com/docs/api-reference/completions/create)."""


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked."""
    asked = given(kwargs)
    size, tokens = measure(asked.get("prompt"))
    prompts = _count(asked.get("prompt"))
    made = max(token_count(asked.get("n")) or 1, token_count(asked.get("best_of")) or 1)
    limit = token_count(asked.get("max_tokens"))
    request = described(
        kwargs,
        client,
        "text_completion",
        _attributes(asked),
        stream=bool(asked.get("stream")),
        input_chars=size,
        input_extra_tokens=tokens,
        max_output_tokens=limit,
        choices=made * prompts,
    )
    if limit is None and (request.server_address or "").endswith(OPENAI_HOSTS):
        request = replace(request, max_output_tokens=DEFAULT_MAX_TOKENS)
    return request


def _attributes(asked: Mapping[str, Any]) -> dict[str, Scalar | tuple[str, ...]]:
    attributes = chat.span_attributes(asked)
    attributes.pop("openai.api.type", None)  # has no value for this endpoint
    return attributes


def _count(prompt: Any) -> int:
    """How many prompts there are: each is continued."""
    several = isinstance(prompt, list | tuple) and prompt and not isinstance(prompt[0], int)
    return len(prompt) if several else 1


def read(attempt: Attempt, response: Any) -> None:
    """Note what a whole response says."""
    attempt.response_id = text(get(response, "id")) or attempt.response_id
    attempt.response_model = text(get(response, "model")) or attempt.response_model
    choices = items(get(response, "choices"))
    attempt.finish_reasons = texts(get(choice, "finish_reason") for choice in choices)
    note_usage(attempt, get(response, "usage"), COMPLETIONS)
    if attempt.outcome != "reported":
        for choice in choices:
            _saw_text(attempt, choice)


def feed(attempt: Attempt, chunk: Any, hide_usage: bool) -> bool:
    """Note what a chunk says; False for the usage chunk that only we asked for."""
    for choice in items(get(chunk, "choices")):
        _saw_text(attempt, choice)
    # A chunk of chat, but for its texts.
    return chat.feed(attempt, chunk, hide_usage)


def _saw_text(attempt: Attempt, choice: Any) -> None:
    if said := text(get(choice, "text")):
        attempt.saw_text(said)


def _content() -> ContentReader:
    from aden.instrumentation.openai import prompt_content

    return prompt_content.COMPLETIONS


ENDPOINT = Endpoint(
    describe,
    chat.rewrite,
    read,
    feed,
    _content,
    caps=("max_tokens",),
    ending=of_choices({"text": ""}),
)
