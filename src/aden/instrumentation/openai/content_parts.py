"""Parts of messages that OpenAI's endpoints share, as the GenAI conventions have them."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from aden.instrumentation.told import get
from aden.telemetry.messages import FilePart, TextPart, UriPart

_INLINE = re.compile("data:[^,\\s]*;base64,")


def parts_of(content: Any) -> list[Any]:
    """The parts of a message's content, a text or a list."""
    if isinstance(content, str):
        return [TextPart(content)]
    if not isinstance(content, list | tuple):
        return []
    return [part for each in content if (part := part_of(each)) is not None]


def part_of(item: Any) -> Any:
    """One part of a message; None for a kind that the conventions do not know."""
    if isinstance(item, str):
        return TextPart(item)
    kind, text = get(item, "type"), get(item, "text")
    if kind == "refusal":
        text = get(item, "refusal")
    if kind in ("text", "input_text", "output_text", "refusal"):
        return TextPart(text) if isinstance(text, str) else None
    if kind in ("image_url", "input_image"):
        return _image(item)
    if kind == "input_audio":
        return _audio(get(item, "input_audio"))
    return _file(get(item, "file") or item) if kind in ("file", "input_file") else None


def _image(item: Any) -> Any:
    url = get(item, "image_url")
    url = url if isinstance(url, str) else get(url, "url")
    if isinstance(url, str) and url:
        return _reference(url, "image")
    file_id = get(item, "file_id")
    return FilePart(None, "image", file_id) if isinstance(file_id, str) else None


def _audio(audio: Any) -> Any:
    data, kind = get(audio, "data"), get(audio, "format")
    if not isinstance(data, str):
        return None
    mime_type = {"wav": "audio/wav", "mp3": "audio/mpeg"}.get(str(kind))
    return UriPart(mime_type, "audio", digest(data))


def _file(file: Any) -> Any:
    file_id, data = get(file, "file_id"), get(file, "file_data")
    if isinstance(file_id, str) and file_id:
        return FilePart(None, "document", file_id)
    return _reference(data, "document") if isinstance(data, str) and data else None


def _reference(url: str, modality: str) -> UriPart:
    """A URL as it is; what is sent inline, by its digest: bytes belong on no span."""
    if not url.startswith("data:"):
        return UriPart(None, modality, url)
    header, _, payload = url.removeprefix("data:").partition(",")
    return UriPart(header.split(";", 1)[0] or None, modality, digest(payload))


def digest(data: str) -> str:
    """What stands for data that belongs on no span."""
    return digest_of_bytes(data.encode("utf-8", "replace"))


def digest_of_bytes(data: bytes | bytearray) -> str:
    """What stands for bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def plain(value: Any) -> Any:
    """Data as JSON knows it; what is no data is left out, and bytes are told by their digest."""
    if isinstance(value, str):
        return _reference(value, "").uri if _INLINE.match(value) else value
    if value is None or isinstance(value, int | float | bool):
        return value
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None
