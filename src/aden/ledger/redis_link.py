"""One connection to a Redis server: sends a batch of calls of our scripts, reads the answers.

The only place that knows redis-py. Nothing here is shared between threads.
"""

import hashlib
import os
import re
import socket
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aden.core.interruption import interrupts
from aden.errors import ConfigurationError
from aden.ledger.redis_call import Call, LinkError, Reply
from aden.ledger.redis_url import Address

DEADLINE_S = 0.25
"""How long a caller waits, from asking to the answer."""
CONNECT_S = 1.0
AT_ONCE_BYTES = 16_384
"""What a socket takes and gives without waiting."""

ORDERS = ("confirm", "freeze", "raise", "reset")
VERBS = (
    "abandon",
    "accounts",
    "acknowledge_alert",
    "balances",
    "claim_alert",
    "describe",
    "descriptions",
    "extend",
    "holds",
    "open_holds",
    "mark_sent",
    "open",
    "page",
    "renew",
    "reserve",
    "settle",
    "true_up",
    *ORDERS,
)
_PASSING = re.compile(
    r"\b(ASK|BUSY|CLUSTERDOWN|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN)\b"
)
_PASSING_KINDS = (
    "AskError",
    "ClusterDownError",
    "MasterDownError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "TryAgainError",
)
"""The same, where the client takes the word away."""


class _Connection(Protocol):
    """What is used of redis-py's connection."""

    host: str
    port: int
    _sock: Any

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def send_packed_command(self, command: list[bytes], check_health: bool) -> None: ...

    def read_response(self) -> Any: ...


class _MovedError(Exception):
    """The ledger's slot lies on another node of the cluster: connect there."""


