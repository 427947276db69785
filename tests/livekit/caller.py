"""A caller who speaks: silence on the microphone, and a recogniser that knows what was said."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from livekit import rtc
from livekit.agents import LanguageCode, stt
from livekit.agents.voice import io

RATE = 16_000


class Microphone(io.AudioInput):
    """Silence, in frames of 50 ms."""

    def __init__(self) -> None:
        super().__init__(label="silence")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.05)
        samples = RATE // 20
        return rtc.AudioFrame(b"\0\0" * samples, RATE, 1, samples)


class Speaker(io.AudioOutput):
    """Plays what it is given in no time, or for as long as the sound is."""

    def __init__(self, *, in_real_time: bool = False) -> None:
        super().__init__(label="test", capabilities=io.AudioOutputCapabilities(pause=False))
        self.heard_s = 0.0
        self._segment_s = 0.0
        self._in_real_time = in_real_time
        self._playing: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Take a piece of sound."""
        await super().capture_frame(frame)
        self.heard_s += frame.duration
        self._segment_s += frame.duration

    def flush(self) -> None:
        """The segment is whole: play it to its end."""
        super().flush()
        if self._segment_s and self._playing is None:
            length = self._segment_s if self._in_real_time else 0.0
            loop = asyncio.get_running_loop()
            self._playing = loop.call_later(length, lambda: self._ended(interrupted=False))

    def clear_buffer(self) -> None:
        """Be silent at once."""
        if self._segment_s:
            self._ended(interrupted=True)

    def _ended(self, *, interrupted: bool) -> None:
        if self._playing is not None:
            self._playing.cancel()
        played, self._segment_s, self._playing = self._segment_s, 0.0, None
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class Caller(stt.STT[Any]):
    """Recognises what the test says with `speak`."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._utterances: asyncio.Queue[stt.SpeechEvent] = asyncio.Queue()

    async def _recognize_impl(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def stream(self, *, conn_options: Any = None, **_: Any) -> stt.RecognizeStream:
        """A recognition that lasts as long as the call."""
        return _Recognition(self, conn_options, self._utterances)

    async def speak(
        self,
        *drafts: str,
        final: str,
        pause_s: float = 0.15,
        until: Callable[[int], Awaitable[object]] | None = None,
    ) -> None:
        """Say something, word by word; LiveKit begins an answer to each draft.

        Args:
            drafts: What is recognised so far.
            final: What was said.
            pause_s: Seconds after each draft.
            until: Waits for what is to happen after so many drafts.
        """
        kind = stt.SpeechEventType
        self._utterances.put_nowait(stt.SpeechEvent(type=kind.START_OF_SPEECH))
        for count, draft in enumerate(drafts, 1):
            self._utterances.put_nowait(_event(kind.PREFLIGHT_TRANSCRIPT, draft))
            if until is not None:
                await until(count)
            await asyncio.sleep(pause_s)
        self._utterances.put_nowait(_event(kind.FINAL_TRANSCRIPT, final))
        self._utterances.put_nowait(stt.SpeechEvent(type=kind.END_OF_SPEECH))

    def write(self, text: str) -> None:
        """Be heard without a sound of it: LiveKit does not wait for the end of speech."""
        self._utterances.put_nowait(_event(stt.SpeechEventType.FINAL_TRANSCRIPT, text))


class _Recognition(stt.RecognizeStream):
    def __init__(
        self, caller: Caller, options: Any, events: asyncio.Queue[stt.SpeechEvent]
    ) -> None:
        super().__init__(stt=caller, conn_options=options)
        self._utterances = events

    async def _run(self) -> None:
        async for event in self._next():
            self._event_ch.send_nowait(event)

    async def _next(self) -> AsyncIterator[stt.SpeechEvent]:
        while True:
            yield await self._utterances.get()


def _event(kind: stt.SpeechEventType, text: str) -> stt.SpeechEvent:
    heard = stt.SpeechData(language=LanguageCode("en"), text=text)
    return stt.SpeechEvent(type=kind, alternatives=[heard])
