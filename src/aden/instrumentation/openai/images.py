"""``images``: generated, edited, varied; billed by the token, by older models by the image."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aden.core.estimate import text_size
from aden.core.request import Request, Scalar
from aden.core.usage import Usage, token_count
from aden.instrumentation.openai.common import described, rewrite
from aden.instrumentation.openai.endpoint import ContentReader, Endpoint
from aden.instrumentation.openai.measuring import IMAGE_TOKENS
from aden.instrumentation.openai.parameters import given
from aden.instrumentation.openai.usage import RESPONSES, counted
from aden.instrumentation.told import get
from aden.metering.attempt import Attempt

OUTPUT_TOKENS: Mapping[str, tuple[int, int]] = {
    "low": (272, 408),
    "medium": (1056, 1584),
    "high": (4160, 6240),
}
"""Output tokens of a square and of another image by its quality
(https://platform.openai.com/docs/guides/image-generation#cost-and-latency)."""
PARTIAL_TOKENS = 100
"""Of each partial image of a stream (there)."""


def describe(kwargs: Mapping[str, Any], client: Any) -> Request:
    """What is asked: a prompt, images to begin with, and how many of what size to make."""
    asked = given(kwargs)
    prompt = asked.get("prompt")
    count = token_count(asked.get("n")) or 1
    likely = _output(asked)
    given_images = sum(_count(asked.get(name)) for name in ("image", "mask", "images"))
    attributes: dict[str, Scalar | tuple[str, ...]] = {"gen_ai.output.type": "image"}
    if count != 1:
        attributes["gen_ai.request.choice.count"] = count
    return described(
        kwargs,
        client,
        "generate_content",
        attributes,
        task="image",
        stream=bool(asked.get("stream")),
        input_chars=text_size(prompt) if isinstance(prompt, str) else 0,
        input_extra_tokens=IMAGE_TOKENS * given_images,
        likely_output_tokens=likely,
        choices=count,
        hidden_output=True,  # what is seen of an image tells nothing of its tokens
        carries=Usage(
            images=count,
            image_input_tokens=IMAGE_TOKENS * given_images,
            image_output_tokens=likely * count,
        ),
    )


def read(attempt: Attempt, response: Any) -> None:
    """Note the usage of a whole response; models that bill by the image tell none."""
    _read_usage(attempt, get(response, "usage"))


def feed(attempt: Attempt, chunk: Any, _hide: bool) -> bool:
    """Note the usage of the last event."""
    _read_usage(attempt, get(chunk, "usage"))
    return True


def _read_usage(attempt: Attempt, usage: Any) -> None:
    if usage is None:
        return
    told, attempt.doubt = counted_images(usage)
    attempt.saw_usage(told)


def counted_images(usage: Any) -> tuple[Usage, str | None]:
    """As `counted`; all of the output is image where nothing says how much of it is text."""
    told, doubt = counted(usage, RESPONSES)
    if told.image_output_tokens is None:
        told = replace(told, image_output_tokens=told.output_tokens)
    return told, doubt


def _output(asked: Mapping[str, Any]) -> int:
    """Output tokens of one image; where quality or size are left to the model, the most."""
    square, other = OUTPUT_TOKENS.get(str(asked.get("quality")), OUTPUT_TOKENS["high"])
    width, _, height = str(asked.get("size")).partition("x")
    partial = token_count(asked.get("partial_images")) or 0
    return (square if width == height else other) + PARTIAL_TOKENS * partial


def _count(value: Any) -> int:
    if value is None:
        return 0
    return len(value) if isinstance(value, list) else 1


def _content() -> ContentReader:
    from aden.instrumentation.openai import prompt_content

    return prompt_content.IMAGES


ENDPOINT = Endpoint(describe, rewrite, read, feed, _content)
