"""Images, speech and transcripts, as the local server speaks them."""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aden.testing.bill import UNIT_RATES, answer_tokens, tokenize
from aden.testing.generated import Answer, Body, Choice
from aden.testing.script import error_json
from aden.testing.text_endpoints import asked, make_item

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from aden.testing.generated import Event
    from aden.testing.handler import Handler

PIXEL = base64.b64encode(b"a very small image").decode()
TOKENS_PER_IMAGE = 272
TOKENS_PER_GIVEN_IMAGE = 323
TOKENS_PER_SPOKEN_TOKEN = 3
AUDIO_TOKENS_PER_S = 10
COMPRESSED_BYTES_PER_S = 2000


@dataclass(frozen=True, slots=True)
class _Media:
    """The form of an answer that is whole, or a row of pieces that one event ends."""

    body: object
    """The whole answer, without its usage."""
    usage: Mapping[str, object] | None
    """None where the endpoint never tells one."""
    each: Mapping[str, object]
    """The event of a piece; its ``delta`` is put in where it has one."""
    last: Mapping[str, object]
    done = b""

    def reports(self, answer: Answer) -> bool:
        return self._usage(answer) is not None

    def whole(self, answer: Answer) -> tuple[int, object]:
        if answer.fails:
            return 500, answer.error
        usage = self._usage(answer)
        if isinstance(self.body, dict) and usage is not None:
            return 200, self.body | {"usage": usage}
        return 200, self.body

    def opening(self, _answer: Answer) -> Sequence[Event]:
        return []

    def piece(self, answer: Answer, index: int, position: int) -> Sequence[Event]:
        said = answer.choices[index].pieces[position]
        return [{**self.each, **({"delta": said} if "delta" in self.each else {})}]

    def closing(self, answer: Answer) -> Sequence[Event]:
        usage = self._usage(answer)
        return [{**self.last, **({"usage": usage} if usage else {})}]

    def broken(self, answer: Answer) -> Sequence[Event]:
        return [answer.error]

    def _usage(self, answer: Answer) -> Mapping[str, object] | None:
        return None if self.usage is None else answer.reported(self.usage)


def images(handler: Handler, found: re.Match[str], body: dict[str, object] | None) -> None:
    """Make images; a model named ``dall-e`` tells no usage."""
    request = asked(found, body)
    if (step := handler.next_step()) is None:
        return
    model, count = str(request.get("model")), int(str(request.get("n") or 1))
    shown = request.get("image")
    seen = TOKENS_PER_GIVEN_IMAGE * (len(shown) if isinstance(shown, list) else bool(shown))
    text, made = len(tokenize(str(request.get("prompt") or ""))), TOKENS_PER_IMAGE * count
    item = make_item(handler, model, text + seen, made, media_tokens=seen)
    usage = {
        "input_tokens": text + seen,
        "output_tokens": made,
        "total_tokens": text + seen + made,
        "input_tokens_details": {"image_tokens": seen, "text_tokens": text},
    }
    kind = "image_edit" if shown else "image_generation"
    shape = {"b64_json": PIXEL, "size": "1024x1024", "quality": "low", "background": "opaque"}
    shape |= {"output_format": "png"}
    form = _Media(
        {"created": int(item.at), "data": [{"b64_json": PIXEL}] * count},
        None if "dall-e" in model else usage,
        {"type": f"{kind}.partial_image", "partial_image_index": 0, "created_at": 0, **shape},
        {"type": f"{kind}.completed", "created_at": 0, **shape},
    )
    choice = Choice(("", ""), 0, "stop")
    answer = Answer((choice,), item, step, form, tokens_a_piece=made // 2)
    handler.deliver(answer, streamed=_true(request.get("stream")))


def speech(handler: Handler, found: re.Match[str], body: dict[str, object] | None) -> None:
    """Speak a text; only a stream of events tells its tokens."""
    request = asked(found, body)
    if (step := handler.next_step()) is None:
        return
    model, text = str(request["model"]), str(request["input"])
    read = tokenize(text)
    spoken = 0 if model in UNIT_RATES else len(read) * TOKENS_PER_SPOKEN_TOKEN
    units = len(text) if model in UNIT_RATES else 0
    item = make_item(handler, model, 0 if units else len(read), spoken, units=units)
    usage = {
        "input_tokens": len(read),
        "output_tokens": spoken,
        "total_tokens": len(read) + spoken,
    }
    kind = "audio/pcm" if request.get("response_format") == "pcm" else "audio/mpeg"
    sound = base64.b64encode(b"\0\1" * 40).decode()
    form = _Media(
        Body(kind, b"\0\1" * 40 * len(read)),
        usage,
        {"type": "speech.audio.delta", "audio": sound},
        {"type": "speech.audio.done"},
    )
    pieces = Choice(tuple(read), 0, "stop")
    tokens = 0 if units else TOKENS_PER_SPOKEN_TOKEN
    answer = Answer((pieces,), item, step, form, tokens_a_piece=tokens)
    handler.deliver(answer, streamed=request.get("stream_format") == "sse")


def transcripts(handler: Handler, found: re.Match[str], body: dict[str, object] | None) -> None:
    """Write down what a file says: always the same."""
    request = asked(found, body)
    file = request.get("file")
    if not isinstance(file, bytes):
        handler.send_json(400, error_json(400, "Missing required parameter: 'file'."))
    elif (step := handler.next_step()) is not None:
        model, seconds = str(request["model"]), _seconds(file)
        said = answer_tokens("in one sentence", 0)
        usage: dict[str, object]
        if model in UNIT_RATES:
            item = make_item(handler, model, 0, 0, units=round(seconds * 1000))
            usage = {"type": "duration", "seconds": seconds}
        else:
            heard, read = round(seconds * AUDIO_TOKENS_PER_S), len(tokenize(_prompt(request)))
            item = make_item(handler, model, heard + read, len(said), media_tokens=heard)
            usage = {
                "type": "tokens",
                "input_tokens": heard + read,
                "output_tokens": len(said),
                "total_tokens": heard + read + len(said),
                "input_token_details": {"audio_tokens": heard, "text_tokens": read},
            }
        form = _transcript(str(request.get("response_format") or "json"), said, seconds, usage)
        tokens = 0 if model in UNIT_RATES else 1
        answer = Answer((Choice(tuple(said), 0, "stop"),), item, step, form, tokens_a_piece=tokens)
        handler.deliver(answer, streamed=_true(request.get("stream")))


def _transcript(
    form: str, said: Sequence[str], seconds: float, usage: Mapping[str, object]
) -> _Media:
    text = "".join(said)
    each: dict[str, object] = {"type": "transcript.text.delta", "delta": ""}
    last: dict[str, object] = {"type": "transcript.text.done", "text": text}
    if form in ("text", "srt", "vtt"):
        return _Media(Body("text/plain; charset=utf-8", text.encode()), None, each, last)
    whole: dict[str, object] = {"text": text}
    if form == "verbose_json":
        whole |= {"duration": seconds, "language": "english", "segments": []}
    return _Media(whole, usage, each, last)


def _prompt(request: Mapping[str, object]) -> str:
    return str(request.get("prompt") or "")


def _seconds(file: bytes) -> float:
    """How long a file is; what is no WAV has 16 kbit/s."""
    try:
        with wave.open(io.BytesIO(file)) as sound:
            return float(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError):
        return len(file) / COMPRESSED_BYTES_PER_S


def _true(value: object) -> bool:
    return value is True or value == "true"
