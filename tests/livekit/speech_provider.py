"""A speech provider on a local socket, with a bill, and LiveKit plugins that speak with it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    APIConnectionError,
    APIConnectOptions,
    APIStatusError,
    LanguageCode,
    stt,
    tts,
    utils,
    vad,
)

RATE = 16_000
"""LiveKit's own, so that nothing is resampled: that loads a library which may panic at exit."""
OPENAI_RATE = 24_000
MS_PER_CHARACTER = 50
"""Of the provider's own voice."""
NANO_PER_CHARACTER = 50_000
"""Cartesia's sonic-3.5: $50 for a million characters."""
NANO_PER_MS = 80
"""Deepgram's nova-3: $0.0048 a minute."""
NANO_PER_WHOLE_MINUTE = 4_300_000
"""Of a sound that is there already."""

NANO_PER_HEARD_TOKEN, NANO_PER_WRITTEN_TOKEN = 6_000, 10_000
"""OpenAI's gpt-4o-transcribe: $6 and $10 for a million."""
UTTERANCE_MS = 1_000
"""Of a caller who makes a pause each second."""


@dataclass
class Billed:
    """One item of the bill."""

    kind: str
    characters: int = 0
    heard_ms: int = 0
    tokens: tuple[int, int] = (0, 0)

    @property
    def nano_usd(self) -> int:
        """Nano-dollars."""
        if self.kind == "file":
            return -(-self.heard_ms * NANO_PER_WHOLE_MINUTE // 60_000)
        if self.kind == "tokens":
            return self.tokens[0] * NANO_PER_HEARD_TOKEN + self.tokens[1] * NANO_PER_WRITTEN_TOKEN
        return self.characters * NANO_PER_CHARACTER + self.heard_ms * NANO_PER_MS


@dataclass
class SpeechProvider:
    """Speaks and listens: over HTTP a text or a sound at once, over WebSockets piece by piece."""

    url: str = ""
    pace_s: float = 0.0
    """Pause before each character's sound."""
    report_every_ms: int = 500
    """How often a stream's usage is told; 0: never."""
    statuses: list[int] = field(default_factory=list)
    """What the next requests are answered with; 0: the connection is cut when they are heard."""
    bill: list[Billed] = field(default_factory=list)

    @property
    def nano_usd(self) -> int:
        """The whole bill."""
        return sum(item.nano_usd for item in self.bill)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SpeechProvider]:
        """Serve on a free port of the loopback."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/speak", self._speak),
                web.get("/speak", self._speak_on),
                web.post("/hear", self._hear),
                web.get("/hear", self._hear_on),
                web.get("/v1/realtime", self._transcribe),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _refused(self, request: web.Request) -> web.StreamResponse | None:
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0 and request.method == "GET":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.receive()
            cut(request)
            return socket
        if status == 0:
            cut(request)
        return None if status == 200 else web.Response(status=status or 500)

    async def _say(self, text: str, send: Callable[[bytes], Awaitable[None]]) -> None:
        with contextlib.suppress(ConnectionError):  # nobody listens any more
            for _ in text:
                await asyncio.sleep(self.pace_s)
                await send(sound(MS_PER_CHARACTER))

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        text = (await request.json())["text"]
        if (refused := await self._refused(request)) is not None:
            return refused
        self.bill.append(Billed("speech", characters=len(text)))
        response = web.StreamResponse()
        await response.prepare(request)
        await self._say(text, response.write)
        return response

    async def _speak_on(self, request: web.Request) -> web.StreamResponse:
        if (refused := await self._refused(request)) is not None:
            return refused
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        item = Billed("speech")
        self.bill.append(item)
        speaking: asyncio.Queue[str | None] = asyncio.Queue()
        voice = asyncio.create_task(self._say_on(speaking, socket))
        async for message in socket:
            text: str | None = json.loads(message.data)["text"]
            item.characters += len(text or "")
            speaking.put_nowait(text)
        await utils.aio.cancel_and_wait(voice)
        return socket

    async def _say_on(
        self, texts: asyncio.Queue[str | None], socket: web.WebSocketResponse
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while (text := await texts.get()) is not None:
                await self._say(text, socket.send_bytes)
            await socket.send_str("{}")

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        heard = await request.read()
        if (refused := await self._refused(request)) is not None:
            return refused
        self.bill.append(Billed("file", heard_ms=length_ms(heard)))
        return web.json_response({"text": "good morning"})

    async def _hear_on(self, request: web.Request) -> web.StreamResponse:
        if (refused := await self._refused(request)) is not None:
            return refused
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        item, told = Billed("transcript"), 0
        self.bill.append(item)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                item.heard_ms += length_ms(message.data)
            ended = message.type is aiohttp.WSMsgType.TEXT
            untold = item.heard_ms - told
            if self.report_every_ms and (untold >= self.report_every_ms or (ended and untold)):
                told = item.heard_ms
                await socket.send_json({"heard_ms": untold})
            if ended:
                await socket.send_json({"text": "good morning"})
                break
        return socket

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        """OpenAI's transcription sessions, which bill what is said by the token."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        item, heard_ms = Billed("tokens"), 0
        self.bill.append(item)
        async for message in socket:
            said = json.loads(message.data)
            if said["type"] != "input_audio_buffer.append":
                continue
            heard_ms += length_ms(base64.b64decode(said["audio"]), OPENAI_RATE)
            if heard_ms >= UTTERANCE_MS:
                heard_ms -= UTTERANCE_MS
                item.tokens = item.tokens[0] + 10, item.tokens[1] + 4
                for event in utterance(len(self.bill)):
                    await socket.send_json(event)
        return socket


