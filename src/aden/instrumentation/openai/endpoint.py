"""What the wrappers must know of one endpoint: four pure functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aden.core.request import Request
from aden.metering.attempt import Attempt


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
