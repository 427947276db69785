"""The ways to use each endpoint beside chat; a way returns what a program sees of it."""

from __future__ import annotations

import io
import json
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shapes import seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from lanes import Lane

WAYS = ("create", "with_raw_response", "with_streaming_response")


def sound(seconds: float = 2.5) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"\0\0" * round(8000 * seconds))
    return file.getvalue()


def wav_file() -> Any:
    """A WAV as a program gives it: a file with a name and a position."""
    file = io.BytesIO(sound())
    file.name = "call.wav"
    return file


@dataclass(frozen=True)
class Row:
    """One request to one endpoint."""

    name: str
    method: str
    """Dotted, under the client."""
    request: Callable[[], dict[str, Any]]
    operation: str
    stream: bool = False
    """Whether the SDK gives a stream."""
    end: str | None = None
    """How its stream has to end, also one that the SDK gives as bytes."""
    estimated: bool = False
    """Whether nobody tells what it came to."""
    units: tuple[str, int] | None = None
    """Another count than tokens, and what it has to be."""
    ways: tuple[str, ...] = WAYS

    async def use(self, lane: Lane, way: str) -> Any:
        """What a program sees."""
        request = self.request()
        *path, name = self.method.split(".")
        resource = lane.client
        for each in path:
            resource = getattr(resource, each)
        if way == "create":
            return await self._shown(lane, await lane.get(getattr(resource, name)(**request)))
        method = getattr(getattr(resource, way), name)
        if way == "with_raw_response":
            raw = await lane.get(method(**request))
            kind, status = type(raw).__name__, raw.status_code
            return kind, status, await self._shown(lane, raw.parse())
        async with lane.within(method(**request)) as response:
            if self.stream:
                parsed = await lane.get(response.parse())
                return type(response).__name__, await self._shown(lane, parsed)
            return type(response).__name__, _same_bytes(await lane.get(response.read()))

    async def _shown(self, lane: Lane, value: Any) -> Any:
        if self.stream:
            return type(value), seen(await lane.all(value)), value.response.is_closed
        if hasattr(value, "iter_bytes"):
            return type(value), value.content, value.response.is_closed
        if hasattr(value, "to_dict"):
            kind, fields = seen(value)
            fields.pop("created", None)
            return kind, fields
        return type(value), value


def _same_bytes(content: bytes) -> Any:
    """A body without what is never the same."""
    try:
        body = json.loads(content)
    except ValueError:
        return content
    return {name: value for name, value in body.items() if name not in ("id", "created")}


def _speech(model: str, **more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": model, "input": "Good evening, and ünïcode.", "voice": "alloy", **more}


def _heard(model: str, **more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": model, "file": wav_file(), **more}


def _drawn(**more: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"model": "gpt-image-1-mini", "prompt": "a cat", "quality": "low", **more}


VECTOR = {"model": "text-embedding-3-small", "input": ["one text", "and another"]}
TEXT = {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello in 12 tokens."}
PICTURE = ("cat.png", b"png", "image/png")

ROWS = (
    Row("embeddings", "embeddings.create", lambda: dict(VECTOR), "embeddings"),
    Row(
        "embeddings as floats",
        "embeddings.create",
        lambda: VECTOR | {"encoding_format": "float", "dimensions": 4},
        "embeddings",
    ),
    Row("completions", "completions.create", lambda: dict(TEXT), "text_completion"),
    Row(
        "completions, streamed",
        "completions.create",
        lambda: TEXT | {"stream": True},
        "text_completion",
        stream=True,
        end="complete",
        ways=("create", "with_raw_response"),
    ),
    Row("images", "images.generate", _drawn(n=2), "generate_content"),
    Row(
        "images, streamed",
        "images.generate",
        _drawn(stream=True, partial_images=1),
        "generate_content",
        stream=True,
        end="complete",
    ),
    Row("images, edited", "images.edit", _drawn(image=[PICTURE, PICTURE]), "generate_content"),
    Row(
        "speech by the character",
        "audio.speech.create",
        _speech("tts-1"),
        "generate_content",
        units=("characters", 26),
    ),
    Row(
        "speech by tokens that nobody tells",
        "audio.speech.create",
        _speech("gpt-4o-mini-tts"),
        "generate_content",
        estimated=True,
    ),
    Row(
        "speech as events",
        "audio.speech.create",
        _speech("gpt-4o-mini-tts", stream_format="sse"),
        "generate_content",
        end="complete",
    ),
    Row(
        "transcript by the second",
        "audio.transcriptions.create",
        _heard("whisper-1"),
        "generate_content",
        units=("audio_input_ms", 2500),
    ),
    Row(
        "transcript as a plain text",
        "audio.transcriptions.create",
        _heard("whisper-1", response_format="text"),
        "generate_content",
        units=("audio_input_ms", 2500),
    ),
    Row(
        "transcript, verbose",
        "audio.transcriptions.create",
        _heard("whisper-1", response_format="verbose_json"),
        "generate_content",
        units=("audio_input_ms", 2500),
    ),
    Row(
        "transcript by tokens",
        "audio.transcriptions.create",
        _heard("gpt-4o-mini-transcribe", prompt="Aden"),
        "generate_content",
    ),
    Row(
        "transcript, streamed",
        "audio.transcriptions.create",
        _heard("gpt-4o-mini-transcribe", stream=True),
        "generate_content",
        stream=True,
        end="complete",
    ),
    Row(
        "translation",
        "audio.translations.create",
        _heard("whisper-1"),
        "generate_content",
        units=("audio_input_ms", 2500),
    ),
)
