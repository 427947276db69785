"""The caller's end of the line: what an agent says, as sound and as the text that was spoken."""

import asyncio
import wave
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import tts
from livekit.agents.voice import io

RATE = 24_000
FRAME_S = 0.02


class Voice(tts.TTS[Any]):
    """Speaks each text in 20 ms of sound, and notes it."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1
        )
        self.spoken: list[str] = []
        self.spoken_at: list[float] = []

    def synthesize(self, text: str, *, conn_options: Any = None, **_: Any) -> tts.ChunkedStream:
        """Speak."""
        return _Sentence(tts=self, input_text=text, conn_options=conn_options)

    def said(self) -> str:
        """All that was spoken, in one line."""
        return " ".join(self.spoken)


class _Sentence(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        voice = self._tts
        assert isinstance(voice, Voice)
        voice.spoken.append(self.input_text)
        voice.spoken_at.append(asyncio.get_running_loop().time())
        output_emitter.initialize(
            request_id="spoken", sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(b"\0\0" * int(RATE * FRAME_S))


class Earpiece(io.AudioOutput):
    """Hears everything at once: what a second plays takes no second."""

    def __init__(self) -> None:
        super().__init__(
            label="earpiece", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=RATE
        )
        self.heard_s = 0.0
        self._segment_s = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Hear a piece."""
        await super().capture_frame(frame)
        if not self._segment_s:
            self.on_playback_started(created_at=0.0)
        self._segment_s += frame.duration
        self.heard_s += frame.duration

    def flush(self) -> None:
        """A segment is over."""
        super().flush()
        if self._segment_s:
            played, self._segment_s = self._segment_s, 0.0
            self.on_playback_finished(playback_position=played, interrupted=False)

    def clear_buffer(self) -> None:
        """Nothing waits to be played."""


def sound_file(path: Path, seconds: float) -> Path:
    """A WAV file of that length."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"\0\0" * int(RATE * seconds))
    return path
