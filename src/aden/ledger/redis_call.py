"""What goes to the Redis server and what comes back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

Words = Sequence[bytes]
Reply = Any
"""Integers, bytes and lists of them; a `LinkError` where the server refused this call alone."""


class Call(NamedTuple):
    """One call of a script."""

    verb: str
    words: Words


class LinkError(Exception):
    """The server cannot be reached, does not answer, or refused a call.

    Attributes:
        passing: It may be otherwise later: what was to be booked is kept.
        wrong_setting: It stays so until somebody changes the URL or the server's settings.
        was_sent: The server may have done what it was asked to do.
    """

    def __init__(self, why: str, *, passing: bool = True, wrong_setting: bool = False) -> None:
        super().__init__(why)
        self.passing = passing
        self.wrong_setting = wrong_setting
        self.was_sent = True
