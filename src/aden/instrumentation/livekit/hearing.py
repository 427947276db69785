"""What one STT stream is billed for, while it runs: it may last as long as the call.

Each report of the plugin's ends a stretch, which is a Call of its own. What no report has covered
is held, and booked by an estimate after a minute or when the stream is cut off; where a report
covers it after all, it is not booked twice.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aden.core.request import Request
from aden.core.usage import NO_USAGE, Usage, milliseconds, token_count
from aden.errors import RequestCancelledError
from aden.instrumentation.livekit.speech import begin, describe, show_refused
from aden.instrumentation.openai.transcripts import AUDIO_TOKENS_PER_S, TEXT_TOKENS_PER_S
from aden.metering.call import Call
from aden.metering.meter import Meter
from aden.metering.shells import aadmit
from aden.metering.unasked import begun_by_provider
from aden.telemetry.spans import NO_SPAN, NoSpan

SLICE_MS = 15_000
"""Held ahead of what is heard: what the death of the process makes uncertain."""
UNREPORTED_MS = 60_000
"""So much is booked by an estimate where the plugin tells nothing."""
NOTE_EVERY_MS = 1_000
LATE_MS = 2_000
LATE_SHARE = 0.2
CLOSE_S = 1.0


def request_for(meter: Meter, stt: Any, heard_ms: int, *, stream: bool, exact: bool) -> Request:
    """A request to write down so much speech."""
    heard_s = heard_ms / 1000
    tokens = round(heard_s * AUDIO_TOKENS_PER_S)
    request = describe(
        stt,
        "transcript",
        Usage(audio_input_ms=heard_ms, estimated=not exact),
        stream=stream,
        heard_tokens=tokens,
        likely_output_tokens=round(heard_s * TEXT_TOKENS_PER_S) + 8,
    )
    if meter.prices.price(request, request.model).in_tokens:
        return replace(request, carries=replace(request.carries, audio_input_tokens=tokens))
    return request


def read_usage(told: Any) -> Usage:
    """A report of LiveKit's, as far as it can be true; LiveKit's 0 means that nobody said."""
    heard = milliseconds(getattr(told, "audio_duration", None)) or None
    read = token_count(getattr(told, "input_tokens", None)) or None
    made = token_count(getattr(told, "output_tokens", None)) or None
    if read is None and made is None:
        return Usage(audio_input_ms=heard)
    return Usage(
        audio_input_ms=heard,
        input_tokens=read or 0,
        output_tokens=made or 0,
        audio_input_tokens=read,  # LiveKit drops which of it was a prompt
    )


class Hearing:
    """Counts and books for one stream. Nothing here raises into LiveKit but a refusal at start."""

    def __init__(self, meter: Meter, stream: Any, stt: Any) -> None:
        self.booked = NO_USAGE
        """All that was booked."""
        self._meter = meter
        self._stream = stream
        self._stt = stt
        self._pushed_ms = self._waiting_ms()
        self._noted_ms = 0.0
        self._told_ms = 0.0
        self._told_at_ms = 0.0
        self._ahead_ms = 0.0
        """Booked by an estimate, and not told of yet."""
        self._holds_ms: float = SLICE_MS
        self._call: Call | None = None
        self._since = time.time()
        self._reports: deque[tuple[Usage | None, float]] = deque()
        """What the plugin told, None where an estimate is due; and how much was heard by then."""
        self._due = asyncio.Event()
        self._books: asyncio.Task[None] | None = None
        self._standing = True
        self._left = False
        """Nobody gives the plugin any more to hear, though its stream is open."""
        nothing = self._request(0)
        rates = meter.prices.price(nothing, nothing.model).rates
        self._by_session = "session" in rates and "speech" not in rates

    async def open(self) -> None:
        """Hold the first slice.

        Raises:
            RequestCancelledError: It is refused; never inside a session.
        """
        call = self._begin()
        try:
            await aadmit(self._meter, call)
        except RequestCancelledError as refusal:
            self._call = None
            show_refused(self._meter, call, refusal)
            raise
        except BaseException:
            self._withdraw()
            raise
        call.attempt(self._request(0))
        self._books = asyncio.create_task(self._keep_books(), name="aden-stt")

    def pushed(self, seconds: float) -> None:
        """The plugin is given more to hear."""
        self._pushed_ms += seconds * 1000
        if self._pushed_ms - self._noted_ms >= NOTE_EVERY_MS:
            self._noted_ms = self._pushed_ms
            if self._standing:
                self._note()

    def sent(self, event: Any) -> None:
        """The plugin tells of something."""
        if self._standing:
            self._sent(event)

    def stand_down(self) -> None:
        """Somebody inside, closer to the provider, meters the same."""
        self._standing = False
        self._withdraw()

    def leave(self) -> None:
        """Nobody hears it any more: book it, and hold nothing for what it may still tell."""
        self._left = True
        self._safely(lambda: self._report(None))

    async def close(self, *, whole: bool) -> None:
        """The stream is over; *whole*: the provider has had its last word."""
        try:
            if self._books is not None:
                self._books.cancel()
                await asyncio.wait({self._books}, timeout=CLOSE_S)
        finally:
            self._safely(lambda: self._finish(whole=whole))
            self._standing = False
            self._withdraw()

    # What the plugin was given, and how much of it is billed, as far as anybody knows.

    @property
    def _heard_ms(self) -> float:
        """What still waits in the plugin's input was not sent."""
        return max(0.0, self._pushed_ms - self._waiting_ms())

    @property
    def _open_ms(self) -> float:
        """Heard and not booked, at the share of the audio that reports covered so far.

        Where they lack little of it they are late, else silence is not billed.
        """
        late_ms = max(LATE_MS, LATE_SHARE * self._told_at_ms)
        share = 1.0
        if self._told_at_ms - self._told_ms > late_ms:
            share = self._told_ms / self._told_at_ms
        return max(0.0, self._heard_ms * share - self._told_ms - self._ahead_ms)

    def _waiting_ms(self) -> float:
        waiting = getattr(getattr(self._stream, "_input_ch", None), "_queue", ())
        return sum(getattr(each, "duration", 0.0) for each in waiting) * 1000

    def _note(self) -> None:
        """Let the hold, and what is booked if this process dies, follow the audio."""
        call, unbooked = self._call, self._open_ms
        if call is None or not call.attempts:
            return
        call.attempts[0].request = self._request(round(unbooked))
        if unbooked > self._holds_ms:
            self._holds_ms = unbooked * 3 // 2
            self._meter.settler.extend(call)
        if unbooked >= UNREPORTED_MS and not self._reports:
            self._report(None)

    def _sent(self, event: Any) -> None:
        if (told := event.recognition_usage) is not None:
            usage = read_usage(told)
            if usage.counted:
                self._report(usage)
        elif event.type == "final_transcript" and self._call is not None:
            for attempt in self._call.attempts:
                attempt.saw_text(event.alternatives[0].text)

    def _request(self, heard_ms: int, *, exact: bool = False) -> Request:
        return request_for(self._meter, self._stt, heard_ms, stream=True, exact=exact)

    def _report(self, usage: Usage | None) -> None:
        self._reports.append((usage, self._heard_ms))
        self._due.set()

    # The books.

    async def _keep_books(self) -> None:
        while self._standing:
            await self._due.wait()
            self._due.clear()
            while self._reports and self._standing:
                self._safely(self._book_next)
                if self._call is None and not self._left:
                    await self._hold_next()
            if self._left:
                self._withdraw()

    async def _hold_next(self) -> None:
        try:
            call = self._begin(observed=True)
            await aadmit(self._meter, call)
            call.attempt(self._request(0))
        except Exception:
            self._meter.cannot("gate", "no slice of an STT stream could be held", trace=True)

    def _begin(self, *, observed: bool = False) -> Call:
        request = self._request(SLICE_MS)
        call = begin(self._meter, request, observed=observed)
        call.span = NoSpan()  # it is shown when it is over
        self._call, self._holds_ms = call, SLICE_MS
        return call

    def _book_next(self) -> None:
        usage, heard_ms = self._reports.popleft()
        if usage is None:
            self._estimate()
        else:
            self._told(usage, heard_ms)

    def _told(self, usage: Usage, heard_ms: float) -> None:
        """Book a report, but for what was booked by an estimate before."""
        told_ms = usage.audio_input_ms or (usage.input_tokens or 0) * 1000 // AUDIO_TOKENS_PER_S
        self._told_ms += told_ms
        self._told_at_ms = heard_ms
        known = min(self._ahead_ms, float(told_ms))
        self._ahead_ms -= known
        if known:
            usage = _share(usage, 1 - known / told_ms)
        if usage.audio_input_ms or usage.input_tokens or usage.output_tokens:
            self._book(usage)

    def _estimate(self) -> None:
        """Book what no report covers."""
        unbooked = round(self._open_ms)
        self._ahead_ms += unbooked
        if unbooked or self._by_session:
            self._book(Usage(audio_input_ms=unbooked, estimated=True))

    def _book(self, usage: Usage) -> None:
        call = self._call or self._unheld()
        self._call = None
        try:
            self._write_down(call, usage)
        finally:  # nobody comes back to it
            self._meter.settle(call)

    def _write_down(self, call: Call, usage: Usage) -> None:
        lasted = round((time.time() - self._since) * 1000)
        if self._by_session:
            usage = replace(usage, session_ms=lasted, estimated=True)
        exact = not usage.estimated
        heard_ms = usage.audio_input_ms or 0
        request = self._request(heard_ms, exact=exact)
        carries = replace(request.carries, session_ms=usage.session_ms)
        attempt = call.attempts[0] if call.attempts else call.attempt(call.request)
        attempt.request = replace(request, carries=carries)
        if exact:
            attempt.saw_usage(usage)
        attempt.over = True
        self.booked += usage
        call.span = NO_SPAN
        self._meter.open_span(call, self._since)
        self._since = time.time()

    def _unheld(self) -> Call:
        """A stretch that is over before anything was held for it."""
        call = self._begin(observed=True)
        begun_by_provider(self._meter, call)
        return call

    def _finish(self, *, whole: bool) -> None:
        while self._reports and self._standing:
            self._book_next()
        if self._standing and not (whole and self._told_ms):
            self._estimate()

    def _withdraw(self) -> None:
        if (call := self._call) is not None:
            self._call = None
            self._meter.settler.withdraw(call)

    def _safely(self, count: Callable[[], None]) -> None:
        try:
            if self._standing:
                count()
        except Exception:
            self._meter.cannot("reader", "an STT stream could not be metered", trace=True)


def _share(usage: Usage, share: float) -> Usage:
    """A part of a report."""

    def of(count: int | None) -> int | None:
        return None if count is None else round(count * share)

    return Usage(
        audio_input_ms=of(usage.audio_input_ms),
        input_tokens=of(usage.input_tokens),
        output_tokens=of(usage.output_tokens),
        audio_input_tokens=of(usage.audio_input_tokens),
    )
