"""One WebSocket of the local server, and how an answer is told on it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aden.testing.bill import as_json
from aden.testing.script import Drop, Hang

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.sync.server import ServerConnection

    from aden.testing.generated import Answer, Event
    from aden.testing.openai_server import OpenAIServer


@dataclass(slots=True)
class Turn:
    """One request that came over a WebSocket."""

    owner: OpenAIServer
    request_id: str = field(default_factory=lambda: f"req_{uuid.uuid4().hex}")
    headers: Mapping[str, str] = field(default_factory=dict)


class Speaker:
    """One connection."""

    def __init__(self, owner: OpenAIServer, socket: ServerConnection) -> None:
        self._owner = owner
        self._socket = socket

    def _send(self, *events: Event) -> None:
        for event in events:
            self._socket.send(as_json(event))

    def _deliver(self, answer: Answer, extra: Mapping[str, object]) -> None:
        """Send an answer token by token; a client that hangs up stops it."""
        owner, form, written = self._owner, answer.form, 0
        if isinstance(answer.step, Hang):
            owner.bill.book(answer.item)
            time.sleep(answer.step.seconds)
        try:
            time.sleep(owner.ttft_s)
            self._send(*({**each, **extra} for each in form.opening(answer)))
            for index, position in answer.tokens():
                if self._is_stopped():
                    self._end_early(answer, written)
                    return
                self._send(*({**each, **extra} for each in form.piece(answer, index, position)))
                written += 1
                time.sleep(owner.interval_s)
        finally:
            owner.bill.book(answer.billed(written))
        if isinstance(answer.step, Drop):
            self._socket.close_socket()
            raise ConnectionAbortedError
        ends = form.broken(answer) if answer.fails else form.closing(answer)
        if not answer.fails:
            told = replace(answer.billed(), completed=True, reported=form.reports(answer))
            owner.bill.book(told)
        self._send(*({**each, **extra} for each in ends))

    def _is_stopped(self) -> bool:
        """Whether the client wants no more of it."""
        return False

    def _end_early(self, answer: Answer, written: int) -> None:
        """Say that the answer ends here."""
