"""WebSockets of the SDK: what asks for something passes the gate before it is sent.

It may be sent as an event, as raw text, or put into the queue of a connection that is not open yet.
The program keeps the SDK's own objects.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aden.errors import RequestCancelledError
from aden.instrumentation.aside import aside, tried, unfollowed
from aden.instrumentation.openai.parameters import given
from aden.instrumentation.openai.socket_kinds import Socket, of_connection, of_manager
from aden.instrumentation.streams import leave
from aden.metering.call import Call
from aden.metering.shells import aadmit, admit
from aden.metering.unasked import book_unseen

NOTHING: Mapping[str, Any] = {}


def send_raw(wrapped: Callable[..., Any], connection: Any, args: Any, kwargs: Any) -> Any:
    """``WebSocketConnectionBase.send_raw``, through which ``send`` goes too."""
    socket = tried(of_connection, connection)
    return _send(socket, tried(_decoded, socket, args, kwargs), wrapped, args, kwargs, json.dumps)


async def asend_raw(
    wrapped: Callable[..., Awaitable[Any]], connection: Any, args: Any, kwargs: Any
) -> Any:
    """`send_raw`, awaiting."""
    socket = tried(of_connection, connection)
    event = tried(_decoded, socket, args, kwargs)
    return await _asend(socket, event, wrapped, args, kwargs, json.dumps)


def recv(wrapped: Callable[..., Any], connection: Any, args: Any, kwargs: Any) -> Any:
    """``recv_bytes``, through which every way to read goes."""
    socket = tried(of_connection, connection)
    try:
        message = wrapped(*args, **kwargs)
    except Exception as error:
        aside(_lost, socket, error)
        raise
    aside(heard, socket, message)
    return message


async def arecv(
    wrapped: Callable[..., Awaitable[Any]], connection: Any, args: Any, kwargs: Any
) -> Any:
    """`recv`, awaiting; cancelled, nothing is lost, and the next one reads on."""
    socket = tried(of_connection, connection)
    try:
        message = await wrapped(*args, **kwargs)
    except Exception as error:
        aside(_lost, socket, error)
        raise
    aside(heard, socket, message)
    return message


def close(wrapped: Callable[..., Any], connection: Any, args: Any, kwargs: Any) -> Any:
    """``close``, sync or async: the caller leaves what is on its way."""
    socket = tried(of_connection, connection)
    return wrapped(*args, **kwargs) if socket is None else leave(socket, wrapped, args, kwargs)


def send(wrapped: Callable[..., Any], connection: Any, args: Any, kwargs: Any) -> Any:
    """A connection's ``send``, where that is all that it sends by: ``beta.realtime``."""
    return _send(
        tried(of_connection, connection), tried(_event, args, kwargs), wrapped, args, kwargs
    )


async def asend(
    wrapped: Callable[..., Awaitable[Any]], connection: Any, args: Any, kwargs: Any
) -> Any:
    """`send`, awaiting."""
    return await _asend(
        tried(of_connection, connection), tried(_event, args, kwargs), wrapped, args, kwargs
    )


def lane_send(wrapped: Callable[..., Any], lane: Any, args: Any, kwargs: Any) -> Any:
    """A lane's ``send`` (``openai.lib.responses_websocket``), which goes past the connection's."""
    socket = tried(of_connection, lane._session.connection)
    return _send(socket, tried(_lane_event, args, kwargs, lane), wrapped, args, kwargs)


async def alane_send(
    wrapped: Callable[..., Awaitable[Any]], lane: Any, args: Any, kwargs: Any
) -> Any:
    """`lane_send`, awaiting."""
    socket = tried(of_connection, lane._session.connection)
    return await _asend(socket, tried(_lane_event, args, kwargs, lane), wrapped, args, kwargs)


def queue(wrapped: Callable[..., Any], manager: Any, args: Any, kwargs: Any) -> Any:
    """A sync manager's ``send``, before its connection is open."""
    return _send(tried(of_manager, manager), tried(_event, args, kwargs), wrapped, args, kwargs)


def aqueue(wrapped: Callable[..., Any], manager: Any, args: Any, kwargs: Any) -> Any:
    """An async manager's ``send`` cannot await the gate: what it holds passes it on entering."""
    socket, event = tried(of_manager, manager), tried(_event, args, kwargs)
    held = vars(manager).setdefault("_aden_held", [])
    if socket is None or event is None or (not held and not socket.asks(event)):
        return wrapped(*args, **kwargs)
    held.append((wrapped, args, kwargs, event))
    return None


def entered(wrapped: Callable[..., Any], manager: Any, args: Any, kwargs: Any) -> Any:
    """A sync manager's ``__enter__`` and ``enter``."""
    socket = tried(of_manager, manager)
    try:
        connection = wrapped(*args, **kwargs)
    except BaseException as error:
        aside(_not_entered, socket, error)
        raise
    if socket is not None:
        connection._aden_socket = socket
    return connection


