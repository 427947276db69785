"""What was said is captured on every endpoint that has texts or images, and on WebSockets."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from endpoint_shapes import ROWS, Row, sound, wav_file
from lanes import Lane
from socket_talk import API, ITEM, SECOND, answer, lane_to, respond

import aden
from aden.instrumentation.openai.prompt_content import COMPLETIONS, IMAGES, SPEECH, TRANSCRIPTS
from aden.telemetry.content import CAPTURE

if TYPE_CHECKING:
    from collections.abc import Callable

    from aden.testing import OpenAIServer
    from house import House

SPOKEN = "Good evening, and ünïcode."
PIXEL = "sha256:" + hashlib.sha256(b"YSB2ZXJ5IHNtYWxsIGltYWdl").hexdigest()
"""Of the server's image, as it is sent."""


@pytest.fixture(autouse=True)
def _on_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content is captured on spans."""
    monkeypatch.setenv(CAPTURE, "SPAN_ONLY")


def shown(span: Any) -> tuple[Any, Any]:
    """The messages of a span: of the request, and of the answer."""
    attributes = span.attributes or {}
    read = [attributes.get(f"gen_ai.{which}.messages") for which in ("input", "output")]
    return tuple(None if each is None else json.loads(str(each)) for each in read)  # type: ignore[return-value]


def texts(messages: Any) -> list[str]:
    """What their parts say or refer to."""
    return [
        part.get("content") or part.get("uri") for message in messages for part in message["parts"]
    ]


CASES = [
    pytest.param(row, way, kind, id=f"{kind}: {row.name}, {way}")
    for row in ROWS
    for way in row.ways
    for kind in ("async" if way == "create" else "sync",)
]


@pytest.mark.parametrize(("row", "way", "kind"), CASES)
async def test_what_was_asked_and_answered_stands_on_the_span(
    row: Row, way: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Prompts and texts as they are, images by their digest, sounds and vectors not at all."""
    house = instrumented()
    lane = Lane(kind, server)
    await row.use(lane, way)
    await lane.close()
    _, span = house.one_call()
    asked, answered = shown(span)
    if row.name.startswith("embeddings"):
        assert (asked, answered) == (None, None)
    elif row.name.startswith("completions"):
        assert texts(asked) == ["Say hello in 12 tokens."]
        assert len(texts(answered)[0].split()) > 5
        assert answered[0]["finish_reason"] == "stop"
    elif row.name.startswith("images"):
        given = hashlib.sha256(b"png").hexdigest()
        images = [f"sha256:{given}"] * 2 if row.name.endswith("edited") else []
        assert texts(asked) == [*images, "a cat"]
        assert set(texts(answered)) == {PIXEL}
    elif row.name.startswith("speech"):
        assert (texts(asked), answered) == ([SPOKEN], None)
    else:
        assert asked is None or texts(asked) == ["Aden"]  # what is to be heard is not read
        assert texts(answered)[0]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("api", API)