def utterance(number: int) -> list[dict[str, Any]]:
    """What OpenAI sends of a second of speech."""
    item, buffer = {"item_id": f"item_{number}"}, "input_audio_buffer"
    usage = {"type": "tokens", "input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    return [
        {"type": f"{buffer}.speech_started", "audio_start_ms": 0, **item},
        {"type": f"{buffer}.speech_stopped", "audio_end_ms": UTTERANCE_MS, **item},
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "transcript": "good morning",
            "usage": usage,
            **item,
        },
    ]


def cut(request: web.Request) -> None:
    """Close the connection without a word."""
    assert request.transport is not None
    request.transport.abort()


def sound(milliseconds: int) -> bytes:
    """Silence, as a provider sends it."""
    return bytes(2 * RATE * milliseconds // 1000)


def length_ms(data: bytes, rate: int = RATE) -> int:
    """How long a sound is."""
    return len(data) * 1000 // (2 * rate)


def frame(milliseconds: int, rate: int = RATE) -> rtc.AudioFrame:
    """Silence, as a microphone gives it."""
    samples = rate * milliseconds // 1000
    return rtc.AudioFrame(bytes(2 * samples), rate, 1, samples)


class Voice(tts.TTS[Any]):
    """A TTS plugin, streaming or not."""

    def __init__(
        self,
        provider: SpeechProvider,
        *,
        streaming: bool = True,
        model: str = "sonic-3.5",
        owner: str = "Cartesia",
        aligned: bool = False,
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=streaming, aligned_transcript=aligned),
            sample_rate=RATE,
            num_channels=1,
        )
        self.provider_server = provider
        self._model = model
        self._owner = owner

    @property
    def model(self) -> str:
        """As it is told."""
        return self._model

    @property
    def provider(self) -> str:
        """As it is told."""
        return self._owner

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a whole text."""
        if self.capabilities.streaming:
            return self._synthesize_with_stream(text, conn_options=conn_options)
        return _Sentence(tts=self, input_text=text, conn_options=conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        """Speak a text as it comes."""
        return _Speech(tts=self, conn_options=conn_options)


def _failure(error: Exception) -> Exception:
    """As LiveKit's own plugins raise it."""
    if isinstance(error, aiohttp.WSServerHandshakeError | aiohttp.ClientResponseError):
        return APIStatusError("refused", status_code=error.status, body=None)
    return APIConnectionError()


class _Sentence(tts.ChunkedStream):
    _tts: Voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        url = self._tts.provider_server.url + "/speak"
        try:
            async with (
                aiohttp.ClientSession(raise_for_status=True) as http,
                http.post(url, json={"text": self.input_text}) as response,
            ):
                data = await response.read()
        except aiohttp.ClientError as error:
            raise _failure(error) from error
        _emit(output_emitter, stream=False)
        output_emitter.push(data)  # LiveKit cuts it into frames when this is over
        output_emitter.flush()


