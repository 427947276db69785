"""The openai SDK: which functions are wrapped, and with what."""

from collections.abc import Mapping

from aden.instrumentation.in_place import Wrapper
from aden.instrumentation.openai import attempts, background, backstop, chat, responses, sockets
from aden.instrumentation.openai.create import async_create, create
from aden.instrumentation.openai.taking import closing_raw, parsing
from aden.instrumentation.patches import Patch, Patches
from aden.instrumentation.streams import closing, closing_helper

_CHAT = "openai.resources.chat.completions.completions"
_RESPONSES = "openai.resources.responses.responses"
_CHAT_STREAM = "openai.lib.streaming.chat._completions"
_RESPONSE_STREAM = "openai.lib.streaming.responses._responses"
_SOCKET = "openai._websocket_connection"
_REALTIME = "openai.resources.realtime.realtime"
_LIVE = "openai.resources.live"
_TRANSLATIONS = "openai.resources.realtime.translations.translations"
_BETA_RESPONSES = "openai.resources.beta.responses.responses"
_BETA_REALTIME = "openai.resources.beta.realtime.realtime"
_CERTIFICATES = "openai.auth._x509"
_LANES = "openai.lib.responses_websocket._session"
_BASE = "openai._base_client"


_Ways = Mapping[str, Wrapper]
"""By a function's name, with {} where the API's stands."""
_IN: _Ways = {
    "{}Connection.recv_bytes": sockets.recv,
    "Async{}Connection.recv_bytes": sockets.arecv,
    "{}ConnectionManager.__enter__": sockets.entered,
    "{}ConnectionManager.enter": sockets.entered,
    "Async{}ConnectionManager.__aenter__": sockets.aentered,
    "Async{}ConnectionManager.enter": sockets.aentered,
}
_QUEUE: _Ways = {
    "{}ConnectionManager.send": sockets.queue,
    "Async{}ConnectionManager.send": sockets.aqueue,
}
"""They take events before the connection is open."""
_OUT: _Ways = {
    "{}Connection.send": sockets.send,
    "Async{}Connection.send": sockets.asend,
    "{}Connection.send_raw": sockets.send_raw,
    "Async{}Connection.send_raw": sockets.asend_raw,
    "{}Connection.close": sockets.close,
    "Async{}Connection.close": sockets.close,
}
"""Before 3.32 each connection has methods of its own; since then they inherit them."""


def _sockets(module: str, api: str, ways: _Ways, until: str | None = None) -> tuple[Patch, ...]:
    """The two connections of one API, in versions that have the first of these ways."""
    names = [name.format(api) for name in ways]
    return tuple(
        Patch(module, name, wrapper, part=names[0], until=until)
        for name, wrapper in zip(names, ways.values(), strict=True)
    )


def _connections(module: str, api: str) -> tuple[Patch, ...]:
    """All of one API's WebSockets."""
    own = _sockets(module, api, _OUT, until=_SOCKET)
    return _sockets(module, api, _IN) + _sockets(module, api, _QUEUE) + own


OPENAI = Patches(
    (
        Patch(_CHAT, "Completions.create", create(chat.ENDPOINT)),
        Patch(_CHAT, "AsyncCompletions.create", async_create(chat.ENDPOINT)),
        Patch(_CHAT, "Completions.parse", create(chat.ENDPOINT)),
        Patch(_CHAT, "AsyncCompletions.parse", async_create(chat.ENDPOINT)),
        Patch(_BASE, "SyncAPIClient.request", backstop.request, in_place=True),
        Patch(_BASE, "AsyncAPIClient.request", backstop.arequest, in_place=True),
        Patch(_RESPONSES, "Responses.create", create(responses.ENDPOINT)),
        Patch(_RESPONSES, "AsyncResponses.create", async_create(responses.ENDPOINT)),
        Patch(_RESPONSES, "Responses.parse", create(responses.ENDPOINT)),
        Patch(_RESPONSES, "AsyncResponses.parse", async_create(responses.ENDPOINT)),
        Patch(_RESPONSES, "Responses.retrieve", background.fetch),
        Patch(_RESPONSES, "AsyncResponses.retrieve", background.afetch),
        Patch(_RESPONSES, "Responses.cancel", background.fetch),
        Patch(_RESPONSES, "AsyncResponses.cancel", background.afetch),
        Patch(_BASE, "SyncAPIClient._send_request", attempts.observe),
        Patch(_BASE, "AsyncAPIClient._send_request", attempts.aobserve),
        Patch(_CERTIFICATES, "SyncX509WorkloadIdentityAuth.send_api_request", attempts.observe),
        Patch(_CERTIFICATES, "AsyncX509WorkloadIdentityAuth.send_api_request", attempts.aobserve),
        Patch("openai._streaming", "Stream.close", closing),
        Patch("openai._streaming", "AsyncStream.close", closing),
        Patch(_SOCKET, "WebSocketConnectionBase.send_raw", sockets.send_raw),
        Patch(_SOCKET, "AsyncWebSocketConnectionBase.send_raw", sockets.asend_raw),
        Patch(_SOCKET, "WebSocketConnectionBase.close", sockets.close),
        Patch(_SOCKET, "AsyncWebSocketConnectionBase.close", sockets.close),
        *_connections(_RESPONSES, "Responses"),
        *_connections(_REALTIME, "Realtime"),
        *_connections(f"{_LIVE}.live", "Live"),
        *_connections(f"{_LIVE}.forks", "Forks"),
        *_connections(f"{_LIVE}.sideband", "Sideband"),
        *_connections(_TRANSLATIONS, "Translations"),
        *_connections(_BETA_RESPONSES, "Responses"),
        *_sockets(_BETA_REALTIME, "Realtime", _IN),
        Patch(_BETA_REALTIME, "RealtimeConnection.send", sockets.send),
        Patch(_BETA_REALTIME, "AsyncRealtimeConnection.send", sockets.asend),
        Patch(_BETA_REALTIME, "RealtimeConnection.close", sockets.close),
        Patch(_BETA_REALTIME, "AsyncRealtimeConnection.close", sockets.close),
        Patch(_LANES, "ResponsesWebSocketLane.send", sockets.lane_send),
        Patch(_LANES, "AsyncResponsesWebSocketLane.send", sockets.alane_send),
        Patch(_CHAT_STREAM, "ChatCompletionStream.close", closing_helper),
        Patch(_CHAT_STREAM, "AsyncChatCompletionStream.close", closing_helper),
        Patch(_RESPONSE_STREAM, "ResponseStream.close", closing_helper),
        Patch(_RESPONSE_STREAM, "AsyncResponseStream.close", closing_helper),
        Patch("openai._legacy_response", "LegacyAPIResponse.parse", parsing),
        Patch("openai._response", "APIResponse.parse", parsing),
        Patch("openai._response", "AsyncAPIResponse.parse", parsing),
        Patch("openai._response", "APIResponse.close", closing_raw),
        Patch("openai._response", "AsyncAPIResponse.close", closing_raw),
    ),
)
"""Everything of the openai SDK that Aden wraps and unwraps."""
