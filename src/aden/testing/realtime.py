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
    from aden.testing.speaker import Turn

SPOKEN_TOKENS_PER_WORD = 4
"""Audio tokens with which each token of the transcript is spoken."""
_SPOKEN = "A" * (SPOKEN_TOKENS_PER_WORD * 3200)
HEARD_BYTES_PER_TOKEN = 6400
"""Base64 bytes of 24 kHz 16-bit audio a token: ten tokens a second."""
UTTERANCE_BYTES = 32_000
"""Base64 bytes from which on a piece of audio is taken for all that is said; shorter ones are a
microphone's, where sound begins an utterance and silence ends it."""


@dataclass(slots=True)
class Conversation:
    """What the server keeps for one connection; all of it is read for each answer."""

    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    session_id: str = field(default_factory=lambda: f"sess_{uuid.uuid4().hex}")
    speaking: str | None = None
    """The item that is being said into the microphone, if one is."""
    _question: str = ""
    _tool_answered: bool = False
    _said: str = ""
    _text_tokens: int = 0
    _audio_tokens: int = 0
    _cached_text: int = 0
    _cached_audio: int = 0

    @property
    def detects_turns(self) -> bool:
        """Whether the server answers what it hears by itself."""
        audio = self.settings.get("audio") or {}
        found = (audio.get("input") or {}).get("turn_detection") or {}
        return bool(found) and found.get("create_response") is not False

    @property
    def notices_speech(self) -> bool:
        """Whether the server finds out where speech begins and ends; else the client commits it."""
        audio = self.settings.get("audio") or {}
        return (audio.get("input") or {}).get("turn_detection", "server_vad") is not None

    def session(self) -> dict[str, object]:
        """Return the session object."""
        return {"type": "realtime", "id": self.session_id, "model": self.model, **self.settings}

    def add(self, item: Mapping[str, Any]) -> None:
        """Add an item that the client wrote."""
        if item.get("type") == "function_call_output":
            self._tool_answered = True
            self._text_tokens += len(tokenize(item.get("output") or ""))
        for part in item.get("content") or ():
            text = part.get("text") or ""
            if text and item.get("role") in (None, "user"):
                self._question, self._tool_answered = text, False
            self._text_tokens += len(tokenize(text))

    def hear(self, audio: str) -> None:
        """Add what was said, base64."""
        self._audio_tokens += max(1, len(audio) // HEARD_BYTES_PER_TOKEN)

    def listen(self, audio: str) -> str | None:
        """Add a piece of what a microphone picks up; all of an utterance, where it ends."""
        if not self.notices_speech:
            self._said += audio
        elif set(audio) - {"A", "="}:
            self.speaking = self.speaking or f"msg_{uuid.uuid4().hex}"
            self._said += audio
        elif self.speaking is not None:
            return self.commit()
        return None

    def commit(self) -> str:
        """What was picked up is a turn."""
        said, self._said = self._said, ""
        if said:
            self.hear(said)
        return said

    @property
    def transcriber(self) -> str | None:
        """The model that writes down what is heard, if one does."""
        audio = self.settings.get("audio") or {}
        asked = (audio.get("input") or {}).get("transcription")
        asked = asked or self.settings.get("input_audio_transcription") or {}
        return asked.get("model")

    def transcribed(
        self, turn: Turn, model: str, audio: str, item_id: str
    ) -> tuple[BillItem, Event]:
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
            "item_id": item_id,
            "content_index": 0,
            "transcript": "".join(said),
            "usage": usage,
        }
        return item, event

    def answer(self, turn: Turn, asked: Mapping[str, Any], step: Step) -> Answer:
        """Return the answer to the conversation so far, which becomes a part of it."""
        said = self.settings | {name: value for name, value in asked.items() if value is not None}
        made = choices(self._as_chat(said), self.model, step)
        modalities = asked.get("output_modalities") or self.settings.get("output_modalities")
        calls = made[0].finish_reason == "tool_calls"
        form = _Form(
            turn.request_id.replace("req_", "resp_"),
            spoken=modalities != ["text"] and not calls,
            metadata=asked.get("metadata"),
        )
        told = said.get("instructions") or ""
        text, audio = self._text_tokens + len(tokenize(told)), self._audio_tokens
        words = len(made[0].pieces)
        spoken = words * SPOKEN_TOKENS_PER_WORD if form.spoken else 0
        item = BillItem(
            request_id=turn.request_id,
            at=time.time(),
            model=self.model,
            input_tokens=text + audio,
            cached_tokens=min(self._cached_text, text) + self._cached_audio,
            output_tokens=words + spoken,
            reasoning_tokens=0,
            audio_input_tokens=audio,
            cached_audio_tokens=self._cached_audio,
            audio_output_tokens=spoken,
        )
        self._cached_text, self._cached_audio = text, audio
        speech = SPOKEN_TOKENS_PER_WORD if form.spoken else 0
        return Answer(made, item, step, form, tokens_a_piece=1 + speech, spoken_a_piece=speech)

    def keep(self, item: BillItem) -> None:
        """Make what was generated of an answer a part of the conversation."""
        self._text_tokens += item.output_tokens - item.audio_output_tokens
        self._audio_tokens += item.audio_output_tokens

    def cut(self, answer: Answer, item: BillItem, reason: str) -> Event:
        """Return the event that ends an answer early, for *reason*, at the cost of *item*."""
        assert isinstance(answer.form, _Form)
        return answer.form.cancelled(answer, item, reason)

    def _as_chat(self, said: Mapping[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": self._question}]}
        if self._tool_answered:
            body["messages"].append({"role": "tool", "content": ""})
        if tools := said.get("tools"):
            body["tools"] = [{"function": tool} for tool in tools]
            body["tool_choice"] = said.get("tool_choice")
        limit = said.get("max_output_tokens", said.get("max_response_output_tokens"))
        if isinstance(limit, int):
            body["max_tokens"] = limit
        return body


@dataclass(slots=True)
class _Form:
    """The form of one response."""

    response_id: str
    spoken: bool
    metadata: object = None
    """The request's own, which its response carries as well."""
    done = b""
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def _item_id(self) -> str:
        return self.response_id.replace("resp_", "msg_")

    def reports(self, answer: Answer) -> bool:
        return self._usage(answer, answer.billed()) is not None

    def whole(self, answer: Answer) -> tuple[int, object]:
        raise NotImplementedError("a realtime response is never plain")

    def opening(self, answer: Answer) -> Sequence[Event]:
        place = {"response_id": self.response_id, "output_index": 0}
        item = self._item(answer, "in_progress")
        created = self._event("response.created", response=self._response(answer, "in_progress"))
        begun = [created, self._event("response.output_item.added", **place, item=item)]
        if answer.choices[0].call_id is None:
            part = {"type": "audio" if self.spoken else "text", "transcript": ""}
            place |= {"item_id": self._item_id, "content_index": 0}
            begun.append(self._event("response.content_part.added", **place, part=part))
        return begun

    def piece(self, answer: Answer, index: int, position: int) -> Sequence[Event]:
        place = {"response_id": self.response_id, "item_id": self._item_id, "content_index": 0}
        choice = answer.choices[index]
        place |= {"output_index": 0, "delta": choice.pieces[position]}
        if choice.call_id is not None:
            return [self._event("response.function_call_arguments.delta", **place)]
        if not self.spoken:
            return [self._event("response.output_text.delta", **place)]
        return [
            self._event("response.output_audio_transcript.delta", **place),
            self._event("response.output_audio.delta", **place | {"delta": _SPOKEN}),
        ]

    def closing(self, answer: Answer) -> Sequence[Event]:
        cut = answer.choices[0].finish_reason == "length"
        status = "incomplete" if cut else "completed"
        place = {"response_id": self.response_id, "output_index": 0}
        return [
            self._event("response.output_item.done", **place, item=self._item(answer, "completed")),
            self._event("response.done", response=self._response(answer, status)),
        ]

    def cancelled(self, answer: Answer, item: BillItem, reason: str) -> Event:
        response = self._response(answer, "cancelled")
        details = {"type": "cancelled", "reason": reason}
        response |= {"status_details": details, "usage": self._usage(answer, item)}
        return self._event("response.done", response=response)

    def broken(self, answer: Answer) -> Sequence[Event]:
        if isinstance(answer.step, Fail):
            return [self._event("response.done", response=self._response(answer, "failed"))]
        assert isinstance(answer.step, ErrorEvent)
        error = {"type": "server_error", "code": "server_error", "message": answer.step.message}
        return [self._event("error", error=error)]

    def _event(self, kind: str, **fields: object) -> dict[str, object]:
        return {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}

    def _item(self, answer: Answer, status: str) -> dict[str, object]:
        choice = answer.choices[0]
        item: dict[str, object] = {"id": self._item_id, "object": "realtime.item", "status": status}
        if choice.call_id is None:
            return item | {"type": "message", "role": "assistant", "content": []}
        name, arguments = choice.function
        return item | {
            "type": "function_call",
            "call_id": choice.call_id,
            "name": name,
            "arguments": arguments if status == "completed" else "",
        }

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
            "metadata": self.metadata,
            "usage": self._usage(answer, answer.billed()) if over else None,
        }

    def _usage(self, answer: Answer, item: BillItem) -> Mapping[str, object] | None:
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
