"""What was said by the endpoints that take one prompt: legacy completions, speech, images.

Imported only where content is captured. Pure functions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aden.instrumentation.openai.content_parts import digest, digest_of_bytes
from aden.instrumentation.openai.endpoint import Gathering
from aden.instrumentation.openai.parameters import items, text
from aden.instrumentation.openai.transcripts import words_of
from aden.instrumentation.told import get
from aden.telemetry.content import Content
from aden.telemetry.messages import InputMessage, OutputMessage, TextPart, UriPart


@dataclass(frozen=True, slots=True)
class Reader:
    """A `ContentReader` of an endpoint."""

    asked: Callable[[Mapping[str, Any]], Content]
    answered: Callable[[Any], Sequence[Any]]
    Gathered: Callable[[], Gathering]


class _Texts:
    """The texts of a streamed answer, by its choices."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._ended: dict[int, str] = {}

    def add(self, chunk: Any) -> None:
        """Pile up what a chunk says: a choice's text, or a transcript's delta."""
        for choice in items(get(chunk, "choices")) or (chunk,):
            index = get(choice, "index") or 0
            if said := text(get(choice, "text")) if choice is not chunk else _delta(chunk):
                self._texts.setdefault(index, []).append(said)
            if reason := text(get(choice, "finish_reason")):
                self._ended[index] = reason

    def messages(self) -> list[OutputMessage]:
        """What has arrived so far."""
        return [
            _said("".join(texts), self._ended.get(index, "stop"))
            for index, texts in sorted(self._texts.items())
        ]


class _Images:
    """The images of a stream: the last one of it is the whole one."""

    def __init__(self) -> None:
        self._images: list[Any] = []

    def add(self, event: Any) -> None:
        """Note an image; partial ones are not what was asked for."""
        if str(get(event, "type")).endswith(".completed"):
            self._images.append(event)

    def messages(self) -> list[OutputMessage]:
        """What has arrived so far."""
        return _images({"data": self._images})


def _delta(event: Any) -> str | None:
    return text(get(event, "delta"))


def _said(words: str, reason: str = "stop") -> OutputMessage:
    return OutputMessage("assistant", [TextPart(words)], reason)


def _heard(*parts: Any) -> list[InputMessage]:
    said = [TextPart(part) if isinstance(part, str) else part for part in parts if part]
    return [InputMessage("user", said)] if said else []


def _prompts(kwargs: Mapping[str, Any]) -> Content:
    """Prompts as texts; what is given as tokens says nothing to a reader."""
    given = kwargs.get("prompt")
    prompts = given if isinstance(given, list | tuple) else [given]
    return Content(inputs=[each for prompt in prompts for each in _heard(text(prompt))])


def _choices(response: Any) -> list[OutputMessage]:
    return [
        _said(get(choice, "text") or "", text(get(choice, "finish_reason")) or "stop")
        for choice in items(get(response, "choices"))
    ]


def _spoken(kwargs: Mapping[str, Any]) -> Content:
    manner = text(kwargs.get("instructions"))
    system = [TextPart(manner)] if manner else []
    return Content(inputs=_heard(text(kwargs.get("input"))), system=system)


def _to_be_heard(kwargs: Mapping[str, Any]) -> Content:
    return Content(inputs=_heard(_upload(kwargs.get("file"), "audio"), text(kwargs.get("prompt"))))


def _transcript(response: Any) -> list[OutputMessage]:
    words = words_of(response)
    return [_said(words)] if words else []


def _to_be_drawn(kwargs: Mapping[str, Any]) -> Content:
    given = kwargs.get("image")
    images = [*(given if isinstance(given, list) else [given]), kwargs.get("mask")]
    return Content(
        inputs=_heard(*(_upload(each, "image") for each in images), text(kwargs.get("prompt")))
    )


def _images(response: Any) -> list[OutputMessage]:
    parts: list[Any] = [_image(each) for each in items(get(response, "data"))]
    found = [part for part in parts if part is not None]
    return [OutputMessage("assistant", found, "stop")] if found else []


def _image(made: Any) -> UriPart | None:
    if data := text(get(made, "b64_json")):
        return UriPart("image/png", "image", digest(data))
    url = text(get(made, "url"))
    return UriPart(None, "image", url) if url else None


def _upload(file: Any, modality: str) -> UriPart | None:
    """A file by the digest of its bytes; what would have to be read is left to who sends it."""
    kind = file[2] if isinstance(file, tuple) and len(file) > 2 else None
    content = file[1] if isinstance(file, tuple) and len(file) > 1 else file
    if not isinstance(content, bytes | bytearray):
        return None
    return UriPart(text(kind), modality, digest_of_bytes(content))


def _nothing(_response: Any) -> Sequence[Any]:
    return ()


COMPLETIONS = Reader(_prompts, _choices, _Texts)
SPEECH = Reader(_spoken, _nothing, _Texts)
TRANSCRIPTS = Reader(_to_be_heard, _transcript, _Texts)
IMAGES = Reader(_to_be_drawn, _images, _Images)
