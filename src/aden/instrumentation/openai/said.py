"""What is said on a WebSocket, by which the next response on it is described."""

import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

from aden.instrumentation.openai import realtime
from aden.instrumentation.told import get

MAX_ITEMS = 100
"""Of a conversation's items that are kept to be shown with the next response."""


class Said:
    """One connection's settings, and what was added since its last response.

    Attributes:
        model: Of a realtime connection; None where each request names its own.
        session: By which the requests of one conversation are known.
        transcriber: The model that writes down what is heard.
    """

    def __init__(self, model: str | None) -> None:
        self.model = model
        self.session = f"session_{uuid.uuid4().hex}"
        self.transcriber = ""
        self._settings: dict[str, Any] = {}
        self._size = (0, 0)
        self._items: deque[Any] = deque(maxlen=MAX_ITEMS)
        self._instructions: Any = None

    def note(self, event: Mapping[str, Any], *, keep: bool) -> None:
        """The client says something; *keep*: as it is, for it is captured."""
        text, tokens = realtime.said_by(event)
        self._size = self._size[0] + text, self._size[1] + tokens
        if not keep:
            return
        if event.get("type") == "conversation.item.create":
            self._items.append(event.get("item"))
        elif event.get("type") == "session.update":
            told = get(event.get("session"), "instructions")
            self._instructions = self._instructions if told is None else told

    def set(self, event: Mapping[str, Any]) -> None:
        """The server tells the session's settings."""
        self._settings = realtime.settings_of(event)
        self.transcriber = realtime.transcriber_of(event) or self.transcriber

    def asked_by(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """All that a request asks for, and what was said since the last."""
        if self.model is None:
            asked = {name: value for name, value in event.items() if name != "type"}
            return asked | {"stream": True}
        asked = self._settings | dict(event.get("response") or {})
        size, self._size = self._size, (0, 0)
        return asked | {"model": self.model, "_session": self.session, "_said": size}

    def foreseen(self, tokens: int) -> dict[str, Any]:
        """What the server's next own response asks for, when it has heard *tokens* more."""
        size = self._size
        self._size = size[0], size[1] + tokens
        asked = self.asked_by({})
        self._size = size
        return asked

    def content(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is said with a request, as it is captured."""
        if self.model is None:
            return event
        added = {realtime.ADDED: list(self._items), realtime.TOLD: self._instructions}
        self._items.clear()
        return {**(event.get("response") or {}), **added}
