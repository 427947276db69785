"""One connection to a Redis server: sends a batch of calls of our scripts, reads the answers.

The only place that knows redis-py. Nothing here is shared between threads.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, Protocol, cast

from aden.errors import ConfigurationError
from aden.ledger.redis_url import Address

DEADLINE_S = 0.25
"""How long the server may say nothing while an answer is due."""
CONNECT_S = 1.0

VERBS = (
    "abandon",
    "balances",
    "claim_alert",
    "extend",
    "journal",
    "mark_sent",
    "open",
    "renew",
    "reserve",
    "settle",
)
Words = Sequence[bytes]
Reply = Any
"""Integers, bytes and lists of them; a `LinkError` where the server refused this call alone."""

_PASSING = re.compile(r"\b(OOM|MISCONF|READONLY|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|TRYAGAIN|BUSY)\b")


class Call(NamedTuple):
    """One call of a script."""

    verb: str
    words: Words


class LinkError(Exception):
    """The server cannot be reached, does not answer, or refused a call.

    Attributes:
        passing: It may be otherwise soon.
        wrong_setting: It stays so until somebody changes the URL or the server's settings.
        was_sent: The server may have done what it was asked to do.
    """

    def __init__(self, why: str, *, passing: bool = True, wrong_setting: bool = False) -> None:
        super().__init__(why)
        self.passing = passing
        self.wrong_setting = wrong_setting
        self.was_sent = True


class _Connection(Protocol):
    """What is used of redis-py's connection."""

    host: str
    port: int

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def pack_commands(self, commands: Iterable[Sequence[bytes | str | int]]) -> list[bytes]: ...

    def send_packed_command(self, command: list[bytes], check_health: bool) -> None: ...

    def read_response(self) -> Any: ...


class _Moved(Exception):
    """The ledger's slot lies on another node of the cluster: connect there."""


class Link:
    """A connection that opens when it is needed, and again when it broke while idle.

    Raises:
        ConfigurationError: The package redis is not installed, or the URL does not suit it.
    """

    def __init__(self, address: Address) -> None:
        self._base = address.base.encode()
        self._connection = _make(address)
        self._home = (self._connection.host, self._connection.port)
        self._is_open = False
        self._was_sent = False

    def carry_out(self, calls: Sequence[Call]) -> list[Reply]:
        """Send all calls at once, then read their answers, in order.

        Every script may be carried out twice, so a connection that turns out to be closed is
        opened again and everything sent once more.

        Raises:
            LinkError: No connection, no answer; what was sent may or may not have been done.
        """
        import redis

        tries = 2
        self._was_sent = False
        while True:
            was_open = self._is_open
            tries -= 1
            try:
                return self._trip(calls)
            except _Moved as moved:
                error: Exception = moved
                again = True
            except (redis.RedisError, OSError) as caught:
                error = caught
                again = was_open and _is_broken(caught)
            self.disconnect()
            if not again or not tries:
                self._connection.host, self._connection.port = self._home
                failure = _link_error(error)
                failure.was_sent = self._was_sent
                raise failure from error

    def disconnect(self) -> None:
        """Close the connection; the next call opens it again."""
        self._is_open = False
        self._connection.disconnect()

    def _trip(self, calls: Sequence[Call]) -> list[Reply]:
        import redis

        if not self._is_open:
            self._connection.connect()
            self._is_open = True
        self._was_sent = True
        replies = self._exchange([self._command(call) for call in calls])
        flushed = [
            place
            for place, reply in enumerate(replies)
            if isinstance(reply, redis.exceptions.NoScriptError)
        ]
        if flushed:
            again = [calls[place] for place in flushed]
            verbs = sorted({call.verb for call in again})
            load = [(b"SCRIPT", b"LOAD", script(verb)[0]) for verb in verbs]
            answers = self._exchange([*load, *(self._command(call) for call in again)])
            for place, answer in zip(flushed, answers[len(load) :], strict=True):
                replies[place] = answer
        return [
            self._refused(reply) if isinstance(reply, Exception) else reply for reply in replies
        ]

    def _command(self, call: Call) -> Sequence[bytes]:
        return (b"EVALSHA", script(call.verb)[1], b"1", self._base, *call.words)

    def _exchange(self, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        import redis

        connection = self._connection
        connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
        return replies

    def _refused(self, error: Exception) -> LinkError:
        """The server refused one call; where it names another node, go there with all of them."""
        text = str(error)
        if type(error).__name__ == "MovedError" or text.startswith("MOVED "):
            host, _, port = text.split()[-1].rpartition(":")
            self._connection.host = host or self._connection.host
            self._connection.port = int(port)
            raise _Moved(f"the ledger's slot lies on {text.split()[-1]}")
        return _link_error(error)


def _make(address: Address) -> _Connection:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        allowed = "the package redis for this URL: pip install 'aden-py[redis]'"
        raise ConfigurationError("ledger", address.shown, allowed) from None
    try:
        pool = redis.ConnectionPool.from_url(
            address.client_url,
            protocol=2,
            socket_timeout=DEADLINE_S,
            socket_connect_timeout=CONNECT_S,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        connection = pool.connection_class(**pool.connection_kwargs)
    except (redis.RedisError, ValueError, TypeError) as error:
        raise ConfigurationError("ledger", address.shown, str(error)) from None
    return cast("_Connection", connection)


@cache
def script(verb: str) -> tuple[bytes, bytes]:
    """A verb's Lua text and the digest by which the server knows it."""
    folder = files("aden.ledger").joinpath("lua")
    text = b"\n".join(folder.joinpath(name).read_bytes() for name in ("ledger.lua", f"{verb}.lua"))
    return text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _is_broken(error: Exception) -> bool:
    """The connection was closed by the other side, which says nothing about the next one."""
    import redis

    refused = (redis.AuthenticationError, redis.exceptions.BusyLoadingError)
    return isinstance(error, redis.ConnectionError | OSError) and not isinstance(error, refused)


def _link_error(error: Exception) -> LinkError:
    """What an error of redis-py means for a ledger; its text holds no password."""
    import redis

    text = f"{error}" or type(error).__name__
    passing_kinds = ("ReadOnlyError", "OutOfMemoryError", "MasterDownError", "ClusterDownError")
    kind = type(error).__name__
    if isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError):
        return LinkError(text, passing=False, wrong_setting=True)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return LinkError(text, wrong_setting=True)
    if isinstance(error, redis.ResponseError):
        passing = kind in passing_kinds or _PASSING.search(text) is not None
        return LinkError(text, passing=passing, wrong_setting=not passing)
    return LinkError(text)