class _Speech(tts.SynthesizeStream):
    _tts: Voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        url = self._tts.provider_server.url + "/speak"
        _emit(output_emitter, stream=True)
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
                sending = asyncio.create_task(self._send(socket))
                try:
                    output_emitter.start_segment(segment_id=utils.shortuuid())
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            break
                        output_emitter.push(message.data)
                    else:
                        raise aiohttp.ClientError("cut off")
                    output_emitter.end_segment()
                finally:
                    await utils.aio.cancel_and_wait(sending)
        except aiohttp.ClientError as error:
            raise _failure(error) from error

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for piece in self._input_ch:
            if isinstance(piece, str):
                self._mark_started()
                await socket.send_json({"text": piece})
        await socket.send_json({"text": None})


def _emit(emitter: tts.AudioEmitter, *, stream: bool) -> None:
    emitter.initialize(
        request_id=utils.shortuuid(),
        sample_rate=RATE,
        num_channels=1,
        mime_type="audio/pcm",
        frame_size_ms=50,
        stream=stream,
    )


class Ear(stt.STT[Any]):
    """An STT plugin, streaming or not; it tells of usage as the provider does."""

    def __init__(
        self,
        provider: SpeechProvider,
        *,
        streaming: bool = True,
        model: str = "nova-3",
        owner: str = "Deepgram",
        diarization: bool = False,
    ) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=streaming, interim_results=False, diarization=diarization
            )
        )
        self.provider_server = provider
        self._model = model
        self._owner = owner

    @property
    def model(self) -> str:
        """As it is told."""
        return self._model

    @property
    def provider(self) -> str:
        """As it is told."""
        return self._owner

    async def _recognize_impl(self, buffer: Any, **_: Any) -> stt.SpeechEvent:
        url = self.provider_server.url + "/hear"
        data = bytes(rtc.combine_audio_frames(buffer).data)
        try:
            async with (
                aiohttp.ClientSession(raise_for_status=True) as http,
                http.post(url, data=data) as response,
            ):
                return _final((await response.json())["text"])
        except aiohttp.ClientError as error:
            raise _failure(error) from error

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS, **_: Any
    ) -> stt.RecognizeStream:
        """Listen for as long as the call lasts."""
        return Recognition(stt=self, conn_options=conn_options)


class Recognition(stt.RecognizeStream):
    """One connection to the provider."""

    _stt: Ear

    async def _run(self) -> None:
        url = self._stt.provider_server.url + "/hear"
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
                sending = asyncio.create_task(self._send(socket))
                try:
                    async for message in socket:
                        self._read(json.loads(message.data))
                finally:
                    await utils.aio.cancel_and_wait(sending)
        except aiohttp.ClientError as error:
            raise _failure(error) from error

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for each in self._input_ch:
            if isinstance(each, rtc.AudioFrame):
                await socket.send_bytes(bytes(each.data))
        await socket.send_str("end")

    def _read(self, said: dict[str, Any]) -> None:
        if "text" in said:
            self._event_ch.send_nowait(_final(said["text"]))
            return
        usage = stt.RecognitionUsage(audio_duration=said["heard_ms"] / 1000)
        self._event_ch.send_nowait(reported(usage))


def reported(usage: stt.RecognitionUsage) -> stt.SpeechEvent:
    """As plugins tell of usage."""
    return stt.SpeechEvent(type=stt.SpeechEventType.RECOGNITION_USAGE, recognition_usage=usage)


def _final(text: str) -> stt.SpeechEvent:
    heard = stt.SpeechData(language=LanguageCode("en"), text=text)
    return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[heard])


class Vad(vad.VAD):
    """Takes each *every* frames for an utterance; None: all up to the end of the input."""

    def __init__(self, every: int | None = None) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.1))
        self.every = every

    def stream(self) -> vad.VADStream:
        """Listen."""
        return _Utterances(self)


class _Utterances(vad.VADStream):
    _vad: Vad

    async def _main_task(self) -> None:
        frames: list[rtc.AudioFrame] = []
        async for each in self._input_ch:
            if isinstance(each, rtc.AudioFrame):
                frames.append(each)
            if len(frames) == self._vad.every:
                self._ended(frames)
                frames = []
        if frames and self._vad.every is None:
            self._ended(frames)

    def _ended(self, frames: list[rtc.AudioFrame]) -> None:
        for kind in (vad.VADEventType.START_OF_SPEECH, vad.VADEventType.END_OF_SPEECH):
            self._event_ch.send_nowait(
                vad.VADEvent(kind, 0, 0.0, speech_duration=1.0, silence_duration=0.0, frames=frames)
            )
