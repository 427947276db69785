"""Sessions that bill by their time, as the local server keeps and counts them.

The time of a session is that of the audio which it heard, so that a bill is a function of what a
test sends.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aden.testing.bill import BillItem
from aden.testing.responses_endpoint import begin
from aden.testing.script import Status
from aden.testing.speaker import Speaker, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.sync.server import ServerConnection

    from aden.testing.generated import Event
    from aden.testing.openai_server import OpenAIServer

BASE64_BYTES_PER_MS = 64
"""Of 24 kHz 16-bit audio."""


@dataclass(slots=True)
class Timed:
    """One session."""

    owner: OpenAIServer
    model: str
    delegation: Mapping[str, Any] | None = None
    session_id: str = field(default_factory=lambda: f"sess_{uuid.uuid4().hex}")
    heard_ms: int = 0

    @property
    def backend(self) -> str:
        """The model of its backend."""
        asked = self.delegation or {}
        backend = asked.get("responses") or asked.get("decisions") or {}
        return str(backend.get("model", "gpt-4o"))

    def session(self) -> dict[str, object]:
        """Return the session object."""
        return {"id": self.session_id, "model": self.model, "delegation": self.delegation}

    def usage(self) -> dict[str, object]:
        """Return what the session is told to come to so far."""
        return {"seconds": self.heard_ms / 1000}

    def hear(self, audio: str) -> None:
        """Add what was said, base64; it is billed at once."""
        self.heard_ms += len(audio) // BASE64_BYTES_PER_MS
        item = BillItem(
            request_id=self.session_id,
            at=time.time(),
            model=self.model,
            input_tokens=0,
            cached_tokens=0,
            output_tokens=0,
            reasoning_tokens=0,
            completed=True,
            reported=True,
            units=self.heard_ms,
        )
        self.owner.bill.book(item)


class Translation(Speaker):
    """``/realtime/translations``: no event tells what it comes to."""

    def __init__(self, owner: OpenAIServer, socket: ServerConnection, model: str) -> None:
        super().__init__(owner, socket)
        self._timed = Timed(owner, model)

    def serve(self) -> None:
        """Translate until the client hangs up."""
        self._send({"type": "session.created", "session": self._timed.session()})
        for message in self._socket:
            event: dict[str, Any] = json.loads(message)
            if event.get("type") == "session.input_audio_buffer.append":
                self._timed.hear(event["audio"])
                self._send({"type": "session.output_transcript.delta", "delta": "bonjour "})
            elif event.get("type") == "session.close":
                self._send({"type": "session.closed"})
                return


class Live(Speaker):
    """``/live/sessions``: one that begins, goes on from a stored one, or is attached to."""

    _wrapped: Mapping[str, object] | None = None
    """The event of the session in which a backend's events are told."""

    def serve(self, path: str) -> None:
        """Be the session that *path* asks for."""
        _, _, rest = path.partition("/live/sessions/")
        name, _, way = rest.partition("/")
        known, attached = self._owner.sessions.get(name), way == "attach"
        if attached and known is not None:
            self._send({"type": "session.usage.updated", "usage": known.usage()})
        for message in self._socket:
            event: dict[str, Any] = json.loads(message)
            kind = event.get("type")
            if kind == "session.start":
                known = self._start(event["session"], known)
            elif known is None:
                self._fail("no_session")
            elif kind == "session.input_audio.append":
                known.hear(event["audio"])
                self._send({"type": "session.output_transcript.delta", "delta": "yes "})
                self._send({"type": "session.usage.updated", "usage": known.usage()})
            elif kind in ("response.create", "decision.create"):
                self._ask(known, str(kind), None, event.get("event_id"))
            elif kind == "session.close":
                ended = {"session": known.session(), "usage": known.usage()}
                self._send({"type": "session.closed", "reason": "close_requested", **ended})
                return

    def _start(self, asked: Mapping[str, Any], before: Timed | None) -> Timed | None:
        step = self._owner.next_step()
        if isinstance(step, Status):
            self._fail(step.code_name or "refused")
            return None
        model = asked.get("model") or (before.model if before else "")
        begun = Timed(self._owner, model, asked.get("delegation"))
        self._owner.sessions[begun.session_id] = begun
        self._send({"type": "session.started", "session": begun.session()})
        if "delegate" in (asked.get("instructions") or ""):
            self._ask(begun, "response.create", "delegation_1")
        return begun

    def _ask(
        self, session: Timed, kind: str, delegation: str | None, name: str | None = None
    ) -> None:
        """A backend's answer, in the session's events; or what is wrong with the event *name*."""
        body = {"model": session.backend, "input": "Say hello in 12 tokens."}
        step = self._owner.next_step()
        if isinstance(step, Status):
            self._fail(step.code_name or "refused", name)
            return
        answer = begin(Turn(self._owner), body, step).answer
        if kind == "response.create":
            self._wrapped = {"type": "response.event", "delegation_id": delegation}
            self._deliver(answer, {})
            self._wrapped = None
            return
        told = replace(answer.billed(), completed=True, reported=True)
        self._owner.bill.book(told)
        usage = {"input_tokens": told.input_tokens, "output_tokens": told.output_tokens}
        decision = {"model": session.backend, "answers": [], "usage": usage}
        event = {"type": "decision.completed", "decision": decision}
        self._send({"type": "decision.event", "event": event})

    def _fail(self, code: str, name: str | None = None) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": code}
        error |= {} if name is None else {"client_event_id": name}
        self._send({"type": "error", "error": error})

    def _send(self, *events: Event) -> None:
        for event in events:
            super()._send({**self._wrapped, "event": event} if self._wrapped else event)
