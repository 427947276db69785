"""One response on its way over a WebSocket."""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

from aden.core.estimate import output_tokens
from aden.instrumentation.arrivals import SHORTEST_S
from aden.instrumentation.connection import ON_THE_WAY_S
from aden.instrumentation.stream_meter import StreamMeter
from aden.metering.attempt import Attempt
from aden.metering.call import Call


@dataclass(slots=True)
class OpenResponse:
    """A response that was asked for, or that the server began."""

    event_id: str | None
    """Of the event that asked for it."""
    name: str | None
    """By which the response can be told from others: a server repeats a request's metadata."""
    lane: str
    """The Responses API's ``stream_id``: lanes of one connection answer side by side."""
    call: Call
    attempt: Attempt
    metered: StreamMeter
    doubt: Any = None
    """An error that named nothing, heard since it was asked for: it may have been about this."""
    _read_at: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.call.ahead = self.left

    def hear(self, event: Any) -> None:
        """The program reads an event of it."""
        self.metered.chunk(event)
        self._read_at = time.perf_counter()

    def refused(self, event: Any) -> None:
        """The provider does not answer it, as *event* says."""
        self.metered.chunk(event)
        self.attempt.ended_free()
        self.metered.end("error")

    def left(self) -> None:
        """Nobody reads on: what the provider has made since, at the rate so far, is billed too.

        That is what waits unread, and what is on its way until the provider notices; no more than
        was expected of the whole.
        """
        attempt, quote = self.attempt, self.call.quote
        tokens = output_tokens(attempt.deltas, attempt.size)
        if attempt.over or attempt.first_chunk_at is None or not tokens:
            return
        took = max(SHORTEST_S, self._read_at - attempt.first_chunk_at)
        since = time.perf_counter() - self._read_at + ON_THE_WAY_S
        expected = quote.output_tokens if quote is not None else 0
        attempt.unread = min(math.ceil(tokens / took * since), max(0, expected - tokens))
        if spoken := attempt.usage.audio_output_tokens:
            more = math.ceil(attempt.unread * spoken / tokens)
            attempt.usage = replace(attempt.usage, audio_output_tokens=spoken + more)
