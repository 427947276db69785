"""Which meter follows which of the SDK's connections, by the class of the connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from aden.instrumentation.active import active_meter
from aden.instrumentation.openai import realtime, sessions
from aden.instrumentation.openai.session_meter import SessionMeter
from aden.instrumentation.openai.socket_meter import SocketMeter
from aden.metering.call import Call
from aden.metering.meter import Meter


class Socket(Protocol):
    """What follows one connection."""

    meter: Meter

    def asks(self, event: Mapping[str, Any], /) -> bool:
        """Whether an event of the client's is one that a budget has to bear."""

    def outgoing(self, event: Mapping[str, Any], /) -> Call | None:
        """The call that an event asks for, not yet admitted; None where it asks for none."""

    def rewritten(self, call: Call, event: Mapping[str, Any], /) -> dict[str, Any] | None:
        """The event as it is sent instead; None where it is sent as it came."""

    def sent(self, call: Call, event: Mapping[str, Any], /) -> None:
        """An admitted request goes out now."""

    def not_sent(self, call: Call, error: BaseException, /) -> None:
        """It could not be sent after all."""

    def hear(self, event: dict[str, Any], /) -> None:
        """The caller receives an event. Never raises."""

    def broke(self, error: BaseException, /) -> None:
        """The connection is lost."""

    def never_opened(self, error: BaseException, /) -> None:
        """There was no connection for what was queued."""

    def end(self, how: str, /) -> None:
        """The caller leaves the connection."""


_SESSIONS = {
    "Live": sessions.LIVE,
    "Forks": sessions.LIVE,
    "Sideband": sessions.ATTACHED,
    "Translations": sessions.TRANSLATION,
}
"""Connections that are one session each, by what their class is called after."""


def of_manager(manager: Any) -> Socket | None:
    """The meter of the connection that a manager opens; None where Aden is not in force."""
    if (meter := active_meter()) is None:
        return None
    known: Socket | None = vars(manager).get("_aden_socket")
    if known is None or known.meter is not meter:
        model, parent = _private(manager, "model"), _private(manager, "session_id")
        known = _made(meter, manager, _private(manager, "client"), model, parent)
        manager._aden_socket = known
    return known


def of_connection(connection: Any) -> Socket | None:
    """The meter of a connection; one that was open before Aden was in force has one from now on."""
    if (meter := active_meter()) is None:
        return None
    known: Socket | None = vars(connection).get("_aden_socket")
    if known is None or known.meter is not meter:
        if known is not None:
            known.end("abandoned")
        known = connection._aden_socket = _adopted(meter, connection)
    return known


def _made(
    meter: Meter, owner: Any, client: Any, model: object, parent: object, *, opened: bool = False
) -> Socket:
    """The meter for a connection or what opens it; *opened*: it was in use before."""
    name, beta = _api(type(owner))
    model = model if isinstance(model, str) else ""
    if name in _SESSIONS:
        kind = _SESSIONS[name]
        if opened and kind is sessions.LIVE:
            kind = sessions.ATTACHED
        return SessionMeter(meter, client, kind, model, parent if isinstance(parent, str) else None)
    talk = realtime.BETA if beta else realtime.ENDPOINT
    named = model if name == "Realtime" else None  # each request of the Responses API names its own
    return SocketMeter(meter, client, named, talk, from_start=not opened)


def _api(kind: type) -> tuple[str, bool]:
    """After what a connection's or a manager's class is called, and whether it is in ``beta``."""
    for each in kind.__mro__:
        name, _, rest = each.__name__.removeprefix("Async").partition("Connection")
        if each.__module__.startswith("openai.resources.") and rest in ("", "Manager"):
            return name, ".beta." in each.__module__
    return "", False


def _private(manager: Any, name: str) -> Any:
    ending = f"__{name}"
    return next((value for key, value in vars(manager).items() if key.endswith(ending)), None)


@dataclass(frozen=True, slots=True)
class _Address:
    """What is known of the client of a connection that was open before."""

    host: str | None
    port: int | None

    @property
    def base_url(self) -> "_Address":
        """As clients have it."""
        return self


def _adopted(meter: Meter, connection: Any) -> Socket | None:
    """By the request that opened it; never raises."""
    try:
        request = connection._connection.request
        server = urlsplit("//" + request.headers["Host"])
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query)
        parts = path.split("/sessions/")
        parent = parts[1].split("/")[0] if len(parts) > 1 else None
        model = (query.get("model") or query.get("deployment") or [""])[0]
        address = _Address(server.hostname, server.port)
        return _made(meter, connection, address, model, parent, opened=True)
    except Exception:
        meter.cannot("description", "an open WebSocket could not be read", trace=True)
        return None
