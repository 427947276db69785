"""An endpoint whose bill nobody can read: described by its size, metered by what it tells."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from aden.core.request import Request
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.hosts import server_of
from aden.instrumentation.openai.measuring import json_size
from aden.instrumentation.openai.parameters import is_given, text
from aden.instrumentation.openai.usage import COMPLETIONS, RESPONSES, note_usage
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt


def unlisted(operation: str) -> Endpoint:
    """An endpoint that is known by its *operation* only, such as ``POST /threads/*/runs``."""
    return Endpoint(partial(_describe, operation), rewrite, read, feed)


def _describe(operation: str, kwargs: Mapping[str, Any], client: Any) -> Request:
    provider, host, port = server_of(client)
    return Request(
        provider=provider,
        model=text(kwargs.get("model")) or "",
        operation=operation,
        stream=is_given(kwargs.get("stream")) and bool(kwargs.get("stream")),
        input_chars=json_size(dict(kwargs)),
        unlisted=True,
        pinned=True,
        server_address=host,
        server_port=port,
    )


def rewrite(kwargs: dict[str, Any], _model: str, _ask: bool) -> tuple[dict[str, Any], bool]:
    """Sent as it is: nobody knows which models the endpoint takes."""
    return kwargs, False


def read(attempt: Attempt, response: Any) -> None:
    """Note the usage, under the names that the API uses elsewhere."""
    attempt.response_id = text(get(response, "id")) or attempt.response_id
    attempt.response_model = text(get(response, "model")) or attempt.response_model
    _read_usage(attempt, get(response, "usage"))


def feed(attempt: Attempt, chunk: Any, _hide: bool) -> bool:
    """Note the usage of a chunk, or of the response in it."""
    attempt.deltas += 1
    _read_usage(attempt, get(chunk, "usage"))
    _read_usage(attempt, get(get(chunk, "response"), "usage"))
    return True


def _read_usage(attempt: Attempt, usage: Any) -> None:
    as_chat = get(usage, COMPLETIONS.read) is not None
    note_usage(attempt, usage, COMPLETIONS if as_chat else RESPONSES)
