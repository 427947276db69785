"""Which servers refuse a stream because we asked for its usage; they are not asked again.

Older Azure API versions and some compatible servers do not know ``stream_options``.
"""

from aden.core.request import Request

_REFUSE: set[tuple[str, str | None, int | None]] = set()
MAX_REMEMBERED = 1000


def tells_usage(request: Request) -> bool:
    """Whether the server may be asked for the usage of a stream."""
    return _server(request) not in _REFUSE


def refuses_usage(request: Request, error: Exception) -> bool:
    """Whether *error* says that the request was refused for that alone; it is remembered."""
    status = getattr(error, "status_code", None)
    if status not in (400, 422) or "stream_options" not in str(error):
        return False
    if len(_REFUSE) < MAX_REMEMBERED:
        _REFUSE.add(_server(request))
    return True


def _server(request: Request) -> tuple[str, str | None, int | None]:
    return request.provider, request.server_address, request.server_port
