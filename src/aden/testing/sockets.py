"""The local server's WebSockets: the Responses API's, and the Realtime API's.

They need the package ``websockets``, as the openai SDK's own side of them does.
"""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from aden.testing.bill import as_json
from aden.testing.realtime import Conversation
from aden.testing.responses_endpoint import begin, problem
from aden.testing.script import Drop, Hang, Status, error_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.sync.server import Server, ServerConnection

    from aden.testing.generated import Answer, Event
    from aden.testing.openai_server import OpenAIServer


@dataclass(slots=True)
class Turn:
    """One request that came over a WebSocket."""

    owner: OpenAIServer
    request_id: str = field(default_factory=lambda: f"req_{uuid.uuid4().hex}")
    headers: Mapping[str, str] = field(default_factory=dict)


class Sockets:
    """The listening socket of a server's WebSockets, and its threads."""

    def __init__(self, owner: OpenAIServer) -> None:
        from websockets.sync.server import serve

        self._owner = owner
        self._server: Server = serve(self._converse, "127.0.0.1", 0)
        self.port = self._server.socket.getsockname()[1]
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection."""
        self._server.shutdown()
        self._thread.join()

    def _converse(self, socket: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        assert socket.request is not None
        url = urlsplit(socket.request.path)
        with suppress(ConnectionClosed, ConnectionAbortedError):
            if url.path.endswith("/responses"):
                _Responses(self._owner, socket).serve()
            elif url.path.endswith("/realtime"):
                model = parse_qs(url.query).get("model", [""])[0]
                _Realtime(self._owner, socket, model).serve()


class _Speaker:
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


class _Responses(_Speaker):
    """``/responses``: each ``response.create`` is answered as its POST would be."""

    def serve(self) -> None:
        for message in self._socket:
            body: dict[str, Any] = json.loads(message)
            extra = {"stream_id": body["stream_id"]} if "stream_id" in body else {}
            wrong = problem(self._owner, body)
            step = None if wrong else self._owner.next_step()
            if isinstance(step, Status):
                wrong = error_json(step.code, step.message, step.code_name)
            if wrong or step is None or body.get("type") != "response.create":
                self._send({"type": "error", "status": 400, **(wrong or {}), **extra})
            else:
                stored = begin(Turn(self._owner), body, step)
                self._deliver(stored.answer, extra)


class _Realtime(_Speaker):
    """``/realtime``: a conversation that the server keeps."""

    def __init__(self, owner: OpenAIServer, socket: ServerConnection, model: str) -> None:
        super().__init__(owner, socket)
        self._talk = Conversation(model)

    def serve(self) -> None:
        self._send({"type": "session.created", "session": self._talk.session()})
        for message in self._socket:
            event: dict[str, Any] = json.loads(message)
            kind = event.get("type")
            if kind == "session.update":
                self._talk.settings |= event["session"]
                self._send({"type": "session.updated", "session": self._talk.session()})
            elif kind == "conversation.item.create":
                self._talk.add(event["item"])
                self._send({"type": "conversation.item.added", "item": event["item"]})
            elif kind == "input_audio_buffer.append":
                self._talk.hear(event["audio"])
                if model := self._talk.transcriber:
                    item, said = self._talk.transcribed(Turn(self._owner), model, event["audio"])
                    self._owner.bill.book(item)
                    self._send(said)
                if self._talk.detects_turns:
                    self._send({"type": "input_audio_buffer.speech_stopped"})
                    self._respond({})
            elif kind == "response.create":
                self._respond(event.get("response") or {}, event.get("event_id"))

    def _respond(self, asked: Mapping[str, Any], event_id: str | None = None) -> None:
        step = self._owner.next_step()
        if isinstance(step, Status):
            error = error_json(step.code, step.message, step.code_name)["error"]
            assert isinstance(error, dict)
            self._send({"type": "error", "error": error | {"event_id": event_id}})
            return
        answer = self._talk.answer(Turn(self._owner), asked, step)
        self._deliver(answer, {})
