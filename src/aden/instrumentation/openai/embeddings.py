"""``embeddings``: input tokens only."""

from collections.abc import Mapping
from typing import Any

from aden.core.estimate import text_size
from aden.core.request import Request, Scalar
from aden.core.usage import token_count
from aden.instrumentation.openai.common import described, rewrite, unseen
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.parameters import text
from aden.instrumentation.openai.usage import COMPLETIONS, note_usage
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt
from aden.telemetry.spans import Answer

_DIMENSIONS = "gen_ai.embeddings.dimension.count"


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked: texts, or texts as tokens."""
    size, tokens = measure(kwargs.get("input"))
    attributes: dict[str, Scalar | tuple[str, ...]] = {}
    if (dimensions := token_count(kwargs.get("dimensions"))) is not None:
        attributes[_DIMENSIONS] = dimensions
    form = kwargs.get("encoding_format")
    if isinstance(form, str) and form != "base64":  # the SDK's own choice where none was made
        attributes["gen_ai.request.encoding_formats"] = (form,)
    return described(
        kwargs,
        client,
        "embeddings",
        attributes,
        task="embedding",
        input_chars=size,
        input_extra_tokens=tokens,
        max_output_tokens=0,
    )


def read(attempt: Attempt, response: Any) -> None:
    """Note usage, model and the length of a vector."""
    attempt.response_model = text(get(response, "model")) or attempt.response_model
    note_usage(attempt, get(response, "usage"), COMPLETIONS)
    data = get(response, "data")
    vector = get(data[0], "embedding") if isinstance(data, list) and data else None
    if isinstance(vector, list) and _DIMENSIONS not in attempt.request.span_attributes:
        attempt.answer = Answer({_DIMENSIONS: len(vector)})


def measure(value: Any) -> tuple[int, int]:
    """(UTF-8 bytes, tokens that are given as such)."""
    if isinstance(value, str):
        return text_size(value), 0
    if isinstance(value, int):
        return 0, 1
    if not isinstance(value, list | tuple):
        return 0, 0
    if value and isinstance(value[0], int):
        return 0, len(value)
    sizes = [measure(each) for each in value]
    return sum(size for size, _ in sizes), sum(tokens for _, tokens in sizes)


ENDPOINT = Endpoint(describe, rewrite, read, unseen)
