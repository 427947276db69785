"""Reads calls out of the spans of OpenTelemetry's instrumentors of SDKs that Aden does not wrap.

Only these: each instruments a provider's own SDK, once a request, and counts as the conventions
say, cached tokens within the input and reasoning within the output. And LiveKit, where a release
has moved what we wrap there. Of others, such as those of agent frameworks, nobody can tell whether
their figures are those of a call below them.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from aden.core.request import Request
from aden.core.usage import Usage, token_count
from aden.instrumentation.livekit.features import metered_by_spans
from aden.metering.foreign import Told
from aden.telemetry import names

SCOPES = (
    "opentelemetry.instrumentation.genai.anthropic",
    "opentelemetry.instrumentation.google_genai",
)
_LIVEKIT = "livekit-agents"
_OPERATIONS = ("chat", "generate_content", "text_completion", "embeddings")
_OLD_CACHE_WRITE = "gen_ai.usage.cache_creation.input_tokens"


def is_foreign(scope: InstrumentationScope | None) -> bool:
    """Whether spans of *scope* tell of calls that nobody else here sees."""
    if scope is None:
        return False
    return scope.name in SCOPES or (scope.name == _LIVEKIT and metered_by_spans())


def read(span: ReadableSpan) -> Told | None:
    """The call that an ended span shows; None where it shows none, or no usage."""
    said: Mapping[str, Any] = span.attributes or {}
    if said.get(names.OPERATION_NAME) not in _OPERATIONS or names.CALL_ID in said:
        return None
    usage = _usage(said)
    if not usage.counted or span.context is None:
        return None
    embeds = said[names.OPERATION_NAME] == "embeddings"
    request = Request(
        str(said.get(names.PROVIDER_NAME) or "unknown"),
        str(said.get(names.REQUEST_MODEL) or said.get(names.RESPONSE_MODEL) or ""),
        operation=said[names.OPERATION_NAME],
        task="embedding" if embeds else "text",
        stream=said.get(names.REQUEST_STREAM) is True,
        max_output_tokens=0 if embeds else None,
    )
    return Told(
        request,
        usage,
        span.context,
        ((span.end_time or 0) - (span.start_time or 0)) / 1e9,
        _text(said, names.RESPONSE_ID),
        _text(said, names.RESPONSE_MODEL),
        _text(said, names.ERROR_TYPE),
    )


def _usage(said: Mapping[str, Any]) -> Usage:
    def count(name: str) -> int | None:
        return token_count(said.get(name))

    written = count(names.CACHE_WRITE_TOKENS)
    return Usage(
        count(names.INPUT_TOKENS),
        count(names.OUTPUT_TOKENS),
        count(names.CACHE_READ_TOKENS),
        count(_OLD_CACHE_WRITE) if written is None else written,
        count(names.REASONING_TOKENS),
        count(names.AUDIO_INPUT_TOKENS),
        count(names.AUDIO_OUTPUT_TOKENS),
        cached_audio_tokens=count(names.CACHED_AUDIO_TOKENS),
        image_input_tokens=count(names.IMAGE_INPUT_TOKENS),
        cached_image_tokens=count(names.CACHED_IMAGE_TOKENS),
        image_output_tokens=count(names.IMAGE_OUTPUT_TOKENS),
    )


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) else None
