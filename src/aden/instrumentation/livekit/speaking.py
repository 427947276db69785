"""One TTS request while it runs: what was given to the plugin, what came back."""

import math
from dataclasses import replace
from typing import Any

from aden.core.request import Request
from aden.core.usage import NO_USAGE, Usage, milliseconds, token_count
from aden.instrumentation.aside import aside
from aden.instrumentation.livekit.speech import describe, never_billed
from aden.instrumentation.openai.speech import TOKENS_PER_CHARACTER, TOKENS_PER_S
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.metering.meter import Meter

TYPICAL_CHARACTERS = 200
"""Held for a text that is not known yet: two or three sentences."""
MS_PER_CHARACTER = 70
"""Some 14 characters a second, as `TOKENS_PER_CHARACTER` has it."""


def request_for(
    meter: Meter, tts: Any, characters: int, spoken_ms: int | None, *, stream: bool, exact: bool
) -> Request:
    """A request to speak so many characters; *spoken_ms* None: not spoken yet."""
    request = describe(
        tts,
        "speech",
        Usage(characters=characters, audio_output_ms=spoken_ms, estimated=not exact),
        stream=stream,
        input_chars=characters,
        likely_output_tokens=round(characters * TOKENS_PER_CHARACTER) + 1,
    )
    rates = meter.prices.price(request, request.model).rates
    if spoken_ms is None and not rates.keys().isdisjoint(_BY_SOUND):
        likely = Usage(
            characters=characters, audio_output_ms=characters * MS_PER_CHARACTER, estimated=True
        )
        return replace(request, carries=likely)
    return request


_BY_SOUND = ("speech", "speech_output")


class Speaking:
    """Counts for one Call."""

    def __init__(
        self, meter: Meter, call: Call, stream: Any, tts: Any, text: str | None, *, owns: bool
    ) -> None:
        """*owns*: the Call is this stream's; else it is that of an adapter around it."""
        self.call = call
        self.owns = owns
        self.running = False
        """The plugin's own code runs."""
        self.billed_characters = 0
        """Of all sendings that may be billed."""
        self.spoken_ms = 0.0
        self._meter = meter
        self._stream = stream
        self._tts = tts
        self._streamed = text is None
        self._given = len(text) if text is not None else 0
        self._holds = TYPICAL_CHARACTERS if text is None else self._given
        self._mine: Attempt | None = None
        self._others = 0
        """Sendings that the SDK inside, or a stream inside, had told of before this one."""

    def given(self, characters: int) -> None:
        """The plugin may speak more: hold it, where that outgrows what is held."""
        self._given += characters
        if self._given > self._holds and self.owns and self.call.joinable:
            self._holds = self._given * 3 // 2
            self._extend()

    def began(self) -> None:
        """The plugin begins to send."""
        self.running = True
        self.spoken_ms = 0.0
        if self._mine is not None and self._mine.outcome != "open":
            self._mine = None  # else it was made early, to hold more
        self._others = len(self._by_others())

    def spoke(self, audio: Any) -> None:
        """A frame came back."""
        self.spoken_ms += milliseconds(audio.frame.duration) or 0
        attempt = self._own()
        if attempt is not None and attempt.first_chunk_at is None:
            attempt.saw_chunk()
            started: float = getattr(self._stream, "_started_time", 0.0)
            attempt.sent_at = started or attempt.sent_at

    def ended(self, error: BaseException | None) -> None:
        """The plugin has sent what it could, or failed, or was cancelled."""
        self.running = False
        given = self._taken()
        if self._fed():
            self.billed_characters += given
            if error is not None:
                self._cut_short(self.call.attempts[-1], given)
            return
        attempt = self._own() if given or self.spoken_ms else self._mine
        if attempt is None:
            return
        if not given or (error is not None and not self.spoken_ms and never_billed(error)):
            attempt.ended_free()
            return
        attempt.request = self._request(given, exact=error is None)
        attempt.unread = self._likely_tokens(given, cut=error is not None)
        attempt.over = error is None
        attempt.saw_usage(self._told(attempt.request))
        attempt.ended_unknown()
        self.billed_characters += given

    def finished(self) -> None:
        """LiveKit has passed on the last frame, which is later than the plugin's end."""
        if (attempt := self._mine) is not None and attempt.outcome in ("unknown", "reported"):
            carried = attempt.request.carries
            carried = replace(carried, audio_output_ms=round(self.spoken_ms))
            attempt.request = replace(attempt.request, carries=carried)

    def settle(self, error: BaseException | None = None) -> None:
        """Book it; a stream that was given no text was no request."""
        aside(self.finished)
        if not self.call.attempts and not self._given and error is None:
            self._meter.settler.withdraw(self.call)
        else:
            self._meter.settle(self.call, error)

    def _extend(self) -> None:
        attempt = self._own()
        if attempt is not None:
            attempt.request = self._request(self._given, exact=False)
            self._meter.settler.extend(self.call)

    def _likely_tokens(self, given: int, *, cut: bool) -> int:
        """Of the output: by the sound, where that did not come to its end."""
        by_text = round(given * TOKENS_PER_CHARACTER)
        if not cut or not self.spoken_ms:
            return by_text
        return min(by_text, math.ceil(self.spoken_ms / 1000 * TOKENS_PER_S))

    def _cut_short(self, attempt: Attempt, given: int) -> None:
        """The SDK cannot read the sound; here it is known how much of it came."""
        if attempt.outcome != "reported" and self.spoken_ms:
            attempt.request = replace(attempt.request, hidden_output=False)
            attempt.unread = self._likely_tokens(given, cut=True)

    def _own(self) -> Attempt | None:
        """The sending of a plugin whose SDK we do not see; None where it tells of it itself."""
        if self._mine is None and not self._fed():
            self._mine = self.call.attempt(self._request(self._given, exact=False))
        return self._mine

    def _fed(self) -> bool:
        """Whether the SDK inside, or a stream inside, tells of this sending."""
        others = self._by_others()
        fed = len(others) > self._others
        if fed and self._mine is not None:
            self.call.attempts[:] = others
            self._mine = None
        return fed

    def _by_others(self) -> list[Attempt]:
        return [each for each in self.call.attempts if each is not self._mine]

    def _taken(self) -> int:
        """Characters that the plugin took: what still waits in its input was not sent."""
        waiting = getattr(getattr(self._stream, "_input_ch", None), "_queue", ())
        return self._given - sum(len(each) for each in waiting if isinstance(each, str))

    def _told(self, sent: Request) -> Usage:
        """Tokens, where they are what is billed and the plugin tells of them; 0: it does not."""
        if not (self.call.prices or self._meter.prices).price(sent, sent.model).in_tokens:
            return NO_USAGE
        read = token_count(self._stream._input_tokens) or None
        made = token_count(self._stream._output_tokens) or None
        if read is None and made is None:
            return NO_USAGE
        return Usage(input_tokens=read or 0, output_tokens=made or 0, audio_output_tokens=made)

    def _request(self, characters: int, *, exact: bool) -> Request:
        spoken = round(self.spoken_ms) if exact or self.spoken_ms else None
        sent = request_for(
            self._meter, self._tts, characters, spoken, stream=self._streamed, exact=exact
        )
        asked = self.call.request
        return sent if not self.owns else replace(sent, provider=asked.provider, model=asked.model)
