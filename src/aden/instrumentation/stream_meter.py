"""One answer that comes in pieces, followed to its end."""

from collections.abc import Callable
from typing import Any, Protocol

from aden.budgets.bound import SLICE_TOKENS
from aden.core.estimate import output_tokens
from aden.core.request import Request
from aden.instrumentation.arrivals import Arrivals
from aden.instrumentation.aside import aside
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.metering.meter import Meter

NEVER = 1 << 62
_CANCELLED = ("CancelledError", "Cancelled")  # by asyncio, by trio
Feed = Callable[[Attempt, Any], bool]
"""Reads one chunk into the attempt; False where the caller is not to see it."""


class Ending(Protocol):
    """What ends a stream of some API before its time."""

    def add(self, chunk: Any, /) -> None:
        """Note a chunk."""

    def last(self, attempt: Attempt, /) -> Any:
        """The chunk by which it ends."""


class StreamMeter:
    """Follows one answer to its end, whichever way it ends, and settles there once."""

    def __init__(
        self,
        meter: Meter,
        call: Call,
        attempt: Attempt,
        feed: Feed,
        owns: bool,
        *,
        ending: Callable[[], Ending] | None = None,
        hide: bool = False,
    ) -> None:
        self._meter = meter
        self._call = call
        self._attempt = attempt
        self._feed = feed
        self._owns = owns
        self._ended = False
        self._hide = hide
        quote = call.quote
        self._extend_at = quote.output_tokens if quote else NEVER
        bound = quote is not None and quote.bound is not None
        self._ending = ending() if ending is not None and bound else None
        self._chunks = 0
        self._arrivals: Arrivals | None = None
        self._grow_at = self._end_of_hold()
        self.over = False
        """True from when no budget bears more of it."""
        meter.dispatcher.ready()  # `dropped` may not start a thread
        call.ahead = self._hang_up

    @property
    def call_as_sent(self) -> tuple[Meter, Call, Request]:
        """Whose stream it is."""
        return self._meter, self._call, self._attempt.request

    def watch(self, response: Any) -> None:
        """Count what arrives on a response's connection, ahead of who reads it."""
        if self._arrivals is None:
            try:
                self._arrivals = Arrivals(response)
            except Exception:
                self.unreadable("what arrives cannot be counted")

    def began(self) -> None:
        """The first piece of the answer is here."""
        if self._attempt.first_chunk_at is None and self._attempt.saw_chunk():
            self._call.span.first_chunk()

    def chunk(self, chunk: Any) -> bool:
        """Take note of a chunk; False where the caller is not to see it."""
        attempt = self._attempt
        try:
            if attempt.first_chunk_at is None:
                self.began()
            self._chunks += 1
            visible = self._feed(attempt, chunk)
            if self._ending is not None:
                self._ending.add(chunk)
            seen = output_tokens(attempt.deltas, attempt.size)
            if seen > self._extend_at:
                self._extend_at = seen * 3 // 2
                self._meter.settler.extend(self._call)
        except Exception:
            self.unreadable("a chunk could not be read")
            return self.shows(chunk)
        return visible

    def shows(self, chunk: Any) -> bool:
        """Whether the caller is to see a chunk that cannot be read: not what only we asked for."""
        if not self._hide:
            return True
        if getattr(chunk, "usage", None) is not None:
            return bool(getattr(chunk, "choices", None))
        getattr(chunk, "model_fields_set", set()).discard("usage")
        return True

    def unreadable(self, why: str) -> None:
        """Something of the answer is not what it should be: it is told, and the call goes on."""
        self._meter.cannot("reader", why, trace=True)

    def outgrown(self) -> int | None:
        """Tokens of a choice that are here or near, where they outgrow what is held; else None."""
        attempt = self._attempt
        if attempt.deltas <= self._grow_at:
            return None
        self._look_ahead()
        seen = output_tokens(attempt.deltas, attempt.size) + attempt.unread
        return -(-seen // attempt.request.choices)

    def grown(self, bears: bool) -> None:
        """The ledger was asked for more: read on, or end after this chunk."""
        self._attempt.unread = 0
        self._grow_at = self._end_of_hold()
        self.over = not bears

    def _end_of_hold(self) -> int:
        """Pieces from which on the most that was held does not bear the stream any more.

        A piece has a token at least, so a provider that keeps to the cap stays below. Where it was
        given none, the next slice is asked for early, for it generates while we ask.
        """
        quote = self._call.quote
        if self._ending is None or quote is None or quote.bound is None:
            return NEVER
        return quote.bound.output_tokens - (SLICE_TOKENS // 2 if quote.cut.sliced else 0)

    def cut(self) -> Any:
        """The stream ends here for its budget: the chunk that says so, the first time."""
        if self._ending is None or self._ended:
            return None
        try:
            return self._ending.last(self._attempt)
        except Exception:
            self._meter.cannot("reader", "a stream's last chunk could not be made", trace=True)
            return None

    def _left(self) -> None:
        """Note what the provider has made beyond what was read."""
        if self._arrivals is not None:
            self._attempt.left_unread(max(0, self._arrivals.made - self._chunks))

    def _look_ahead(self) -> None:
        if self._arrivals is not None:
            self._arrivals.look()
        self._left()

    def _hang_up(self) -> None:
        """The process ends, which may take seconds: the provider need not go on meanwhile."""
        if self._arrivals is not None:
            self._arrivals.hang_up()
        self._left()

    def end(self, how: str, error: BaseException | None = None) -> None:
        """The answer is over: complete, abandoned, cancelled or broken."""
        if self._ended:
            return
        self._ended = True
        try:
            self._note_end(how)
        except Exception:
            self._attempt.silent = True
            self.unreadable("how a stream ended could not be noted")
        if self._owns:
            try:
                self._meter.settle(self._call, error)
            except BaseException:
                self._ended = False  # whoever lets go of it comes back to it
                raise

    def _note_end(self, how: str) -> None:
        self._call.ahead = None  # which refers to us
        if self._attempt.failure is not None:
            how = "error"
        elif how == "abandoned" and self._attempt.over:
            how = "complete"
        if self._attempt.outcome == "open" and how not in ("complete", "error"):
            self._left()
        if self._arrivals is not None:
            self._arrivals.ended()
        self._attempt.ended_unknown()
        if self._attempt.request.stream:
            if how == "complete":
                self._attempt.over = True
                self._attempt.silent = self._attempt.silent or not self._chunks  # it was no stream
            self._call.stream_end = how

    def broke(self, error: BaseException) -> None:
        """Reading on raised."""
        if type(error).__name__ in _CANCELLED:
            if self._arrivals is not None:
                aside(self._arrivals.look)
            self.end("cancelled", error)
        else:
            self.end("error", error)

    def unsent(self, error: BaseException) -> None:
        """What it was to answer has never left."""
        self._attempt.ended_free()
        self.broke(error)

    def dropped(self) -> None:
        """The caller let go of it. Called by destructors, so it takes no lock: any may be held.

        In a forked child the stream is the parent's, which settles it.
        """
        if not self._ended and not self._call.is_copy:
            try:
                if self._arrivals is not None:
                    self._arrivals.let_go()
            finally:  # whatever comes of that
                self._meter.dispatcher.soon(self._forgotten)

    def _forgotten(self) -> None:
        """A stream that was dropped before it was begun is closed by nobody: all of it is made."""
        arrivals = self._arrivals
        try:
            if arrivals is not None and self._chunks:
                arrivals.wait_for_closing()
            self._attempt.silent = not self._chunks and arrivals is not None and arrivals.goes_on
        finally:
            self.end("abandoned")
