"""The Realtime API's conversations, as the local server keeps, answers and counts them."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from aden.testing.bill import BillItem, answer_tokens, tokenize
from aden.testing.generated import Answer, choices
from aden.testing.script import ErrorEvent, Fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aden.testing.generated import Event
    from aden.testing.script import Step
    from aden.testing.sockets import Turn

SPOKEN_TOKENS_PER_WORD = 4
"""Audio tokens with which each token of the transcript is spoken."""
_SPOKEN = "A" * (SPOKEN_TOKENS_PER_WORD * 3200)
HEARD_BYTES_PER_TOKEN = 6400
"""Base64 bytes of 24 kHz 16-bit audio a token: ten tokens a second."""


@dataclass(slots=True)
class Conversation:
    """What the server keeps for one connection; all of it is read for each answer."""

    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    session_id: str = field(default_factory=lambda: f"sess_{uuid.uuid4().hex}")
    _question: str = ""
    _text_tokens: int = 0
    _audio_tokens: int = 0
    _cached_text: int = 0
    _cached_audio: int = 0

    @property
    def detects_turns(self) -> bool:
        """Whether the server answers what it hears by itself."""
        audio = self.settings.get("audio") or {}
        return bool((audio.get("input") or {}).get("turn_detection"))

    def session(self) -> dict[str, object]:
        """Return the session object."""
        return {"type": "realtime", "id": self.session_id, "model": self.model, **self.settings}

    def add(self, item: Mapping[str, Any]) -> None:
        """Add an item that the client wrote."""
        for part in item.get("content") or ():
            text = part.get("text") or ""
            self._question = text or self._question
            self._text_tokens += len(tokenize(text))

    def hear(self, audio: str) -> None:
        """Add what was said, base64."""
        self._audio_tokens += max(1, len(audio) // HEARD_BYTES_PER_TOKEN)

    @property
    def transcriber(self) -> str | None:
        """The model that writes down what is heard, if one does."""
        audio = self.settings.get("audio") or {}
        asked = (audio.get("input") or {}).get("transcription")
        asked = asked or self.settings.get("input_audio_transcription") or {}
        return asked.get("model")

    def transcribed(self, turn: Turn, model: str, audio: str) -> tuple[BillItem, Event]:
        """Return what writing down *audio* costs, and the event that says what was heard."""
        heard, said = max(1, len(audio) // HEARD_BYTES_PER_TOKEN), answer_tokens("", 0)
        item = BillItem(
            request_id=turn.request_id,
            at=time.time(),
            model=model,
            input_tokens=heard,
            cached_tokens=0,
            output_tokens=len(said),
            reasoning_tokens=0,
            completed=True,
            reported=True,
            media_tokens=heard,
        )
        usage = {
            "type": "tokens",
            "input_tokens": heard,
            "output_tokens": len(said),
            "total_tokens": heard + len(said),
            "input_token_details": {"audio_tokens": heard, "text_tokens": 0},
        }
        event: Event = {
            "type": "conversation.item.input_audio_transcription.completed",
            "event_id": turn.request_id,
            "item_id": "item_0",
            "content_index": 0,
            "transcript": "".join(said),
            "usage": usage,
        }
        return item, event

    def answer(self, turn: Turn, asked: Mapping[str, Any], step: Step) -> Answer:
        """Return the answer to the conversation so far, which becomes a part of it."""
        body: dict[str, Any] = {"messages": [{"role": "user", "content": self._question}]}
        said = self.settings | dict(asked)
        limit = said.get("max_output_tokens", said.get("max_response_output_tokens"))
        if isinstance(limit, int):
            body["max_tokens"] = limit
        made = choices(body, self.model, step)
        modalities = asked.get("output_modalities") or self.settings.get("output_modalities")
        form = _Form(turn.request_id.replace("req_", "resp_"), spoken=modalities != ["text"])
        told = self.settings.get("instructions") or ""
        text, audio = self._text_tokens + len(tokenize(told)), self._audio_tokens
        words = len(made[0].pieces)
        spoken = words * SPOKEN_TOKENS_PER_WORD if form.spoken else 0
        item = BillItem(
            request_id=turn.request_id,
            at=time.time(),
            model=self.model,
            input_tokens=text + audio,
            cached_tokens=self._cached_text + self._cached_audio,
            output_tokens=words + spoken,
            reasoning_tokens=0,
            audio_input_tokens=audio,
            cached_audio_tokens=self._cached_audio,
            audio_output_tokens=spoken,
        )
        self._cached_text, self._cached_audio = text, audio
        self._text_tokens += words
        self._audio_tokens += spoken
        speech = SPOKEN_TOKENS_PER_WORD if form.spoken else 0
        return Answer(made, item, step, form, tokens_a_piece=1 + speech, spoken_a_piece=speech)


@dataclass(slots=True)
class _Form:
    """The form of one response."""

    response_id: str
    spoken: bool
    done = b""
    _numbers: Iterator[int] = field(default_factory=count)

    def reports(self, answer: Answer) -> bool:
        return self._usage(answer) is not None

    def whole(self, answer: Answer) -> tuple[int, object]:
        raise NotImplementedError("a realtime response is never plain")

    def opening(self, answer: Answer) -> Sequence[Event]:
        return [self._event("response.created", response=self._response(answer, "in_progress"))]

    def piece(self, answer: Answer, index: int, position: int) -> Sequence[Event]:
        place = {"response_id": self.response_id, "item_id": "item_1", "content_index": 0}
        place |= {"output_index": 0, "delta": answer.choices[index].pieces[position]}
        if not self.spoken:
            return [self._event("response.output_text.delta", **place)]
        return [
            self._event("response.output_audio_transcript.delta", **place),
            self._event("response.output_audio.delta", **place | {"delta": _SPOKEN}),
        ]

    def closing(self, answer: Answer) -> Sequence[Event]:
        cut = answer.choices[0].finish_reason == "length"
        status = "incomplete" if cut else "completed"
        return [self._event("response.done", response=self._response(answer, status))]

    def broken(self, answer: Answer) -> Sequence[Event]:
        if isinstance(answer.step, Fail):
            return [self._event("response.done", response=self._response(answer, "failed"))]
        assert isinstance(answer.step, ErrorEvent)
        error = {"type": "server_error", "code": "server_error", "message": answer.step.message}
        return [self._event("error", error=error)]

    def _event(self, kind: str, **fields: object) -> dict[str, object]:
        return {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}

    def _response(self, answer: Answer, status: str) -> dict[str, object]:
        details: dict[str, object] | None = None
        if status == "incomplete":
            details = {"type": status, "reason": "max_output_tokens"}
        elif isinstance(answer.step, Fail) and status == "failed":
            error = {"type": "server_error", "code": answer.step.code}
            details = {"type": status, "error": error}
        over = status in ("completed", "incomplete")
        return {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": details,
            "output": [],
            "output_modalities": ["audio"] if self.spoken else ["text"],
            "usage": self._usage(answer) if over else None,
        }

    def _usage(self, answer: Answer) -> Mapping[str, object] | None:
        item = answer.billed()
        cached_text = item.cached_tokens - item.cached_audio_tokens
        return answer.reported(
            {
                "total_tokens": item.input_tokens + item.output_tokens,
                "input_tokens": item.input_tokens,
                "output_tokens": item.output_tokens,
                "input_token_details": {
                    "text_tokens": item.input_tokens - item.audio_input_tokens,
                    "audio_tokens": item.audio_input_tokens,
                    "image_tokens": 0,
                    "cached_tokens": item.cached_tokens,
                    "cached_tokens_details": {
                        "text_tokens": cached_text,
                        "audio_tokens": item.cached_audio_tokens,
                        "image_tokens": 0,
                    },
                },
                "output_token_details": {
                    "text_tokens": item.output_tokens - item.audio_output_tokens,
                    "audio_tokens": item.audio_output_tokens,
                },
            }
        )
