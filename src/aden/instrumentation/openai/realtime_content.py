"""What was said in a realtime response, as the messages of the GenAI conventions. Pure functions.

What was spoken stands there as its transcript, else by a digest. Imported only where content is
captured.
"""

from collections.abc import Mapping
from typing import Any

from aden.instrumentation.openai import responses_content
from aden.instrumentation.openai.parameters import items
from aden.instrumentation.openai.realtime import ADDED, TOLD
from aden.instrumentation.told import get
from aden.telemetry.content import Content
from aden.telemetry.messages import OutputMessage

_WORDS = (
    "response.output_text.delta",
    "response.text.delta",
    "response.output_audio_transcript.delta",
    "response.audio_transcript.delta",
)
"""Pieces of what is said; the second of each two is the name in the beta."""


def asked(kwargs: Mapping[str, Any]) -> Content:
    """What was said since the last response, and what this one is told."""
    given = [*items(kwargs.get(ADDED)), *items(kwargs.get("input"))]
    told = {"instructions": kwargs.get("instructions") or kwargs.get(TOLD)}
    messages = [_item(each) for each in given]
    return responses_content.asked({**told, "tools": kwargs.get("tools"), "input": messages})


def answered(response: Any) -> list[OutputMessage]:
    """The messages of a response that has ended."""
    output = [_item(each) for each in items(get(response, "output"))]
    return responses_content.answered({"output": output})


class Gathered:
    """The messages of a response: those of its last event, else what has arrived."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._ended: Any = None

    def add(self, event: Any) -> None:
        """Pile up what an event says."""
        kind, delta = get(event, "type"), get(event, "delta")
        if kind in _WORDS and isinstance(delta, str):
            self._texts.setdefault(get(event, "output_index") or 0, []).append(delta)
        elif kind == "response.done":
            self._ended = get(event, "response")

    def messages(self) -> list[OutputMessage]:
        """What has arrived so far."""
        if told := answered(self._ended):
            return told
        status = get(self._ended, "status") or "incomplete"
        begun = [
            {
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": [{"type": "output_text", "text": "".join(texts)}],
            }
            for _, texts in sorted(self._texts.items())
        ]
        return responses_content.answered({"output": begun})


def _item(item: Any) -> Any:
    """An item as the Responses API has it."""
    content = items(get(item, "content"))
    if not content:
        return item
    names = ("type", "role", "status", "name")
    known = {name: value for name in names if (value := get(item, name)) is not None}
    return {**known, "content": [_part(each) for each in content]}


def _part(part: Any) -> Any:
    if str(get(part, "type")) not in ("input_audio", "output_audio", "audio"):
        return part
    if isinstance(words := get(part, "transcript"), str):
        return {"type": "output_text", "text": words}
    return {"type": "input_audio", "input_audio": {"data": get(part, "audio")}}
