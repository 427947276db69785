"""The local server's WebSockets: of the Responses, the Realtime, and the Live API.

They need the package ``websockets``, as the openai SDK's own side of them does.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from aden.testing.live import Live, Translation
from aden.testing.realtime import UTTERANCE_BYTES, Conversation
from aden.testing.responses_endpoint import begin, problem
from aden.testing.script import Status, error_json
from aden.testing.speaker import Speaker, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.sync.server import Server, ServerConnection

    from aden.testing.generated import Answer
    from aden.testing.openai_server import OpenAIServer


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
            elif url.path.endswith("/realtime/translations"):
                model = parse_qs(url.query).get("model", [""])[0]
                Translation(self._owner, socket, model).serve()
            elif "/live/sessions" in url.path:
                Live(self._owner, socket).serve(url.path)
            elif url.path.endswith("/realtime"):
                model = parse_qs(url.query).get("model", [""])[0]
                _Realtime(self._owner, socket, model).serve()


class _Responses(Speaker):
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


class _Realtime(Speaker):
    """``/realtime``: a conversation that the server keeps, and answers one thing at a time."""

    def __init__(self, owner: OpenAIServer, socket: ServerConnection, model: str) -> None:
        super().__init__(owner, socket)
        self._talk = Conversation(model)
        self._answering: str | None = None
        """The response on its way."""
        self._stopped: str | None = None
        """Why it is to end early."""
        self._last_item: str | None = None

    def serve(self) -> None:
        self._send({"type": "session.created", "session": self._talk.session()})
        for message in self._socket:
            self._take(json.loads(message))

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "session.update":
            self._talk.settings |= event["session"]
            self._send({"type": "session.updated", "session": self._talk.session()})
        elif kind == "conversation.item.create":
            self._talk.add(event["item"])
            self._added(event["item"])
        elif kind == "conversation.item.delete":
            self._send({"type": "conversation.item.deleted", "item_id": event["item_id"]})
        elif kind == "input_audio_buffer.append":
            self._hear(event["audio"])
        elif kind == "input_audio_buffer.commit":
            self._talk.commit()
        elif kind == "response.cancel":
            self._cancel(event)
        elif kind == "response.create":
            self._respond(event.get("response") or {}, event.get("event_id"))

    def _added(self, item: Mapping[str, Any]) -> None:
        added: dict[str, object] = {"type": "conversation.item.added", "item": item}
        if "id" in item:
            added["previous_item_id"], self._last_item = self._last_item, item["id"]
        self._send(added)

    def _hear(self, audio: str) -> None:
        if len(audio) >= UTTERANCE_BYTES:
            self._talk.hear(audio)
            self._transcribe(audio, "item_0")
            if self._talk.detects_turns:
                self._send({"type": "input_audio_buffer.speech_stopped"})
                self._respond({})
            return
        before = self._talk.speaking
        said = self._talk.listen(audio)
        item = self._talk.speaking
        if item is not None and before is None:
            self._send({"type": "input_audio_buffer.speech_started", "item_id": item})
            if self._answering is not None:
                self._stopped = "turn_detected"
        if said is not None and item is not None:
            self._talk.speaking = None
            self._send({"type": "input_audio_buffer.speech_stopped", "item_id": item})
            self._added({"id": item, "type": "message", "role": "user", "content": []})
            self._transcribe(said, item)
            if self._talk.detects_turns:
                self._respond({})

    def _transcribe(self, audio: str, item_id: str) -> None:
        if model := self._talk.transcriber:
            item, said = self._talk.transcribed(Turn(self._owner), model, audio, item_id)
            self._owner.bill.book(item)
            self._send(said)

    def _cancel(self, event: Mapping[str, Any]) -> None:
        named = event.get("response_id")
        if self._answering is None or named not in (None, self._answering):
            self._fail("Cancellation failed: no active response found", event.get("event_id"))
        else:
            self._stopped = "client_cancelled"

    def _respond(self, asked: Mapping[str, Any], event_id: str | None = None) -> None:
        if self._answering is not None:
            code = "conversation_already_has_active_response"
            self._fail("A response is on its way already.", event_id, code)
            return
        step = self._owner.next_step()
        if isinstance(step, Status):
            self._fail(step.message, event_id, step.code_name)
            return
        answer = self._talk.answer(Turn(self._owner), asked, step)
        self._answering = answer.item.request_id.replace("req_", "resp_")
        self._stopped = None
        try:
            self._deliver(answer, {})
        finally:
            self._answering = None
            booked = self._owner.bill.by_request(answer.item.request_id)
            self._talk.keep(booked or answer.item)

    def _fail(self, message: str, event_id: str | None, code: str | None = None) -> None:
        error = error_json(400, message, code)["error"]
        assert isinstance(error, dict)
        self._send({"type": "error", "error": error | {"event_id": event_id}})

    def _is_stopped(self) -> bool:
        """Hear what the client says meanwhile."""
        with suppress(TimeoutError):
            while self._stopped is None:
                self._take(json.loads(self._socket.recv(timeout=0)))
        return self._stopped is not None

    def _end_early(self, answer: Answer, written: int) -> None:
        item = replace(answer.billed(written), reported=True)
        self._owner.bill.book(item)
        self._send(self._talk.cut(answer, item, self._stopped or ""))
