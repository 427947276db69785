"""What the wrappers must know of one endpoint: pure functions, and names of parameters."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aden.core.request import Request
from aden.instrumentation.openai.attempts import Sending
from aden.instrumentation.stream_meter import Ending
from aden.metering.attempt import Attempt
from aden.metering.call import Call
from aden.telemetry.content import Content
from aden.telemetry.quiet import quietly


class Gathering(Protocol):
    """Puts the messages of a streamed answer together."""

    def add(self, chunk: Any, /) -> None:
        """Pile up what a chunk says."""

    def messages(self) -> Sequence[Any]:
        """What has arrived so far."""


class ContentReader(Protocol):
    """Reads what was said, where that is captured: a module of an endpoint."""

    def asked(self, kwargs: Mapping[str, Any], /) -> Content:
        """The messages of a request."""

    def answered(self, response: Any, /) -> Sequence[Any]:
        """The messages of a whole answer."""

    @property
    def Gathered(self) -> Callable[[], Gathering]:  # noqa: N802 - a class of the module
        """Makes what gathers a streamed answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One billing method of the SDK."""

    describe: Callable[[Mapping[str, Any], Any], Request]
    """(keyword arguments, client) → the request."""
    rewrite: Callable[[dict[str, Any], str, bool], tuple[dict[str, Any], bool]]
    """(keyword arguments, model to send, whether usage may be asked for) → what is sent, and
    whether we asked for usage that the caller did not ask for, so that it is hidden from him."""
    read: Callable[[Attempt, Any], None]
    """(attempt, the whole response as an object or as JSON): note usage, id, model."""
    feed: Callable[[Attempt, Any, bool], bool]
    """(attempt, chunk, hide usage) → whether the caller is to see the chunk."""
    content: Callable[[], ContentReader] | None = None
    """Imports what reads the endpoint's content; None where it has none that is captured."""
    caps: tuple[str, ...] = ()
    """Parameters that cap the output of one choice, the newest first; a server may know one only.
    Empty: it generates nothing, or nothing that can be capped."""
    ending: Callable[[], Ending] | None = None
    """Makes what ends a stream as if its cap were reached; None where a stream is never ended
    early."""

    def ask(self, call: Call, kwargs: Mapping[str, Any]) -> None:
        """Read the content of a request, before anybody can change it."""
        if self.content is not None:
            call.content = self.content().asked(kwargs)

    def note(self, sending: Sending, response: Any) -> None:
        """Read a whole response, its content too where that is captured."""
        attempt = sending.latest()
        self.read(attempt, response)
        attempt.over = not attempt.at_work
        content = sending.call.content
        if content is not None and self.content is not None:
            answered = self.content().answered
            content.outputs = lambda: answered(response)

    def note_unparsed(self, sending: Sending) -> None:
        """Read an answer of which the SDK made no object but an exception: it is billed."""
        if sending.whole is not None and sending.latest().outcome == "open":
            with contextlib.suppress(Exception):  # cut off, it is no JSON either
                self.note(sending, sending.whole.json())

    def feeder(self, sending: Sending, hide: bool) -> Callable[[Attempt, Any], bool]:
        """What reads each chunk of a stream, its content too where that is captured."""
        content = sending.call.content
        if content is None or self.content is None:
            return lambda attempt, chunk: self.feed(attempt, chunk, hide)
        gathering = self.content().Gathered()
        content.outputs = gathering.messages

        def feed(attempt: Attempt, chunk: Any) -> bool:
            visible = self.feed(attempt, chunk, hide)
            quietly(gathering.add, chunk)
            return visible

        return feed
