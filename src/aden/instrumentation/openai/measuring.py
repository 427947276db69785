"""How large an input is, as far as that shows before a provider has counted it."""

import json
from collections.abc import Mapping
from typing import Any

from aden.core.estimate import text_size
from aden.instrumentation.told import LISTS, get

MESSAGE_FRAMING_TOKENS = 4
"""Per message and for the answer's start (https://cookbook.openai.com, "counting tokens")."""
IMAGE_TOKENS = 1105
"""A large high-detail image of gpt-4o (https://platform.openai.com/docs/guides/images-vision)."""
AUDIO_TOKENS_PER_BASE64_BYTE = 10 / (24_000 * 2 * 4 / 3)
"""Ten tokens a second of 24 kHz 16-bit audio."""
SPEECH_TOKENS_PER_BASE64_BYTE = 2 * AUDIO_TOKENS_PER_BASE64_BYTE
"""Twenty tokens a second, twice those of what is heard
(https://platform.openai.com/docs/guides/realtime-costs)."""
_IMAGES = ("image_url", "input_image", "computer_screenshot", "image_generation_call")
"""Types of what shows the model an image; the last is its own of an earlier turn."""


def measure(value: Any) -> tuple[int, int]:
    """(UTF-8 bytes of text, tokens that bytes do not show) of a message or a part of one."""
    if isinstance(value, str):
        return text_size(value), 0
    plain = type(value) is dict  # what nearly all messages are
    if not plain and hasattr(value, "model_dump"):
        value = value.model_dump()
    if plain or isinstance(value, Mapping):
        kind = value.get("type")
        if kind in _IMAGES:
            return 0, IMAGE_TOKENS
        if kind == "input_audio":
            data = get(value.get("input_audio"), "data") or ""
            return 0, round(len(data) * AUDIO_TOKENS_PER_BASE64_BYTE)
        value = value.values()
    elif not isinstance(value, LISTS):
        return (0, 0) if value is None else (len(str(value)), 0)
    size = extra = 0
    for each in value:
        if type(each) is str:  # what nearly all parts are
            size += text_size(each)
            continue
        text, tokens = measure(each)
        size, extra = size + text, extra + tokens
    return size, extra


def measure_messages(messages: Any) -> tuple[int, int, bool]:
    """The same of a list of messages, with their framing; and whether some of it is not text."""
    size = shown = 0
    listed = messages if isinstance(messages, LISTS) else ()
    for message in listed:
        text, tokens = measure(message)
        size, shown = size + text, shown + tokens
    return size, 3 + MESSAGE_FRAMING_TOKENS * len(listed) + shown, shown > 0


def plays_sound(messages: Any) -> bool:
    """Whether a message has a part to be heard."""
    return any(
        get(part, "type") == "input_audio"
        for message in (messages if isinstance(messages, LISTS) else ())
        if isinstance(parts := get(message, "content"), LISTS)
        for part in parts
    )


def json_size(value: Any) -> int:
    """Bytes of a schema or of tools, as they go over the wire."""
    try:
        return len(json.dumps(value, default=str, separators=(",", ":")))
    except (TypeError, ValueError, RecursionError):
        return len(str(value))


def speech_tokens(sound: str) -> int:
    """Tokens of a piece of speech that a model has made, in base64."""
    return max(1, round(len(sound) * SPEECH_TOKENS_PER_BASE64_BYTE))