async def aentered(
    wrapped: Callable[..., Awaitable[Any]], manager: Any, args: Any, kwargs: Any
) -> Any:
    """An async manager's ``__aenter__`` and ``enter``."""
    socket = tried(of_manager, manager)
    for enqueue, sent_args, sent_kwargs, event in vars(manager).pop("_aden_held", ()):
        if socket is None or (call := tried(socket.outgoing, event)) is None:
            enqueue(*sent_args, **sent_kwargs)
            continue
        try:
            await aadmit(socket.meter, call)
        except BaseException as error:
            _refused(socket, call, error)
        instead = _let_go(socket, call, event)
        try:
            enqueue(*sent_args, **sent_kwargs) if instead is None else enqueue(instead)
        except BaseException as error:
            aside(socket.not_sent, call, error)
            raise
    try:
        connection = await wrapped(*args, **kwargs)
    except BaseException as error:
        aside(_not_entered, socket, error)
        raise
    if socket is not None:
        connection._aden_socket = socket
    return connection


def _send(
    socket: Socket | None,
    event: Mapping[str, Any] | None,
    wrapped: Callable[..., Any],
    args: Any,
    kwargs: Any,
    written: Callable[[dict[str, Any]], Any] = dict,
) -> Any:
    if socket is None or event is None or (call := tried(socket.outgoing, event)) is None:
        return wrapped(*args, **kwargs)
    try:
        admit(socket.meter, call)
    except BaseException as error:
        _refused(socket, call, error)
    instead = _let_go(socket, call, event)
    try:
        return wrapped(*args, **kwargs) if instead is None else wrapped(written(instead))
    except BaseException as error:
        aside(socket.not_sent, call, error)
        raise


async def _asend(
    socket: Socket | None,
    event: Mapping[str, Any] | None,
    wrapped: Callable[..., Awaitable[Any]],
    args: Any,
    kwargs: Any,
    written: Callable[[dict[str, Any]], Any] = dict,
) -> Any:
    if socket is None or event is None or (call := tried(socket.outgoing, event)) is None:
        return await wrapped(*args, **kwargs)
    try:
        await aadmit(socket.meter, call)
    except BaseException as error:
        _refused(socket, call, error)
    instead = _let_go(socket, call, event)
    try:
        sent = wrapped(*args, **kwargs) if instead is None else wrapped(written(instead))
        return await sent
    except BaseException as error:
        aside(socket.not_sent, call, error)
        raise


def _refused(socket: Socket, call: Call, error: BaseException) -> None:
    """Raise *error* where it refuses the event, or interrupts; a mistake of ours lets it go on."""
    if isinstance(error, RequestCancelledError) or not isinstance(error, Exception):
        aside(socket.not_sent, call, error)
        raise error
    unfollowed(error)


def _let_go(socket: Socket, call: Call, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """An admitted event goes out now; gives what has to be sent instead. Never raises."""
    try:
        socket.sent(call, event)
    except Exception as error:
        unfollowed(error)
        aside(book_unseen, socket.meter, call)
    try:
        return socket.rewritten(call, event)
    except Exception as error:
        unfollowed(error)
        degraded = call.model != call.request.model
        return {**event, "model": call.model} if degraded else None


def _decoded(socket: Socket | None, args: Any, kwargs: Any) -> Mapping[str, Any] | None:
    if socket is None:
        return None
    try:
        event = json.loads(args[0] if args else kwargs["data"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _event(args: Any, kwargs: Any, more: Mapping[str, Any] = NOTHING) -> Mapping[str, Any] | None:
    event = args[0] if args else kwargs.get("event")
    if hasattr(event, "to_dict"):
        event = event.to_dict(use_api_names=True, exclude_unset=True, mode="json")
    if not isinstance(event, Mapping):
        return None
    event = given(event)  # the SDK takes out itself what says nothing, but later
    return {**event, **more} if more else event


def _lane_event(args: Any, kwargs: Any, lane: Any) -> Mapping[str, Any] | None:
    return _event(args, kwargs, _of(lane))


def _of(lane: Any) -> Mapping[str, Any]:
    """What a lane adds to the event that asks for an answer."""
    stream_id = lane._state.stream_id
    return NOTHING if stream_id is None else {"stream_id": stream_id}


def heard(socket: Socket | None, message: bytes | str) -> None:
    """The caller receives a message. Never raises."""
    if socket is None:
        return
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        socket.meter.cannot("reader", "a WebSocket message could not be read", trace=True)
        return
    if isinstance(event, dict):
        socket.hear(event)


def _lost(socket: Socket | None, error: Exception) -> None:
    """The connection is gone, not only this one reading of it."""
    if socket is not None and _is_gone(error):
        socket.broke(error)


def _not_entered(socket: Socket | None, error: BaseException) -> None:
    """It was not opened; or it was lost, or this was cancelled, while what was queued went out."""
    if socket is not None and (_is_gone(error) or not isinstance(error, Exception)):
        socket.broke(error)
    elif socket is not None:
        socket.never_opened(error)


def _is_gone(error: BaseException) -> bool:
    return type(error).__name__.startswith("ConnectionClosed")
