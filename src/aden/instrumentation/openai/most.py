"""What a request can make a model read and write at most; only asked where a budget has to know."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aden.core.estimate import text_size
from aden.core.request import Request
from aden.instrumentation.openai.caps import cap_name
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.parameters import given, reads_bytes

FRAMING_TOKENS = 8
"""Around a message, a part or a tool; the bytes of their JSON are counted besides."""
AUDIO_BYTES_PER_TOKEN = 100
"""Ten tokens a second (https://platform.openai.com/docs/guides/realtime-costs) of the slowest
MP3 that there is, 8 kbit/s."""

_CONVERSATION = ("messages", "input", "instructions", "prediction", "prompt")
_TEXT = (
    "tools",
    "functions",
    "response_format",
    "text",
    "text_format",
    "tool_choice",
    "function_call",
)
_ELSEWHERE = ("previous_response_id", "conversation")
"""Parameters by which the provider adds what it has stored."""
_DEARER = ("n", "best_of", "model", "service_tier", "web_search_options", "modalities", "audio")
_BILLED = frozenset((*_CONVERSATION, *_TEXT, *_ELSEWHERE, *_DEARER))
"""What may make a request dearer, where it is hidden in ``extra_body``."""
_MEDIA = frozenset(("file", "file_id", "file_url", "file_data", "image_file", "video_url", "audio"))
_OUR_TOOLS = ("function", "custom", "local_shell", "apply_patch", "computer_use_preview")
"""Tools that the caller carries out; all others run at the provider's, at prices of their own."""


def with_most(request: Request, endpoint: Endpoint, kwargs: Mapping[str, Any]) -> Request:
    """*request* with what bounds it."""
    asked = given(kwargs)
    seen = _Seen()
    for name in _CONVERSATION:
        seen.look(asked.get(name), media=True)
    for name in _TEXT:
        seen.look(asked.get(name), media=False)
    spoken = "audio" in (asked.get("modalities") or ()) or "audio" in asked
    return replace(
        request,
        most_text_tokens=None if seen.opaque or _refers(asked) else seen.tokens,
        images=seen.images,
        speech=spoken or seen.speech,
        boundless=_boundless(asked, endpoint, request.model),
        takes_cap=cap_name(endpoint, asked, request) is not None,
        can_be_ended=request.stream and endpoint.ending is not None and not reads_bytes(asked),
    )


@dataclass(slots=True)
class _Seen:
    """A walk over everything that a model reads."""

    tokens: int = 2 * FRAMING_TOKENS
    images: int = 0
    speech: bool = False
    opaque: bool = False
    """Whether there is something whose size does not show."""

    def look(self, value: Any, *, media: bool) -> None:
        """Count *value*: no tokenizer makes more tokens of a text than it has bytes."""
        if isinstance(value, str):
            self.tokens += text_size(value)
        elif value is None or isinstance(value, bool | int | float):
            self.tokens += len(str(value))
        elif isinstance(value, Mapping):
            self._look_into(value, media=media)
        elif isinstance(value, list | tuple):
            for each in value:
                self.look(each, media=media)
        elif hasattr(value, "model_dump"):
            self.look(value.model_dump(), media=media)
        elif isinstance(value, type) and hasattr(value, "model_json_schema"):
            self.look(value.model_json_schema(), media=False)
        else:
            self.opaque = True

    def _look_into(self, part: Mapping[Any, Any], *, media: bool) -> None:
        self.tokens += FRAMING_TOKENS
        for key, value in part.items():
            if media and key in ("image_url", "image"):
                self.images += 1
            elif media and key == "input_audio" and isinstance(value, Mapping):
                self.speech = True
                self.tokens += len(str(value.get("data"))) // AUDIO_BYTES_PER_TOKEN + 1
            elif media and value is not None and (key in _MEDIA or value == "item_reference"):
                self.opaque = True
            else:
                self.tokens += text_size(str(key))
                self.look(value, media=media)


def _refers(asked: Mapping[str, Any]) -> bool:
    return any(name in asked for name in _ELSEWHERE) or isinstance(asked.get("prompt"), Mapping)


def _boundless(asked: Mapping[str, Any], endpoint: Endpoint, model: str) -> str | None:
    """What has a price that the request does not limit."""
    for name in ("web_search_options", "prediction", "best_of"):
        if name in asked:
            return name
    if "-search" in model:
        return f"the searches of {model}"
    tools = asked.get("tools")
    for tool in tools if isinstance(tools, list | tuple) else ():
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if isinstance(kind, str) and kind not in _OUR_TOOLS:
            return f"the tool {kind}"
    body = asked.get("extra_body")
    for name in body if isinstance(body, Mapping) else ():
        if name in endpoint.caps or name in _BILLED:
            return f"extra_body.{name}"
    return None
