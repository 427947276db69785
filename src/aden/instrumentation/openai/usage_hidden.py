"""The usage that only Aden asked for, taken out of a stream that is read as bytes."""

import re

from aden.instrumentation.openai.chat import is_usage_alone
from aden.instrumentation.openai.events import Events, values
from aden.instrumentation.told import fields

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_NULL = re.compile(rb',\s*"usage"\s*:\s*null')
"""What each other chunk says of it. Within a text its quotes would be escaped."""
MAX_HELD_BYTES = 64 * 1024
"""An event that says only the usage is far shorter."""


class HiddenUsage:
    """Passes a body on as it comes, an event at a time, without what the caller did not ask for."""

    def __init__(self) -> None:
        self._rest = b""

    def shown(self, data: bytes) -> bytes:
        """What *data* completes, as the caller is to see it."""
        body = self._rest + data
        ends = [end.end() for end in _END.finditer(body)]
        starts = [0, *ends]
        events = [body[begin:end] for begin, end in zip(starts, ends, strict=False)]
        rest = body[starts[-1] :]
        if len(rest) > MAX_HELD_BYTES:
            events.append(rest)
            rest = b""
        shown = b"".join(_without(event) for event in events)
        self._rest = rest  # not before: should this fail, all of it can still be shown
        return shown

    def rest(self) -> bytes:
        """What the body's end leaves: no whole event."""
        rest, self._rest = self._rest, b""
        return rest


def _without(event: bytes) -> bytes:
    if b'"usage"' not in event:
        return event
    try:
        chunks = [chunk for data in Events().feed(event) for chunk in values(data)]
    except (ValueError, RecursionError):
        return event
    if any(is_usage_alone(fields(chunk)) for chunk in chunks):
        return b""
    return _NULL.sub(b"", event)
