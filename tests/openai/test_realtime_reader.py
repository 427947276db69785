"""What the Realtime API's functions make of events, odd ones too."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_responses_reader import COUNT, ERROR, ODD, odd

import aden
from aden.core.usage import COUNTS, MAX_TOKENS
from aden.instrumentation.openai import realtime
from aden.instrumentation.openai.socket_meter import SocketMeter
from aden.instrumentation.openai.sockets import heard
from aden.metering.attempt import Attempt
from aden.metering.shells import admit

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.metering.call import Call
    from house import House

CLIENT = SimpleNamespace(base_url=SimpleNamespace(host="api.openai.com", port=None))
HEARD = odd(
    audio_tokens=COUNT,
    text_tokens=COUNT,
    image_tokens=COUNT,
    cached_tokens=COUNT,
    cached_tokens_details=odd(audio_tokens=COUNT, image_tokens=COUNT),
)
USAGE = odd(
    type=st.sampled_from(["tokens", "duration"]),
    seconds=st.floats(allow_nan=True) | COUNT,
    input_tokens=COUNT,
    output_tokens=COUNT,
    input_token_details=HEARD,
    output_token_details=HEARD,
)
RESPONSE = odd(
    id=st.sampled_from(["resp_1", "resp_2"]),
    status=st.sampled_from(["in_progress", "completed", "cancelled", "incomplete", "failed"]),
    status_details=odd(reason=st.just("turn_detected"), error=ERROR),
    usage=USAGE,
)
WRITES = odd(model=st.just("whisper-1"))
SESSION = odd(
    max_output_tokens=COUNT,
    audio=odd(input=odd(transcription=WRITES)),
    input_audio_transcription=WRITES,
)
EVENT = odd(
    type=st.sampled_from(
        [
            "session.updated",
            "response.created",
            "response.output_audio.delta",
            "response.output_text.delta",
            "response.done",
            realtime.TRANSCRIBED,
            "error",
        ]
    ),
    delta=st.text(max_size=9),
    response_id=st.sampled_from(["resp_1", "resp_2"]),
    response=RESPONSE,
    session=SESSION,
    usage=USAGE,
    transcript=st.text(max_size=9),
    error=ERROR,
)


@given(st.lists(EVENT, max_size=5), RESPONSE)
def test_nothing_that_a_server_sends_breaks_the_reader_or_is_believed_if_absurd(
    events: list[Any], response: Any
) -> None:
    """Whatever it is, the call can be settled and shown."""
    attempt = Attempt(realtime.describe({"model": "gpt-realtime"}, CLIENT))
    for event in events:
        assert realtime.feed(attempt, event, False)
    realtime.read(attempt, response)
    billed = attempt.billed(10, 20)
    assert all(0 <= (getattr(billed, name) or 0) <= MAX_TOKENS for name in COUNTS)
    assert all(isinstance(reason, str) for reason in attempt.finish_reasons)


@given(st.one_of(ODD, odd(type=st.just("session.update"), audio=ODD, item=ODD, session=SESSION)))
def test_nothing_that_a_program_sends_breaks_the_measuring(event: Any) -> None:
    """A program's mistake is the server's to tell."""
    if isinstance(event, dict):
        size, tokens = realtime.said_by(event)
        assert size >= 0
        assert tokens >= 0
        realtime.settings_of(event)
        realtime.transcriber_of(event)


def test_whatever_a_connection_receives_each_call_is_settled(
    instrumented: Callable[..., House],
) -> None:
    """Twice created, never created, ended by somebody else: once each, and no reader fails."""
    house = instrumented(budgets=[aden.Budget("all", 9_000_000)])  # some figures are believed

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(EVENT, max_size=6))
    def receives(events: list[Any]) -> None:
        socket = SocketMeter(house.meter, CLIENT, "gpt-realtime")
        call = socket.outgoing({"type": "response.create"})
        assert call is not None
        admit(house.meter, call)
        socket.sent(call, {})
        for event in events:
            heard(socket, json.dumps(event))
        socket.end("abandoned")
        assert call.state == "settled"
        assert not house.meter.on_their_way

    receives()
    aden.flush(5)
    assert house.failures().keys() <= {"usage"}  # absurd figures are told, not believed
    assert house.balance().held == 0


@pytest.mark.parametrize(
    ("error", "event_id", "refused"),
    [
        ({"code": "unknown_parameter", "param": "response.modalities"}, None, True),
        ({"code": "invalid_value", "param": "response.create", "event_id": None}, None, True),
        ({"code": "invalid_value", "param": "response.output_modalities"}, "mine", True),
        ({"code": "conversation_already_has_active_response"}, None, True),
        ({"code": "invalid_value", "event_id": "mine"}, "mine", True),
        ({"code": "invalid_value", "param": "response.voice", "event_id": "other"}, None, False),
        ({"code": "unknown_parameter", "param": "session.voice"}, None, False),
        ({"code": "response_cancel_not_active", "param": "response.cancel"}, None, False),
        ({"code": "invalid_value", "param": "response_id"}, None, False),
        ({"message": "Something else."}, None, False),
    ],
)
def test_an_error_is_the_answer_to_what_it_is_about(
    error: dict[str, Any],
    event_id: str | None,
    refused: bool,
    instrumented: Callable[..., House],
) -> None:
    """Its event, where that had a name, else its parameter or its code tell; it costs nothing."""
    house = instrumented()
    socket = SocketMeter(house.meter, CLIENT, "gpt-realtime")
    call = _ask(house, socket, event_id)
    socket.hear({"type": "error", "event_id": "event_1", "error": error})
    assert (call.state == "settled") is refused
    socket.end("abandoned")
    record, _ = house.one_call()
    assert record.stream_end == ("error" if refused else "abandoned")
    assert record.error_type == (error["code"] if refused else None)
    assert record.usage.estimated is not refused


@pytest.mark.parametrize("heard", ["before", "after"])
def test_what_a_nameless_error_was_about_shows_when_a_later_request_is_answered(
    heard: str, instrumented: Callable[..., House]
) -> None:
    """They are answered in order; what was heard before anything was asked tells nothing."""
    house = instrumented()
    socket = SocketMeter(house.meter, CLIENT, "gpt-realtime")
    nameless = {"type": "error", "error": {"type": "server_error", "message": "No."}}
    if heard == "before":
        socket.hear(nameless)
    first = _ask(house, socket)
    if heard == "after":
        socket.hear(nameless)
    second = _ask(house, socket)
    socket.hear({"type": "response.created", "response": {"id": "resp_1"}})
    usage = {"input_tokens": 7, "output_tokens": 5}
    done = {"id": "resp_1", "status": "completed", "usage": usage}
    socket.hear({"type": "response.done", "response": done})
    answered = second if heard == "after" else first
    assert answered.state == "settled"
    assert answered.attempts[0].usage.output_tokens == 5
    assert (first.failure is not None) is (heard == "after")
    assert first.state == "settled"
    socket.end("abandoned")
    house.settled(2)


def _ask(house: House, socket: SocketMeter, event_id: str | None = None) -> Call:
    event = {"type": "response.create", "event_id": event_id}
    call = socket.outgoing(event)
    assert call is not None
    admit(house.meter, call)
    socket.sent(call, event)
    return call