async def test_what_is_said_on_a_websocket_stands_on_the_span(
    api: str, kind: str, server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """What was added since the last response, and what was spoken as its transcript."""
    connect, use = API[api]
    house = instrumented()
    lane = lane_to(kind, server)
    async with lane.within(connect(lane)) as connection:
        if api.endswith("realtime"):
            await lane.get(connection.session.update(session={"instructions": "Be kind."}))
        await use(lane, connection)
    await lane.close()
    _, span = house.one_call()
    asked, answered = shown(span)
    assert texts(asked) == ["Say hello in 12 tokens."]
    assert len(texts(answered)[0].split()) > 5
    assert answered[0]["finish_reason"] == "stop"
    if api.endswith("realtime"):
        told = json.loads(str((span.attributes or {})["gen_ai.system_instructions"]))
        assert told == [{"type": "text", "content": "Be kind."}]


async def test_a_response_that_is_left_shows_what_had_arrived(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """On a WebSocket too."""
    server.interval_s = 0.02
    house = instrumented()
    lane = lane_to("async", server)
    async with lane.within(lane.client.realtime.connect(model="gpt-realtime")) as connection:
        await connection.conversation.item.create(item=ITEM)
        await connection.response.create()
        await answer(lane, connection, words=3)
    async with lane.within(lane.responses.connect()) as connection:
        await respond(lane, connection, words=3)
    await lane.close()
    house.settled(2)
    said = [shown(span)[1] for span in house.spans if span.name.startswith("chat")]
    assert [message[0]["finish_reason"] for message in said] == ["incomplete", "incomplete"]
    assert all(texts(message)[0] for message in said)


async def test_a_transcript_of_a_session_is_its_calls_answer(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """Under the model that wrote it down."""
    house = instrumented()
    lane = lane_to("async", server)
    writes = {"model": "gpt-4o-mini-transcribe"}
    listening: Any = {"type": "realtime", "audio": {"input": {"transcription": writes}}}
    async with lane.within(lane.client.realtime.connect(model="gpt-realtime")) as connection:
        await connection.session.update(session=listening)
        await connection.input_audio_buffer.append(audio=SECOND)
        while "transcription" not in (await connection.recv()).type:
            pass
    await lane.close()
    _, span = house.one_call()
    assert texts(shown(span)[1])[0]


async def test_redaction_and_the_cut_apply_to_every_endpoint(
    server: OpenAIServer, instrumented: Callable[..., House]
) -> None:
    """As they do to chat."""
    house = instrumented(redact_content=lambda text: text.replace("hello", "***"))
    lane = Lane("sync", server)
    lane.client.completions.create(model="gpt-3.5-turbo-instruct", prompt="say hello")
    await lane.close()
    _, span = house.one_call()
    assert texts(shown(span)[0]) == ["say ***"]
    aden.AdenInstrumentor().uninstrument()
    house = instrumented(content_max_chars=5)
    lane = Lane("sync", server)
    lane.client.audio.speech.create(model="tts-1", input=SPOKEN, voice="alloy")
    await lane.close()
    _, span = house.one_call()
    assert texts(shown(span)[0]) == ["Good … [truncated, 26 characters]"]
    assert (span.attributes or {})["aden.content.truncated"] is True


def test_files_are_referred_to_by_the_digest_of_what_is_at_hand() -> None:
    """A file that would have to be read is left to who sends it."""
    digest = "sha256:" + hashlib.sha256(sound()).hexdigest()
    (message,) = TRANSCRIPTS.asked({"file": ("a.wav", sound(), "audio/wav")}).inputs
    (part,) = message.parts
    assert (part.uri, part.mime_type, part.modality) == (digest, "audio/wav", "audio")
    assert TRANSCRIPTS.asked({"file": wav_file()}).inputs == []
    assert IMAGES.asked({"image": None, "prompt": None}).inputs == []
    url = "https://images.example/1.png"
    (drawn,) = IMAGES.answered({"data": [{"url": url}, {}]})
    assert [part.uri for part in drawn.parts] == [url]


def test_what_says_nothing_to_a_reader_is_left_out() -> None:
    """Tokens as prompts, answers without a text, odd values."""
    assert COMPLETIONS.asked({"prompt": [[1, 2], [3]]}).inputs == []
    assert [m.parts[0].content for m in COMPLETIONS.asked({"prompt": ["a", "b"]}).inputs] == [
        "a",
        "b",
    ]
    assert SPEECH.asked({"input": 7, "instructions": 8}).inputs == []
    assert [part.content for part in SPEECH.asked({"instructions": "slowly"}).system] == ["slowly"]
    assert list(TRANSCRIPTS.answered({"text": None})) == []
    assert [m.parts[0].content for m in TRANSCRIPTS.answered(b"plain")] == ["plain"]
    assert list(IMAGES.answered(None)) == []