class Link:
    """A connection that opens when it is needed, and again when it broke while idle.

    Raises:
        ConfigurationError: The URL does not suit the client.
    """

    def __init__(self, address: Address, deadline_s: float = DEADLINE_S) -> None:
        self._base = address.base.encode()
        self._connection = _make(address, deadline_s)
        self._home = (self._connection.host, self._connection.port)
        self._is_open = False
        self._was_sent = False

    def carry_out(self, calls: Sequence[Call], *, was_sent: bool = False) -> list[Reply]:
        """Send all calls at once, unless `send` did, then read their answers, in order.

        Every script may be carried out twice, so a connection that turns out to be closed is
        opened again and everything sent once more.

        Raises:
            LinkError: No connection, no answer; what was sent may or may not have been done.
        """
        tries = 2
        self._was_sent = was_sent
        while True:
            was_open = self._is_open
            tries -= 1
            try:
                return self._trip(calls, was_sent and was_open)
            except _MovedError as moved:
                error: Exception = moved
                again = True
            except Exception as caught:  # the client's, the socket's, the TLS library's
                error = caught
                again = was_open and _is_broken(caught)
            self.disconnect()
            was_sent = False
            if not again or not tries:
                self._connection.host, self._connection.port = self._home
                failure = _link_error(error)
                failure.was_sent = self._was_sent
                raise failure from error

    def send(self, calls: Sequence[Call]) -> int | None:
        """Send all calls, if that can be done at once.

        Returns:
            A descriptor, for the caller to close, that can be read when there is an answer; None
            where `carry_out` has to do it.
        """
        connected = getattr(self._connection, "_sock", None)  # private to the client
        if not self._is_open or type(connected) is not socket.socket:  # TLS reads ahead
            return None
        commands = b"".join(map(self._command, calls))
        if len(commands) > AT_ONCE_BYTES:
            return None
        try:
            descriptor = os.dup(connected.fileno())
        except OSError as error:
            if interrupts(error):
                raise
            return None
        try:
            if os.write(descriptor, commands) == len(commands):
                return descriptor
        except BaseException as error:
            if interrupts(error):  # its answers must not be taken for the next ones
                os.close(descriptor)
                self.disconnect()
                raise
        os.close(descriptor)
        self.disconnect()
        return None

    def read(self, count: int) -> list[Reply] | None:
        """The answers to what was sent, if all are there and none is a refusal; never waits.

        None where `carry_out` has to find out.
        """
        try:
            if not _are_whole(self._connection._sock.recv(AT_ONCE_BYTES, socket.MSG_PEEK), count):
                return None
            return [self._connection.read_response() for _ in range(count)]
        except BaseException as error:
            self.disconnect()
            if interrupts(error):
                raise
            return None

    def disconnect(self) -> None:
        """Close the connection; the next call opens it again."""
        self._is_open = False
        self._connection.disconnect()

    def _trip(self, calls: Sequence[Call], was_sent: bool) -> list[Reply]:
        if not self._is_open:
            self._connection.connect()
            self._is_open = True
        self._was_sent = True
        if was_sent:
            replies = self._receive(len(calls))
        else:
            replies = self._exchange([self._command(call) for call in calls])
        unknown = [isinstance(reply, redis.exceptions.NoScriptError) for reply in replies]
        if any(unknown):
            # What ran behind a call that did not is sent again as well: the order counts.
            first = unknown.index(True)
            load = [_packed((b"SCRIPT", b"LOAD", script(verb)[0])) for verb in VERBS]
            again = [self._command(call) for call in calls[first:]]
            replies[first:] = self._exchange([*load, *again])[len(load) :]
        return [
            self._refused(reply) if isinstance(reply, Exception) else reply for reply in replies
        ]

    def _command(self, call: Call) -> bytes:
        return _packed((b"EVALSHA", script(call.verb)[1], b"1", self._base, *call.words))

    def _exchange(self, commands: list[bytes]) -> list[Any]:
        self._connection.send_packed_command([b"".join(commands)], check_health=False)
        return self._receive(len(commands))

    def _receive(self, count: int) -> list[Any]:
        replies: list[Any] = []
        for _ in range(count):
            try:
                replies.append(self._connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
        return replies

    def _refused(self, error: Exception) -> LinkError:
        """The server refused one call; where it names another node, go there with all of them."""
        text = str(error)
        if type(error).__name__ == "MovedError" or text.startswith("MOVED "):
            place = text.rsplit(maxsplit=1)[-1]
            host, _, port = place.rpartition(":")
            self._connection.host = host or self._connection.host
            self._connection.port = int(port)
            raise _MovedError(f"the ledger's slot lies on {place}")
        return _link_error(error)


def _make(address: Address, deadline_s: float) -> _Connection:
    try:
        pool = redis.ConnectionPool.from_url(
            address.client_url,
            protocol=2,
            socket_timeout=deadline_s,
            socket_connect_timeout=CONNECT_S,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        connection = pool.connection_class(**pool.connection_kwargs)
    except (redis.RedisError, ValueError, TypeError) as error:
        raise ConfigurationError("ledger", address.shown, str(error)) from None
    return cast("_Connection", connection)


def _packed(words: Sequence[bytes]) -> bytes:
    """A command as it goes over the wire; the client's own way takes four times as long."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


@cache
def script(verb: str) -> tuple[bytes, bytes]:
    """A verb's Lua text and the digest by which the server knows it."""
    folder = files("aden.ledger").joinpath("lua")
    names = ("ledger", "order", verb) if verb in ORDERS else ("ledger", verb)
    text = b"\n".join(folder.joinpath(f"{name}.lua").read_bytes() for name in names)
    return text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _are_whole(received: bytes, count: int) -> bool:
    """Whether these are *count* answers to the last byte, none of them a refusal.

    Source: the protocol, version 2 (redis.io/docs/latest/develop/reference/protocol-spec).
    """
    at, missing = 0, count
    while missing:
        end = received.find(b"\r\n", at)
        if end < 0 or received[at : at + 1] == b"-":
            return False
        if received[at : at + 1] == b"*":
            missing += max(0, int(received[at + 1 : end]))
        elif received[at : at + 1] == b"$":
            end += 2 + int(received[at + 1 : end]) if received[at + 1 : at + 2] != b"-" else 0
        at = end + 2
        missing -= 1
    return at <= len(received)


def _is_broken(error: Exception) -> bool:
    """The connection was closed by the other side, which says nothing about the next one."""
    refused = (redis.AuthenticationError, redis.exceptions.BusyLoadingError)
    return isinstance(error, redis.ConnectionError | OSError) and not isinstance(error, refused)


def _link_error(error: Exception) -> LinkError:
    """What an error of the client means for a ledger; its text holds no password."""
    text = f"{error}" or type(error).__name__
    if isinstance(error, redis.AuthenticationError | ValueError | TypeError):
        return LinkError(text, wrong_setting=True)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return LinkError(text, wrong_setting=True)
    if not isinstance(error, redis.ResponseError):
        return LinkError(text)
    if type(error).__name__ in _PASSING_KINDS or _PASSING.search(text):
        return LinkError(text)
    # A script that stumbles over what it was given does so for ever; a missing permission may come.
    return LinkError(text, passing="user_script" not in text, wrong_setting=True)
